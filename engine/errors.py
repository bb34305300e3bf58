"""What can go wrong in an engine.

EngineError
├── BadCall           the request is wrong; names the field
│   └── ContextOverflow   prompt and answer don't fit in the model's context
├── EngineBusy        the engine's own queue is full
├── EngineFailed      this request failed inside the engine; others live on
├── EngineAway        the engine does not answer now; it may come back
│   └── EngineSilent      it has taken the request and said nothing for too long
├── CannotSleep       the engine has no sleep mode, or not switched on
├── EngineDead        the engine is gone and will answer nothing any more
├── StartFailed       the engine could not be started
└── NotReady          the engine has started and does not answer yet
"""


class EngineError(Exception):
    """Something an engine could not do; the message is fit for the client."""


class BadCall(EngineError):
    """The request is wrong. `param` names the field, where one field is to blame."""

    def __init__(self, message: str, param: str | None = None) -> None:
        super().__init__(message)
        self.param = param


class ContextOverflow(BadCall):
    """Prompt and answer together don't fit in the model's context."""


class EngineBusy(EngineError):
    """The engine's own queue is full: nothing was generated, the call may be made again."""

    def __init__(self, message: str, retry_after_s: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class EngineFailed(EngineError):
    """This request failed inside the engine; the engine lives on."""


class EngineAway(EngineError):
    """The engine does not answer now; it may come back."""


class EngineSilent(EngineAway):
    """The engine has taken the request and said nothing for too long."""


class CannotSleep(EngineError):
    """The engine has no sleep mode, or it is not switched on; the message says the remedy."""


class EngineDead(EngineError):
    """The engine is gone and will answer nothing any more."""


class StartFailed(EngineError):
    """The engine could not be started; the message says why and what to do."""


class NotReady(EngineError):
    """The engine has started and does not answer yet; it is asked again until it does."""
