"""When spares are woken and put to sleep."""

from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.config import EngineConfig
from gateway.schedule import ALL, wanted
from gateway.spares import Order, Reading, Spares
from gateway.spares_config import DAYS, SparesConfig, WindowConfig

CONFIG = SparesConfig(wake_after_s=3, sleep_after_s=30, awake_s=60)


def reading(name: str, **changes: Any) -> Reading:
    return replace(Reading(name, is_spare=True, is_awake=True, awake_s=1e6), **changes)


def asleep(name: str) -> Reading:
    return reading(name, is_awake=False, is_asleep=True, awake_s=0.0)


@st.composite
def engines(draw: st.DrawFn) -> list[Reading]:
    made = []
    for name in "abcd"[: draw(st.integers(1, 4))]:
        state = draw(st.sampled_from(["awake", "asleep", "away"]))
        made.append(
            Reading(
                name,
                is_spare=draw(st.booleans()) or state == "asleep",
                is_awake=state == "awake",
                is_asleep=state == "asleep",
                weight=draw(st.sampled_from([0.5, 1.0, 2.0])),
                used_ratio=draw(st.floats(0, 1)) if state == "awake" else 0.0,
                waiting=draw(st.sampled_from([0, 0, 0, 1, 5])) if state == "awake" else 0,
                programs=draw(st.integers(0, 3)),
                awake_s=draw(st.sampled_from([0.0, 59.0, 60.0, 1e6])),
            )
        )
    return made


histories = st.lists(
    st.tuples(engines(), st.sampled_from([0, 0, 1, 2, ALL]), st.floats(0.1, 40)), max_size=30
)


@given(histories, st.integers(1, 3))
def test_what_is_put_to_sleep_is_a_rested_spare_the_others_can_do_without(
    history: list[tuple[list[Reading], int, float]], least: int
) -> None:
    spares, now_s = Spares(CONFIG.model_copy(update={"awake": least})), 0.0
    for readings, count, step_s in history:
        now_s += step_s
        order = spares.decide(readings, count, now_s)
        if order is None or order.wakes:
            continue
        by_name = {reading.name: reading for reading in readings}
        gone = by_name[order.engine]
        others = [r for r in readings if r.is_awake and r is not gone]
        assert gone.is_spare and gone.is_awake and gone.awake_s >= CONFIG.awake_s
        assert len(others) >= max(least, count)
        assert not any(reading.waiting for reading in readings)
        carried = sum(r.used_ratio * r.weight for r in (*others, gone))
        assert carried <= CONFIG.sleep_ratio * sum(r.weight for r in others)


@given(histories)
def test_who_is_woken_sleeps_and_somebody_needs_it(
    history: list[tuple[list[Reading], int, float]],
) -> None:
    spares, now_s = Spares(CONFIG), 0.0
    for readings, count, step_s in history:
        now_s += step_s
        order = spares.decide(readings, count, now_s)
        if order is None or not order.wakes:
            continue
        awake = [r for r in readings if r.is_awake]
        assert order.engine in [r.name for r in readings if r.is_asleep]
        mean = sum(r.used_ratio * r.weight for r in awake) / max(sum(r.weight for r in awake), 1e-9)
        needed = {
            "too_few": len(awake) < CONFIG.awake,
            "schedule": CONFIG.awake <= len(awake) < count,
            "load": mean >= CONFIG.wake_ratio or any(r.waiting for r in awake),
        }
        assert needed[order.reason]


@dataclass
class House:
    """Engines alike under a load that is shared evenly, and the rule over them."""

    load: float
    """In whole engines."""
    awake: int
    engines: int
    config: SparesConfig = CONFIG
    orders: list[Order] = field(default_factory=list)

    def run(self, seconds: int) -> None:
        spares = Spares(self.config)
        for now_s in range(seconds):
            ratio = min(1.0, self.load / self.awake)
            readings = [
                reading(f"{n}", used_ratio=ratio) if n < self.awake else asleep(f"{n}")
                for n in range(self.engines)
            ]
            order = spares.decide(readings, 0, float(now_s))
            if order is not None:
                self.awake += 1 if order.wakes else -1
                self.orders.append(order)


@given(st.floats(0, 4), st.integers(1, 4))
def test_a_load_that_does_not_change_never_turns_a_spare_back_and_forth(
    load: float, awake: int
) -> None:
    house = House(load, awake, engines=4)
    house.run(600)
    assert len({order.wakes for order in house.orders}) <= 1, house.orders
    before = len(house.orders)
    house.run(600)
    assert len(house.orders) == before, "it has come to rest"
    assert house.awake == 4 or house.load / house.awake < CONFIG.wake_ratio


@given(st.integers(1, 3))
def test_pressure_wakes_one_after_the_other_each_in_its_time(awake: int) -> None:
    house = House(load=100.0, awake=awake, engines=4)
    house.run(int(CONFIG.wake_after_s + 1) * (4 - awake))
    assert house.awake == 4
    assert [order.engine for order in house.orders] == [f"{n}" for n in range(awake, 4)]


def test_pressure_that_pauses_wakes_nobody() -> None:
    spares = Spares(CONFIG)
    for now_s in range(100):
        full = reading("a", used_ratio=1.0 if now_s % 3 else 0.5)
        assert spares.decide([full, asleep("b")], 0, float(now_s)) is None


def test_a_turn_that_waits_is_pressure_however_empty_the_cache() -> None:
    spares, readings = Spares(CONFIG), [reading("a", waiting=1), asleep("b")]
    assert spares.decide(readings, 0, 0.0) is None
    assert spares.decide(readings, 0, 3.0) == Order("b", True, "load")


def test_without_the_last_awake_engine_a_spare_is_woken_at_once() -> None:
    away = reading("a", is_awake=False)
    assert Spares(CONFIG).decide([away, asleep("b")], 0, 0.0) == Order("b", True, "too_few")


def test_of_spares_alike_the_last_goes_and_else_the_one_with_the_fewest_programs() -> None:
    for programs, gone in (((0, 0), "c"), ((1, 2), "b")):
        spares = Spares(CONFIG)
        readings = [
            reading("a", is_spare=False),
            reading("b", programs=programs[0]),
            reading("c", programs=programs[1]),
        ]
        assert spares.decide(readings, 0, 0.0) is None
        assert spares.decide(readings, 0, 30.0) == Order(gone, False, "quiet")


def at(day: int, hour: int, minute: int = 0) -> datetime:
    """A moment of the week that begins on Monday, the 5th of January 2026, in UTC."""
    return datetime(2026, 1, 5 + day, hour, minute, tzinfo=UTC)


def test_a_window_opens_on_its_days_at_its_hours() -> None:
    work = WindowConfig(days=("mon", "fri"), start=time(8), end=time(18), awake=2)
    opened = [
        (day, hour) for day in range(7) for hour in range(24) if wanted([work], UTC, at(day, hour))
    ]
    assert opened == [(day, hour) for day in (0, 4) for hour in range(8, 18)]
    assert wanted([work], UTC, at(0, 9)) == 2


def test_a_window_over_midnight_belongs_to_the_day_it_begins_on() -> None:
    night = WindowConfig(days=("sun",), start=time(22), end=time(6))
    counts = [wanted([night], UTC, at(*when)) for when in ((6, 21), (6, 22), (0, 5), (0, 6))]
    assert counts == [0, ALL, ALL, 0]


def test_hours_are_those_of_the_timezone_and_the_largest_window_counts() -> None:
    windows = [
        WindowConfig(start=time(9), end=time(10), awake=2),
        WindowConfig(start=time(9), end=time(17), awake=3),
    ]
    assert wanted(windows, ZoneInfo("Europe/Berlin"), at(0, 8, 30)) == 3
    assert wanted(windows, UTC, at(0, 8, 30)) == 0


@given(
    st.sets(st.sampled_from(DAYS), min_size=1),
    st.times(),
    st.times(),
    st.datetimes(min_value=datetime(2020, 1, 1), max_value=datetime(2030, 1, 1)),
)
def test_a_window_and_its_complement_are_never_open_together(
    days: set[Any], start: time, end: time, when: datetime
) -> None:
    if start == end:
        return
    now = when.replace(tzinfo=UTC)
    one = WindowConfig(days=tuple(DAYS), start=start, end=end)
    other = WindowConfig(days=tuple(DAYS), start=end, end=start)
    assert bool(wanted([one], UTC, now)) != bool(wanted([other], UTC, now))
    some = WindowConfig(days=tuple(days), start=start, end=end)
    assert not wanted([some], UTC, now) or wanted([one], UTC, now)


def test_an_hour_that_yaml_took_for_a_number_is_an_hour() -> None:
    said = {"start": "08:00", "end": 1080}
    window = WindowConfig.model_validate(said)
    assert (window.start, window.end) == (time(8), time(18))
    assert WindowConfig.model_validate_json(window.model_dump_json()) == window


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"sleep_ratio": 0.8}, "sleep_ratio 0.8 must be less than wake_ratio 0.8"),
        ({"timezone": "Mars/Olympus"}, "no timezone 'Mars/Olympus'"),
        ({"timezone": "../etc"}, "no timezone '../etc'"),
        ({"windows": [{"start": "8", "end": "9"}]}, "windows.0.start"),
        ({"windows": [{"start": "08:00+02:00", "end": "09:00"}]}, "say the hour alone"),
        ({"windows": [{"start": 1440, "end": "09:00"}]}, "windows.0.start"),
        ({"windows": [{"start": "08:00", "end": "09:00", "days": ["monday"]}]}, "windows.0.days"),
        ({"awake": 0}, "awake"),
    ],
)
def test_what_makes_no_sense_is_refused_with_its_name(settings: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        SparesConfig.model_validate(settings)


@pytest.mark.parametrize("flavour", ["sglang", "openai"])
def test_a_server_without_vllm_s_sleep_mode_is_no_spare(flavour: str) -> None:
    said = {"name": "a", "kind": "http", "model": "m", "url": "http://h", "flavour": flavour}
    with pytest.raises(ValidationError, match="'spare' needs vLLM's sleep mode"):
        EngineConfig.model_validate({**said, "spare": True})
