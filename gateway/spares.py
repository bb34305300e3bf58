"""When a spare engine is woken and when it is put to sleep. Pure; clocks are passed in.

One model's engines are looked at together, again and again:

- Woken is one at a time: at once when fewer are awake than must be, or than the hour calls for;
  else when those awake have been under pressure for a while without a break. After it, pressure
  must last for as long again before the next: the first needs its time to help.
- Put to sleep is one at a time: when for a while without a break nothing has waited and the others
  could have carried all that there was. What they would then carry is well below what wakes.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from gateway.spares_config import SparesConfig


@dataclass(frozen=True, slots=True)
class Reading:
    """One engine, as it stands. One that is neither awake nor asleep can't be counted on."""

    name: str
    is_spare: bool = False
    is_awake: bool = False
    """Requests are sent to it."""
    is_asleep: bool = False
    """It sleeps, and may be woken."""
    weight: float = 1.0
    used_ratio: float = 0.0
    """Share of its KV cache that is needed now."""
    waiting: int = 0
    """Turns that wait for it."""
    programs: int = 0
    """Active sessions at home there, which would compute their prompts anew elsewhere."""
    awake_s: float = 0.0
    """How long it has been awake."""


@dataclass(frozen=True, slots=True)
class Order:
    """What is to be done with an engine, and why."""

    engine: str
    wakes: bool
    reason: str


class Spares:
    """The rule for one model's engines."""

    def __init__(self, config: SparesConfig) -> None:
        self._config = config
        self._pressed_s: float | None = None
        self._quiet_s: float | None = None

    def decide(self, readings: Sequence[Reading], wanted: int, now_s: float) -> Order | None:
        """The next thing to do; `wanted` is how many awake engines the hour calls for."""
        awake = [reading for reading in readings if reading.is_awake]
        return self._wake(awake, readings, wanted, now_s) or self._rest(awake, wanted, now_s)

    def _wake(
        self, awake: Sequence[Reading], readings: Sequence[Reading], wanted: int, now_s: float
    ) -> Order | None:
        if not self._is_pressed(awake):
            self._pressed_s = None
        elif self._pressed_s is None:
            self._pressed_s = now_s
        asleep = [reading for reading in readings if reading.is_asleep]
        if not asleep:
            return None
        reason = None
        if len(awake) < self._config.awake:
            reason = "too_few"
        elif len(awake) < wanted:
            reason = "schedule"
        elif self._pressed_s is not None and now_s - self._pressed_s >= self._config.wake_after_s:
            reason = "load"
        if reason is None:
            return None
        self._pressed_s = self._quiet_s = None
        return Order(asleep[0].name, True, reason)

    def _is_pressed(self, awake: Sequence[Reading]) -> bool:
        waiting = sum(reading.waiting for reading in awake)
        return waiting >= self._config.wake_waiting or (
            bool(awake) and _carried(awake) / _weight(awake) >= self._config.wake_ratio
        )

    def _rest(self, awake: Sequence[Reading], wanted: int, now_s: float) -> Order | None:
        tired = [r for r in awake if r.is_spare and r.awake_s >= self._config.awake_s]
        # The last of the profile goes first where it makes no difference; it is woken last.
        one = min(reversed(tired), key=lambda reading: reading.programs, default=None)
        if one is None or not self._can_do_without(one, awake, wanted):
            self._quiet_s = None
            return None
        if self._quiet_s is None:
            self._quiet_s = now_s
        if now_s - self._quiet_s < self._config.sleep_after_s:
            return None
        self._quiet_s = None
        return Order(one.name, False, "quiet")

    def _can_do_without(self, one: Reading, awake: Sequence[Reading], wanted: int) -> bool:
        others = [reading for reading in awake if reading is not one]
        if len(others) < max(self._config.awake, wanted):
            return False
        if any(reading.waiting for reading in awake):
            return False
        return _carried(awake) <= self._config.sleep_ratio * _weight(others)


def _weight(readings: Sequence[Reading]) -> float:
    return sum(reading.weight for reading in readings)


def _carried(readings: Sequence[Reading]) -> float:
    """What they carry together, in engines of weight 1."""
    return sum(reading.used_ratio * reading.weight for reading in readings)
