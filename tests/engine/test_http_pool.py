"""How much the KV cache of a server met over HTTP holds, and what it tells of its use."""

import asyncio

import pytest

from engine.http.load import read
from engine.http.wire import answer
from tests.parts.upstream import Upstream, says

VLLM = (
    'vllm:num_requests_running{engine="0",model_name="m"} 1.0\n'
    'vllm:cache_config_info{block_size="16",cache_dtype="auto",engine="0",'
    'kv_cache_size_tokens="None",num_gpu_blocks="1000",num_gpu_blocks_override="None"} 1.0\n'
)
SGLANG = 'sglang:num_running_reqs{model_name="m"} 1.0\n'


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        (VLLM, 16_000),
        (VLLM + VLLM.replace('engine="0"', 'engine="1"'), 32_000),
        (VLLM.replace('kv_cache_size_tokens="None"', 'kv_cache_size_tokens="900"'), 900),
        (VLLM.replace('num_gpu_blocks="1000"', 'num_gpu_blocks="None"'), 0),
        (SGLANG + 'sglang:max_total_num_tokens{model_name="m"} 5000.0\n', 5000),
        (SGLANG, 0),
    ],
)
def test_the_pool_is_read_from_the_page(page: str, tokens: int) -> None:
    assert read(page.encode()).load.kv_tokens == tokens


@pytest.mark.parametrize("ranks", [1, 2])
async def test_of_sglang_it_is_asked_where_the_page_does_not_tell(ranks: int) -> None:
    upstream = Upstream(says(), metrics=SGLANG)
    upstream.info = {"max_total_num_tokens": 4000, "dp_size": ranks}
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(http={"load_s": 0.001})
        await engine.start()
        while not engine.load().kv_tokens:
            await engine.check_health(5)
        assert engine.load().kv_tokens == 4000 * ranks
        await engine.close()


async def test_a_server_that_shows_its_load_no_more_has_its_cache_still() -> None:
    upstream = Upstream(says(), metrics=VLLM)
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(http={"load_s": 0.001})
        await engine.start()
        while engine.load().running != 1:
            await engine.check_health(5)
        upstream.metrics = ""
        while engine.load().running:
            await engine.check_health(5)
        assert engine.load().kv_tokens == 16_000
        await engine.close()


async def test_a_server_that_does_not_tell_is_named_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    upstream = Upstream(says(), metrics=SGLANG)
    async with upstream.running(), asyncio.timeout(10):
        engine = upstream.engine(http={"load_s": 0.001})
        await engine.start()
        while "does not say what its KV cache holds" not in caplog.text:
            await engine.check_health(5)
        upstream.metrics = SGLANG.replace("1.0", "2.0")
        while engine.load().running != 2:
            await engine.check_health(5)
        await engine.close()
    assert caplog.text.count("does not say what its KV cache holds") == 1


@pytest.mark.parametrize(
    ("details", "cached", "known"),
    [
        (b"", 0, False),
        (b',"prompt_tokens_details":null', 0, False),
        (b',"prompt_tokens_details":{}', 0, False),
        (b',"prompt_tokens_details":{"cached_tokens":0}', 0, True),
        (b',"prompt_tokens_details":{"cached_tokens":7}', 7, True),
    ],
)
def test_nothing_cached_and_nothing_said_are_two_things(
    details: bytes, cached: int, known: bool
) -> None:
    said = answer(b'{"choices":[],"usage":{"prompt_tokens":9' + details + b"}}").usage
    assert said is not None
    usage = said.usage()
    assert (usage.cached_tokens, usage.knows_cached) == (cached, known)
