"""What goes into the executor, what comes out, and what its rungs hand to each other."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Literal, Protocol

from tools_service.pace import Pace
from tools_service.policy import Entry, Group
from tools_service.records import Outcome
from tools_service.runtimes import Expected, Key
from tools_service.tools.asks import NOTHING, InputNeeded, Inputs
from tools_service.tools.registry import Arguments, Output, Progress, Tell, Tool, untold


@dataclass(frozen=True, slots=True)
class Call:
    """What the caller asks for."""

    tool: str
    arguments: Arguments
    group: Group
    caller: str = ""
    """Whose token it came with; results are never shared between callers."""
    tell: Tell = untold
    allowed: frozenset[str] | None = None
    """The tools this caller may use; none: all."""
    inputs: Inputs = NOTHING
    """What the user has answered; a call with other inputs is another call."""


@dataclass(frozen=True, slots=True)
class Started:
    """The call has left the queue."""

    expected_s: tuple[float, float]
    wait_s: float
    mean_s: float
    p95_s: float


Announce = Callable[[Started], Awaitable[None]]


async def unannounced(started: Started) -> None:
    """For callers that need not know when their call leaves the queue."""


@dataclass(frozen=True, slots=True)
class Answer:
    """The one end of a call. `cut_bytes` of the tool's result did not fit and are missing.

    `predicted_wait_s` is why a call was refused: it would have waited longer than its caller.
    `wait_s` is for slots, of all attempts; `run_s` the service time of the one that answered.
    """

    text: str
    outcome: str
    structured: Mapping[str, object] | None = None
    shape: str | None = None
    expected: Expected | None = None
    wait_s: float = 0.0
    run_s: float = 0.0
    cut_bytes: int = 0
    predicted_wait_s: float | None = None
    blocks: Sequence[Mapping[str, object]] = ()
    attempts: int = 0
    """How often the tool was started for it."""
    hedged: bool = False
    """Two attempts ran side by side."""
    shared: bool = False
    """An identical call was running already and answered this one, too."""
    cached: bool = False
    """An identical call had been answered a while ago."""
    size: int = 0
    """Bytes of it on the wire, about."""
    refusal: str | None = None
    """Which one, of a call that was refused."""
    asked: InputNeeded | None = None
    """The outcome is `asked`: the tool is to be called anew, with answers to these."""

    @property
    def failed(self) -> bool:
        """The model asked for something it did not get."""
        return self.outcome not in ("ok", "asked")


class Listener(Protocol):
    """Who is told what becomes of a call while it goes on."""

    async def announce(self, started: Started) -> None:
        """It has left the queue."""
        ...

    async def tell(self, progress: Progress) -> None:
        """The tool has come further."""
        ...


@dataclass(frozen=True, slots=True)
class Job:
    """A call that may run: its tool, its row in the table, and when its caller will be gone."""

    call: Call
    tool: Tool
    key: Key
    expected: Expected
    canonical: bytes
    """The arguments, to compare them."""
    deadline: float | None
    """On the executor's clock."""

    @property
    def source(self) -> str:
        """What fails as one: the upstream, or the tool where there is none."""
        return self.tool.upstream or self.tool.name

    def started(self, wait_s: float) -> Started:
        """What its caller is told when it leaves the queue."""
        known = self.expected
        return Started(known.range_s, wait_s, known.mean_s, known.p95_s)

    def left_s(self, now: float) -> float | None:
        """Time until the caller is gone."""
        return None if self.deadline is None else max(self.deadline - now, 0.0)

    def entry(self, now: float) -> Entry:
        """A place in the queue, for one attempt."""
        group, left_s = self.call.group, self.left_s(now)
        if left_s != group.deadline_s:
            group = replace(group, deadline_s=left_s)
        return Entry(self.tool.name, now, self.expected.mean_s, group, self.tool.upstream)

    def aside(self, now: float) -> Entry:
        """A place for a second attempt, which is no work of the group's."""
        return Entry(self.tool.name, now, self.expected.mean_s, Group(), self.tool.upstream)


@dataclass(frozen=True, slots=True)
class Ending:
    """How one attempt ended; `failure` is the tool's own word where it was that which failed."""

    outcome: Outcome | Literal["asked"]
    output: Output
    run_s: float = 0.0
    failure: BaseException | None = None
    asked: InputNeeded | None = None


@dataclass(slots=True)
class Course:
    """What has become of a call so far, whatever number of attempts it takes."""

    listener: Listener
    clock: Callable[[], float]
    pace: Pace = field(default_factory=Pace)
    attempts: int = 0
    hedges: int = 0
    wait_s: float = 0.0

    async def tell(self, progress: Progress) -> None:
        """Passes progress on, as much of it as is good for the caller."""
        if self.pace.lets(progress.done, self.clock()):
            await self.listener.tell(progress)


@dataclass(slots=True)
class Waiter:
    """One caller: what it asked, what it has been told, and so what to say if it gives up."""

    call: Call
    announced: Announce
    canonical: bytes
    """The arguments."""
    job: Job | None = None
    started: Started | None = None

    async def announce(self, started: Started) -> None:
        self.started = started
        await self.announced(started)

    async def tell(self, progress: Progress) -> None:
        await self.call.tell(progress)

    def ended(self, outcome: str, text: str, took_s: float) -> Answer:
        """Its answer when it did not wait for the end."""
        wait_s = self.started.wait_s if self.started else took_s
        return Answer(
            text,
            outcome,
            shape=self.job.key.shape if self.job else None,
            expected=self.job.expected if self.job else None,
            wait_s=wait_s,
            run_s=max(took_s - wait_s, 0.0),
            attempts=1 if self.started else 0,
        )
