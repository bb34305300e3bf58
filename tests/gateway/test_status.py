"""The pages beside generation: models, health, and pages that are not there."""

import openai
import pytest

from engine.errors import EngineDead
from engine.types import Delta
from tests.parts.engine import ScriptedEngine
from tests.parts.scripts import text, turn
from tests.parts.served import served

HELLO = turn(text("Hel", "lo"))


CHAT = "/v1/chat/completions"


async def test_models_are_listed_with_their_context() -> None:
    engines = [
        ScriptedEngine(HELLO, name=name, model=model)
        for name, model in (("a", "org/x"), ("b", "org/x"), ("c", "y"))
    ]
    async with served(*engines) as it, it.sdk() as sdk:
        models = [model async for model in sdk.models.list()]
        assert [model.id for model in models] == ["org/x", "y"]
        one = await sdk.models.retrieve("org/x")
        assert one.model_extra == {"max_model_len": 4096}
        with pytest.raises(openai.NotFoundError) as caught:
            await sdk.models.retrieve("z")
        assert caught.value.code == "model_not_found"


async def test_models_need_a_key_where_there_are_keys() -> None:
    async with served(ScriptedEngine(HELLO), api_keys=["k"]) as it:
        for path in ("/v1/models", "/v1/models/scripted"):
            assert (await it.ask("GET", path)).error["code"] == "invalid_api_key"
            assert (await it.ask("GET", path, authorization="Bearer k")).status == 200


async def test_pages_for_watchers_need_no_key() -> None:
    async with served(ScriptedEngine(HELLO), api_keys=["k"]) as it:
        for path in ("/livez", "/readyz", "/health", "/metrics"):
            assert (await it.ask("GET", path)).status == 200


async def test_health_is_all_engines_and_ready_is_any() -> None:
    engines = well, ill = ScriptedEngine(HELLO, name="well"), ScriptedEngine(HELLO, name="ill")
    async with served(*engines) as it:
        ill.ailment = TimeoutError()
        health, ready = await it.ask("GET", "/health"), await it.ask("GET", "/readyz")
        assert (health.status, health.json["status"]) == (503, "degraded")
        assert health.json["engines"] == {"well": "ok", "ill": "no answer within 5 s"}
        assert (ready.status, ready.json["status"]) == (200, "ready")
        well.died.set()
        ill.ailment = EngineDead("worn out")
        ready = await it.ask("GET", "/readyz")
        assert (ready.status, ready.json["status"]) == (503, "no engine answers")
        assert ready.json["engines"] == {"well": "dead", "ill": "worn out"}
        assert (await it.ask("GET", "/livez")).status == 200


@pytest.mark.parametrize("path", ["/", "/v1/embeddings", "/v1/chat", "/v1/chat/completions/x"])
async def test_a_page_that_is_not_there_is_told_in_openais_shape(path: str) -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.ask("POST", path, {})
        assert (answer.status, answer.error["code"]) == (404, "unknown_url")
        assert path in answer.error["message"]


async def test_who_asks_for_responses_is_told_what_is_served() -> None:
    async with served(ScriptedEngine(HELLO)) as it, it.sdk() as sdk:
        with pytest.raises(openai.NotFoundError, match="use /v1/chat/completions"):
            await sdk.responses.create(model="scripted", input="hi")


@pytest.mark.parametrize(
    ("method", "path", "allowed"), [("GET", CHAT, "POST"), ("DELETE", "/v1/models", "GET")]
)
async def test_a_wrong_method_is_told_the_right_one(method: str, path: str, allowed: str) -> None:
    async with served(ScriptedEngine(HELLO)) as it:
        answer = await it.ask(method, path)
        assert (answer.status, answer.error["code"]) == (405, "method_not_allowed")
        assert answer.headers["allow"] == allowed


async def test_a_text_completion_counts_as_one() -> None:
    async with served(ScriptedEngine(turn([Delta(0, "Hello", tokens=1)]))) as it:
        answer = await it.ask("POST", "/v1/completions", {"prompt": "hi"})
        assert answer.json["choices"][0]["text"] == "Hello"
    assert it.metric("requests_total", endpoint="completion", outcome="ok") == 1
