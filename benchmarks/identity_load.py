"""Many live sessions in one gateway's index, and requests of every kind to it."""

import itertools
import random
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import msgspec

from engine.types import Delta, Finished, ToolCall, Usage
from gateway.config import SessionsConfig
from gateway.identity import Names
from gateway.recognition import Recognition
from gateway.sessions import Sessions
from gateway.visit import Visit
from gateway.wire import parse

Message: TypeAlias = dict[str, Any]
Work: TypeAlias = Callable[[], None]

# What real agents send: clients' own headers, and about 640 tokens of growth a turn.
HEADERS = {
    "host": "gateway",
    "accept": "application/json",
    "accept-encoding": "gzip, deflate, br, zstd",
    "connection": "keep-alive",
    "content-type": "application/json",
    "content-length": "40000",
    "user-agent": "AsyncOpenAI/Python 3.52.0",
    "x-stainless-lang": "python",
    "x-stainless-package-version": "3.52.0",
    "x-stainless-os": "Linux",
    "x-stainless-arch": "x64",
    "x-stainless-runtime": "CPython",
    "x-stainless-async": "async:asyncio",
    "x-stainless-retry-count": "0",
    "x-stainless-read-timeout": "600",
    "authorization": "Bearer sk-something-secret",
}
WORDS = [f"word{number}" for number in range(2000)]
SYSTEM_WORDS, TASK_WORDS, RESULT_WORDS, ANSWER_WORDS = 1500, 60, 400, 60
USAGE = Usage(1, 1)
# The median session of published traces of a coding agent, and its share of tools' results.
SESSION_REQUESTS = 45
TOOL_SHARE = 0.84
SESSION = f"a whole session, {SESSION_REQUESTS} requests, {TOOL_SHARE:.0%} with a tool's result"


class Load:
    """A gateway's sessions, filled."""

    def __init__(self, live: int, chance: random.Random) -> None:
        self._chance = chance
        self._numbers = itertools.count()
        self._names = Names(SessionsConfig())
        self.recognition = Recognition()
        self.sessions = Sessions(
            live=live, idle_s=3600.0, clock=time.monotonic, memory=self.recognition
        )
        self._system = self.words(SYSTEM_WORDS)
        for _ in range(live):
            self.work({}, self.opening(), self.call(), "")()

    def __len__(self) -> int:
        return len(self.sessions)

    def words(self, count: int) -> str:
        """So many words."""
        return " ".join(self._chance.choices(WORDS, k=count))

    def opening(self, words: int = TASK_WORDS) -> list[Message]:
        """A first request."""
        return [
            {"role": "system", "content": self._system},
            {"role": "user", "content": self.words(words)},
        ]

    def call(self) -> ToolCall:
        """A call of the client's tool."""
        arguments = msgspec.json.encode({"task": self.words(TASK_WORDS), "kind": "x"}).decode()
        call_id = f"chatcmpl-tool-{self._chance.getrandbits(64):016x}"
        return ToolCall(0, 0, call_id, "search", arguments)

    def after(self, messages: list[Message], call: ToolCall | None, text: str) -> list[Message]:
        """The conversation as the client sends it next: with the tool's result, or a question."""
        if call is None:
            answer: Message = {"role": "assistant", "content": text}
            return [*messages, answer, {"role": "user", "content": self.words(TASK_WORDS)}]
        function = {"name": call.name, "arguments": call.arguments}
        told = [{"id": call.id, "type": "function", "function": function}]
        result = self.words(RESULT_WORDS)
        return [
            *messages,
            {"role": "assistant", "content": None, "tool_calls": told},
            {"role": "tool", "tool_call_id": call.id, "content": result},
        ]

    def conversation(self, messages: int) -> list[Message]:
        """A conversation of so many messages, call after call."""
        whole = self.opening()
        while len(whole) < messages:
            whole = self.after(whole, self.call(), "")
        return whole

    def session(self) -> Iterator[Work]:
        """A whole session, its requests one after the other; each must be done before the next."""
        whole = self.opening()
        for _ in range(SESSION_REQUESTS):
            call = self.call() if self._chance.random() < TOOL_SHARE else None
            text = "" if call else self.words(ANSWER_WORDS)
            yield self.work({}, whole, call, text)
            whole = self.after(whole, call, text)

    def work(
        self, headers: Mapping[str, str], messages: list[Message], call: ToolCall | None, text: str
    ) -> Work:
        """All that identity does for one request; what others do for it has been done."""
        body = msgspec.json.encode({"model": "m", "messages": messages})
        request = parse(body, "chat", "roundhouse")
        whole = {**HEADERS, **headers}
        answer_id = f"chatcmpl-{next(self._numbers):032}"

        def work() -> None:
            claim = self._names.claim("tenant", whole, request)
            visit = Visit(self.recognition, claim, answer_id)
            session = self.sessions.open(visit.identity)
            if call is not None:
                visit.hear(call)
            visit.hear(Delta(0, text))
            visit.hear(Finished(USAGE))
            self.sessions.leave(session)

        return work


Prepare: TypeAlias = Callable[[Load], Work]


def named(messages: int) -> Prepare:
    """A session that its client names, at this length."""

    def prepare(load: Load) -> Work:
        headers = {"x-session-id": f"session-{load.words(2)}"}
        before, call = load.conversation(messages - 2), load.call()
        load.work(headers, before, call, "")()
        return load.work(headers, load.after(before, call, ""), load.call(), "")

    return prepare


def after_a_tool(messages: int) -> Prepare:
    """The client returns with a tool's result."""

    def prepare(load: Load) -> Work:
        before, call = load.conversation(messages - 2), load.call()
        load.work({}, before, call, "")()
        return load.work({}, load.after(before, call, ""), load.call(), "")

    return prepare


def after_a_user(messages: int) -> Prepare:
    """The user says something more: nothing but the conversation itself tells which it is."""

    def prepare(load: Load) -> Work:
        before, text = load.conversation(messages - 2), load.words(ANSWER_WORDS)
        load.work({}, before, None, text)()
        return load.work({}, load.after(before, None, text), load.call(), "")

    return prepare


def beginning(words: int) -> Prepare:
    """A new conversation, looked up among what all agents have asked for."""

    def prepare(load: Load) -> Work:
        return load.work({}, load.opening(words), load.call(), "")

    return prepare


PATHS: Mapping[str, Prepare] = {
    "named by a header, 90 messages": named(90),
    "returns with a tool's result, 10 messages": after_a_tool(10),
    "returns with a tool's result, 90 messages": after_a_tool(90),
    "returns with a tool's result, 310 messages": after_a_tool(310),
    "new question, known by its conversation, 10 messages": after_a_user(10),
    "new question, known by its conversation, 90 messages": after_a_user(90),
    "new question, known by its conversation, 310 messages": after_a_user(310),
    "new conversation, 60 words": beginning(60),
    "new conversation, 1000 words": beginning(1000),
}
