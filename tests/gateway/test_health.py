"""When an engine is out of the routing."""

from hypothesis import given
from hypothesis import strategies as st

from gateway.config import FailuresConfig
from gateway.health import Health

CONFIG = FailuresConfig(in_a_row=3, probe_s=1.0, probe_max_s=8.0)
ends = st.sampled_from(["well", "failed", "refused"])


def play(health: Health, histories: list[str]) -> None:
    for now_s, end in enumerate(histories):
        if end == "well":
            health.succeed()
        elif end == "failed":
            health.fail()
        else:
            health.press(float(now_s), 1.0)


@given(st.lists(ends))
def test_an_engine_is_ejected_exactly_after_so_many_failures_in_a_row(ended: list[str]) -> None:
    health = Health(CONFIG)
    row, ejected = 0, False
    for now_s, end in enumerate(ended):
        play(health, [end]) if end != "refused" else health.press(float(now_s), 1.0)
        row = row + 1 if end == "failed" else 0
        ejected = (ejected and end != "well") or row >= CONFIG.in_a_row
        assert health.is_ejected == ejected


@given(st.lists(st.sampled_from(["refused", "well"])))
def test_back_pressure_never_ejects(ended: list[str]) -> None:
    health = Health(CONFIG)
    play(health, ended)
    assert not health.is_ejected


@given(st.lists(ends))
def test_one_good_answer_brings_an_engine_back(ended: list[str]) -> None:
    health = Health(CONFIG)
    play(health, ended)
    health.succeed()
    assert not health.is_ejected
    assert health.probe_after_s == CONFIG.probe_s


@given(st.integers(0, 20))
def test_probes_come_within_seconds_however_long_an_engine_is_away(failed: int) -> None:
    health = Health(CONFIG)
    for _ in range(failed):
        health.fail_probe()
    assert CONFIG.probe_s <= health.probe_after_s <= CONFIG.probe_max_s


@given(st.floats(0, 1e6), st.floats(1, 59))
def test_pressure_is_remembered_for_as_long_as_the_engine_asked_and_no_longer_than_a_probe(
    now_s: float, wait_s: float
) -> None:
    health = Health(CONFIG)
    assert not health.is_pressed(now_s)
    health.press(now_s, wait_s)
    assert health.is_pressed(now_s)
    assert not health.is_pressed(now_s + min(wait_s, CONFIG.probe_max_s) + 0.01)
