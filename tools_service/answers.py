"""From what a call came to, to MCP's result."""

from collections.abc import Mapping

from mcp_types import (
    CallToolResult,
    ContentBlock,
    InputRequest,
    InputRequiredResult,
    TextContent,
    ToolAnnotations,
)
from mcp_types import Tool as ToolOffer
from pydantic import TypeAdapter

from tools_service.call import Answer
from tools_service.tools.asks import InputNeeded
from tools_service.tools.registry import Tool

RUNTIME_KEY = "roundhouse/runtime"

_BLOCKS: TypeAdapter[ContentBlock] = TypeAdapter(ContentBlock)
_REQUESTS: TypeAdapter[dict[str, InputRequest]] = TypeAdapter(dict[str, InputRequest])


def offer(tool: Tool) -> ToolOffer:
    """A tool as the list has it."""
    hints = tool.annotations
    return ToolOffer(
        name=tool.name,
        description=tool.description,
        input_schema=dict(tool.input_schema),
        output_schema=None if tool.output_schema is None else dict(tool.output_schema),
        annotations=ToolAnnotations(
            read_only_hint=hints.read_only,
            idempotent_hint=hints.idempotent,
            open_world_hint=hints.open_world,
            destructive_hint=not hints.read_only,
        ),
    )


def result(answer: Answer) -> CallToolResult:
    """The result the model reads, with what the table knows beside it."""
    expected = answer.expected
    runtime = {
        "expected_s": list(expected.range_s) if expected else None,
        "mean_s": expected.mean_s if expected else None,
        "wait_s": answer.wait_s,
        "run_s": answer.run_s,
        "outcome": answer.outcome,
        "shape": answer.shape,
        "samples": expected.samples if expected else 0,
        "truncated": answer.cut_bytes > 0,
        "predicted_wait_s": answer.predicted_wait_s,
        "attempts": answer.attempts,
        "hedged": answer.hedged,
        "shared": answer.shared,
        "cached": answer.cached,
    }
    said = [TextContent(type="text", text=answer.text)] if answer.text or not answer.blocks else []
    return CallToolResult(
        content=[*said, *map(_block, answer.blocks)],
        structured_content=answer.structured,
        is_error=answer.failed,
        _meta={RUNTIME_KEY: runtime},
    )


def asked(needed: InputNeeded) -> InputRequiredResult:
    """What the client has to find out before it repeats the call."""
    asks = {key: {"method": ask.method, "params": ask.params} for key, ask in needed.asks.items()}
    return InputRequiredResult(
        input_requests=_REQUESTS.validate_python(asks), request_state=needed.state
    )


def _block(block: Mapping[str, object]) -> ContentBlock:
    return _BLOCKS.validate_python(block)
