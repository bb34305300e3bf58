"""Families of models: what their chat templates and parsers need, and how they write a turn."""

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from transformers import AutoTokenizer

from benchmarks.variants import ROOT

Call: TypeAlias = tuple[str, dict[str, Any]]
Write: TypeAlias = Callable[[str, Sequence[Call]], str]

DEMO = ROOT / "models" / "demo"
MAX_MODEL_LEN = 65536
THOUGHT = "<think>\nWhat was asked is clear: I answer, or call what I need.\n</think>\n\n"


@dataclass(frozen=True, slots=True)
class Family:
    """How one family's models are served."""

    parser: str
    end: str
    write: Write
    """A turn as the model writes it: content and calls, without the end."""
    begin: str | None = None
    reasoning_parser: str | None = None
    special: Sequence[str] = ()


def _hermes(content: str, calls: Sequence[Call]) -> str:
    parts = [content] if content else []
    for name, arguments in calls:
        call = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
        parts.append(f"<tool_call>\n{call}\n</tool_call>")
    return "\n".join(parts)


def _thinking(content: str, calls: Sequence[Call]) -> str:
    return THOUGHT + _hermes(content, calls)


def _llama(content: str, calls: Sequence[Call]) -> str:
    written = (
        json.dumps({"name": name, "parameters": arguments}, ensure_ascii=False)
        for name, arguments in calls
    )
    return "; ".join(written) or content


def _mistral(content: str, calls: Sequence[Call]) -> str:
    if not calls:
        return content
    made = [{"name": name, "arguments": arguments} for name, arguments in calls]
    return f"[TOOL_CALLS]{json.dumps(made, ensure_ascii=False)}"


FAMILIES = {
    "demo": Family("hermes", "<|im_end|>", _hermes),
    "hermes": Family("hermes", "<|im_end|>", _hermes, begin="<|begin_of_text|>"),
    "qwen2.5": Family("hermes", "<|im_end|>", _hermes),
    "qwen3": Family("hermes", "<|im_end|>", _thinking, reasoning_parser="qwen3"),
    "llama3": Family(
        "llama3_json", "<|eot_id|>", _llama, begin="<|begin_of_text|>",
        special=("<|start_header_id|>", "<|end_header_id|>", "<|python_tag|>"),
    ),
    "mistral": Family(
        "mistral", "</s>", _mistral, begin="<s>",
        special=("[INST]", "[/INST]", "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]",
                 "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]"),
    ),
}  # fmt: skip


def make_model(family: Family, template: Path, folder: Path) -> Any:
    """Write a model folder with the demo's vocabulary and a family's template; its tokenizer."""
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
    return tokenizer
