"""A call that asks its user something, carried on until it ends."""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR, CallToolResult, InputRequest, InputRequiredResult

from tools_service.ears import Ears
from tools_service.tools.asks import Inputs, Values

MOST_ROUNDS = 16

Requests = Mapping[str, InputRequest]
Ask = Callable[[Requests], Awaitable[Mapping[str, Values]]]


Leg = Callable[[Inputs, Ears], Awaitable[CallToolResult | InputRequiredResult]]
"""One run of a call with what is known so far; raises MCPError."""


async def converse(leg: Leg, inputs: Inputs, ears: Ears, ask: Ask) -> CallToolResult:
    """Runs legs, and asks between them, until there is a result. Raises MCPError."""
    for _ in range(MOST_ROUNDS):
        outcome = await leg(inputs, ears)
        if isinstance(outcome, CallToolResult):
            return outcome
        answers = await ask(outcome.input_requests or {})
        known = {**inputs.answers, **answers}
        inputs = Inputs(known, outcome.request_state, inputs.askable)
    raise MCPError(INTERNAL_ERROR, f"the tool asked for input more than {MOST_ROUNDS} times")


def dumped(answer: Any) -> Values:
    """A client's answer as plain JSON values."""
    values: Values = answer.model_dump(mode="json", by_alias=True, exclude_none=True)
    return values
