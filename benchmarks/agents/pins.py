"""A baseline inside vLLM's scheduler: a turn's context stays pinned for a fixed time after it.

As Continuum's published code does it (arXiv 2511.02230): pins are given up when their time is over,
when the session comes back, or under pressure, the latest session's first.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

from vllm.v1.core.kv_cache_utils import KVCacheBlock
from vllm.v1.core.sched.output import SchedulerOutput
from vllm.v1.core.sched.scheduler import Scheduler
from vllm.v1.request import Request


class PinningScheduler(Scheduler):  # type: ignore[misc]  # vLLM is not analysed
    """Holds a reference to each block of a context that is pinned."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.clock: Callable[[], float] = float
        self.pin_s = 0.0
        self._pins: OrderedDict[str, tuple[float, list[KVCacheBlock]]] = OrderedDict()
        self._allocate = self.kv_cache_manager.allocate_slots
        self.kv_cache_manager.allocate_slots = self._allocate_or_unpin

    def pinned(self, session: str) -> bool:
        """Whether a session's context is pinned now."""
        return session in self._pins

    def schedule(self, *args: Any, **kwargs: Any) -> SchedulerOutput:
        """Give up the pins whose time is over, then schedule as vLLM does."""
        now = self.clock()
        for session in [name for name, (until, _) in self._pins.items() if until <= now]:
            self._unpin(session)
        output = super().schedule(*args, **kwargs)
        for new in output.scheduled_new_reqs:
            session = self.requests[new.req_id].session_id
            if session in self._pins:
                self._unpin(session)
        return output

    def _free_request_blocks(self, request: Request) -> None:
        if request.is_finished():
            if request.session_id in self._pins:
                self._unpin(request.session_id)
            (blocks,) = self.kv_cache_manager.get_blocks(request.request_id).blocks
            held = [block for block in blocks if block.block_hash is not None]
            self.kv_cache_manager.block_pool.touch(held)
            self._pins[request.session_id] = (self.clock() + self.pin_s, held)
        super()._free_request_blocks(request)

    def _allocate_or_unpin(self, *args: Any, **kwargs: Any) -> Any:
        found = self._allocate(*args, **kwargs)
        while found is None and self._pins:
            # Sessions are numbered in the order in which they came.
            self._unpin(max(self._pins, key=int))
            found = self._allocate(*args, **kwargs)
        return found

    def _unpin(self, session: str) -> None:
        _, blocks = self._pins.pop(session)
        self.kv_cache_manager.block_pool.free_blocks(reversed(blocks))
