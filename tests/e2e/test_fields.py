"""Every field vLLM's chat API has is honoured, or refused by name: none is swallowed."""

import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import pytest_asyncio
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest

from gateway.config import GatewayConfig
from tests.e2e.conftest import DEMO, House, demo_config, house

pytestmark = pytest.mark.real

HELLO: Any = [{"role": "user", "content": "Hello"}]
SERVED: dict[str, Any] = {
    "frequency_penalty": 0.5,
    "presence_penalty": 0.5,
    "repetition_penalty": 1.1,
    "logit_bias": {"5": 1.0},
    "logprobs": True,
    "top_logprobs": 0,
    "max_tokens": 3,
    "max_completion_tokens": 3,
    "n": 1,
    "response_format": {"type": "json_object"},
    "seed": 1,
    "stop": ["x"],
    "stream": False,
    "temperature": 0.5,
    "top_p": 0.5,
    "top_k": 5,
    "min_p": 0.1,
    "tools": [{"type": "function", "function": {"name": "f", "parameters": {"type": "object"}}}],
    "tool_choice": "none",
    "reasoning_effort": "low",
    "include_reasoning": True,
    "parallel_tool_calls": True,
    "user": "somebody",
    "use_beam_search": True,
    "length_penalty": 1.0,
    "stop_token_ids": [7],
    "include_stop_str_in_output": True,
    "ignore_eos": True,
    "min_tokens": 1,
    "skip_special_tokens": False,
    "spaces_between_special_tokens": False,
    "truncate_prompt_tokens": 16,
    "truncation_side": "left",
    "prompt_logprobs": 1,
    "allowed_token_ids": [5, 6],
    "bad_words": ["Hello"],
    "echo": True,
    "add_generation_prompt": True,
    "continue_final_message": False,
    "add_special_tokens": False,
    "documents": [{"title": "t", "text": "x"}],
    "chat_template_kwargs": {"anything": 1},
    "media_io_kwargs": {},
    "mm_processor_kwargs": {},
    "structured_outputs": {"choice": ["yes", "no"]},
    "priority": -1,
    "request_id": "mine",
    "session_id": "mine",
    "return_tokens_as_token_ids": True,
    "return_token_ids": True,
    "routed_experts_prompt_start": 0,
    "return_prompt_text": True,
    "cache_salt": "salt",
    "vllm_xargs": {"group": "g"},
    "repetition_detection": {"max_pattern_size": 4, "min_pattern_size": 1, "min_count": 4},
    "stream_interval": 4,
    "kv_transfer_params": {},
    "ec_transfer_params": {},
    "messages": HELLO,
    "model": "demo",
}
REFUSED: dict[str, Any] = {
    "stream_options": {"include_usage": True},  # without `stream`
    "logprob_token_ids": [5],  # without `logprobs`
    "watermarking": True,  # needs an engine that is set up for it
    "thinking_token_budget": 5,  # needs a reasoning parser
    "chat_template": "{{ messages }}",  # a client's template is not trusted
    "return_token_offsets": True,
    "mm_payload": "none",
    "return_mm_kwargs": True,
}


def test_every_field_of_the_request_model_is_covered() -> None:
    assert SERVED.keys() | REFUSED.keys() == ChatCompletionRequest.model_fields.keys()


@pytest.mark.parametrize("field", SERVED)
async def test_it_is_served(roundhouse: House, field: str) -> None:
    body = {"model": "demo", "messages": HELLO, "max_tokens": 3, field: SERVED[field]}
    async with httpx.AsyncClient(base_url=roundhouse.url, timeout=60) as http:
        answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("field", REFUSED)
async def test_it_is_refused(roundhouse: House, field: str) -> None:
    body = {"model": "demo", "messages": HELLO, "max_tokens": 3, field: REFUSED[field]}
    async with httpx.AsyncClient(base_url=roundhouse.url, timeout=60) as http:
        answer = await http.post("/v1/chat/completions", json=body)
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert field in (error["param"] or error["message"])


async def test_what_is_asked_for_is_in_the_answer(roundhouse: House) -> None:
    body = {
        "model": "demo",
        "messages": HELLO,
        "max_tokens": 3,
        "return_token_ids": True,
        "return_prompt_text": True,
        "prompt_logprobs": 1,
        "structured_outputs": {"choice": ["yes", "no"]},
    }
    async with httpx.AsyncClient(base_url=roundhouse.url, timeout=60) as http:
        answer = (await http.post("/v1/chat/completions", json=body)).json()
    assert answer["choices"][0]["message"]["content"] in ("yes", "no")
    assert len(answer["prompt_token_ids"]) == answer["usage"]["prompt_tokens"]
    assert "Hello" in answer["prompt_text"]
    assert len(answer["prompt_logprobs"]) == answer["usage"]["prompt_tokens"]
    assert len(answer["choices"][0]["token_ids"]) == answer["usage"]["completion_tokens"]


async def test_continuous_usage_counts_up(roundhouse: House) -> None:
    options: Any = {"include_usage": True, "continuous_usage_stats": True}
    async with roundhouse.client() as client:
        chat = await client.chat.completions.create(
            model="demo", messages=HELLO, max_tokens=4, stream=True, stream_options=options
        )
        counts = [c.usage.completion_tokens async for c in chat if c.usage is not None]
        text = await client.completions.create(
            model="demo", prompt="Hello", max_tokens=4, stream=True, stream_options=options
        )
        more = [c.usage.completion_tokens async for c in text if c.usage is not None]
    for counted in (counts, more):
        assert counted == sorted(counted)
        assert counted[-1] == 4


@pytest_asyncio.fixture(scope="module")
async def thinker(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """The demo model under a reasoning parser, two of its unused tokens being its marks."""
    folder = tmp_path_factory.mktemp("thinker")
    shutil.copytree(DEMO, folder, dirs_exist_ok=True)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        path = folder / name
        marked = path.read_text().replace("<tools>", "<think>").replace("</tools>", "</think>")
        path.chmod(0o644)
        path.write_text(marked)
    config = demo_config("thinker", model=str(folder), reasoning_parser="qwen3")
    async with house(GatewayConfig(port=0), config) as running:
        yield running


async def test_reasoning_is_told_apart_and_counted(thinker: House, tmp_path: Path) -> None:
    body: dict[str, Any] = {"model": "demo", "messages": HELLO, "temperature": 0}
    async with thinker.client() as client:
        whole = await client.chat.completions.create(**body)
        stream = await client.chat.completions.create(
            **body, stream=True, stream_options={"include_usage": True}
        )
        pieces = [chunk async for chunk in stream]
        plain = await client.chat.completions.create(
            **body, extra_body={"chat_template_kwargs": {"enable_thinking": False}}
        )
    # Without the mark that ends it, everything the model writes is reasoning.
    message = whole.choices[0].message.to_dict()
    thought = message.get("reasoning")
    assert thought
    assert thought == message["reasoning_content"]
    streamed = [c.choices[0].delta.to_dict().get("reasoning") or "" for c in pieces if c.choices]
    assert "".join(map(str, streamed)) == thought
    assert pieces[-1].usage is not None
    assert pieces[-1].usage.completion_tokens_details is not None
    assert plain.choices[0].message.content == thought


async def test_beams_are_searched(roundhouse: House) -> None:
    async with roundhouse.client() as client:
        answer = await client.chat.completions.create(
            model="demo", messages=HELLO, n=2, max_tokens=4, extra_body={"use_beam_search": True}
        )
        assert len(answer.choices) == 2
        with pytest.raises(openai.BadRequestError) as refused:
            await client.chat.completions.create(
                model="demo", messages=HELLO, stream=True, extra_body={"use_beam_search": "maybe"}
            )
    assert refused.value.param == "use_beam_search"
    assert json.loads(refused.value.response.content)["error"]["code"] == "invalid_value"
