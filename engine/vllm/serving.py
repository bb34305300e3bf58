"""vLLM's OpenAI layer over one AsyncLLM: rendering, parsers and request models are its own."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from vllm.entrypoints.openai.chat_completion.serving import OpenAIServingChat
from vllm.entrypoints.openai.completion.serving import OpenAIServingCompletion
from vllm.entrypoints.openai.models.protocol import BaseModelPath
from vllm.entrypoints.openai.models.serving import OpenAIServingModels
from vllm.renderers.online_renderer import OnlineRenderer
from vllm.v1.engine.async_llm import AsyncLLM

from engine.config import EngineConfig
from engine.errors import BadCall

# The default no longer enforces argument schemas with hermes: 0 of 28 calls valid against 19 of 19.
TOOL_STRICTNESS = "parameter"

# In vLLM's request models, but read only by its render endpoints: accepting would be ignoring.
UNSERVED = frozenset({"return_token_offsets", "mm_payload", "return_mm_kwargs"})


@dataclass(frozen=True, slots=True)
class Serving:
    """vLLM's serving objects of one engine."""

    chat: OpenAIServingChat
    completion: OpenAIServingCompletion


async def serve(llm: AsyncLLM, config: EngineConfig) -> Serving:
    """Build vLLM's serving objects by hand. Raises what vLLM raises for an unknown parser."""
    models = OpenAIServingModels(
        engine_client=llm,
        base_model_paths=[BaseModelPath(name=config.model_name, model_path=config.model)],
        lora_modules=None,
    )
    await models.init_static_loras()
    parsing: dict[str, Any] = {
        "enable_auto_tools": config.parser is not None,
        "tool_parser": config.parser,
        "reasoning_parser": config.reasoning_parser or "",
        "tool_strict_level": TOOL_STRICTNESS,
    }
    template: dict[str, Any] = {
        "request_logger": None,
        "chat_template": None,
        "chat_template_content_format": "auto",
    }
    renderer = OnlineRenderer(
        model_config=llm.model_config, renderer=llm.renderer, **template, **parsing
    )
    chat = OpenAIServingChat(
        llm,
        models,
        "assistant",
        online_renderer=renderer,
        enable_prompt_tokens_details=True,
        **template,
        **parsing,
    )
    completion = OpenAIServingCompletion(
        llm,
        models,
        online_renderer=renderer,
        request_logger=None,
        enable_prompt_tokens_details=True,
    )
    return Serving(chat, completion)


def refusals(llm: AsyncLLM, config: EngineConfig) -> dict[str, str]:
    """Fields this engine would take and ignore, and the remedy; they are refused when set."""
    refused = {
        "chat_template": "a request can't bring a template of its own; leave it out",
    }
    if config.scheduling != "priority":
        refused["priority"] = "it needs an engine with `scheduling: priority`"
    if llm.vllm_config.watermark_config is None:
        refused["watermarking"] = "it needs an engine with a `watermark_config`"
    return refused


def check_fields(body: Mapping[str, object], model: type[Any], refused: Mapping[str, str]) -> None:
    """Refuse what the engine would take and ignore. Raises BadCall naming the field."""
    known = model.model_fields.keys() - UNSERVED
    for name, value in body.items():
        if name not in known:
            raise BadCall(f"this model's API has no field '{name}'; leave it out", name)
        if value and name in refused:
            raise BadCall(f"'{name}' is not served here: {refused[name]}", name)
