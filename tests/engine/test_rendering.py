"""Prompts that go on from the last turn, with chat templates in the manner of several families."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoTokenizer
from vllm.engine.arg_utils import AsyncEngineArgs
from vllm.entrypoints.openai.chat_completion.protocol import ChatCompletionRequest
from vllm.renderers import renderer_from_config
from vllm.renderers.online_renderer import OnlineRenderer

from engine.vllm.rendering import Known, Rendered, Rendering, cut
from roundhouse.config import DEMO

TEMPLATES = Path(__file__).parent / "templates"
SPECIAL = (
    "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "</s>", "[INST]", "[/INST]",
    "[TOOL_CALLS]", "[TOOL_RESULTS]", "[/TOOL_RESULTS]", "[AVAILABLE_TOOLS]", "[/AVAILABLE_TOOLS]",
)  # fmt: skip
TOOL = {"type": "function", "function": {"name": "weather", "parameters": {"type": "object"}}}
ENDS = {"thinking": "<|im_end|>", "headers": "<|eot_id|>", "instructions": "</s>"}

Render: TypeAlias = Callable[[str], OnlineRenderer]


@pytest.fixture(scope="module")
def rendering(tmp_path_factory: pytest.TempPathFactory) -> Render:
    """vLLM's own rendering with the demo's tokenizer, everybody's special tokens and a template."""
    folder = tmp_path_factory.mktemp("family")
    tokenizer = AutoTokenizer.from_pretrained(DEMO)
    tokenizer.add_special_tokens({"additional_special_tokens": list(SPECIAL)})
    tokenizer.save_pretrained(folder)
    for name in ("config.json", "generation_config.json"):
        shutil.copy(Path(DEMO) / name, folder)

    def make(template: str) -> OnlineRenderer:
        config = AsyncEngineArgs(model=str(folder), enforce_eager=True).create_engine_config()
        return OnlineRenderer(
            config.model_config,
            renderer_from_config(config),
            request_logger=None,
            chat_template=(TEMPLATES / f"{template}.jinja").read_text(),
            chat_template_content_format="string",
        )

    return make


def request(*messages: dict[str, Any]) -> ChatCompletionRequest:
    body = {"messages": [dict(message) for message in messages], "tools": [TOOL]}
    return ChatCompletionRequest.model_validate({**body, "tool_choice": "none"})


def asked(text: str) -> dict[str, Any]:
    return {"role": "user", "content": text}


def called(arguments: str, content: str | None = None) -> dict[str, Any]:
    call = {"name": "weather", "arguments": arguments}
    made = {"id": "abcdefghi", "type": "function", "function": call}
    return {"role": "assistant", "content": content, "tool_calls": [made]}


def result(text: str) -> dict[str, Any]:
    return {"role": "tool", "tool_call_id": "abcdefghi", "name": "weather", "content": text}


async def plain(renderer: OnlineRenderer, *messages: dict[str, Any]) -> list[int]:
    rendered = await renderer.render_chat(request(*messages))
    assert isinstance(rendered, tuple)
    tokens: list[int] = rendered[1][0]["prompt_token_ids"]
    return tokens


async def rest(renderer: OnlineRenderer, known: int, end: str, *messages: Any) -> list[int] | None:
    (token,) = renderer.renderer.tokenizer.encode(end, add_special_tokens=False)
    return await Rendering(renderer).after(request(*messages), Known(known, token))


SYSTEM = {"role": "system", "content": "Be brief."}
ANSWER = {"role": "assistant", "content": "It is warm."}


@pytest.mark.parametrize("template", ENDS)
async def test_what_follows_the_known_messages_is_rendered_as_the_template_has_it(
    rendering: Render, template: str
) -> None:
    renderer, end = rendering(template), ENDS[template]
    said = [SYSTEM, asked("Warm?"), called('{"at":"Bonn"}'), result("20 C")]
    whole = await plain(renderer, *said)
    tokens = await rest(renderer, 3, end, *said)
    assert tokens is not None
    assert whole[-len(tokens) :] == tokens
    text = renderer.renderer.tokenizer.decode(tokens)
    assert text.startswith(end) and "20 C" in text and "Bonn" not in text


async def test_a_template_that_moves_the_tools_is_rendered_plainly_at_a_second_question(
    rendering: Render,
) -> None:
    renderer = rendering("instructions")
    first = [asked("Warm?"), called('{"at": "Bonn"}'), result("20 C")]
    assert await rest(renderer, 2, "</s>", *first) is not None
    assert await rest(renderer, 4, "</s>", *first, ANSWER, asked("And Rome?")) is None


@pytest.mark.parametrize("template", ["thinking", "headers"])
async def test_a_second_question_goes_on_from_the_answer(rendering: Render, template: str) -> None:
    renderer, end = rendering(template), ENDS[template]
    said = [asked("Warm?"), called('{"at": "Bonn"}'), result("20 C"), ANSWER, asked("And Rome?")]
    tokens = await rest(renderer, 4, end, *said)
    assert tokens is not None
    text = renderer.renderer.tokenizer.decode(tokens)
    assert text.startswith(end) and "And Rome?" in text and "warm" not in text


@pytest.mark.parametrize("template", ENDS)
async def test_arguments_written_anew_do_not_move_the_cut(rendering: Render, template: str) -> None:
    renderer, end = rendering(template), ENDS[template]
    tight, wide = '{"at":"Bonn","on":[1,2]}', json.dumps({"at": "Bonn", "on": [1, 2]}, indent=4)
    found = [
        await rest(renderer, 2, end, asked("Warm?"), called(written), result("20 C"))
        for written in (tight, wide)
    ]
    assert found[0] is not None and found[0] == found[1]


async def test_the_mark_of_an_end_inside_a_message_does_not_move_the_cut(rendering: Render) -> None:
    renderer = rendering("thinking")
    odd = asked("What does <|im_end|> mean?")
    tokens = await rest(renderer, 2, "<|im_end|>", odd, ANSWER, asked("<|im_end|>?"))
    assert tokens is not None
    text = renderer.renderer.tokenizer.decode(tokens)
    assert text == "<|im_end|>\n<|im_start|>user\n<|im_end|>?<|im_end|>\n<|im_start|>assistant\n"


async def test_a_template_that_forgets_is_rendered_plainly(rendering: Render) -> None:
    renderer = rendering("forgetful")
    said = [asked("a"), ANSWER, asked("b"), {"role": "assistant", "content": "c"}, asked("d")]
    assert await rest(renderer, 4, "<|im_end|>", *said) is None


async def test_a_template_that_refuses_the_messages_is_rendered_plainly(rendering: Render) -> None:
    renderer = rendering("headers")
    twice = called("{}")
    twice["tool_calls"] *= 2
    assert await rest(renderer, 2, "<|eot_id|>", asked("a"), twice, result("1")) is None


async def test_an_end_that_is_not_a_special_token_is_no_place_to_cut(rendering: Render) -> None:
    renderer = rendering("thinking")
    word = renderer.renderer.tokenizer.encode("a", add_special_tokens=False)[0]
    known = Known(2, word)
    said = request(asked("a"), ANSWER, asked("b"))
    assert await Rendering(renderer).after(said, known) is None


@pytest.fixture
def harmony(rendering: Render) -> OnlineRenderer:
    """The rendering of gpt-oss, which vLLM does itself, without a template."""
    renderer = rendering("thinking")
    renderer.use_harmony = True
    return renderer


async def test_gpt_oss_goes_on_from_a_call_although_history_shows_no_reasoning(
    harmony: OnlineRenderer,
) -> None:
    said = [SYSTEM, asked("Warm?"), called('{"at":"Bonn"}'), result("20 C")]
    whole = await plain(harmony, *said)
    call_end = 200012
    tokens = await Rendering(harmony).after(request(*said), Known(3, call_end))
    assert tokens is not None and tokens[0] == call_end
    assert whole[-len(tokens) :] == tokens


async def test_gpt_oss_writes_the_end_of_an_answer_as_history_has_it(
    harmony: OnlineRenderer,
) -> None:
    said = [asked("Warm?"), ANSWER, asked("And Rome?")]
    model_end, end_in_history = 200002, 200007
    tokens = await Rendering(harmony).after(request(*said), Known(2, model_end))
    assert tokens is not None and tokens[0] == end_in_history
    assert (await plain(harmony, *said))[-len(tokens) :] == tokens


texts = st.text(alphabet="ab.", max_size=6)


@given(st.lists(texts, min_size=1, max_size=4), st.lists(texts, max_size=3))
def test_of_a_whole_that_begins_like_the_start_the_rest_is_cut_off(
    known: list[str], new: list[str]
) -> None:
    start = "".join(text + "|\n" for text in known)
    whole = start + "".join(text + "|\n" for text in new)

    def ended(text: str) -> Rendered:
        return Rendered(text, [i for i, letter in enumerate(text) if letter == "|"])

    at = cut(ended(whole), ended(start), len(known[-1]))
    assert at == len(start) - 2
