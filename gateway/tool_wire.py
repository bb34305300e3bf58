"""What the gateway says to a tools service and hears from it: MCP of 2026-07-28, as values."""

import base64
from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec

from gateway.errors import ToolsDown
from gateway.events import ToolGroup, ToolOutcome, ToolStarted

VERSION = "2026-07-28"
META: Mapping[str, object] = {
    "io.modelcontextprotocol/protocolVersion": VERSION,
    "io.modelcontextprotocol/clientCapabilities": {},
    "io.modelcontextprotocol/clientInfo": {"name": "roundhouse-gateway", "version": "0.1.0"},
}


class _Error(msgspec.Struct):
    message: str


class Message(msgspec.Struct):
    """A JSON-RPC response or notification, its inner parts still undecoded and empty if absent."""

    id: int | str | None = None
    result: msgspec.Raw = msgspec.Raw()
    error: _Error | None = None
    method: str | None = None
    params: msgspec.Raw = msgspec.Raw()


class _Tool(msgspec.Struct):
    name: str
    input_schema: dict[str, Any] = msgspec.field(name="inputSchema")
    description: str = ""


class Page(msgspec.Struct):
    """A part of the list of tools."""

    tools: list[_Tool]
    cursor: str | None = msgspec.field(name="nextCursor", default=None)


class _Begun(msgspec.Struct):
    expected_s: tuple[float, float]
    wait_s: float


class _BegunMeta(msgspec.Struct):
    begun: _Begun | None = msgspec.field(name="roundhouse/started", default=None)


class _Progress(msgspec.Struct):
    meta: _BegunMeta = msgspec.field(name="_meta", default_factory=_BegunMeta)


class _Runtime(msgspec.Struct):
    outcome: str
    expected_s: tuple[float, float] | None = None
    wait_s: float = 0.0
    run_s: float = 0.0
    truncated: bool = False


class _RuntimeMeta(msgspec.Struct):
    runtime: _Runtime | None = msgspec.field(name="roundhouse/runtime", default=None)


class _Content(msgspec.Struct):
    type: str
    text: str | None = None


class _Result(msgspec.Struct):
    content: list[_Content]
    is_error: bool = msgspec.field(name="isError", default=False)
    meta: _RuntimeMeta = msgspec.field(name="_meta", default_factory=_RuntimeMeta)


_Wire = TypeVar("_Wire", Message, Page, _Progress, _Result)


def read(data: bytes | msgspec.Raw, kind: type[_Wire]) -> _Wire:
    """Decodes one part of a message. Raises ToolsDown."""
    try:
        return msgspec.json.decode(data, type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as exc:
        raise ToolsDown(f"the tools service answered nonsense: {exc}") from exc


def started(message: Message) -> ToolStarted | None:
    """The event a notification stands for; none for notifications about something else."""
    if message.method != "notifications/progress":
        return None
    begun = read(message.params, _Progress).meta.begun
    return ToolStarted(begun.expected_s, begun.wait_s) if begun else None


def outcome(data: msgspec.Raw, took_s: float) -> ToolOutcome:
    """The event a result stands for. Raises ToolsDown."""
    result = read(data, _Result)
    text = "\n".join(
        f"[{part.type} left out]" if part.text is None else part.text for part in result.content
    )
    # Another MCP server says less; then its error flag is all there is.
    runtime = result.meta.runtime or _Runtime("error" if result.is_error else "ok")
    return ToolOutcome(
        text=text,
        failed=result.is_error,
        outcome=runtime.outcome,
        expected_s=runtime.expected_s,
        wait_s=runtime.wait_s,
        run_s=runtime.run_s,
        took_s=took_s,
        size=len(text.encode()),
        truncated=runtime.truncated,
    )


def timed_out(name: str, started: ToolStarted | None, took_s: float) -> ToolOutcome:
    """The end of a call whose result did not come in time."""
    text = f"error: {name} did not answer within {took_s:.1f} s"
    return ToolOutcome(
        text=text,
        failed=True,
        outcome="timeout",
        expected_s=started.expected_s if started else None,
        wait_s=started.wait_s if started else took_s,
        run_s=took_s - started.wait_s if started else 0.0,
        took_s=took_s,
        size=len(text.encode()),
        truncated=False,
    )


def group_meta(session: str, group: ToolGroup | None, timeout_s: float) -> dict[str, object]:
    """Who calls, with what else, and until when: what the service orders its queue by."""
    if group is None:
        return {"session": session, "deadline_s": timeout_s}
    return {
        "session": session,
        "deadline_s": min(timeout_s, group.deadline_s or timeout_s),
        "id": group.id,
        "size": group.size,
        "weight": group.weight,
    }


def header(value: str) -> str:
    """A name as MCP puts it into a header: as it is, or in base64 when HTTP would refuse it."""
    if value.isascii() and value.isprintable() and value == value.strip() and value[:2] != "=?":
        return value
    return f"=?base64?{base64.b64encode(value.encode()).decode()}?="
