"""Report arithmetic."""

import pytest

from benchmarks.load import LoadResult, Quantiles
from benchmarks.report import (
    COST,
    FOREIGN,
    RATE,
    STREAM,
    TTFT_P99,
    Row,
    Spread,
    figures,
    markdown,
    ratio,
    spread,
)


def row(variant: str, repetition: int, front_s: float, tokens: float = 1000.0) -> Row:
    result = LoadResult(
        duration_s=2.0,
        requests=10,
        events=1000,
        tokens=tokens,
        errors={},
        ttft=Quantiles(0, None, None),
        gap=Quantiles(4, 8.0, 9.0),
        request=Quantiles(10, 100.0, 120.0),
        cpu_s={"front": front_s},
        load_busy=0.1,
        front_core_busy=0.5,
    )
    return Row(variant, STREAM, 64, repetition, result)


def test_a_spread_is_the_median_and_the_range() -> None:
    assert spread([3.0, 1.0, 2.0]) == Spread(2.0, 1.0, 3.0)
    assert spread([]) is None


def test_a_ratio_is_taken_within_a_repetition_before_the_median() -> None:
    # The second repetition ran on a machine twice as slow; its ratio is the same.
    rows = [row("gateway", 0, 0.04), row("vllm", 0, 0.08)]
    rows += [row("vllm", 1, 0.16), row("gateway", 1, 0.08)]
    rows += [row("gateway", 2, 0.04), row("vllm", 2, 0.04)]
    assert ratio(rows, "gateway", COST) == Spread(0.5, 0.5, 1.0)


def test_a_repetition_without_the_reference_gives_no_ratio() -> None:
    assert ratio([row("gateway", 0, 0.04), row("vllm", 1, 0.08)], "gateway", COST) is None


def test_a_figure_without_samples_gives_no_ratio() -> None:
    assert ratio([row("gateway", 0, 0.1), row("vllm", 0, 0.1)], "gateway", TTFT_P99) is None


def test_a_window_without_tokens_still_has_a_rate() -> None:
    rows = [row("gateway", 0, 0.1, tokens=0), row("vllm", 0, 0.1)]
    assert ratio(rows, "gateway", COST) is None
    assert ratio(rows, "gateway", RATE) == Spread(0.0, 0.0, 0.0)


def test_what_others_took_of_the_front_core_is_what_the_front_end_did_not_use() -> None:
    assert figures(row("gateway", 0, front_s=0.5).result)[FOREIGN] == pytest.approx(0.25)


def test_the_report_shows_medians_ratios_and_why_a_variant_is_missing() -> None:
    rows = [row("gateway", 0, 0.04), row("vllm", 0, 0.08)]
    text = markdown(rows, {"vllm-rust": "not runnable here: no binary"}, {"python": "3.11"})
    costs = "40.0 (40.0..40.0) | 40.0 (40.0..40.0) | 1.00 (1.00..1.00)"
    assert f"| 64 | gateway | {costs} | 500 (500..500) | - |" in text
    assert (
        "| 64 | gateway | 0.50 (0.50..0.50) | 0.50 (0.50..0.50) | 1.00 (1.00..1.00) | - |" in text
    )
    assert "`vllm-rust`: not runnable here: no binary" in text
    assert "- python: 3.11" in text


@pytest.mark.parametrize("digits", [0, 1, 2])
def test_a_spread_reads_as_median_and_range(digits: int) -> None:
    assert (
        Spread(1.0, 0.5, 2.0).text(digits) == f"{1.0:.{digits}f} ({0.5:.{digits}f}..{2:.{digits}f})"
    )
