"""What breaks stays small: every request ends in exactly one way."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import openai
import psutil
import pytest

from engine.types import EngineLoad
from gateway.config import GatewayConfig
from tests.e2e.conftest import DEMO, House, demo_config, house, until
from tests.parts.gateway_process import gateway_process

pytestmark = pytest.mark.real

LONG: dict[str, Any] = {
    "model": "demo",
    "messages": [{"role": "user", "content": "Hello"}],
    "max_tokens": 1900,
    "extra_body": {"ignore_eos": True},
}


async def idle(running: House) -> EngineLoad:
    """Wait until the engine runs nothing."""
    await until(lambda: not running.engine.load().running + running.engine.load().waiting)
    return running.engine.load()


def engine_core(name: str) -> psutil.Process:
    """The newest EngineCore process of this test run."""
    cores = [p for p in psutil.Process().children() if "EngineCore" in " ".join(p.cmdline())]
    assert cores, f"no EngineCore for {name}"
    return max(cores, key=lambda p: p.create_time())


async def test_a_client_that_leaves_aborts_in_the_engine(roundhouse: House) -> None:
    await idle(roundhouse)
    async with roundhouse.client() as client:
        stream = await client.chat.completions.create(**LONG, stream=True)
        await anext(aiter(stream))
        assert roundhouse.engine.load().running == 1
        await stream.close()
    load = await idle(roundhouse)
    assert load.running == 0


async def test_a_client_that_leaves_an_unstreamed_request_aborts_too(roundhouse: House) -> None:
    before = (await idle(roundhouse)).generated_tokens
    async with roundhouse.client() as client:
        request = asyncio.create_task(client.chat.completions.create(**LONG))
        await until(lambda: roundhouse.engine.load().generated_tokens > before)
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
    load = await idle(roundhouse)
    assert load.generated_tokens - before < LONG["max_tokens"]


async def test_the_death_of_the_engine_ends_every_request_with_a_clear_error() -> None:
    async with house(GatewayConfig(port=0), demo_config("mortal")) as mortal:
        async with mortal.client() as client:
            stream = await client.chat.completions.create(**LONG, stream=True)
            chunks = aiter(stream)
            await anext(chunks)
            whole = asyncio.create_task(client.chat.completions.create(**LONG))
            await until(lambda: mortal.engine.load().running == 2)
            engine_core("mortal").kill()
            with pytest.raises(openai.APIError, match="died"):
                async for _ in chunks:
                    pass
            with pytest.raises(openai.InternalServerError) as lost:
                await whole
            assert lost.value.code == "engine_unavailable"
            async with asyncio.timeout(10):
                await mortal.engine.died.wait()
            with pytest.raises(openai.InternalServerError) as refused:
                await client.chat.completions.create(**LONG)
            assert refused.value.status_code == 503
        async with httpx.AsyncClient(base_url=mortal.url) as http:
            assert (await http.get("/livez")).status_code == 200
            assert (await http.get("/health")).status_code == 503
            assert (await http.get("/readyz")).status_code == 503
            assert 'roundhouse_engine_up{engine="mortal"} 0.0' in (await http.get("/metrics")).text


async def test_a_hung_engine_is_not_ready(roundhouse: House) -> None:
    config = GatewayConfig(port=0, health_s=1.0)
    async with house(config, demo_config("hanging")) as hanging:
        core = engine_core("hanging")
        async with httpx.AsyncClient(base_url=hanging.url, timeout=20) as http:
            assert (await http.get("/readyz")).status_code == 200
            core.suspend()
            try:
                answer = await http.get("/readyz")
            finally:
                core.resume()
        assert answer.status_code == 503
        assert "no answer" in answer.json()["engines"]["hanging"]


async def test_two_engines_serve_two_models_and_keep_their_metrics_apart() -> None:
    first = demo_config("left", served_name="demo-left")
    second = demo_config("right", served_name="demo-right", scheduling="fcfs")
    async with house(GatewayConfig(port=0), first, second) as both:
        async with both.client() as client:
            assert [m.id for m in (await client.models.list()).data] == ["demo-left", "demo-right"]
            for model in ("demo-left", "demo-right", "demo-right"):
                answer = await client.chat.completions.create(
                    **LONG | {"model": model, "max_tokens": 3}
                )
                assert answer.model == model
            with pytest.raises(openai.BadRequestError) as refused:
                await client.chat.completions.create(
                    **LONG | {"model": "demo-right", "extra_body": {"priority": 3}}
                )
            assert refused.value.param == "priority"
        async with httpx.AsyncClient(base_url=both.url) as http:
            page = (await http.get("/metrics")).text
        assert page.count("# TYPE vllm:generation_tokens_total counter") <= 1
        counts = {
            engine: _sample(page, f'vllm:request_success_total{{engine="{engine}"', "length")
            for engine in ("left", "right")
        }
        assert counts == {"left": 2.0, "right": 3.0}  # one probe each at the start


async def test_a_session_stays_on_its_engine_and_new_ones_spread() -> None:
    first, second = (demo_config(name, served_name="demo") for name in ("east", "west"))
    async with (
        house(GatewayConfig(port=0), first, second) as both,
        httpx.AsyncClient(base_url=both.url, timeout=60) as http,
    ):

        async def turn(session: str) -> str:
            body = {"model": "demo", "messages": LONG["messages"], "max_tokens": 2}
            headers = {"x-session-id": session}
            answer = await http.post("/v1/chat/completions", json=body, headers=headers)
            return answer.headers["x-roundhouse-engine"]

        sessions = [f"agent-{number}" for number in range(4)]
        homes = await asyncio.gather(*(turn(session) for session in sessions))
        assert set(homes) == {"east", "west"}
        for _ in range(3):
            assert await asyncio.gather(*(turn(session) for session in sessions)) == list(homes)


async def test_a_small_cache_preempts_and_says_so() -> None:
    config = demo_config("tight", max_model_len=512, args={"num_gpu_blocks_override": 24})
    everybody = GatewayConfig.model_validate({"port": 0, "programs": {"enabled": False}})
    async with (
        house(everybody, config) as tight,
        tight.client() as client,
        httpx.AsyncClient(base_url=tight.url) as http,
        asyncio.TaskGroup() as requests,
    ):
        for seed in range(8):
            asked = LONG | {"max_tokens": 240, "seed": seed}
            requests.create_task(client.chat.completions.create(**asked))
        await until(lambda: tight.engine.load().preemptions > 0)
        load, page = tight.engine.load(), (await http.get("/metrics")).text
        assert load.kv_used_ratio > 0.5
        assert load.waiting > 0
        assert _sample(page, 'vllm:num_preemptions_total{engine="tight"', "") > 0
        assert _sample(page, 'vllm:num_requests_running{engine="tight"', "") > 0
        assert _sample(page, 'vllm:num_requests_waiting{engine="tight"', "") > 0
        assert _sample(page, 'vllm:kv_cache_usage_perc{engine="tight"', "") > 0.5


async def test_programs_that_would_not_fit_a_small_cache_wait_and_nothing_is_preempted() -> None:
    config = demo_config("tight", max_model_len=512, args={"num_gpu_blocks_override": 24})
    async with house(GatewayConfig(port=0), config) as tight, tight.client() as client:
        bodies = (LONG | {"max_tokens": 240, "seed": seed} for seed in range(8))
        asked = (client.chat.completions.create(**body) for body in bodies)
        answers = await asyncio.gather(*asked)
        assert [answer.choices[0].finish_reason for answer in answers] == ["length"] * 8
        assert tight.engine.load().preemptions == 0
        assert tight.engine.load().kv_tokens > 0


async def test_a_full_house_refuses_with_retry_after() -> None:
    settings = {"port": 0, "queue": {"running": 1, "waiting": 0}}
    async with (
        house(GatewayConfig.model_validate(settings), demo_config("small")) as small,
        small.client() as client,
    ):
        stream = await client.chat.completions.create(**LONG, stream=True)
        await anext(aiter(stream))
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(**LONG)
        assert 1 <= int(refused.value.response.headers["retry-after"]) <= 59
        assert refused.value.code == "queue_full"
        await stream.close()


async def test_a_wrong_model_path_is_said_at_the_start(tmp_path: Path) -> None:
    said = await _failed(tmp_path, _config(model=str(tmp_path / "nothing")))
    assert "could not start" in said
    assert "nothing" in said


async def test_an_unknown_engine_argument_is_named_with_the_nearest(tmp_path: Path) -> None:
    said = await _failed(tmp_path, _config(args={"max_num_seq": 8}))
    assert "did you mean 'max_num_seqs'" in said


async def _failed(folder: Path, config: dict[str, Any]) -> str:
    """What a gateway has said that could not start."""
    async with gateway_process(folder, config, waits=False) as gateway:
        async with asyncio.timeout(60):
            assert await gateway.process.wait() == 1
            await gateway.ready.wait()
        return gateway.log


async def test_sigterm_lets_a_stream_end_and_leaves_no_process(tmp_path: Path) -> None:
    async with gateway_process(tmp_path, _config()) as gateway:
        family = psutil.Process(gateway.process.pid).children(recursive=True)
        assert family
        async with openai.AsyncOpenAI(
            base_url=f"{gateway.url}/v1", api_key="none", max_retries=0
        ) as client:
            stream = await client.chat.completions.create(**LONG | {"max_tokens": 300}, stream=True)
            chunks = aiter(stream)
            await anext(chunks)
            gateway.stop()
            ends = [
                chunk.choices[0].finish_reason
                async for chunk in chunks
                if chunk.choices[0].finish_reason
            ]
        assert ends == ["length"]
        async with asyncio.timeout(60):
            assert await gateway.process.wait() == 0
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert len(gone) == len(family)
    assert not alive


async def test_a_gateway_that_is_killed_leaves_no_engine_behind(tmp_path: Path) -> None:
    async with gateway_process(tmp_path, _config()) as gateway:
        family = psutil.Process(gateway.process.pid).children(recursive=True)
        await gateway.kill()
    _, alive = await asyncio.to_thread(psutil.wait_procs, family, 40)
    assert not alive


def _config(**engine: Any) -> dict[str, Any]:
    settings = {**demo_config().model_dump(mode="json", exclude_none=True), "model": DEMO, **engine}
    return {"gateway": {"port": 0}, "engines": [settings]}


def _sample(page: str, start: str, part: str) -> float:
    (line,) = [row for row in page.splitlines() if row.startswith(start) and part in row]
    return float(line.rsplit(" ", 1)[1])
