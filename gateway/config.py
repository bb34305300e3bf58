"""What an operator says about the gateway."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, SecretStr

from engine.types import Pool
from gateway.spares_config import SparesConfig

# Names in use, ours first. Not among them: x-request-id, x-trace-id and x-correlation-id, which
# most clients make anew for every request; x-user-id, a person; x-session-token, a worker.
SESSION_HEADERS = (
    "x-roundhouse-session",
    "x-session-id",  # vLLM, OpenRouter, Ray, OpenCode, aiperf's --session-header
    "x-claude-code-session-id",
    "session-id",  # Codex, as the next two
    "thread-id",
    "conversation-id",
    "x-opencode-session",
    "x-session-affinity",  # OpenCode, aiperf
    "x-dynamo-session-id",
    "x-litellm-session-id",
    "x-litellm-trace-id",
    "x-smg-routing-key",
    "x-aibrix-session-key",
    "x-bf-session-id",  # Bifrost
    "x-grok-conv-id",
    "x-*-session-id",
    "baggage:session.id=",  # W3C
)
SESSION_FIELDS = (
    "session_id",
    "conversation_id",  # vLLM's multi-turn benchmark
    "program_id",  # ThunderAgent
    "job_id",  # Continuum
    "vllm_xargs.session_id",
    "vllm_xargs.agentic_context.session_id",
    "vllm_xargs.agentic_context.program_id",
    "metadata.session_id",
    "metadata.user_id:_session_",  # Claude Code
)
AGENT_HEADERS = ("x-roundhouse-agent", "x-agent-instance", "x-claude-code-agent-id")
AGENT_NAME_HEADERS = ("x-roundhouse-agent-name", "x-agent-name")
PARENT_HEADERS = ("x-roundhouse-parent", "x-parent-session-id", "x-dynamo-parent-session-id")
PARENT_AGENT_HEADERS = ("x-roundhouse-parent-agent", "x-claude-code-parent-agent-id")
PARENT_FIELDS = ("parent_session_id", "vllm_xargs.agentic_context.parent_program_id")
GROUP_HEADERS = ("x-roundhouse-group",)
END_HEADERS = ("x-roundhouse-session-final", "x-dynamo-session-final")


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


class ProgramsConfig(_Frozen):
    """Admission by program; `docs/admission.md` explains each parameter."""

    enabled: bool = True
    """Hold programs whose contexts would not fit the engine's KV cache together."""
    target: float = Field(default=0.95, gt=0, le=1)
    slack: float = Field(default=0.1, ge=0, le=1)
    patience: float = Field(default=2.0, ge=0)
    aging: float = Field(default=4.0, ge=0)
    grace_s: float = Field(default=30.0, ge=0)
    bound_s: float = Field(default=120.0, gt=0)
    rotation: float = Field(default=0.5, ge=0)
    wait_s: float | None = Field(default=None, gt=0)
    """How long a turn may wait for its program; then it is refused with 429. None: as long as its
    client does."""
    prefill_rate: float = Field(default=10_000.0, gt=0)


class RetentionConfig(_Frozen):
    """What engines are told of sessions between their turns; see `docs/retention.md`."""

    enabled: bool = True
    """Tell engines when sessions come back, so that they keep what is needed soonest."""


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
    weigh_kv: bool = True
    """When an engine's KV cache is nearly full, calls weigh more the more of it waits for them."""


class SessionCaps(_Frozen):
    """Where an agent that goes round in circles is stopped; nothing said, nothing limited."""

    turns: int | None = Field(default=None, ge=1)
    """Generations of one session."""
    tokens: int | None = Field(default=None, ge=1)
    """Prompt and answer tokens of all its turns, cached ones too."""
    time_s: float | None = Field(default=None, gt=0)
    """From its first request on."""


class SessionsConfig(_Frozen):
    """How sessions are recognised and kept."""

    live: int = Field(default=10_000, ge=1)
    """Sessions kept; beyond it the one unused longest is forgotten."""
    idle_s: float = Field(default=3600.0, gt=0)
    headers: tuple[str, ...] = SESSION_HEADERS
    """Headers that name a session; the first of the list that is present counts, then the
    body's fields. `-` and `_` are alike, `*` is anything, `name:mark` is what follows a mark."""
    fields: tuple[str, ...] = SESSION_FIELDS
    """Fields of the body that name a session."""
    agent_headers: tuple[str, ...] = AGENT_HEADERS
    """Headers that tell the agents of one session id apart: each is a session of its own."""
    agent_name_headers: tuple[str, ...] = AGENT_NAME_HEADERS
    """Headers that say what an agent is called, for people only."""
    parent_headers: tuple[str, ...] = PARENT_HEADERS
    """Headers that name the session of the agent that started this one."""
    parent_agent_headers: tuple[str, ...] = PARENT_AGENT_HEADERS
    """The same by its agent, within the same session id."""
    parent_fields: tuple[str, ...] = PARENT_FIELDS
    """Fields of the body that name it."""
    group_headers: tuple[str, ...] = GROUP_HEADERS
    """Headers that name a session's group of agents."""
    end_headers: tuple[str, ...] = END_HEADERS
    """Headers that say that this is the session's last request."""
    caps: SessionCaps = SessionCaps()


class ChoiceConfig(_Frozen):
    """A model an alias may mean, and when: every condition that is set must hold."""

    model: str
    pool: Pool | None = None
    """Only engines that are tuned for this."""
    prompt_chars: int | None = Field(default=None, ge=1)
    """The prompt has at least so many characters."""
    tools: bool | None = None
    """The request has tools, or has none."""
    turns: int | None = Field(default=None, ge=1)
    """The conversation has at least so many assistant messages."""


class RoutingConfig(_Frozen):
    """Which engine serves a request."""

    aliases: dict[str, str | tuple[ChoiceConfig, ...]] = Field(default_factory=dict)
    """Other names of models: one model, or choices of which the first that fits is taken."""
    active_s: float = Field(default=300.0, gt=0)
    """How long after its last request a session counts as one of its engine's programs."""
    prefix_s: float = Field(default=300.0, gt=0)
    """How long an engine is thought to keep a system prompt it has served."""
    spill_requests: int = Field(default=8, ge=1)
    spill_ratio: float = Field(default=2.0, ge=1)
    """A session leaves its engine when that has more than `spill_ratio` times the requests of the
    least busy one, and `spill_requests` more."""


class FailuresConfig(_Frozen):
    """How failures of engines stay small."""

    in_a_row: int = Field(default=3, ge=1)
    """So many failed requests, none well between them, take an engine out of the routing."""
    probe_s: float = Field(default=1.0, gt=0)
    """After that it is asked for a token; the wait doubles with every failure."""
    probe_max_s: float = Field(default=8.0, gt=0)
    """The longest wait; as often an engine with requests is asked whether it lives."""
    probe_timeout_s: float = Field(default=10.0, gt=0)
    """How long it may take to answer; an engine that does not is taken out as well."""
    attempts: int = Field(default=3, ge=1)
    """Engines that one request may be sent to, before its first byte."""
    retry_ratio: float = Field(default=0.2, ge=0, le=1)
    """Retries of all requests together, as a share of them; of all gateways with one store."""
    retry_burst: int = Field(default=10, ge=0)
    """Retries that may come at once after a quiet time; with a share, at least one."""


class StoreConfig(_Frozen):
    """What several gateways know together; without a `url` each knows its own."""

    url: str | None = Field(default=None, pattern=r"^(redis|rediss|unix)://[^\s@]+$")
    """A Redis, without its password."""
    password: SecretStr | None = None
    """Better from ROUNDHOUSE_REDIS_PASSWORD."""
    keys: bool = False
    """Whether API keys may also be kept there: `key:` and the SHA-256, the terms as JSON."""
    prefix: str = Field(default="roundhouse-gateway", pattern=r"^[\w.:-]{1,64}$")
    timeout_s: float = Field(default=0.05, gt=0)
    """How long a step may take; then this gateway goes on alone."""
    rest_s: float = Field(default=1.0, gt=0)
    """How long it then leaves the store alone."""


class TracingConfig(_Frozen):
    """Where spans of OpenTelemetry go; off until there is an endpoint."""

    endpoint: str | None = Field(default=None, pattern=r"^https?://[^\s@]+$")
    """An OTLP/HTTP collector, such as http://localhost:4318; none: what
    OTEL_EXPORTER_OTLP_ENDPOINT says, or nothing is recorded."""
    sample_ratio: float = Field(default=1.0, ge=0, le=1)
    """The share of traces that is recorded, of those whose caller has not decided."""


class LogConfig(_Frozen):
    """What the log looks like."""

    format: Literal["human", "json"] = "human"
    bodies: bool = False
    """Write down what is asked and answered, the beginning of it and without what looks secret."""


class GatewayConfig(_Frozen):
    """The whole of it."""

    host: str = "127.0.0.1"
    port: int = Field(default=8000, ge=0, le=65535)
    api_keys: tuple[SecretStr, ...] = ()
    """Keys clients must show; without any, everybody is served. Better from ROUNDHOUSE_API_KEYS."""
    admin_key: SecretStr | None = None
    """Opens /v1/engines, where engines are drained or sent to sleep. Better from
    ROUNDHOUSE_ADMIN_KEY."""
    keys_file: Path | None = None
    """YAML with the digests of more keys and what each may; see the README."""
    body_mib: float = Field(default=32.0, gt=0)
    """The largest request body."""
    health_s: float = Field(default=5.0, gt=0)
    """How long an engine may take to answer a health probe."""
    shutdown_s: float = Field(default=20.0, gt=0)
    """How long running requests may go on after SIGTERM."""
    queue: QueueConfig = QueueConfig()
    programs: ProgramsConfig = ProgramsConfig()
    retention: RetentionConfig = RetentionConfig()
    routing: RoutingConfig = RoutingConfig()
    failures: FailuresConfig = FailuresConfig()
    spares: SparesConfig = SparesConfig()
    tools: ToolsConfig = ToolsConfig()
    sessions: SessionsConfig = SessionsConfig()
    store: StoreConfig = StoreConfig()
    tracing: TracingConfig = TracingConfig()
    log: LogConfig = LogConfig()
