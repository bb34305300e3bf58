"""The live benchmark of agents: its workload, its counts, its comparison, and one small run."""

import asyncio
import statistics
from dataclasses import replace

import pytest

from benchmarks.agents.live_drive import Asked, Outcome, counters, drive, summary
from benchmarks.agents.live_house import (
    ADMISSION,
    AMPLE,
    BOTH,
    RETENTION,
    VANILLA,
    VARIANTS,
    Variant,
    house,
    profile,
)
from benchmarks.agents.live_load import TOOLS, Load, run_s, sessions
from benchmarks.agents.live_report import Row, agreements, markdown
from engine.config import EngineConfig
from gateway.config import GatewayConfig

LOAD = Load(sessions=6, live=3, requests=3)
OUTCOME = summary([Asked(True, 2, 100, 40, 1.0, True), Asked(False, 2, 100, 80, 3.0, True)], 2, {})


def rows(*shares: float, repetition: int = 0) -> list[Row]:
    """A repetition in which the variants found these shares of 1000 tokens in the cache."""
    return [
        Row(
            variant.name,
            repetition,
            replace(
                OUTCOME,
                prompt=1000,
                cached=round(1000 * share),
                later_prompt=1000,
                later_cached=round(1000 * share),
            ),
        )
        for variant, share in zip(VARIANTS, shares, strict=False)
    ]


def test_all_variants_are_given_the_same_sessions_and_tools_that_take_as_long() -> None:
    assert sessions(LOAD) == sessions(LOAD)
    assert sessions(LOAD) != sessions(replace(LOAD, seed=2))
    assert run_s(LOAD, "fetch", "s1-0", 1) == run_s(LOAD, "fetch", "s1-0", 1)
    assert len({run_s(LOAD, "fetch", "s1-0", call) for call in range(9)}) > 6


def test_sessions_differ_in_length_and_name_and_use_every_tool() -> None:
    many = sessions(replace(LOAD, sessions=60))
    assert len({session.name for session in many}) == 60
    assert {len(session.asks) for session in many} == {1, 2, 3, 4, 5}
    assert {ask.tool for session in many for ask in session.asks} == set(TOOLS)


def test_tools_have_a_heavy_tail_that_is_cut() -> None:
    load = Load(longest_s=6.0)
    times = [run_s(load, "python", "s", call) for call in range(2000)]
    assert statistics.fmean(times) > 2 * statistics.median(times)
    assert max(times) == 6.0


def test_only_later_requests_count_for_the_cached_share_and_all_for_what_was_computed() -> None:
    asked = [
        Asked(is_first=True, turns=2, prompt=100, cached=40, wait_s=1.0, is_called=True),
        Asked(is_first=False, turns=2, prompt=200, cached=150, wait_s=3.0, is_called=False),
    ]
    counted = {"vllm:num_preemptions_total": 2.0, "roundhouse_programs_set_aside_total": 3.0}
    outcome = summary(asked, 30.0, counted)
    assert outcome == Outcome(
        turns=4,
        took_s=30.0,
        worst_wait_s=3.0,
        prompt=300,
        cached=190,
        later_prompt=200,
        later_cached=150,
        preemptions=2,
        set_aside=3,
        failed_calls=1,
    )
    assert (outcome.computed, outcome.cached_share, outcome.turns_per_min) == (110, 0.75, 8.0)


def test_counters_of_a_page_are_summed_over_their_labels() -> None:
    page = 'a_total{engine="x"} 1.0\na_total{engine="y"} 2.0\nb 4.0\n'
    assert counters(f"# TYPE a counter\n{page}") == {"a_total": 3.0, "b": 4.0}


def test_the_simulated_order_is_found_by_both_figures() -> None:
    found = agreements(rows(0.5, 0.7, 0.6, 0.8))
    assert [one.verdict for one in found] == ["as simulated"] * 8
    assert {(one.worse, one.better) for one in found} == {
        (VANILLA.name, ADMISSION.name),
        (VANILLA.name, RETENTION.name),
        (ADMISSION.name, BOTH.name),
        (RETENTION.name, BOTH.name),
    }


def test_repetitions_are_counted_by_which_way_they_went() -> None:
    played = [
        *rows(0.5, 0.7, 0.6, 0.8),
        *rows(0.5, 0.7, 0.6, 0.7, repetition=1),
        *rows(0.5, 0.9, 0.6, 0.7, repetition=2),
    ]
    (one,) = (
        one
        for one in agreements(played)
        if (one.worse, one.figure) == (ADMISSION.name, "more cached")
    )
    assert (one.as_simulated, one.level, one.opposite) == (1, 1, 1)
    assert one.ratio == pytest.approx((8 / 7 + 1 + 7 / 9) / 3)
    assert one.verdict == "opposite"


def test_the_report_names_every_variant_that_ran_and_sums_up_the_verdicts() -> None:
    report = markdown(rows(0.5, 0.7, 0.6, 0.7), {"cores": "2"})
    assert "as simulated 6, level 2, opposite 0" in report
    assert "| both | 0.700 | 300 |" in report
    assert f"| {AMPLE.name} |" not in report


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: variant.name)
def test_variants_are_told_apart_by_settings_that_exist(variant: Variant) -> None:
    settings = profile(variant, LOAD, 100, "http://127.0.0.1:1/mcp")
    gateway = GatewayConfig.model_validate(settings["gateway"])
    assert isinstance(settings["engines"], list)
    (engine,) = (EngineConfig.model_validate(one) for one in settings["engines"])
    assert gateway.programs.enabled is variant.admission
    assert gateway.retention.enabled is variant.retention
    assert engine.retention is variant.retention
    assert (engine.args["num_gpu_blocks_override"] == 100) is not variant.is_ample


@pytest.mark.real
@pytest.mark.timeout(180)
def test_agents_ask_a_running_house_and_their_contexts_grow_in_its_cache() -> None:
    load = Load(sessions=2, live=2, requests=3, pace=0.01)
    with house(BOTH, load, 100) as url:
        outcome = asyncio.run(drive(url, load))
    assert outcome.turns == 2 * sum(len(session.asks) for session in sessions(load))
    assert outcome.failed_calls == 0
    assert 0.5 < outcome.cached_share < 1
    assert 0 < outcome.computed < outcome.prompt
