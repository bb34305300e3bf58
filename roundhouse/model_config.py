"""From a model's folder to its shape: config.json, and the size of the weights."""

import json
from collections.abc import Mapping
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from roundhouse.capacity import Shape
from roundhouse.errors import ConfigFault

BYTES = {"float32": 4, "float64": 8, "bfloat16": 2, "float16": 2, "half": 2, "float": 4}
WEIGHTS = ("*.safetensors", "*.bin")


class Attention(BaseModel):
    """What we read of config.json; of a model that sees or hears, the part that reads text."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    num_hidden_layers: int = Field(gt=0)
    num_attention_heads: int = Field(gt=0)
    num_key_value_heads: int | None = None
    head_dim: int | None = None
    hidden_size: int = Field(gt=0)
    intermediate_size: int | None = None
    vocab_size: int = Field(gt=0)
    max_position_embeddings: int = Field(default=0, ge=0)
    dtype: str | None = None
    torch_dtype: str | None = None
    layer_types: tuple[str, ...] | None = None
    sliding_window: int | None = None
    kv_lora_rank: int | None = None
    qk_rope_head_dim: int = 0

    def kinds(self) -> tuple[int, int]:
        """How many layers keep the whole context, and how many a window of it.

        Without `layer_types` a window is not counted on: the safe side. Layers of other kinds,
        such as linear attention, keep a state of fixed size, which is left out.
        """
        if self.layer_types is None:
            return self.num_hidden_layers, 0
        sliding = self.layer_types.count("sliding_attention") if self.sliding_window else 0
        return self.layer_types.count("full_attention"), sliding

    def bytes_of(self, said: str) -> int:
        """Bytes of a number; vLLM serves float32 models in half of it unless told otherwise."""
        own = self.dtype or self.torch_dtype or "bfloat16"
        return BYTES.get(said, min(2, BYTES.get(own, 2)))


def read_shape(folder: Path, dtype: str) -> Shape:
    """The model's shape; `dtype` as the profile says it. Raises ConfigFault."""
    file = folder / "config.json"
    try:
        values = json.loads(file.read_text(encoding="utf-8"))
        text = values.get("text_config") or {}
        said = Attention.model_validate({**values, **text})
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        why = str(error).splitlines()[0]
        raise ConfigFault(f"{file} tells no shape: {why}", "check the model's folder") from error
    full, sliding = said.kinds()
    if not full + sliding:
        raise ConfigFault(f"{file}: no layer keeps a KV cache", "see vLLM's log for its size")
    return Shape(
        layers=full,
        sliding_layers=sliding,
        window=said.sliding_window or 0,
        heads=said.num_attention_heads,
        kv_heads=said.num_key_value_heads or said.num_attention_heads,
        head_dim=said.head_dim or said.hidden_size // said.num_attention_heads,
        hidden=said.hidden_size,
        intermediate=said.intermediate_size or 4 * said.hidden_size,
        vocabulary=said.vocab_size,
        dtype_bytes=said.bytes_of(dtype),
        longest=said.max_position_embeddings,
        weight_bytes=weight_bytes(folder),
        latent=said.kv_lora_rank + said.qk_rope_head_dim if said.kv_lora_rank else 0,
    )


def weight_bytes(folder: Path) -> int:
    """Size of the weights' files: safetensors where there are any, as vLLM chooses."""
    for pattern in WEIGHTS:
        if files := list(folder.glob(pattern)):
            return sum(file.stat().st_size for file in files)
    return 0


def find_folder(model: str, hub: Path) -> Path | None:
    """Where the model lies on this machine: its own folder, or the hub's cache; else None."""
    if Path(model).is_dir():
        return Path(model)
    snapshots = hub / f"models--{model.replace('/', '--')}" / "snapshots"
    found = sorted(snapshots.glob("*/config.json"), key=lambda file: file.stat().st_mtime)
    return found[-1].parent if found else None


def kv_bytes_of(said: object, shape: Shape) -> float:
    """Bytes of a number in the KV cache, by vLLM's `kv_cache_dtype`."""
    name = str(said or "auto")
    if name == "auto":
        return shape.dtype_bytes
    if "4bit" in name or "int4" in name or name.startswith("nvfp4"):
        return 0.5
    if "3bit" in name:
        return 0.375
    return 1.0 if "8" in name else BYTES.get(name, 2)


def number(args: Mapping[str, object], name: str, default: float) -> float:
    """A numeric engine argument. Raises ConfigFault."""
    value = args.get(name)
    if value is None:
        return default
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ConfigFault(f"engines: args: {name} must be a number, not {value!r}", "mend it")
    return value
