"""What flows from the tool loop to the client, beside the engine's own events."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, TypeAlias

from engine.types import Event

StoppedBy: TypeAlias = Literal["turns", "calls", "tokens", "time"]


@dataclass(frozen=True, slots=True)
class ToolSpec:
    """A tool the tools service offers."""

    name: str
    description: str
    input_schema: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class ToolGroup:
    """The set of calls that one assistant turn waits for."""

    id: str
    size: int
    deadline_s: float | None = None
    weight: float = 1.0


@dataclass(frozen=True, slots=True)
class ToolStarted:
    """The call has left the queue of the tools service."""

    expected_s: tuple[float, float]
    wait_s: float


@dataclass(frozen=True, slots=True)
class ToolOutcome:
    """How a call ended; `failed` is a result for the model, not an error of the service.

    `outcome` is one of ok, error, timeout, cancelled, refused; times in seconds, `size` in bytes.
    """

    text: str
    failed: bool
    outcome: str
    expected_s: tuple[float, float] | None
    wait_s: float
    run_s: float
    took_s: float
    size: int
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class ServerCall:
    """The model has called a tool that runs here."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True, slots=True)
class ServerCallStarted:
    """The tool runs."""

    id: str
    name: str
    started: ToolStarted


@dataclass(frozen=True, slots=True)
class ServerCallDone:
    """The tool has ended, well or not."""

    id: str
    name: str
    arguments: str
    outcome: ToolOutcome


@dataclass(frozen=True, slots=True)
class LoopReport:
    """What the tool loop did; comes just before `Finished`."""

    turns: int
    calls: int
    stopped_by: StoppedBy | None
    tools_missing: bool = False


TurnEvent: TypeAlias = Event | ServerCall | ServerCallStarted | ServerCallDone | LoopReport
