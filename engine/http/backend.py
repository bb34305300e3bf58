"""A server met over HTTP: its life, and the way of a call to it."""

import asyncio
import logging
import os
from collections.abc import AsyncGenerator, Iterable
from contextlib import suppress
from typing import Protocol

import msgspec
from msgspec.structs import replace
from prometheus_client import CollectorRegistry
from prometheus_client.registry import Collector

from engine.config import EngineConfig
from engine.errors import (
    BadCall,
    CannotSleep,
    EngineAway,
    EngineBusy,
    EngineError,
    EngineFailed,
    EngineSilent,
    NotReady,
    StartFailed,
)
from engine.http.client import Client
from engine.http.load import Page, read
from engine.http.parsing import Parsing
from engine.http.passing import Passing, Renaming, whole
from engine.http.sleeping import Sleeping
from engine.http.translate import from_status
from engine.http.wire import cards, encode, server_info
from engine.outlook import Outlook
from engine.probe import answer_token
from engine.types import TOOLS_IN_PROMPT, Call, EngineLoad, Event, Finished

logger = logging.getLogger(__name__)

OK = 200
NOT_FOUND = 404
PATHS = {"chat": "/v1/chat/completions", "completion": "/v1/completions"}
INFO_PATHS = ("/get_server_info", "/server_info")  # SGLang's, old and new
PAGE_LIMIT = 2**22
ERROR_LIMIT = 2**16
ANSWER_LIMIT = 2**28
READY_S = 30.0
LOOK_S = 5.0
STALE_LOOKS = 3
DRAIN_STEP_S = 0.05


class Reader(Protocol):
    """Takes a stream as it arrives."""

    finished: Finished | None

    def take(self, data: bytes) -> Iterable[Event]:
        """The events of what has arrived. Raises EngineError."""


class HttpEngine:
    """One OpenAI-compatible server."""

    def __init__(self, config: EngineConfig) -> None:
        assert config.url is not None
        self._config = config
        self._bounds = config.http
        self._server = f"engine '{config.name}'"
        self._key = os.environ.get(config.key_env or "", "").strip() or None
        self._client = Client(config.name, config.url, self._key, config.http)
        self._sleeping = Sleeping(self._server, self._client)
        self._is_asleep = False
        self._switches = 0
        self._renaming = (
            Renaming(config.model, config.model_name) if config.model != config.model_name else None
        )
        self._in_flight = 0
        self._load: EngineLoad | None = None
        self._kv_tokens: int | None = None  # until it was asked
        self._looks = 0
        self._worked_looks = STALE_LOOKS
        self._watch: asyncio.Task[None] | None = None
        self.name = config.name
        self.model = config.model_name
        self.weight = config.weight
        self.pool = config.pool
        self.spare = config.spare
        self.max_model_len = 0
        self.takes_outlooks = False
        self.died = asyncio.Event()  # never set: what is away may come back
        self.collector: Collector = CollectorRegistry()

    async def start(self) -> None:
        """Open the pool and answer a first token.

        Raises NotReady when the server is not there, StartFailed when its key is not.
        """
        if self._config.key_env is not None and self._key is None:
            raise StartFailed(f"{self._server} wants a key: set {self._config.key_env}")
        await self._client.open()
        if self._config.flavour != "openai":
            self._watch = asyncio.create_task(self._look_on(), name=f"load of {self.name}")
        try:
            await self.check_health(READY_S)
            if self.spare and await self._sleeping.is_asleep():
                self._is_asleep = True  # it is asked for its token when it has been woken
                return
            await answer_token(self, READY_S)
        except CannotSleep as error:
            raise StartFailed(str(error)) from error
        except (EngineError, TimeoutError) as error:
            said = str(error) or f"no token within {READY_S:g} s"
            raise NotReady(f"{self._server} is not ready: {said}") from error

    async def _look_on(self) -> None:
        """Keep the load fresh; a server that shows none is not asked again."""
        while True:
            switches = self._switches
            try:
                status, content = await self._client.get("/metrics", PAGE_LIMIT, LOOK_S)
            except EngineError:
                self._looks += 1
                self._worked_looks += 1
            else:
                page = read(content)
                if not self._note(status, page):
                    return
                if page.flavour is not None:
                    if page.is_asleep is not None and switches == self._switches:
                        self._is_asleep = page.is_asleep  # others may send it to sleep too
                    await self._learn_pool(page)
            await asyncio.sleep(self._bounds.load_s)

    def _note(self, status: int, page: Page) -> bool:
        """Take what a page says; false when there will never be anything on it."""
        if page.flavour is not None:
            moved = self._load is not None and _computed(page.load) > _computed(self._load)
            self._worked_looks = 0 if moved else self._worked_looks + 1
            self._load, self._looks = page.load, 0
            return True
        self._looks += 1
        if status not in (OK, NOT_FOUND) or self._load is not None:
            return True
        said = "its own requests are counted"
        if self._config.flavour == "auto":
            logger.info("%s shows no load: %s", self._server, said)
        else:
            logger.warning("%s shows no %s metrics: %s", self._server, self._config.flavour, said)
        return False

    async def _learn_pool(self, page: Page) -> None:
        """How much the cache holds; SGLang may tell it beside the page, and is asked once."""
        if page.load.kv_tokens:
            self._kv_tokens = page.load.kv_tokens
        elif self._kv_tokens is None:
            self._kv_tokens = await self._told_pool() if page.flavour == "sglang" else 0
            if not self._kv_tokens:
                said = "programs are not held before it"
                logger.warning("%s does not say what its KV cache holds: %s", self._server, said)
        load = replace(page.load, kv_tokens=self._kv_tokens, is_asleep=self._is_asleep)
        self._load = load

    async def _told_pool(self) -> int:
        for path in INFO_PATHS:
            with suppress(EngineError, msgspec.DecodeError, UnicodeDecodeError):
                status, content = await self._client.get(path, PAGE_LIMIT, LOOK_S)
                if status == OK:
                    info = server_info(content)
                    return max(0, info.max_total_num_tokens) * max(1, info.dp_size)
        return 0

    async def generate(self, call: Call) -> AsyncGenerator[Event, None]:
        """Ask the server; closing the generator closes the connection. Raises EngineError."""
        body, bounds = self._body(call), self._bounds
        self._in_flight += 1
        patience_s = bounds.first_byte_s if call.stream else bounds.answer_s
        request_id = call.id.partition("-")[2] or call.id  # vLLM puts the rest before it
        asking = self._client.post(PATHS[call.endpoint], body, request_id, patience_s)
        try:
            async with asking as reply:
                if reply.status != OK:
                    content = await reply.whole(ERROR_LIMIT)
                    raise from_status(self._server, reply.status, reply.headers, content)
                if not call.stream:
                    for event in self._whole(await reply.whole(ANSWER_LIMIT), call):
                        yield event
                    return
                reader = self._reader(call)
                data = await reply.piece(bounds.first_byte_s)
                while data:
                    for event in reader.take(data):
                        yield event
                    if reader.finished is not None:
                        reply.is_over = True
                        return
                    data = await reply.piece(bounds.idle_s)
                raise EngineAway(f"{self._server} ended its answer before it was whole")
        except EngineSilent as error:
            if self._is_working():  # it has too much to do, which is no failure
                raise EngineBusy(f"{error}; it is working for others") from error
            raise
        finally:
            self._in_flight -= 1

    def _is_working(self) -> bool:
        """Whether the server has lately said that it computes tokens."""
        return self._worked_looks < STALE_LOOKS

    def _body(self, call: Call) -> bytes:
        body = {**call.body, "model": self._config.model, "stream": call.stream}
        if body.pop(TOOLS_IN_PROMPT, False):
            raise BadCall(
                f"'{TOOLS_IN_PROMPT}' is not served here: it needs an engine in the gateway's "
                "process; leave it out",
                TOOLS_IN_PROMPT,
            )
        if call.stream:
            body["stream_options"] = {"include_usage": True}
        return encode(body)

    def _reader(self, call: Call) -> Reader:
        if call.verbatim:
            return Passing(self._server, call.include_usage, self._renaming)
        return Parsing(self._server)

    def _whole(self, content: bytes, call: Call) -> Iterable[Event]:
        if len(content) == ANSWER_LIMIT:
            raise EngineFailed(f"{self._server} sent an answer of {ANSWER_LIMIT} bytes or more")
        if call.verbatim:
            return whole(content, self._server, self._renaming)
        return Parsing(self._server).whole(content)

    def load(self) -> EngineLoad:
        """What the server said last; its own requests where it says nothing, or not any more."""
        if self._load is None or self._looks >= STALE_LOOKS:
            return EngineLoad(
                running=self._in_flight,
                kv_tokens=self._kv_tokens or 0,
                is_asleep=self._is_asleep,
            )
        return self._load

    def expect(self, outlook: Outlook) -> None:
        """Do nothing: no server has an interface that would take it."""

    async def sleep(self) -> None:
        """Send the server to sleep; its running requests end first. Raises EngineError."""
        self._switch(asleep=True)  # before it is: what came now would wait there
        try:
            await self._sleeping.sleep()
        except BaseException:
            self._switch(asleep=False)
            raise

    async def wake(self) -> None:
        """Wake the server. Raises EngineError."""
        await self._sleeping.wake()
        self._switch(asleep=False)

    def _switch(self, *, asleep: bool) -> None:
        self._switches += 1  # a page that is on its way says what was before
        self._is_asleep = asleep
        if self._load is not None:
            self._load = replace(self._load, is_asleep=asleep)

    async def check_health(self, timeout_s: float) -> None:
        """Return when the server answers at all. Raises EngineAway, or TimeoutError."""
        async with asyncio.timeout(timeout_s):
            status, content = await self._client.get("/v1/models", PAGE_LIMIT, timeout_s)
        if status != OK:
            raise EngineAway(f"{self._server} answers {status}")
        with suppress(msgspec.DecodeError):
            for card in cards(content).data:
                if card.id == self._config.model:
                    self.max_model_len = card.max_model_len or 0

    async def drain(self, timeout_s: float) -> bool:
        """Wait until nothing of ours runs; false when `timeout_s` ran out first."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._in_flight:  # noqa: ASYNC110  # asked for once, at the end
                    await asyncio.sleep(DRAIN_STEP_S)
        except TimeoutError:
            return False
        return True

    async def close(self) -> None:
        """Cut all connections; what still runs ends with an error. The server lives on."""
        watch, self._watch = self._watch, None
        if watch is not None:
            watch.cancel()
            with suppress(asyncio.CancelledError):
                await watch
        await self._client.close()


def _computed(load: EngineLoad) -> int:
    return load.prompt_tokens + load.generated_tokens
