"""gpt-oss: vLLM renders it itself, in harmony's format, with a vocabulary that comes with vLLM."""

import json
from collections.abc import Sequence
from pathlib import Path

from openai_harmony import HarmonyEncoding, HarmonyEncodingName, load_harmony_encoding
from tokenizers import AddedToken, Tokenizer, models
from transformers import PreTrainedTokenizerFast

_VOCABULARY = 201_088
_RETURN, _CALL, _PAD = 200_002, 200_012, 199_999
_LAYERS = 2
_CONFIG = {
    "architectures": ["GptOssForCausalLM"],
    "model_type": "gpt_oss",
    "dtype": "bfloat16",
    "vocab_size": _VOCABULARY,
    "hidden_size": 64,
    "intermediate_size": 64,
    "head_dim": 16,
    "num_attention_heads": 4,
    "num_key_value_heads": 4,
    "num_hidden_layers": _LAYERS,
    "layer_types": ["full_attention"] * _LAYERS,
    "num_local_experts": 2,
    "num_experts_per_tok": 1,
    "eos_token_id": _RETURN,
    "pad_token_id": _PAD,
}


def make_model(folder: Path, max_model_len: int) -> HarmonyEncoding:
    """Write a model folder that has no weights; how its model reads and writes."""
    config = {**_CONFIG, "max_position_embeddings": max_model_len}
    (folder / "config.json").write_text(json.dumps(config))
    ends = {"eos_token_id": [_RETURN, _PAD, _CALL], "pad_token_id": _PAD}
    (folder / "generation_config.json").write_text(json.dumps(ends))
    encoding = load_harmony_encoding(HarmonyEncodingName.HARMONY_GPT_OSS)
    _tokenizer(encoding).save_pretrained(folder)
    return encoding


def _tokenizer(encoding: HarmonyEncoding) -> PreTrainedTokenizerFast:
    """What vLLM's grammars read: every token's text. It can't split a text as harmony does."""
    names: dict[str, int] = {}
    for id_ in range(_VOCABULARY):
        name = encoding.decode([id_])
        if name in names or "\ufffd" in name:  # not in use, or a part of a character
            name = f"<|part {id_}|>"
        names[name] = id_
    words = Tokenizer(models.WordLevel(names, "!"))
    special = [encoding.decode([id_]) for id_ in (_RETURN, _PAD, _CALL)]
    words.add_special_tokens([AddedToken(name, special=True) for name in special])
    return PreTrainedTokenizerFast(
        tokenizer_object=words, eos_token=special[0], pad_token=special[1]
    )


def answer(
    encoding: HarmonyEncoding, thought: str, text: str, calls: Sequence[tuple[str, str]]
) -> list[int]:
    """The tokens of an answer behind `<|start|>assistant`, its end included.

    `calls` are names and arguments, written as given; there is at most one.
    """
    parts = [f"<|channel|>analysis<|message|>{thought}<|end|>"]
    if calls:
        ((name, arguments),) = calls
        if text:
            parts.append(f"<|channel|>commentary<|message|>{text}<|end|>")
        to = f"commentary to=functions.{name} <|constrain|>json"
        parts.append(f"<|channel|>{to}<|message|>{arguments}<|call|>")
    else:
        parts.append(f"<|channel|>final<|message|>{text}<|return|>")
    tokens: list[int] = encoding.encode("<|start|>assistant".join(parts), allowed_special="all")
    return tokens
