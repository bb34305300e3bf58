"""The in-process vLLM engine: its life, and the way of a call into it."""

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from time import monotonic

import msgspec
from prometheus_client.registry import Collector
from vllm.v1.engine.async_llm import AsyncLLM

from engine.config import EngineConfig
from engine.errors import CannotSleep, EngineAway, EngineDead, EngineError, StartFailed
from engine.outlook import Outlook
from engine.types import Call, EngineLoad, Event
from engine.vllm.chat import ChatBackend
from engine.vllm.completion import CompletionBackend
from engine.vllm.continuity import Continuity
from engine.vllm.fetching import Fetching
from engine.vllm.launch import can_sleep, has_sleep_mode, kv_tokens, launch
from engine.vllm.metrics import EngineCollector, LoadRecorder
from engine.vllm.offloading import require_a_block
from engine.vllm.outlooks import Outlooks
from engine.vllm.prompts import Prompts
from engine.vllm.rendering import Rendering
from engine.vllm.retention import RetentionCounts
from engine.vllm.serving import Serving, refusals, serve
from engine.vllm.silence import end_when_silent
from engine.vllm.translate import dead, generating

logger = logging.getLogger(__name__)

DRAIN_STEP_S = 0.05
WATCH_STEP_S = 0.05
LAST = 2**31 - 1  # a priority behind all others
SLEEP_LEVEL = 1  # weights to the host's memory; of level 2 only a reload brings them back


class VllmEngine:
    """One AsyncLLM in this process."""

    def __init__(self, config: EngineConfig) -> None:
        self._config = config
        self._recorder = LoadRecorder()
        self._llm: AsyncLLM | None = None
        self._chat: ChatBackend | None = None
        self._completion: CompletionBackend | None = None
        self._tasks: tuple[asyncio.Task[None], ...] = ()
        self._prompts: Prompts | None = None
        self._fetching = Fetching(
            self._fetch,
            most=config.fetches if config.host_memory_gib else 0,
            lead_s=config.fetch_lead_s,
        )
        self._closing = False
        self.name = config.name
        self.model = config.model_name
        self.weight = config.weight
        self.pool = config.pool
        self.spare = config.spare
        self.max_model_len = 0
        self.takes_outlooks = True
        self.died = asyncio.Event()
        self._vllm_metrics = EngineCollector(config.name)
        self.collector: Collector = self._vllm_metrics
        counts = RetentionCounts(self._vllm_metrics.registry)
        self._outlooks = Outlooks(config.name, counts.take)

    async def start(self) -> None:
        """Load the model and answer a first token. Raises StartFailed."""
        llm: AsyncLLM = await asyncio.to_thread(
            launch, self._config, self._recorder, self._vllm_metrics
        )
        self._llm = llm
        self._recorder.kv_tokens = kv_tokens(llm)
        if self.spare and not has_sleep_mode(llm):
            logger.warning("engine '%s' keeps its memory asleep: no sleep mode here", self.name)
        try:
            serving = await serve(llm, self._config)
            self._wire(serving, refusals(llm, self._config))
            await self._first_token()
            await require_a_block(llm, self._config)
        except Exception as error:  # whatever it is, the engine's process must not stay behind
            await self.close()
            if isinstance(error, StartFailed):
                raise
            raise StartFailed(f"engine '{self.name}' could not start: {error}") from error
        utility = llm.engine_core.call_utility_all_async
        self._tasks = (
            asyncio.create_task(self._watch_over(llm), name=f"watch {self.name}"),
            asyncio.create_task(self._outlooks.send(utility), name=f"outlooks {self.name}"),
            asyncio.create_task(
                end_when_silent(llm, self.name, self._config.hang_s), name=f"silence {self.name}"
            ),
        )

    def _wire(self, serving: Serving, refused: Mapping[str, str]) -> None:
        rendering = Rendering(serving.chat.online_renderer)
        limit = int(self._config.continuity_mib * 2**20)
        prompts = Prompts(
            rendering,
            Continuity(rendering, limit, self._vllm_metrics.registry),
            tool_parser=self._config.parser,
            tools_in_prompt=self._config.tools_in_prompt,
        )
        self._prompts = prompts
        self._chat = ChatBackend(self.name, serving.chat, refused, prompts)
        self._completion = CompletionBackend(self.name, serving.completion, refused)
        self.max_model_len = serving.chat.model_config.max_model_len

    async def _first_token(self) -> None:
        body = {"prompt": [0], "max_tokens": 1}
        probe = Call(id=f"probe-{self.name}", endpoint="completion", body=body, stream=False)
        try:
            async with aclosing(self.generate(probe)) as events:
                async for _ in events:
                    pass
        except EngineError as error:
            raise StartFailed(f"engine '{self.name}' loads but can't answer: {error}") from error

    async def _watch_over(self, llm: AsyncLLM) -> None:
        # vLLM notices a death at once but tells only those who ask or wait for tokens.
        while not llm.errored:  # noqa: ASYNC110
            await asyncio.sleep(WATCH_STEP_S)
        logger.error("engine '%s' has died", self.name)
        self.died.set()

    def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Generate; closing the generator aborts in the engine. Raises EngineError."""
        if self._llm is None or self._closing or self._chat is None or self._completion is None:
            raise EngineDead(f"engine '{self.name}' is not running")
        if self._llm.errored:
            self.died.set()
            raise dead(self.name)
        if self._recorder.is_asleep:
            raise EngineAway(f"engine '{self.name}' sleeps")
        if call.session is not None:
            self._fetching.drop(call.session)
        backend = self._chat if call.endpoint == "chat" else self._completion
        return backend.generate(call)

    async def _fetch(self, outlook: Outlook) -> None:
        """Let the engine read a session's last turn again, where that evicts nobody worth more."""
        began_s = monotonic()
        llm, completion, prompts = self._llm, self._completion, self._prompts
        if llm is None or completion is None or prompts is None:
            return
        tokens = prompts.newest(outlook.session)
        if tokens is None or len(tokens) >= self.max_model_len:
            return
        core = llm.engine_core
        if not await core.call_utility_async("agent_has_room", outlook.session, len(tokens)):
            return
        body: dict[str, object] = {"prompt": tokens, "max_tokens": 1}
        if self._config.scheduling == "priority":
            body["priority"] = LAST
        name = f"fetch-{outlook.session}-{began_s}"
        call = Call(name, "completion", body, stream=False, session=outlook.session)
        async with aclosing(completion.generate(call)) as events:
            async for _ in events:
                pass
        # To the scheduler that was a turn of the session: it is away still.
        gone_s = outlook.gone_s + monotonic() - began_s
        self._outlooks.take(msgspec.structs.replace(outlook, gone_s=gone_s))

    async def sleep(self) -> None:
        """Move the weights to the host's memory and drop the KV cache; nothing may run.

        Raises CannotSleep, EngineDead and EngineFailed.
        """
        llm = self._living()
        if not can_sleep(llm, self._config):
            raise CannotSleep(
                f"engine '{self.name}' was started without sleep mode: set `spare: true` for it, "
                "or `args: {enable_sleep_mode: true}`"
            )
        self._recorder.is_asleep = True  # before it is: what came now would wait in vLLM
        try:
            await self._fetching.close()
            with generating(self.name):
                await llm.sleep(SLEEP_LEVEL, mode="wait")
        except BaseException:  # given up too: a token tells how it stands
            self._recorder.is_asleep = False
            raise

    async def wake(self) -> None:
        """Take the memory again. Raises EngineDead and EngineFailed."""
        llm = self._living()
        with generating(self.name):
            await llm.wake_up()
        self._recorder.is_asleep = False

    def _living(self) -> AsyncLLM:
        if self._llm is None or self._llm.errored:
            raise dead(self.name)
        return self._llm

    def load(self) -> EngineLoad:
        """What the engine does now; costs nothing, asks nobody."""
        return self._recorder.load()

    def expect(self, outlook: Outlook) -> None:
        """Take note of what is known of a session; never waits, never raises."""
        self._outlooks.take(outlook)
        if self._llm is not None and not self._closing and not self._recorder.is_asleep:
            self._fetching.expect(outlook)

    async def check_health(self, timeout_s: float) -> None:
        """Return when the engine answers. Raises EngineDead, or TimeoutError when it hangs."""
        llm = self._living()
        # check_health() passes while the core hangs; a question to the core itself does not.
        async with asyncio.timeout(timeout_s):
            await llm.is_paused()

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing runs or waits; false when `timeout_s` ran out first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._llm is not None and self._llm.get_num_unfinished_requests():  # noqa: ASYNC110  # vLLM has no event for it
                    await asyncio.sleep(DRAIN_STEP_S)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Stop, within the configured bound; what still runs ends with an error."""
        self._closing = True
        for task in self._tasks:
            task.cancel()
        self._tasks = ()
        await self._fetching.close()
        llm, self._llm = self._llm, None
        if llm is None:
            return
        vllm_logger = logging.getLogger("vllm.v1.engine.async_llm")
        vllm_logger.addFilter(_nothing)  # vLLM logs its own orderly end as a death, with traceback
        try:
            # On the event loop shutdown() would leave every running generate() hanging for ever.
            await asyncio.to_thread(llm.shutdown, self._config.shutdown_s)
        finally:
            vllm_logger.removeFilter(_nothing)
            # Held until the interpreter ends, AsyncLLM stumbles over its own __del__.
            self._chat = self._completion = self._prompts = None


def _nothing(_: logging.LogRecord) -> bool:
    """A log filter that lets nothing through."""
    return False
