"""The settings of the tools service. Light to import: the command line reads it too."""

import ipaddress
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, model_validator

from tools_service.errors import ConfigError, OpenDoor
from tools_service.execution_config import (
    AuditConfig,
    BreakerConfig,
    CacheConfig,
    HedgeConfig,
    RetryConfig,
    UpstreamLimits,
)
from tools_service.python_config import PythonConfig
from tools_service.retrieval_config import RetrievalConfig
from tools_service.settings import WEB_URL, PositiveSeconds, Settings
from tools_service.telemetry_config import LogConfig, TracingConfig
from tools_service.upstream_config import NAME, UpstreamConfig

ToolName = Literal["calculate", "extract", "fetch", "python", "retrieve", "search"]
ProviderName = Literal["local", "tavily", "searxng", "brave", "duckduckgo"]


class SearchConfig(Settings):
    """Where `search` and `extract` look. Keys come from the environment only."""

    provider: ProviderName = "local"
    url: str | None = Field(
        default=None,
        pattern=WEB_URL,
        description="address of the SearXNG instance, or of another Tavily or Brave",
    )
    key_env: str | None = Field(
        default=None,
        min_length=1,
        description="variable with the key; none: TAVILY_API_KEY or BRAVE_API_KEY",
    )
    timeout_s: Annotated[float, Field(gt=0, le=120, allow_inf_nan=False)] = 20.0

    @model_validator(mode="after")
    def _reachable(self) -> Self:
        if self.provider == "searxng" and self.url is None:
            raise ValueError("provider searxng needs url: the address of your SearXNG")
        if self.provider in ("local", "duckduckgo") and self.url is not None:
            raise ValueError(f"provider {self.provider} has no url")
        return self


class FetchConfig(Settings):
    """Bounds of pages read from the web, by `fetch` and `extract` and for raw content."""

    size: Annotated[int, Field(ge=1024, le=64 * 1024 * 1024)] = Field(
        default=4 * 1024 * 1024, description="bytes of a page, on the wire and unpacked"
    )
    text_chars: Annotated[int, Field(ge=1000)] = Field(
        default=40_000, description="characters of text in one result, shared by its pages"
    )
    redirects: Annotated[int, Field(ge=0, le=20)] = 5
    timeout_s: PositiveSeconds = 20.0
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = (80, 443)


class ToolConfig(Settings):
    """What is particular about one tool."""

    slots: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="calls of it that may run at once; none: as many as of all tools"
    )
    timeout_s: PositiveSeconds | None = Field(
        default=None, description="longest run of one call; none: as for all tools"
    )
    expected_s: tuple[PositiveSeconds, PositiveSeconds] | None = Field(
        default=None, description="(p50, p90) in seconds, until it is measured"
    )
    public: bool = Field(
        default=False, description="its results are the same for every caller and may be shared"
    )
    cache_s: PositiveSeconds | None = Field(
        default=None, description="how long a result may be given again; none: never"
    )
    task: bool | None = Field(
        default=None,
        description="whether calls run on as tasks for clients that can; none: as the tool says",
    )
    shape: tuple[Annotated[str, Field(pattern=r"^\$(\.[A-Za-z_][\w-]*)+$")], ...] = Field(
        default=(),
        max_length=4,
        description="JSON paths of the arguments that decide how long a call takes, e.g. $.depth",
    )


class RedisConfig(Settings):
    """The Redis through which replicas share what they learn. Never waited for by a call."""

    url: str | None = Field(
        default=None,
        pattern=r"^(redis|rediss|unix)://[^\s@]+$",
        description="without a password; none: every replica has a table of its own",
    )
    password: SecretStr | None = Field(
        default=None, description="from ROUNDHOUSE_REDIS_PASSWORD, never from a file"
    )
    prefix: str = Field(default="roundhouse", pattern=r"^[\w.:-]{1,64}$")
    timeout_s: PositiveSeconds = 2.0
    retry_s: PositiveSeconds = Field(default=1.0, description="between two attempts to reach it")
    pending: Annotated[int, Field(ge=1)] = Field(
        default=10_000, description="lessons kept for a Redis that is away; then the oldest go"
    )
    stream: Annotated[int, Field(ge=100)] = Field(
        default=10_000, description="lessons kept for a replica that is away"
    )


_ORDINARY = ToolConfig()


class TasksConfig(Settings):
    """Bounds of calls that run on as tasks. They are kept until they expire."""

    ttl_s: PositiveSeconds = Field(
        default=3600.0, description="longest life of a task, waits for the user included"
    )
    poll_s: PositiveSeconds = Field(default=1.0, description="how often clients should ask")
    per_caller: Annotated[int, Field(ge=1)] = 32
    most: Annotated[int, Field(ge=1)] = Field(default=256, description="tasks of all callers")
    result_bytes: Annotated[int, Field(ge=1024)] = Field(
        default=1024 * 1024, description="of one result; a larger one is an error"
    )


class ToolsServiceConfig(Settings):
    """Everything a profile can say under `tools_service`."""

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8001
    token: SecretStr | None = Field(
        default=None, description="shared with the gateway; normally from ROUNDHOUSE_TOOLS_TOKEN"
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(), description="Host headers to accept beside loopback, e.g. a compose name"
    )
    tools: tuple[ToolName, ...] = Field(
        default=("search", "calculate"),
        description="the tools to serve; fetch and extract reach into the public internet, "
        "python runs what a model writes",
    )
    search: SearchConfig = SearchConfig()
    fetch: FetchConfig = FetchConfig()
    retrieval: RetrievalConfig = RetrievalConfig()
    python: PythonConfig = PythonConfig()
    corpus: Path | None = Field(default=None, description="folder to search; none: the demo's")
    own: tuple[str, ...] = Field(
        default=(), description="modules with tools of one's own: import names or .py files"
    )
    upstreams: dict[str, UpstreamConfig] = Field(
        default_factory=dict, description="other MCP servers, by the names they get here"
    )
    pins_path: Path | None = Field(
        default=None, description="file of the upstreams' tools as they were accepted"
    )
    slots: Annotated[int, Field(ge=1)] = 16
    waiting: Annotated[int, Field(ge=0)] = 1024
    """Calls that may wait for a slot; one more is refused."""
    per_tool: dict[str, ToolConfig] = Field(
        default_factory=dict, description="what is particular about a tool, by its name"
    )
    tasks: TasksConfig = TasksConfig()
    tenants: dict[str, tuple[str, ...]] = Field(
        default_factory=dict,
        description="the tools each tenant may use, `*` for the other tenants or for every tool; "
        "none: everybody may use all",
    )
    per_upstream: dict[str, UpstreamLimits] = Field(
        default_factory=dict, description="what is particular about a service behind tools"
    )
    retry: RetryConfig = RetryConfig()
    hedge: HedgeConfig = HedgeConfig()
    breaker: BreakerConfig = BreakerConfig()
    cache: CacheConfig = CacheConfig()
    audit: AuditConfig = AuditConfig()
    policy: Literal["group", "sjf", "fifo"] = Field(
        default="group", description="which waiting call is next: see policy.py"
    )
    reserve: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="slots for the oldest call; none: an eighth; 0: no bound on waits"
    )
    timeout_s: PositiveSeconds = Field(default=60.0, description="longest run of one call")
    timeout_floor_s: PositiveSeconds = Field(
        default=10.0, description="no call is cut off earlier, however fast its tool has been"
    )
    queue_s: PositiveSeconds = Field(default=60.0, description="longest wait for a slot")
    result_bytes: Annotated[int, Field(ge=1024, le=400 * 1024)] = Field(
        default=64 * 1024, description="text of one result, for the model"
    )
    wire_bytes: Annotated[int, Field(ge=1024, le=16 * 1024 * 1024)] = Field(
        default=400 * 1024, description="all of one result: text, structure and attachments"
    )
    table_path: Path | None = Field(default=None, description="file of the runtime table")
    table_every_s: PositiveSeconds = 60.0
    """How often the runtime table is written to its file."""
    shapes_per_tool: Annotated[int, Field(ge=1)] = 64
    """Kinds of arguments of one tool that are told apart in the runtime table."""
    table_tools: Annotated[int, Field(ge=1)] = 256
    redis: RedisConfig = RedisConfig()
    tracing: TracingConfig = TracingConfig()
    log: LogConfig = LogConfig()
    shutdown_s: Annotated[float, Field(ge=0, allow_inf_nan=False)] = 10.0
    """How long running calls may go on after SIGTERM."""

    @model_validator(mode="after")
    def _named_and_pinned(self) -> Self:
        for name in self.upstreams:
            if not NAME.fullmatch(name):
                raise ValueError(f"an upstream can't be called {name!r}: use letters and digits")
        if self.upstreams and self.pins_path is None:
            raise ValueError(
                "upstreams need pins_path: the file that remembers which of their tools were "
                "accepted, so that a change between two starts is noticed"
            )
        return self

    @model_validator(mode="after")
    def _audited_once(self) -> Self:
        if self.audit.redis and self.redis.url is None:
            raise ValueError("audit.redis needs redis.url: the Redis to write to")
        if self.audit.redis and self.audit.path is not None:
            raise ValueError(
                "the audit goes to audit.path or, with audit.redis, to Redis: not both"
            )
        return self

    @model_validator(mode="after")
    def _text_fits(self) -> Self:
        if self.result_bytes > self.wire_bytes:
            raise ValueError("wire_bytes must be at least result_bytes: it holds the text, too")
        return self

    @property
    def is_loopback(self) -> bool:
        """Only this machine can reach the service."""
        if self.host == "localhost":
            return True
        try:
            return ipaddress.ip_address(self.host).is_loopback
        except ValueError:
            return False

    @property
    def url_host(self) -> str:
        """The host as URLs and Host headers write it."""
        return f"[{self.host}]" if ":" in self.host else self.host

    def check_door(self) -> None:
        """Raises ConfigError when anyone could run tools, or tools they may not."""
        if not self.is_loopback and not self.secret:
            raise OpenDoor(self.host)
        if self.tenants and not self.secret:
            raise ConfigError("tools_service.tenants needs a token: without, nobody can be known")

    def about(self, tool: str) -> ToolConfig:
        """What is particular about a tool."""
        return self.per_tool.get(tool, _ORDINARY)

    @property
    def secret(self) -> str:
        """The token as text, empty when there is none."""
        return self.token.get_secret_value() if self.token else ""
