"""From MCP's result of a call to ours."""

import json
from collections.abc import Mapping

from mcp_types import CallToolResult, ContentBlock, TextContent

from tools_service.errors import ToolFailed
from tools_service.tools import clean
from tools_service.tools.registry import Output

BLOCKS_BYTES = 512 * 1024
"""What is not text may take this much; clients cap an event at 1 MiB."""

_LONGEST_COMPLAINT = 4000


def output(upstream: str, result: CallToolResult) -> Output:
    """Raises ToolFailed where the upstream says that it failed."""
    if result.is_error:
        raise failure(upstream, _text(result))
    blocks, dropped = _blocks(result)
    structured = result.structured_content
    known = structured if isinstance(structured, dict) else None
    text = _text(result) or ("" if structured is None else json.dumps(structured))
    return Output("\n".join([*([text] if text else []), *dropped]), known, upstream, blocks)


def failure(upstream: str, text: str) -> ToolFailed:
    """An upstream's own complaint: words from outside, like its results."""
    text = clean.strip(text)[:_LONGEST_COMPLAINT] or "no reason given"
    return ToolFailed(f"the tool failed\n{clean.enclose(text, upstream)}")


def _text(result: CallToolResult) -> str:
    return "\n".join(block.text for block in result.content if isinstance(block, TextContent))


def _blocks(result: CallToolResult) -> tuple[list[Mapping[str, object]], list[str]]:
    """(the blocks that are no text, a line about each that is too large to pass on)."""
    kept: list[Mapping[str, object]] = []
    dropped: list[str] = []
    left = BLOCKS_BYTES
    for block in result.content:
        if isinstance(block, TextContent):
            continue
        written = _written(block)
        size = len(json.dumps(written))
        if size <= left:
            left -= size
            kept.append(written)
        else:
            dropped.append(f"[left out: {block.type} of {size} bytes]")
    return kept, dropped


def _written(block: ContentBlock) -> dict[str, object]:
    written = clean.scrub(block.model_dump(mode="json", by_alias=True, exclude_none=True))
    return written if isinstance(written, dict) else {}
