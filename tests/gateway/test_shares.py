"""What a key's tier and weight do for its requests where they have to wait."""

import asyncio
import hashlib
from collections import Counter
from pathlib import Path

import pytest

from engine.types import Usage
from gateway.program import Program, Rule, Used
from gateway.working_set import WorkingSet
from tests.parts.engine import ScriptedEngine, Step
from tests.parts.scripts import call, turn
from tests.parts.served import Answer, Served, served

OWN = {"type": "function", "function": {"name": "mine"}}
PATIENT = {"patience": 1e9}  # a script computes a prompt in no time
LARGE, SMALL = 20_000, 2_000  # tokens of prompts; an answer and growth come on top


def calls(tokens: int) -> list[Step]:
    usage = Usage(prompt_tokens=tokens, completion_tokens=10, cached_tokens=0)
    return turn(call("mine"), reason="tool_calls", usage=usage)


def crowded() -> ScriptedEngine:
    """A pool that one large program fills, and of small ones six."""
    made = ScriptedEngine(calls(LARGE), calls(SMALL))
    made.kv_tokens = 24_000
    return made


def file(folder: Path, **keys: str) -> Path:
    """A file of keys, and what each may."""
    path = folder / "keys.yaml"
    lines = ["keys:"]
    for key, terms in keys.items():
        lines += [f"- digest: {hashlib.sha256(key.encode()).hexdigest()}", f"  {terms}"]
    path.write_text("\n".join([*lines, ""]))
    return path


async def ask(it: Served, key: str, session: str, tokens: int, **more: object) -> Answer:
    """A request with a prompt of about so many tokens."""
    messages = [{"role": "user", "content": "x" * 4 * tokens}]
    body = {"messages": messages, "tools": [OWN], "session_id": session, **more}
    return await it.ask("POST", "/v1/chat/completions", body, authorization=f"Bearer {key}")


async def leave(it: Served, key: str, session: str) -> None:
    said = {"authorization": f"Bearer {key}"}
    assert (await it.ask("DELETE", f"/v1/sessions/{session}", **said)).status == 200


async def until_waiting(it: Served, programs: int) -> None:
    while it.metric("programs", engine="zero", stand="waiting") != programs:
        await it.ask("GET", "/livez")


async def until_called(it: Served, engine: ScriptedEngine, times: int) -> None:
    while len(engine.calls) < times:
        await it.ask("GET", "/livez")


async def test_whose_key_has_the_higher_tier_goes_first(tmp_path: Path) -> None:
    """Of one tier, who came first; a request may ask for less than its key's tier, not for more."""
    tiers = {tier: f"service_tier: {tier}" for tier in ("flex", "default", "priority")}
    engine = ScriptedEngine(calls(LARGE))
    engine.kv_tokens = 24_000
    come: tuple[tuple[str, dict[str, object]], ...] = (
        ("flex", {}),
        ("flex", {"service_tier": "priority"}),
        ("priority", {"service_tier": "flex"}),
        ("default", {}),
        ("priority", {}),
        ("priority", {"service_tier": "default"}),
    )
    async with (
        served(engine, programs=PATIENT, keys_file=file(tmp_path, **tiers)) as it,
        asyncio.timeout(20),
    ):
        assert (await ask(it, "default", "first", LARGE)).status == 200
        asked = []
        for number, (key, wish) in enumerate(come):
            request = ask(it, key, f"s{number}", LARGE, seed=number, **wish)
            asked.append(asyncio.create_task(request))
            await until_waiting(it, number + 1)
        await leave(it, "default", "first")
        for gone in range(len(come)):
            await until_called(it, engine, gone + 2)
            admitted = int(str(engine.calls[-1].body["seed"]))
            assert (await asked[admitted]).status == 200
            await leave(it, come[admitted][0], f"s{admitted}")
    assert [called.body["seed"] for called in engine.calls[1:]] == [4, 3, 5, 0, 1, 2]


@pytest.mark.parametrize(("weight", "places"), [(1, 3), (2, 4), (5, 5)])
async def test_a_key_gets_the_cache_by_its_weight(
    tmp_path: Path, weight: float, places: int
) -> None:
    keys = file(tmp_path, one="weight: 1", heavy=f"weight: {weight}", other="weight: 1")
    engine = crowded()
    async with served(engine, programs=PATIENT, keys_file=keys) as it, asyncio.timeout(20):
        assert (await ask(it, "other", "first", LARGE)).status == 200
        asked: list[asyncio.Task[Answer]] = []
        for key in ("one", "heavy"):  # the heavier comes last
            for number in range(6):
                request = ask(it, key, f"{key}-{number}", SMALL, user=key)
                asked.append(asyncio.create_task(request))
                await until_waiting(it, len(asked))
        await leave(it, "other", "first")
        await until_called(it, engine, 1 + 6)
        await until_waiting(it, 6)
        admitted = [called.body["user"] for called in engine.calls[1:]]
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
    assert (admitted.count("heavy"), admitted.count("one")) == (places, 6 - places)


@pytest.mark.parametrize("bound_s", [120.0, 5.0])
@pytest.mark.parametrize("weight", [0.5, 1.0, 2.0, 3.0])
def test_tenants_that_always_have_more_to_do_are_admitted_by_their_weights(
    weight: float, bound_s: float
) -> None:
    """However long they wait."""
    weights = {"one": 1.0, "other": weight}
    set_ = WorkingSet(Rule(target=1.0, bound_s=bound_s), 12 * 100)
    running: list[Program] = []
    waiting, admitted = Counter[str](), Counter[str]()
    for moment in range(600):
        for tenant, its in weights.items():
            for number in range(waiting[tenant], 8):
                key = tenant, moment, number
                one = Program(key, tenant, float(moment), growth=0.0, weight=its)
                set_.ask(one, 100, float(moment))
                waiting[tenant] += 1
        while (head := set_.grant(float(moment))) is not None:
            running.append(head)
            waiting[head.tenant] -= 1
            admitted[head.tenant] += 1
        gone = running.pop(0)  # one a moment, the longest running
        set_.end(gone, float(moment), Used(100, 0, 0))
        set_.leave(gone)
    assert admitted["other"] / admitted["one"] == pytest.approx(weight, rel=0.1)
