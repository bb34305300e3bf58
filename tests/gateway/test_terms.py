"""Keys with terms, and sessions with caps, as clients meet them."""

import hashlib
from pathlib import Path

import pytest

from gateway.access import ANYONE
from gateway.config import GatewayConfig
from tests.parts.engine import ScriptedEngine
from tests.parts.redis_server import redis_server
from tests.parts.scripts import text, turn
from tests.parts.served import Answer, Served, served

HELLO = turn(text("Hel", "lo"))  # five tokens


def file(folder: Path, **terms: object) -> Path:
    lines = [f"  {name}: {value}" for name, value in terms.items()]
    digest = hashlib.sha256(b"one").hexdigest()
    path = folder / "keys.yaml"
    path.write_text("\n".join(["keys:", f"- digest: {digest}", *lines, ""]))
    return path


async def ask(it: Served, key: str = "one", **fields: object) -> Answer:
    body = {"messages": [{"role": "user", "content": "hi"}], **fields}
    return await it.ask("POST", "/v1/chat/completions", body, authorization=f"Bearer {key}")


@pytest.mark.parametrize(
    ("terms", "said"),
    [({"requests_per_minute": 1}, "1 requests"), ({"tokens_per_minute": 2}, "2 tokens")],
)
async def test_a_key_has_its_minute(tmp_path: Path, terms: dict[str, object], said: str) -> None:
    async with served(ScriptedEngine(HELLO), keys_file=file(tmp_path, **terms)) as it:
        assert (await ask(it)).status == 200
        refused = await ask(it)
        assert (refused.status, refused.error["code"]) == (429, "rate_limit_exceeded")
        assert said in refused.error["message"]
        assert 1 <= int(refused.headers["retry-after"]) < 60
        assert (await ask(it, "other")).status == 401
        assert it.outcomes() == {"ok": 1, "refused": 1, "client_error": 1}


@pytest.mark.parametrize(
    ("own", "asked", "told"),
    [
        ("default", "auto", "default"),
        ("default", "priority", "default"),
        ("priority", "auto", "priority"),
        ("priority", "flex", "flex"),
    ],
)
async def test_an_answer_names_its_tier(tmp_path: Path, own: str, asked: str, told: str) -> None:
    async with served(ScriptedEngine(HELLO), keys_file=file(tmp_path, service_tier=own)) as it:
        assert (await ask(it, service_tier=asked)).json["service_tier"] == told
        assert "service_tier" not in (await ask(it)).json


async def test_keys_may_be_kept_in_the_store() -> None:
    async with redis_server() as redis:
        config = {"url": redis.url, "keys": True, "timeout_s": 30}
        async with served(ScriptedEngine(HELLO), store=config) as it:
            digest = hashlib.sha256(b"one").hexdigest()
            await it.gateway.store.put(f"key:{digest}", b'{"requests_per_minute": 1}', 60.0)
            assert [(await ask(it)).status for _ in range(2)] == [200, 429]
            assert (await ask(it, "other")).status == 401


@pytest.mark.parametrize(("cap", "said"), [({"turns": 1}, "1 turns"), ({"tokens": 4}, "4 tokens")])
async def test_a_session_that_goes_on_and_on_is_stopped(cap: dict[str, int], said: str) -> None:
    async with served(ScriptedEngine(HELLO), sessions={"caps": cap}) as it:
        assert (await ask(it, session_id="s")).status == 200
        stopped = await ask(it, session_id="s")
        assert (stopped.status, stopped.error["code"]) == (400, "session_limit_exceeded")
        assert said in stopped.error["message"]
        assert f"gateway.sessions.caps.{next(iter(cap))}" in stopped.error["message"]
        assert (await ask(it, session_id="another")).status == 200


async def test_a_session_that_began_too_long_ago_is_stopped() -> None:
    async with served(ScriptedEngine(HELLO), sessions={"caps": {"time_s": 3600}}) as it:
        for _ in range(2):
            assert (await ask(it, session_id="s")).status == 200
        session = it.gateway.sessions.find(ANYONE, "s")
        assert session is not None
        session.started_s -= 3600
        stopped = await ask(it, session_id="s")
        assert (stopped.status, stopped.error["code"]) == (400, "session_limit_exceeded")
        assert "3600 seconds" in stopped.error["message"]
        assert "gateway.sessions.caps.time_s" in stopped.error["message"]
        assert (await ask(it, session_id="another")).status == 200


@pytest.mark.parametrize(
    "text",
    ["keys: []\nmore: 1", "keys: [{}]", "keys: [{digest: 12}]", "keys: [{requests: 1}]"],
)
def test_a_keys_file_that_cannot_be_meant_is_refused(tmp_path: Path, text: str) -> None:
    from gateway.app import Gateway

    path = tmp_path / "keys.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match="keys"):
        Gateway(GatewayConfig(keys_file=path), [ScriptedEngine(HELLO)], None)
