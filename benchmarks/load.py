"""The load generator: N connections with chat requests back to back, in its own process.

Reads a plan as JSON on stdin and writes the result as JSON on stdout.
"""

import asyncio
import secrets
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from benchmarks.apart import serve
from benchmarks.connection import Connection, Samples
from benchmarks.cores import busy_s, cpu_s

# A reply that is still running this long after the window has closed is stuck.
_GRACE_S = 30.0
# Stands in bodies for what tells one conversation from all others.
CONVERSATION = "0123456789abcdef"
# Starts are spread over this share of the warm-up, so that streams do not move in step.
_RAMP = 0.8


@dataclass(frozen=True, slots=True)
class LoadPlan:
    """What to send, how often at once, and for how long.

    `watched` are process ids by role; `front_core` is the core that the front end should have for
    itself. With `further` bodies a connection sends conversations: the body, then those, each the
    next turn; `CONVERSATION` in them is another word in each conversation.
    """

    port: int
    body: str
    streams: int
    duration_s: float
    warm_up_s: float
    streamed: bool = True
    host: str = "127.0.0.1"
    path: str = "/v1/chat/completions"
    further: list[str] = field(default_factory=list)
    watched: dict[str, list[int]] = field(default_factory=dict)
    front_core: int | None = None

    def requests(self) -> Iterator[bytes]:
        """The requests of one connection as they go over the wire, without end."""
        mark = CONVERSATION.encode()
        turns = [self._request(body) for body in (self.body, *self.further)]
        while True:
            name = secrets.token_hex(len(mark) // 2).encode()
            for turn in turns:
                yield turn.replace(mark, name)

    def _request(self, text: str) -> bytes:
        body = text.encode()
        head = (
            f"POST {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        return head.encode() + body


@dataclass(frozen=True, slots=True)
class Quantiles:
    """Milliseconds, over `count` samples; None if there are none."""

    count: int
    p50_ms: float | None
    p99_ms: float | None


@dataclass(frozen=True, slots=True)
class LoadResult:
    """One window.

    `cpu_s` is CPU time by role, `load_busy` this process's share of a core, `front_core_busy` the
    share of the front end's core that anybody used.
    """

    duration_s: float
    requests: int
    events: int
    tokens: float
    errors: dict[str, int]
    ttft: Quantiles
    gap: Quantiles
    request: Quantiles
    cpu_s: dict[str, float]
    load_busy: float
    front_core_busy: float | None


@dataclass(frozen=True, slots=True)
class Spent:
    """CPU time so far, in seconds."""

    roles: dict[str, float]
    own_s: float
    front_core_s: float


def quantiles(samples_s: Sequence[float]) -> Quantiles:
    """Median and 99th percentile (nearest rank) of times in seconds."""
    ranked = sorted(samples_s)
    if not ranked:
        return Quantiles(0, None, None)

    def at(share: float) -> float:
        return ranked[min(len(ranked) - 1, int(share * len(ranked)))] * 1e3

    return Quantiles(len(ranked), at(0.5), at(0.99))


class Run:
    """One run of a plan: dial, warm up, measure, let the last replies end."""

    def __init__(self, plan: LoadPlan) -> None:
        self._plan = plan
        self._samples = Samples()
        self._live: set[Connection] = set()
        self._over = False

    async def measure(self) -> LoadResult:
        """Run the plan; raises ExceptionGroup if the server cannot be reached."""
        plan = self._plan
        async with asyncio.TaskGroup() as group:
            streams = [group.create_task(self._stream(i)) for i in range(plan.streams)]
            await asyncio.sleep(plan.warm_up_s)
            before = self._meter()
            began_s = time.perf_counter()
            self._open()
            await asyncio.sleep(plan.duration_s)
            self._close()
            took_s = time.perf_counter() - began_s
            after = self._meter()
            _, late = await asyncio.wait(streams, timeout=_GRACE_S)
            if late:
                for connection in self._live:
                    connection.abandon()
        return self._result(took_s, before, after)

    def _result(self, took_s: float, before: Spent, after: Spent) -> LoadResult:
        samples = self._samples
        return LoadResult(
            duration_s=took_s,
            requests=len(samples.request_s),
            events=samples.events,
            tokens=samples.tokens,
            errors=dict(samples.errors),
            ttft=quantiles(samples.ttft_s),
            gap=quantiles(samples.gap_s),
            request=quantiles(samples.request_s),
            cpu_s={role: after.roles[role] - spent for role, spent in before.roles.items()},
            load_busy=(after.own_s - before.own_s) / took_s,
            front_core_busy=(
                (after.front_core_s - before.front_core_s) / took_s
                if self._plan.front_core is not None
                else None
            ),
        )

    async def _stream(self, index: int) -> None:
        """Keep one connection up until the window closes."""
        plan = self._plan
        await asyncio.sleep(_RAMP * plan.warm_up_s * index / plan.streams)
        loop = asyncio.get_running_loop()
        while not self._over:
            _, connection = await loop.create_connection(
                lambda: Connection(plan.requests(), self._samples, streamed=plan.streamed),
                plan.host,
                plan.port,
            )
            self._live.add(connection)
            if self._over:  # the window closed while this one was dialling
                connection.close_window()
            await connection.closed
            self._live.discard(connection)

    def _open(self) -> None:
        self._samples.measuring = True
        for connection in self._live:
            connection.open_window()

    def _close(self) -> None:
        self._samples.measuring = False
        self._over = True
        for connection in self._live:
            connection.close_window()

    def _meter(self) -> Spent:
        core = self._plan.front_core
        return Spent(
            roles={role: cpu_s(pids) for role, pids in self._plan.watched.items()},
            own_s=time.process_time(),
            front_core_s=busy_s(core) if core is not None else 0.0,
        )


if __name__ == "__main__":
    serve(LoadPlan, lambda plan: Run(plan).measure())
