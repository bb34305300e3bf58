"""What an operator says about one engine."""

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, model_validator

from engine.types import Pool

DeviceIndex = Annotated[int, Field(ge=0)]
Flavour = Literal["auto", "vllm", "sglang", "openai"]

HTTP_ONLY = ("url", "key_env", "flavour", "http")
VLLM_ONLY = (
    "devices",
    "dtype",
    "max_model_len",
    "kv_cache_gib",
    "host_memory_gib",
    "fetches",
    "fetch_lead_s",
    "tool_parser",
    "tools_in_prompt",
    "reasoning_parser",
    "scheduling",
    "continuity_mib",
    "retention",
    "hang_s",
    "shutdown_s",
    "args",
)


class HttpBounds(BaseModel):
    """How long, and how much at once, a server met over HTTP is waited for."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    connections: int = Field(default=1024, ge=1)
    """Requests that may be with the server at once."""
    connect_s: float = Field(default=5.0, gt=0)
    first_byte_s: float = Field(default=120.0, gt=0)
    """Until a stream begins."""
    idle_s: float = Field(default=60.0, gt=0)
    """Between two pieces of a stream."""
    answer_s: float = Field(default=600.0, gt=0)
    """Until an answer that is not streamed is whole."""
    load_s: float = Field(default=1.0, gt=0)
    """Between two looks at the server's `/metrics`."""


class EngineConfig(BaseModel):
    """One engine of the profile: vLLM in the gateway's process, or a server met over HTTP."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")
    """Names the engine in metrics, logs and headers."""
    kind: Literal["vllm", "http"] = "vllm"
    model: str = Field(min_length=1)
    """A folder or a hub id; of an HTTP engine, the model's name there."""
    served_name: str | None = Field(default=None, min_length=1)
    """What clients call the model; by default the engine's name."""
    weight: float = Field(default=1.0, gt=0)
    """Its share of the work beside other engines of the same model."""
    pool: Pool | None = None
    """What the engine is tuned for; a request may ask for one of the two."""
    spare: bool = False
    """May sleep while the other engines of its model suffice: vLLM with its sleep mode, in this
    process or met over HTTP; `gateway.spares` says when."""
    url: str | None = Field(default=None, pattern=r"^https?://[^/@?#]+(/[^?#]*)?$")
    """Where the server answers, such as http://gpu1:8000; its API is under /v1."""
    key_env: str | None = Field(default=None, pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")
    """Variable with the key the server wants."""
    flavour: Flavour = "auto"
    """What the server is; auto finds out. Of `openai` no load can be read."""
    http: HttpBounds = HttpBounds()
    devices: tuple[DeviceIndex, ...] | None = None
    """GPUs of this engine, as CUDA_VISIBLE_DEVICES numbers them; all when left out."""
    dtype: str = "auto"
    max_model_len: int | None = Field(default=None, ge=1)
    kv_cache_gib: float | None = Field(default=None, gt=0)
    """Size of the KV cache; by default what vLLM finds free."""
    host_memory_gib: float = Field(default=0.0, ge=0)
    """Host memory for what the KV cache gives up, of all GPUs of the engine together; 0 for none.
    Contexts that come back are then copied, not computed again."""
    fetches: int = Field(default=2, ge=0)
    """How many contexts at once may be fetched from host memory before their sessions return."""
    fetch_lead_s: float = Field(default=1.0, ge=0)
    """How long before the earliest expected return."""
    tool_parser: str | None = None
    """vLLM's tool-call parser: hermes, openai, qwen3_coder, llama3_json, mistral …"""
    tools_in_prompt: bool = False
    """Tell the model its tools in the prompt, for models whose chat template knows none; calls are
    then written as Hermes' are. A request may ask for it itself, by a field of that name."""
    reasoning_parser: str | None = None
    scheduling: Literal["priority", "fcfs"] = "priority"
    """priority serves a request's `priority` (lower first), else first come, first served."""
    continuity_mib: float = Field(default=256.0, ge=0)
    """Memory for the tokens of past turns, four bytes each, so that a session's next prompt begins
    with them exactly; 0 renders every prompt anew."""
    retention: bool = True
    """Keep cached contexts by when they are needed again; false: in the order of their last use."""
    hang_s: float = Field(default=120.0, gt=0)
    """How long vLLM's process may answer nothing before the turns it has end with an error."""
    shutdown_s: float = Field(default=20.0, gt=0)
    """How long the engine may take to stop."""
    args: dict[str, JsonValue] = Field(default_factory=dict)
    """Any other of vLLM's engine arguments, by its name in AsyncEngineArgs."""

    @property
    def parser(self) -> str | None:
        """The tool-call parser: tools told in the prompt are called in Hermes' way."""
        return self.tool_parser or ("hermes" if self.tools_in_prompt else None)

    @property
    def model_name(self) -> str:
        """What clients call the model."""
        return self.served_name or self.name

    @model_validator(mode="after")
    def know_kind(self) -> Self:
        """A setting that this kind of engine would ignore is refused."""
        if self.kind == "http" and self.url is None:
            raise ValueError("an engine of kind 'http' needs a url")
        fields = type(self).model_fields
        for name in VLLM_ONLY if self.kind == "http" else HTTP_ONLY:
            # By value: settings that were written out and read back have every field set.
            if getattr(self, name) != fields[name].get_default(call_default_factory=True):
                raise ValueError(f"'{name}' means nothing to an engine of kind '{self.kind}'")
        if not self.host_memory_gib:
            for name in ("fetches", "fetch_lead_s"):
                if getattr(self, name) != fields[name].default:
                    raise ValueError(
                        f"'{name}' means nothing without host memory; set 'host_memory_gib'"
                    )
        if self.spare and self.flavour in ("sglang", "openai"):
            raise ValueError(f"'spare' needs vLLM's sleep mode, which '{self.flavour}' has not")
        return self
