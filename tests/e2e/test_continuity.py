"""Prompt continuity, seen by what the engine finds in its prefix cache."""

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from openai import AsyncOpenAI
from openai.types import CompletionUsage

from gateway.config import GatewayConfig
from tests.e2e.conftest import DEMO, House, demo_config, house

BLOCK = 32
LONG = " ".join(f"river{number} and valley{number}" for number in range(12))
SEARCH = {
    "type": "function",
    "function": {
        "name": "search",
        "parameters": {
            "type": "object",
            # The grammar makes the model write all of it, some blocks long.
            "properties": {"query": {"enum": [LONG]}},
            "required": ["query"],
        },
    },
}


def model_that_writes_otherwise(folder: Path) -> str:
    """The demo model with a template that writes arguments on several lines; the model does not."""
    shutil.copytree(DEMO, folder)
    template = folder / "chat_template.jinja"
    text = template.read_text()
    assert "tojson" in text
    template.write_text(text.replace("tojson", "tojson(indent=1)"))
    return str(folder)


async def two_turns(client: AsyncOpenAI, model: str) -> tuple[CompletionUsage, CompletionUsage]:
    """What a turn with a call and the turn with its result cost; arguments come back anew."""
    messages: list[Any] = [{"role": "user", "content": "Search for rivers"}]
    create: Any = client.with_options(default_headers={"x-session-id": "s"}).chat.completions.create
    ask = partial(create, model=model, messages=messages, tools=[SEARCH])
    first = await ask(tool_choice="required")
    (call,) = first.choices[0].message.tool_calls
    written = {"name": call.function.name}
    written["arguments"] = json.dumps(json.loads(call.function.arguments), indent=2)
    said = {"id": call.id, "type": "function", "function": written}
    messages += [
        {"role": "assistant", "content": None, "tool_calls": [said]},
        {"role": "tool", "tool_call_id": call.id, "content": "Nothing was found."},
    ]
    return first.usage, (await ask()).usage


def cached(usage: CompletionUsage) -> int:
    assert usage.prompt_tokens_details is not None
    return usage.prompt_tokens_details.cached_tokens or 0


@pytest.mark.real
async def test_every_token_of_the_last_turn_is_found_in_the_cache_and_without_it_is_not(
    tmp_path: Path,
) -> None:
    folder = model_that_writes_otherwise(tmp_path / "model")
    engines = (
        demo_config("kept", model=folder, served_name="kept"),
        demo_config("plain", model=folder, served_name="plain", continuity_mib=0),
    )
    async with house(GatewayConfig(port=0), *engines) as running, running.client() as client:
        first, second = await two_turns(client, "kept")
        # The last token of an answer is never computed: nothing came after it.
        whole = (first.total_tokens - 1) // BLOCK * BLOCK
        assert cached(second) == whole
        first, second = await two_turns(client, "plain")
        assert cached(second) < (first.total_tokens - 1) // BLOCK * BLOCK
        assert prompts(running, "kept", "continued") == 1
        assert prompts(running, "kept", "first") == 1
        assert prompts(running, "plain", "changed") == 1


def prompts(running: House, engine: str, continuity: str) -> float | None:
    """The metric of prompts, as the gateway shows it."""
    labels = {"engine": engine, "continuity": continuity}
    return running.gateway.registry.get_sample_value("roundhouse_prompts_total", labels)
