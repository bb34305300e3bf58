"""What an operator says about the gateway."""

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

SESSION_HEADERS = ("x-roundhouse-session", "x-session-id", "session-id", "session_id")
GROUP_HEADERS = ("x-roundhouse-group",)


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class QueueConfig(_Frozen):
    """The bounded queue before the engines."""

    running: int = Field(default=256, ge=1)
    """Requests that may be with the engines at once."""
    waiting: int = Field(default=1024, ge=0)
    """Requests that may wait; one more is refused with 429."""
    wait_s: float = Field(default=60.0, gt=0)
    """How long a request may wait; then it is refused with 429."""


class ToolsConfig(_Frozen):
    """The tools service, and the bounds of the server-side tool loop."""

    url: str | None = None
    """Where the tools service answers, such as http://127.0.0.1:8001/mcp; none: no server tools."""
    server_label: str = "roundhouse"
    """What a request's `mcp` entry must call it."""
    when_down: Literal["error", "answer_without"] = "error"
    """A tools service that is down: an error for the client, or an answer without its tools."""
    turns: int = Field(default=8, ge=2)
    """Generations of one request; the last may not call tools."""
    calls: int = Field(default=32, ge=1)
    """Tool calls of one request; `max_tool_calls` of a request may only lower it."""
    tokens: int = Field(default=32_768, ge=1)
    """Tokens all generations of one request may write; a request's own limit may only be lower."""
    call_timeout_s: float = Field(default=60.0, gt=0)
    """How long one tool call may take, its wait for a slot included."""
    time_s: float = Field(default=300.0, gt=0)
    """Wall time of one request's whole loop."""
    connections: int = Field(default=64, ge=1)
    """Connections to the tools service."""
    list_ttl_s: float = Field(default=30.0, ge=0)
    """How long its list of tools is believed."""


class SessionsConfig(_Frozen):
    """How sessions are recognised and kept."""

    live: int = Field(default=10_000, ge=1)
    """Sessions kept; beyond it the one unused longest is forgotten."""
    idle_s: float = Field(default=3600.0, gt=0)
    headers: tuple[str, ...] = SESSION_HEADERS
    """Headers that name a session; the first one present counts, then the body's `session_id`
    and `prompt_cache_key`."""
    group_headers: tuple[str, ...] = GROUP_HEADERS
    """Headers that name a session's group of agents."""


class GatewayConfig(_Frozen):
    """The whole of it."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_keys: tuple[SecretStr, ...] = ()
    """Keys clients must show; without any, everybody is served. Better from ROUNDHOUSE_API_KEYS."""
    body_mib: float = Field(default=32.0, gt=0)
    """The largest request body."""
    health_s: float = Field(default=5.0, gt=0)
    """How long an engine may take to answer a health probe."""
    shutdown_s: float = Field(default=20.0, gt=0)
    """How long running requests may go on after SIGTERM."""
    queue: QueueConfig = QueueConfig()
    tools: ToolsConfig = ToolsConfig()
    sessions: SessionsConfig = SessionsConfig()
