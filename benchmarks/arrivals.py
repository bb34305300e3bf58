"""Requests that come at a rate whatever becomes of those before them, in a process of their own.

Reads a plan as JSON on stdin and writes the result as JSON on stdout.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

import psutil

from benchmarks.apart import serve
from benchmarks.connection import Reply
from benchmarks.cores import cpu_s
from benchmarks.framing import FramingError
from benchmarks.load import Quantiles, quantiles

_STEP_S = 0.002
_GRACE_S = 30.0
_SAMPLE_S = 1.0
_IDLE_S = 3.0
OK, REFUSED = "ok", "refused"
_TOO_MANY = 429


@dataclass(frozen=True, slots=True)
class ArrivalPlan:
    """What to send to whom, how often, and for how long; each request is of a session of its own.

    An answer has `tokens`. More than `most` are never open: what would be is counted as unsent.
    """

    port: int
    body: str
    rate: float
    duration_s: float
    tokens: int
    front_pid: int
    most: int = 8192


@dataclass(frozen=True, slots=True)
class ArrivalResult:
    """How every request ended, and the server's memory from second to second.

    `seconds` are the good answers that ended in each second.
    """

    duration_s: float
    ends: dict[str, int]
    ok: Quantiles
    refused: Quantiles
    seconds: list[int]
    rss_mib: list[float]
    most_open: int
    cpu_s: float
    """What the server's front end has used."""


class Caller(asyncio.Protocol):
    """One keep-alive connection, for one request after the other."""

    def __init__(self, ended: Callable[["Caller", Reply, str | None], None]) -> None:
        self._ended = ended
        self._reply: Reply | None = None
        self.is_open = False
        self.idle_since_s = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the way out."""
        self._transport = cast(asyncio.Transport, transport)
        self.is_open = True

    def ask(self, request: bytes) -> None:
        """Send a request; `ended` hears how it ended."""
        self._reply = Reply(began_inside=True)
        self._transport.write(request)

    def data_received(self, data: bytes) -> None:
        """Take a segment of the reply."""
        reply = self._reply
        if reply is None:
            return self._transport.abort()
        try:
            reply.feed(data)
        except FramingError as error:
            self._end(str(error))
            return self._transport.abort()
        if reply.complete:
            self.is_open = reply.keep_alive
            self._end(None)

    def connection_lost(self, exc: Exception | None) -> None:
        """The server has closed."""
        self.is_open = False
        if self._reply is not None:
            self._end("closed before the reply was complete")

    def abandon(self) -> None:
        """Give the reply up."""
        self._transport.abort()

    def _end(self, fault: str | None) -> None:
        reply, self._reply = self._reply, None
        assert reply is not None
        self._ended(self, reply, fault)


def outcome(reply: Reply, tokens: int) -> str:
    """How a whole reply ended: "ok", "refused", or what is wrong with it."""
    if reply.status == _TOO_MANY:
        said = reply.retry_after
        fits = said is not None and said.isdigit() and 1 <= int(said) <= 59
        return REFUSED if fits else f"refused with Retry-After {said!r}"
    if reply.status != 200:
        return f"status {reply.status}"
    if not reply.tally.terminated:
        return "the stream ended without [DONE]"
    if reply.tally.tokens != tokens:
        return f"{reply.tally.tokens} tokens stated instead of {tokens}"
    # A chunk for the role, one for a token or several, three for the end, the usage and [DONE].
    if reply.tally.events > tokens + 4:
        return f"{reply.tally.events} events for {tokens} tokens"
    return OK


@dataclass
class Arrivals:
    """One run of a plan."""

    plan: ArrivalPlan
    ends: Counter[str] = field(default_factory=Counter)
    times: dict[str, list[float]] = field(default_factory=lambda: {OK: [], REFUSED: []})
    rss_mib: list[float] = field(default_factory=list)
    most_open: int = 0

    async def measure(self) -> ArrivalResult:
        """Send, wait for the last replies, and count."""
        plan = self.plan
        self._idle: list[Caller] = []
        self._busy: set[Caller] = set()
        self._seconds = [0] * (int(plan.duration_s) + 1)
        self._began_s = time.perf_counter()
        before_s = cpu_s([plan.front_pid])
        async with asyncio.TaskGroup() as group:
            watching = group.create_task(self._watch(psutil.Process(plan.front_pid)))
            await self._send(group)
            took_s = time.perf_counter() - self._began_s
            used_s = cpu_s([plan.front_pid]) - before_s
            late_s = time.perf_counter() + _GRACE_S
            while self._busy and time.perf_counter() < late_s:  # noqa: ASYNC110  # replies end it
                await asyncio.sleep(_STEP_S)
            for caller in [*self._busy, *self._idle]:
                caller.abandon()
            watching.cancel()
        return ArrivalResult(
            duration_s=took_s,
            ends=dict(self.ends),
            ok=quantiles(self.times[OK]),
            refused=quantiles(self.times[REFUSED]),
            seconds=self._seconds[: int(plan.duration_s)],
            rss_mib=self.rss_mib,
            most_open=self.most_open,
            cpu_s=used_s,
        )

    async def _send(self, group: asyncio.TaskGroup) -> None:
        """As many as are due by now, step by step."""
        plan, sent = self.plan, 0
        while (passed_s := time.perf_counter() - self._began_s) < plan.duration_s:
            for number in range(sent, int(passed_s * plan.rate)):
                sent += 1
                if len(self._busy) >= plan.most:
                    self.ends["unsent"] += 1
                elif (caller := self._waiting()) is not None:
                    self._ask(caller, number)
                else:
                    caller = Caller(self._ended)
                    self._busy.add(caller)
                    group.create_task(self._dial(caller, number))
            self.most_open = max(self.most_open, len(self._busy))
            await asyncio.sleep(_STEP_S)

    def _waiting(self) -> Caller | None:
        """A connection that waits for a request, and not so long that its server may close it."""
        oldest_s = time.perf_counter() - _IDLE_S
        while self._idle:
            caller = self._idle.pop()
            if caller.is_open and caller.idle_since_s > oldest_s:
                return caller
            caller.abandon()
        return None

    async def _dial(self, caller: Caller, number: int) -> None:
        loop = asyncio.get_running_loop()
        try:
            await loop.create_connection(lambda: caller, "127.0.0.1", self.plan.port)
        except OSError as error:
            self._busy.discard(caller)
            self.ends[f"not connected: {type(error).__name__}"] += 1
        else:
            self._ask(caller, number)

    def _ask(self, caller: Caller, number: int) -> None:
        self._busy.add(caller)
        body = self.plan.body.encode()
        head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: 127.0.0.1:{self.plan.port}\r\n"
            f"X-Session-Id: agent-{number}\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        caller.ask(head.encode() + body)

    def _ended(self, caller: Caller, reply: Reply, fault: str | None) -> None:
        now_s = time.perf_counter()
        end = fault or outcome(reply, self.plan.tokens)
        self._busy.discard(caller)
        self.ends[end] += 1
        if end in self.times:
            self.times[end].append(now_s - reply.sent_s)
        if end == OK:
            self._seconds[min(int(now_s - self._began_s), len(self._seconds) - 1)] += 1
        if caller.is_open:
            caller.idle_since_s = now_s
            self._idle.append(caller)

    async def _watch(self, front: psutil.Process) -> None:
        while True:
            self.rss_mib.append(front.memory_info().rss / 2**20)
            await asyncio.sleep(_SAMPLE_S)


if __name__ == "__main__":
    serve(ArrivalPlan, lambda plan: Arrivals(plan).measure())
