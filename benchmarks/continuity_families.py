"""Families of models: what their chat templates and parsers need."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from benchmarks import continuity_harmony
from benchmarks.variants import ROOT

DEMO = ROOT / "models" / "demo"
MAX_MODEL_LEN = 131072


@dataclass(frozen=True, slots=True)
class Family:
    """How one family's models are served."""

    parser: str
    end: str
    begin: str | None = None
    reasoning_parser: str | None = None
    special: Sequence[str] = ()
    is_harmony: bool = False
    """Whether vLLM renders it without a chat template."""


FAMILIES = {
    "demo": Family("hermes", "<|im_end|>"),
    "hermes": Family("hermes", "<|im_end|>", begin="<|begin_of_text|>"),
    "qwen2.5": Family("hermes", "<|im_end|>"),
    "qwen3": Family("hermes", "<|im_end|>", reasoning_parser="qwen3"),
    "llama3": Family(
        "llama3_json", "<|eot_id|>", begin="<|begin_of_text|>",
        special=("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"),
    ),
    "gpt-oss": Family(
        "openai", "<|return|>", reasoning_parser="openai_gptoss", is_harmony=True
    ),
    "mistral": Family(
        "mistral", "</s>", begin="<s>",
        special=("[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
                 "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    ),
    # From the eleventh version of Mistral's vocabulary on: Devstral, Mistral Small 3.
    "mistral-v11": Family(
        "mistral", "</s>", begin="<s>",
        special=("[INST]", "[/INST]", "[TOOL_CALLS]", "[ARGS]", "[TOOL_RESULTS]",
                 "[/TOOL_RESULTS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
                 "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]"),
    ),
}  # fmt: skip


def make_model(family: Family, template: Path | None, folder: Path) -> Any:
    """Write a model folder with the demo's vocabulary and a family's template; its tokenizer.

    What vLLM renders itself has no template, and a vocabulary of its own.
    """
    if template is None:
        return continuity_harmony.make_model(folder, MAX_MODEL_LEN)
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    begin = [family.begin] if family.begin else []
    names = [family.end, *begin, *family.special]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    tokenizer.eos_token = family.end
    if family.begin:
        tokenizer.bos_token = family.begin
    tokenizer.save_pretrained(folder)
    end = tokenizer.convert_tokens_to_ids(family.end)
    for name in ("config.json", "generation_config.json"):
        config = json.loads((DEMO / name).read_text())
        config["eos_token_id"] = end
        if name == "config.json":
            config["vocab_size"] = len(tokenizer)
            config["max_position_embeddings"] = MAX_MODEL_LEN
        (folder / name).write_text(json.dumps(config))
    shutil.copy(template, folder / "chat_template.jinja")
    return AutoTokenizer.from_pretrained(folder)
