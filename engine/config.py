"""What an operator says about one engine."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, JsonValue

DeviceIndex = Annotated[int, Field(ge=0)]


class EngineConfig(BaseModel):
    """One engine of the profile."""

    model_config = ConfigDict(frozen=True, extra="forbid", protected_namespaces=())

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,62}$")
    """Names the engine in metrics, logs and headers."""
    kind: Literal["vllm"] = "vllm"
    model: str = Field(min_length=1)
    """A folder or a hub id."""
    served_name: str | None = Field(default=None, min_length=1)
    """What clients call the model; by default the engine's name."""
    devices: tuple[DeviceIndex, ...] | None = None
    """GPUs of this engine, as CUDA_VISIBLE_DEVICES numbers them; all when left out."""
    dtype: str = "auto"
    max_model_len: int | None = Field(default=None, ge=1)
    kv_cache_gib: float | None = Field(default=None, gt=0)
    """Size of the KV cache; by default what vLLM finds free."""
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
