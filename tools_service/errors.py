"""What can go wrong in the tools service.

ToolsServiceError
├── ConfigError           the process must not start like this
│   └── OpenDoor          beyond loopback without a token
├── BadTable              the runtime table's file is not ours or damaged
├── StoreDown             Redis is away or does not answer; everything goes on without it
├── Draining              the service is on its way out; ask another one
└── Refusal               this one call ends before its tool runs; the model sees the text
    ├── UnknownTool
    ├── BadArguments
    ├── QueueFull
    └── DeadlineUnmet     it would still wait for a slot when its caller's time is up
ToolFailed                raised by a tool: its text is a result the model can act on
├── Forbidden             the guard will not let the service connect there
└── RateLimited           the other side asks to wait; `retry_after_s` says how long
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


class BadTable(ToolsServiceError):
    """A runtime table file that cannot be read back."""


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


class BadArguments(Refusal):
    """The arguments do not match the tool's JSON schema."""


class QueueFull(Refusal):
    """Too many calls wait already."""

    outcome = "refused"

    def __init__(self, waiting: int) -> None:
        super().__init__(f"the tools service is overloaded ({waiting} calls wait); try again later")


class DeadlineUnmet(Refusal):
    """The caller's deadline comes before the slot would."""

    outcome = "refused"

    def __init__(self, tool: str, wait_s: float, deadline_s: float) -> None:
        super().__init__(
            f"{tool} was not started: the wait for a free slot would be about {wait_s:.1f} s, "
            f"longer than the {deadline_s:.1f} s left; try again later"
        )
        self.wait_s = wait_s


class ToolFailed(Exception):
    """A tool could not do what was asked; the text is shown to the model."""


class Forbidden(ToolFailed):
    """An address a model may not make this service connect to."""


class RateLimited(ToolFailed):
    """The other side wants fewer calls. `retry_after_s` is its own word, None if it gave none."""

    def __init__(self, who: str, retry_after_s: float | None) -> None:
        wait = f" for {retry_after_s:g} s" if retry_after_s is not None else ""
        super().__init__(f"{who} asks to wait{wait}: too many requests")
        self.retry_after_s = retry_after_s
