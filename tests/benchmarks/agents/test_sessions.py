"""Sessions, generated and recorded."""

import gzip
from itertools import islice, pairwise
from pathlib import Path

import pytest

from benchmarks.agents.generator import TOOLS, sessions
from benchmarks.agents.sessions import HUMAN, Bounds, Turn, mean_context, spent_s
from benchmarks.agents.trace import BadTrace, read
from benchmarks.agents.workload import Workload

# (p25, p50, p75, p90) of 268 recorded sessions with 8 turns and contexts of at most 200,000 tokens,
# cut after 16 turns (kv-cache-tester, Apache-2.0).
FIRST = (18_258, 20_727, 65_974, 104_190)
PROMPT = (38_304, 60_546, 92_510, 122_820)
ANSWER = (140, 235, 457, 996)
TOOL_S = (5, 8, 16, 63)
HUMAN_S = (26, 73, 193, 759)
BROKEN = 0.022
NEAR = 0.25

WHOLE = Bounds(tool_s=1e9, human_s=1e9)
SCRIPTS = [script for script in map(WHOLE.cut, islice(sessions(1), 1500)) if script]
TURNS = [turn for script in SCRIPTS for turn in script]

HEAD = "trace,path,turn,in_tok,out_tok,blocks,shared_blocks_prev,think_time,input_types\n"


def quantiles(values: list[float]) -> list[float]:
    ranked = sorted(values)
    return [ranked[int(share * len(ranked))] for share in (0.25, 0.5, 0.75, 0.9)]


@pytest.mark.parametrize(
    ("found", "recorded"),
    [
        ([float(script[0].prompt) for script in SCRIPTS], FIRST),
        ([float(turn.prompt) for turn in TURNS], PROMPT),
        ([float(turn.answer) for turn in TURNS], ANSWER),
        ([turn.gap_s for turn in TURNS if turn.tool in TOOLS], TOOL_S),
        ([turn.gap_s for turn in TURNS if turn.tool == HUMAN], HUMAN_S),
    ],
    ids=["first prompts", "prompts", "answers", "tool gaps", "human gaps"],
)
def test_generated_sessions_have_the_recorded_quantiles(
    found: list[float], recorded: tuple[float, ...]
) -> None:
    assert quantiles(found) == pytest.approx(list(recorded), rel=NEAR)


def test_generated_sessions_break_their_prefix_as_often_as_recorded_ones() -> None:
    broken = [
        after.kept < before.context for script in SCRIPTS for before, after in pairwise(script)
    ]
    assert sum(broken) / len(broken) == pytest.approx(BROKEN, rel=NEAR)


def test_a_seed_makes_the_same_sessions_again() -> None:
    assert list(islice(sessions(3), 5)) == list(islice(sessions(3), 5))
    assert list(islice(sessions(3), 5)) != list(islice(sessions(4), 5))


def test_gaps_are_cut_and_sessions_that_are_too_short_or_too_long_left_out() -> None:
    turn = Turn(100, 10, 0, "bash", 500.0)
    bounds = Bounds(least_turns=2, most_turns=2, longest=200, tool_s=60.0)
    assert bounds.cut([turn]) is None
    assert bounds.cut([turn, Turn(300, 10, 110)]) is None
    kept = bounds.cut([turn, turn, Turn(300, 10, 110)])
    assert kept is not None
    assert [turn.gap_s for turn in kept] == [60.0, 60.0]


def test_a_context_weighs_as_long_as_it_stays() -> None:
    script = (Turn(1_000, 100, 0), Turn(9_000, 100, 1_100, "bash", 96.0))
    assert spent_s(script) == 100.0
    assert mean_context([script]) == pytest.approx((98 * 1_100 + 2 * 9_100) / 100)


def test_a_recorded_session_keeps_its_answer_unless_its_prefix_broke(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv.gz"
    rows = (
        "a,,0,1000,50,16,0,,text\n"
        "a,/1,0,7000,50,110,0,3,text\n"  # a sub-agent
        "a,,2,1200,60,19,15,4.0,tool_result\n"
        "a,,3,1300,70,20,5,9.0,text\n"
    )
    path.write_bytes(gzip.compress((HEAD + rows).encode()))
    (script,) = read(path)
    assert script == (
        Turn(1000, 50, 0),
        Turn(1200, 60, 1050, "tool_result", 4.0),
        Turn(1300, 70, 320, HUMAN, 9.0),
    )


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("trace,path\n", "no column 'in_tok'"),
        (HEAD, "no sessions"),
        (HEAD + "a,,0,many,50,16,0,,text\n", "many"),
    ],
)
def test_a_trace_that_cant_be_read_says_why(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(text)
    with pytest.raises(BadTrace, match=says):
        read(path)


def test_a_trace_without_a_session_that_fits_says_so(tmp_path: Path) -> None:
    path = tmp_path / "trace.csv"
    path.write_text(HEAD + "a,,0,1000,50,16,0,,text\n")
    with pytest.raises(BadTrace, match="no session has 8 turns"):
        Workload(trace=str(path)).scripts(1)


def test_a_load_is_what_the_sessions_hold_with_the_prefix_once() -> None:
    workload = Workload(sessions=100)
    scripts = workload.scripts(1)
    live = workload.live(1.0, scripts)
    held = 15_000 + live * (mean_context(scripts) - 15_000)
    assert held == pytest.approx(workload.costs.pool, rel=0.02)
