"""What of a result goes out: so much text for the model, so much of everything for the wire."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import msgspec

from tools_service.tools import clean
from tools_service.tools.registry import Output, Tool


@dataclass(frozen=True, slots=True)
class Caps:
    """Bytes: of the text, and of text, structure and attachments together."""

    text: int
    wire: int


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A result as it may go out, the bytes it lacks, and those it has on the wire, about."""

    output: Output
    cut_bytes: int
    size: int


def capped(tool: Tool, output: Output, caps: Caps) -> Outgoing:
    """The result within its caps; what is missing is said in the text.

    Here, so that no tool can forget it. What an open-world tool returns is cleaned and marked as
    not ours; the end mark is never what is cut.
    """
    if tool.annotations.open_world:
        output = _scrubbed(output)
    room = caps.wire - min(len(output.text.encode(errors="replace")), caps.text)
    structure_size = _size(output.structured)
    fits = structure_size <= room
    kept = _fitting(output.blocks, room - structure_size * fits)
    note = kept.note if fits else "\n[truncated: the structured result was too large]" + kept.note
    text, cut = _text(tool, output, caps.text - len(note))
    # A cut text must not come with the whole of it.
    structured = output.structured if fits and not cut else None
    lost = cut + kept.cut_bytes + (0 if fits else structure_size)
    size = len(text.encode()) + len(note) + kept.size + structure_size * (structured is not None)
    return Outgoing(Output(text + note, structured, blocks=kept.blocks), lost, size)


def plain(text: str, caps: Caps) -> Outgoing:
    """Our own words, on why there is no result."""
    text, cut = shorten(text, caps.text)
    return Outgoing(Output(text), cut, len(text.encode()))


def shorten(text: str, limit: int) -> tuple[str, int]:
    """(a text of at most `limit` bytes that says so when it was cut, the bytes it lacks)."""
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode(), 0
    note = f"\n[truncated: the result has {len(data)} bytes]"
    kept = data[: limit - len(note)].decode(errors="ignore")
    return kept + note, len(data) - len(kept.encode())


def _text(tool: Tool, output: Output, limit: int) -> tuple[str, int]:
    if not tool.annotations.open_world:
        return shorten(output.text, limit)
    origin = f"{tool.name}: {output.origin}" if output.origin else tool.name
    text, cut = shorten(output.text, limit - clean.overhead(origin))
    return clean.enclose(text, origin), cut


@dataclass(frozen=True, slots=True)
class _Kept:
    blocks: Sequence[Mapping[str, object]]
    size: int = 0
    cut_bytes: int = 0
    note: str = ""


def _fitting(blocks: Sequence[Mapping[str, object]], room: int) -> _Kept:
    """The attachments that fit, and what to say about the others."""
    kept, size, cut = [], 0, 0
    for block in blocks:
        weight = _size(block)
        if size + weight <= room:
            kept.append(block)
            size += weight
        else:
            cut += weight
    if not cut:
        return _Kept(blocks, size)
    missing = len(blocks) - len(kept)
    note = f"\n[truncated: {missing} of {len(blocks)} attachments were too large]"
    return _Kept(kept, size, cut, note)


def _scrubbed(output: Output) -> Output:
    structured = clean.scrub(output.structured)
    blocks = [block for block in map(clean.scrub, output.blocks) if isinstance(block, dict)]
    return replace(
        output,
        text=clean.strip(output.text),
        structured=structured if isinstance(structured, dict) else None,
        blocks=blocks,
    )


def _size(value: Mapping[str, object] | None) -> int:
    """Bytes of it as JSON."""
    if value is None:
        return 0
    try:
        return len(msgspec.json.encode(value))
    except (TypeError, ValueError):
        # Halves of surrogates, say; whether it can go out at all, the wire will tell.
        return len(json.dumps(value, default=str))
