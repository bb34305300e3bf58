"""What a tool may ask the user behind its call for, and the answers it gets."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

Method = Literal["elicitation/create", "sampling/createMessage", "roots/list"]
Values = Mapping[str, object]


@dataclass(frozen=True, slots=True)
class Ask:
    """One request to the caller's client, its parameters as MCP writes them."""

    method: Method
    params: Values = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Inputs:
    """What the client has answered so far, by the keys it was asked under.

    `state` is what the tool wanted to find again. `askable` are the methods the client can serve.
    """

    answers: Mapping[str, Values] = field(default_factory=dict)
    state: str | None = None
    askable: frozenset[str] = frozenset()

    @property
    def given(self) -> bool:
        """Something has been asked and answered."""
        return bool(self.answers) or self.state is not None


NOTHING = Inputs()


class InputNeeded(Exception):
    """Raised by a tool that can't go on without answers; it is run anew with them.

    It holds no slot while a person thinks. How the client is asked depends on what it speaks.
    """

    def __init__(self, asks: Mapping[str, Ask], state: str | None = None) -> None:
        super().__init__(", ".join(asks))
        self.asks = asks
        self.state = state
