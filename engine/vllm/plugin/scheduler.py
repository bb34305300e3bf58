"""vLLM's scheduler with retention by sessions, and the factory that EngineCore calls."""

from collections.abc import Sequence
from typing import Any

import msgspec
from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import SchedulerInterface
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.engine.core import EngineCore
from vllm.v1.request import Request

from engine.outlook import Outlook
from engine.vllm.plugin.keeper import Keeper
from engine.vllm.plugin.recompute import LEAST_TOKENS
from engine.vllm.plugin.watch import watch_parent

RETENTION = "roundhouse_retention"
"""Where `additional_config` says whether sessions decide what stays in the cache."""


class AgentScheduler(Scheduler):  # type: ignore[misc]  # vLLM is not analysed
    """vLLM's scheduler, which tells the keeper whose blocks come and go."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        extra = self.vllm_config.additional_config
        self.keeper = Keeper(
            self.kv_cache_manager.block_pool,
            enabled=not isinstance(extra, dict) or bool(extra.get(RETENTION, True)),
        )
        self._step: tuple[float, int, float] | None = None
        self._updated_s = 0.0

    def expect(self, outlooks: Sequence[Outlook]) -> None:
        """Take what the gateway knows of sessions."""
        self.keeper.expect(outlooks)

    def add_request(self, request: Request) -> None:
        """Take a request, or the next piece of one that is here already."""
        if request.request_id not in self.requests:
            self.keeper.arrive(request.session_id)
        super().add_request(request)

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Schedule a step as vLLM does, and note what it computes."""
        output = super().schedule(*args, **kwargs)
        self._note_step(output)
        return output

    def update_from_output(self, *args: Any, **kwargs: Any) -> Any:
        """Take a step's output, and learn from the time it took."""
        now = self.keeper.clock()
        if self._step is not None:
            began_s, tokens, depth = self._step
            self._step = None
            self.keeper.recompute.note(tokens, depth, now - max(began_s, self._updated_s))
        self._updated_s = now
        return super().update_from_output(*args, **kwargs)

    def _note_step(self, output: SchedulerOutput) -> None:
        tokens = depth = 0
        self._step = None
        if output.total_num_scheduled_tokens < len(output.num_scheduled_tokens) + LEAST_TOKENS:
            return  # nearly all decode one token each: nothing to learn
        for request_id, scheduled in output.num_scheduled_tokens.items():
            if scheduled > 1:
                tokens += scheduled
                # By now what is scheduled counts as computed.
                computed = self.requests[request_id].num_computed_tokens
                depth += scheduled * (computed - scheduled // 2)
        if tokens:
            self._step = (self.keeper.clock(), tokens, depth / tokens)

    def _free_request_blocks(self, request: Request) -> None:
        blocks = self.kv_cache_manager.coordinator.get_blocks(request.request_id)
        self.keeper.hold(request.session_id, blocks, request.num_computed_tokens)
        super()._free_request_blocks(request)

    def _free_request(self, request: Request, *args: Any, **kwargs: Any) -> Any:
        freed = super()._free_request(request, *args, **kwargs)
        self.keeper.leave(request.session_id)
        return freed

    def reset_prefix_cache(self, *args: Any, **kwargs: Any) -> bool:
        """Empty the cache, if nothing of it is in use."""
        done = bool(super().reset_prefix_cache(*args, **kwargs))
        if done:
            self.keeper.clear()
        return done


class AgentAsyncScheduler(AgentScheduler, AsyncScheduler):  # type: ignore[misc]
    """The same over vLLM's asynchronous scheduler."""


def make_scheduler(**kwargs: object) -> SchedulerInterface:
    """Make the scheduler vLLM would have made, with retention, and watch over the parent."""
    watch_parent()
    config = kwargs["vllm_config"].scheduler_config  # type: ignore[attr-defined]  # VllmConfig
    return (AgentAsyncScheduler if config.async_scheduling else AgentScheduler)(**kwargs)


# Utilities that AsyncLLM calls by name, in the core's process: vLLM's own way for such words.


def agent_expect(core: EngineCore, outlooks: list[list[object]]) -> dict[str, int]:
    """Take outlooks, as msgpack carries them; answer how retention stands."""
    scheduler = core.scheduler
    scheduler.expect(msgspec.convert(outlooks, list[Outlook]))
    return dict(scheduler.keeper.counts())


def agent_has_room(core: EngineCore, session: str, tokens: int) -> bool:
    """Whether a context that was given up may be fetched."""
    return bool(core.scheduler.keeper.has_room(session, tokens))


def agent_host_blocks(core: EngineCore) -> int:
    """How many blocks host memory holds beside the cache; vLLM starts with none, and keeps none."""
    return int(core.scheduler.connector.connector_scheduler.manager._num_chunks)


def agent_stats(core: EngineCore) -> dict[str, int]:
    """How retention stands."""
    return dict(core.scheduler.keeper.stats())


EngineCore.agent_expect = agent_expect
EngineCore.agent_has_room = agent_has_room
EngineCore.agent_host_blocks = agent_host_blocks
EngineCore.agent_stats = agent_stats
