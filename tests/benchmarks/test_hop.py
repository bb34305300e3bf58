"""The benchmark of the hop: its upstream speaks as a server does, its report adds up."""

import asyncio
from contextlib import aclosing
from pathlib import Path

from benchmarks.hop_peers import MODEL, PEERS
from benchmarks.hop_report import DIRECT, OURS, STREAM, WHOLE, Window, markdown
from benchmarks.hop_upstream import Upstream
from benchmarks.load import LoadResult, Quantiles
from benchmarks.variants import Place
from engine.config import EngineConfig
from engine.http.backend import HttpEngine
from engine.types import Call, Delta, Finished


async def test_the_upstream_answers_and_streams_as_a_server_does() -> None:
    running: set[Upstream] = set()
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Upstream(running), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    engine = HttpEngine(
        EngineConfig(name="up", kind="http", model=MODEL, url=f"http://127.0.0.1:{port}")
    )
    async with asyncio.timeout(20):
        await engine.start()
        call = Call("x", "chat", {"messages": [], "max_tokens": 3}, True)
        tokens = 0
        async with aclosing(engine.generate(call)) as events:
            asking = asyncio.ensure_future(anext(events))
            while not running:
                await engine.check_health(5)
            await asking
            for _ in range(4):
                for stream in list(running):
                    stream.tick()
            async for event in events:
                tokens += isinstance(event, Delta) and event.text == " token"
        assert tokens == 3
        assert isinstance(event, Finished) and event.usage.completion_tokens == 3
        await engine.close()
    server.close()
    await server.wait_closed()


def window(peer: str, mode: str, repetition: int, cpu_s: float) -> Window:
    none = Quantiles(0, None, None)
    slow = 1.0 if peer == DIRECT else 1.5
    times = Quantiles(9, slow, 2 * slow)
    result = LoadResult(
        2.0, 100, 1000, 500, {"late": 1}, times, none, times, {"front": cpu_s}, 0.1, 0.5
    )
    return Window(peer, mode, 16, repetition, result)


def test_the_report_has_medians_and_what_others_cost_over_ours() -> None:
    windows = [
        window(peer, mode, repetition, cpu_s * (1 + repetition))
        for peer, cpu_s in ((DIRECT, 0.001), (OURS, 0.01), ("smg", 0.02))
        for mode in (WHOLE, STREAM)
        for repetition in range(2)
    ]
    text = markdown(windows, {"litellm": "exited with 1"}, {"cores": "2"})
    assert "| 16 | gateway | 150 (100..200) | 50 (50..50) |" in text
    assert "| 16 | gateway | 15.0 (10.0..20.0) |" in text
    added = "0.50 (0.50..0.50) | 1.00 (1.00..1.00) |"
    assert text.count(f"| 16 | smg | 2.00 (2.00..2.00) | {added}") == 2
    assert text.count(f"| 16 | gateway | 1.00 (1.00..1.00) | {added}") == 2
    assert "`litellm`: exited with 1" in text
    assert "Errors of smg (whole, 16 connections): 2 x late." in text


def test_every_peer_is_told_where_to_listen_and_whom_to_ask(tmp_path: Path) -> None:
    for name, launch in PEERS.items():
        started = launch(tmp_path / name, Place(4000, tmp_path), "http://127.0.0.1:5000")
        said = " ".join(started.argv) + "".join(
            file.read_text() for file in tmp_path.iterdir() if file.is_file()
        )
        assert "4000" in said and "http://127.0.0.1:5000" in said
        assert started.port == 4000
