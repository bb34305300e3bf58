"""What can go wrong in the tools service.

ToolsServiceError
├── ConfigError           the process must not start like this
│   ├── OpenDoor          beyond loopback without a token
│   └── NameTaken         two tools would have one name
├── BadTable              the runtime table's file is not ours or damaged
├── StoreDown             Redis is away or does not answer; everything goes on without it
├── BadOutput             a tool's result breaks its own output schema: a bug of the tool
├── BadIndex              the index of documents is missing, damaged or somebody else's
│   └── IndexBusy         another ingest is writing to it
├── Unreadable            a document that cannot be ingested; the text says why
│   └── NotText           and there is nothing to mend
├── Draining              the service is on its way out; ask another one
├── UnknownTask           no task of that id belongs to this caller, or it has expired
└── Refusal               this one call ends before its tool runs; the model sees the text
    ├── UnknownTool
    ├── Withdrawn         its upstream no longer offers what was accepted
    ├── BadArguments
    ├── QueueFull
    ├── TooManyTasks      this caller, or all of them, have as many tasks as may be
    ├── DeadlineUnmet     it would still wait for a slot when its caller's time is up
    ├── SlotTimeout       it has waited for a slot as long as any call may
    └── BreakerOpen       the service behind the tool keeps failing and is left alone for a while
ToolFailed                raised by a tool: its text is a result the model can act on
├── Forbidden             the guard will not let the service connect there
└── Transient             may pass: the other side was not reached, or broke down
    ├── UpstreamDown      the server behind the tool can't be reached; nothing was sent to it
    ├── UpstreamLost      its connection broke while the call was under way
    ├── TimedOut          the other side took longer than the tool waits for it
    └── RateLimited       the other side asks to wait; `retry_after_s` says how long
"""


class ToolsServiceError(Exception):
    """Root of everything this package raises on purpose, tools aside."""


class ConfigError(ToolsServiceError):
    """The settings cannot be used; the text says which and why."""


class OpenDoor(ConfigError):
    """Listening beyond this machine without a token would let anyone run tools."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"refusing to listen on {host} without a token: "
            "set ROUNDHOUSE_TOOLS_TOKEN, or listen on 127.0.0.1"
        )


class NameTaken(ConfigError):
    """A model calls tools by their names alone."""

    def __init__(self, name: str, one: str, other: str) -> None:
        super().__init__(
            f"two tools are called {name!r}: one of {one}, one of {other}; "
            "rename one, or give the upstream another prefix"
        )


class BadTable(ToolsServiceError):
    """A runtime table file that cannot be read back."""


class BadOutput(ToolsServiceError):
    """A structured result that does not match the tool's output schema."""


class UnknownTask(ToolsServiceError):
    """There is no such task for this caller; whether there is one for others is not told."""

    def __init__(self) -> None:
        super().__init__("there is no such task, or it has expired")


class BadIndex(ToolsServiceError):
    """An index that cannot be read or written; the text says what to do."""


class IndexBusy(BadIndex):
    """One ingest at a time."""

    def __init__(self, path: object) -> None:
        super().__init__(f"another ingest is writing to {path}: wait until it has ended")


class Unreadable(ToolsServiceError):
    """A document that cannot be ingested."""


class NotText(Unreadable):
    """Something else under a text's name."""

    def __init__(self) -> None:
        super().__init__("binary, whatever its name says")


class StoreDown(ToolsServiceError):
    """Redis cannot be used just now."""


class Draining(ToolsServiceError):
    """No new call is taken any more."""

    def __init__(self) -> None:
        super().__init__("the tools service is shutting down")


class Refusal(ToolsServiceError):
    """A call that ends before its tool runs."""

    outcome = "error"
    wait_s: float | None = None
    """How long it would have waited for a slot, where that is the reason."""


class UnknownTool(Refusal):
    """No tool of that name is served."""

    def __init__(self, name: str, known: tuple[str, ...]) -> None:
        super().__init__(f"unknown tool {name[:64]!r}; the tools are: {', '.join(known)}")


class Withdrawn(Refusal):
    """The tool is known but must not be called any more."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"{name} is withdrawn: {why}")


class BadArguments(Refusal):
    """The arguments do not match the tool's JSON schema."""


class QueueFull(Refusal):
    """Too many calls wait already."""

    outcome = "refused"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"the tools service is overloaded ({waiting} calls wait); try again later")


class TooManyTasks(Refusal):
    """Tasks are kept until they expire, so their number is bounded."""

    outcome = "refused"

    def __init__(self, kept: int) -> None:
        super().__init__(f"there are too many tasks already ({kept}); try again later")


class DeadlineUnmet(Refusal):
    """The caller's deadline comes before the slot would."""

    outcome = "refused"

    def __init__(self, tool: str, wait_s: float, deadline_s: float) -> None:
        super().__init__(
            f"{tool} was not started: the wait for a free slot would be about {wait_s:.1f} s, "
            f"longer than the {deadline_s:.1f} s left; try again later"
        )
        self.wait_s = wait_s


class SlotTimeout(Refusal):
    """No slot came free in time."""

    outcome = "timeout"

    def __init__(self, tool: str, waited_s: float) -> None:
        super().__init__(f"no free slot for {tool} within {waited_s:.1f} s")


class BreakerOpen(Refusal):
    """The circuit breaker of an upstream is open."""

    outcome = "refused"

    def __init__(self, upstream: str, again_s: float) -> None:
        super().__init__(
            f"{upstream} keeps failing, so it is left alone for now; "
            f"try again in {max(again_s, 1.0):.1f} s"
        )


class ToolFailed(Exception):
    """A tool could not do what was asked; the text is shown to the model."""


class Forbidden(ToolFailed):
    """An address a model may not make this service connect to."""


class Transient(ToolFailed):
    """The same call may succeed a moment later: a connection broke, the other side was busy."""


class TimedOut(Transient):
    """Ends like a run that outlived its own bound: as a timeout."""


class RateLimited(Transient):
    """The other side wants fewer calls. `retry_after_s` is its own word, None if it gave none."""

    def __init__(self, who: str, retry_after_s: float | None) -> None:
        wait = f" for {retry_after_s:g} s" if retry_after_s is not None else ""
        super().__init__(f"{who} asks to wait{wait}: too many requests")
        self.retry_after_s = retry_after_s


class UpstreamDown(Transient):
    """Passes by itself: the service keeps trying to reach the upstream again."""

    def __init__(self, upstream: str) -> None:
        super().__init__(f"upstream {upstream} is down; try again later")


class UpstreamLost(Transient):
    """It may have done its work: only a call that may run twice may be tried again."""

    def __init__(self, upstream: str) -> None:
        super().__init__(
            f"the connection to upstream {upstream} broke during the call; whether it took effect "
            "is not known"
        )
