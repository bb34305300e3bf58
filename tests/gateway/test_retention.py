"""What engines are told of sessions between their turns, as it happens to real requests."""

import asyncio

from engine.outlook import Outlook
from engine.types import Usage
from gateway.returns import ANSWER_S, CALL_S
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, text, turn
from tests.parts.served import Answer, Served, served
from tests.parts.tools import ScriptedTool, tools_service

MCP = {"type": "mcp", "server_label": "roundhouse"}
OWN = {"type": "function", "function": {"name": "mine"}}
USED = Usage(prompt_tokens=6000, completion_tokens=10, cached_tokens=0)
ANSWER = turn(text("so"), usage=USED)
CALLS = turn(call("mine"), reason="tool_calls", usage=USED)
ALL = {"programs": {"enabled": False}}


def stands(engine: ScriptedEngine) -> list[str]:
    return [outlook.stand for outlook in engine.outlooks]


def near(outlook: Outlook, expected_s: tuple[float, float]) -> bool:
    assert outlook.expected_s is not None
    return all(
        abs(a - b) < 0.3 * b + 0.5 for a, b in zip(outlook.expected_s, expected_s, strict=True)
    )


async def test_after_an_answer_a_session_is_away_until_its_client_asks_again() -> None:
    engine = ScriptedEngine(ANSWER)
    async with served(engine, **ALL) as it:
        await it.chat(session_id="s")
        (away,) = engine.outlooks
        assert (away.stand, near(away, ANSWER_S)) == ("away", True)
        await it.chat(session_id="s")
        await it.ask("DELETE", "/v1/sessions/s")
        assert stands(engine) == ["away", "coming", "away", "done"]
        assert it.metric("outlooks_total", engine="zero", stand="away") == 2
        assert it.metric("client_returns_total", after="answer", end="early") == 1


async def test_a_session_that_waits_for_its_client_s_tool_is_expected_back_sooner() -> None:
    engine = ScriptedEngine(CALLS)
    async with served(engine, **ALL) as it:
        for _ in range(3):
            await it.chat(session_id="s", tools=[OWN])
        assert stands(engine) == ["away", "coming", "away", "coming", "away"]
        assert near(engine.outlooks[0], CALL_S)
        first, last = engine.outlooks[0].expected_s, engine.outlooks[-1].expected_s
        assert first is not None and last is not None and last[0] < first[0], "it has learned"
        returns = [
            it.metric("client_returns_total", after="call", end=end)
            for end in ("early", "inside", "late")
        ]
        assert sum(returns) == 2


async def test_in_tools_of_ours_a_session_is_away_for_as_long_as_the_longest_takes() -> None:
    short = ScriptedTool("short", expected_s=(0.1, 0.2), gate=asyncio.Event())
    long = ScriptedTool("long", expected_s=(30.0, 50.0), gate=asyncio.Event())
    both = turn(call("short", id="a"), call("long", id="b", index=1), reason="tool_calls")
    engine = ScriptedEngine(both, ANSWER)
    async with tools_service(short, long) as url, served(engine, tools={"url": url}, **ALL) as it:
        asking = asyncio.create_task(it.chat(session_id="s", tools=[MCP]))
        async with asyncio.timeout(5):
            await short.started.wait()
            await long.started.wait()
            while len(engine.outlooks) < 2:
                await it.ask("GET", "/livez")
        assert stands(engine) == ["away", "away"]
        assert near(engine.outlooks[-1], (30.0, 50.0))
        for tool in (short, long):
            assert tool.gate is not None
            tool.gate.set()
        assert (await asking).status == 200
        assert stands(engine)[2:] == ["coming", "away"]
        assert near(engine.outlooks[-1], ANSWER_S)


async def test_a_session_that_moves_is_done_at_the_engine_it_leaves() -> None:
    old, new = ScriptedEngine(ANSWER, name="old"), ScriptedEngine(ANSWER, name="new")
    async with served(old, new, admin_key="a", **ALL) as it:
        first = await it.chat(session_id="s")
        home, other = (old, new) if first.headers["x-roundhouse-engine"] == "old" else (new, old)
        it.gateway.fleet.members[home.name].is_draining = True
        await it.chat(session_id="s")
        assert stands(home) == ["away", "coming", "done"]
        assert stands(other) == ["away"]


async def test_a_session_whose_client_leaves_comes_back_nobody_knows_when() -> None:
    engine = ScriptedEngine([*ANSWER[:1], asyncio.Event()])
    async with served(engine, **ALL) as it, asyncio.timeout(5):
        leaving = asyncio.create_task(it.chat(session_id="s", stream=True))
        await engine.asked.wait()
        leaving.cancel()
        await engine.left.wait()
        while not engine.outlooks:
            await it.ask("GET", "/livez")
        (away,) = engine.outlooks
        assert (away.stand, away.expected_s) == ("away", None)


async def test_whom_admission_sets_aside_is_aside_until_its_turn_is_let_in() -> None:
    engine = ScriptedEngine(ANSWER)
    engine.kv_tokens = 10_000
    async with served(engine) as it, asyncio.timeout(10):
        for session in ("first", "second"):
            await _long(it, session)
        first, second = (outlook.session for outlook in (engine.outlooks[0], engine.outlooks[-1]))
        assert stands(engine) == ["away", "aside", "away"]
        assert engine.outlooks[1].session == first != second
        await _long(it, "first")
        told = [(outlook.session, outlook.stand) for outlook in engine.outlooks[3:]]
        assert told == [(second, "aside"), (first, "away")]


async def test_two_tenants_sessions_of_one_name_are_two_to_the_engine() -> None:
    engine = ScriptedEngine(ANSWER)
    async with served(engine, api_keys=["one", "two"], **ALL) as it:
        for key in ("one", "two", "one"):
            body = {"messages": [{"role": "user", "content": "hi"}], "session_id": "s"}
            headers = {"authorization": f"Bearer {key}"}
            answer = await it.ask("POST", "/v1/chat/completions", body, **headers)
            assert answer.headers["x-roundhouse-session"] == "s"
            asked = engine.calls[-1].session
            assert asked is not None and asked not in answer.content.decode()
        names = [called.session for called in engine.calls]
        assert names[0] == names[2] != names[1]
        assert {outlook.session for outlook in engine.outlooks} == set(names)


async def test_switched_off_engines_are_told_nothing() -> None:
    engine = ScriptedEngine(ANSWER)
    async with served(engine, retention={"enabled": False}) as it:
        for _ in range(2):
            await it.chat(session_id="s")
        assert engine.outlooks == []
        assert it.metric("client_returns_total", after="answer", end="early") == 1


async def test_of_sessions_nobody_can_come_back_to_nothing_is_kept() -> None:
    engine = ScriptedEngine(ANSWER)
    async with served(engine, **ALL) as it:
        for _ in range(3):
            await it.ask("POST", "/v1/completions", {"prompt": "hi"})
        assert stands(engine) == ["away", "done"] * 3
        assert len(it.gateway.retention) == 0


async def test_calls_weigh_by_the_cache_that_waits_for_them_once_it_is_nearly_full() -> None:
    tool = ScriptedTool("search")
    ask_tool = turn(call("search"), reason="tool_calls", usage=USED)
    script: list[list[Step]] = [ask_tool, ANSWER]
    weights = []
    for pool in (1_000_000, 8_000):
        for weigh in (True, False):
            engine = ScriptedEngine(*script)
            engine.kv_tokens = pool
            async with (
                tools_service(tool) as url,
                served(engine, tools={"url": url, "weigh_kv": weigh}) as it,
            ):
                assert (await _long(it, "s", tools=[MCP])).status == 200
            weights.append(tool.calls[-1]["_meta"]["roundhouse/group"]["weight"])
    assert weights[0] == weights[1] == weights[3] == 1.0
    assert weights[2] > 1.5


async def _long(it: Served, session: str, **more: object) -> Answer:
    content = "x" * 24_000  # about 6000 tokens
    return await it.chat(
        messages=[{"role": "user", "content": content}], session_id=session, **more
    )
