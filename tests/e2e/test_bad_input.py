"""Mutated bodies at the real engine: never a 500, always OpenAI's error shape, and it lives on."""

from collections.abc import AsyncIterator

import httpx
import pytest
import pytest_asyncio
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from gateway.config import GatewayConfig
from tests.e2e.conftest import House, demo_config, house
from tests.parts.mutations import CHATS, COMPLETIONS, mutated

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SMALL = {"override_generation_config": {"max_new_tokens": 16}}


@pytest_asyncio.fixture(scope="module")
async def small() -> AsyncIterator[House]:
    """A gateway whose engine never answers at length."""
    config = demo_config("fuzzed", max_model_len=512, args=SMALL)
    async with house(GatewayConfig(port=0), config) as running:
        yield running


requests = st.one_of(
    mutated(CHATS).map(lambda body: ("/v1/chat/completions", body)),
    mutated(COMPLETIONS).map(lambda body: ("/v1/completions", body)),
)


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(requests)
async def test_no_body_makes_the_real_engine_fail(small: House, request: tuple[str, bytes]) -> None:
    path, body = request
    async with httpx.AsyncClient(base_url=small.url, timeout=60) as http:
        answer = await http.post(path, content=body, headers={"content-type": "application/json"})
    if answer.status_code == 200:
        assert b'{"error":' not in answer.content
    else:
        assert answer.status_code < 500, answer.content
        error = answer.json()["error"]
        assert error.keys() == {"message", "type", "param", "code"}
        assert error["message"]
        assert isinstance(error["code"], str)
    assert not small.engine.died.is_set()


async def test_after_all_that_the_engine_still_answers(small: House) -> None:
    async with small.client() as client:
        answer = await client.chat.completions.create(
            model="demo", messages=[{"role": "user", "content": "Hello"}]
        )
    assert answer.choices[0].message.content
