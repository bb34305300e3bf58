"""A log-histogram of durations that forgets slowly: 8 % wide buckets, forward decay.

The newest observation always has the weight `unit`; instead of shrinking the old ones, `unit`
grows with time, and everything is divided by it before numbers get large.
"""

import math
from bisect import bisect_left
from collections.abc import Sequence
from itertools import accumulate
from typing import Annotated

import msgspec

HALF_LIFE_S = 1800.0
PAUSE_S = HALF_LIFE_S / 16
"""A pause says nothing about the tool: no more than this passes between two observations, so
about 24 of them always count, even for a tool that is called once a day."""

_LOG_RATIO = math.log(1.08)
_SHORTEST_S, _LONGEST_S = 1e-6, 1e6
_LARGEST_UNIT = 1e6

NotNegative = Annotated[float, msgspec.Meta(ge=0)]
Count = Annotated[int, msgspec.Meta(ge=0)]


class Sketch(msgspec.Struct):
    """Durations in seconds. Quantiles are within 4 % of the truth; the mean is exact."""

    samples: Count = 0
    weight: NotNegative = 0.0
    total: NotNegative = 0.0
    unit: Annotated[float, msgspec.Meta(gt=0)] = 1.0
    last_s: float = 0.0
    buckets: dict[int, NotNegative] = {}

    @property
    def strength(self) -> float:
        """How many recent observations this knowledge is worth, at most `samples`."""
        return self.weight / self.unit

    @property
    def mean(self) -> float:
        """The decayed mean. Only for a sketch that has seen something."""
        return self.total / self.weight

    def use(self, now: float) -> float:
        """How much was observed of late. Here a pause does count: the world went on meanwhile."""
        return self.strength * math.exp2(-max(now - self.last_s, 0.0) / HALF_LIFE_S)

    def add(self, value_s: float, now: float) -> None:
        """Takes in one duration, observed at the wall-clock time `now`."""
        value_s = clamped(value_s)
        self._age(now)
        place = bucket(value_s)
        self.buckets[place] = self.buckets.get(place, 0.0) + self.unit
        self.samples += 1
        self.weight += self.unit
        self.total += self.unit * value_s

    def quantiles(self, shares: Sequence[float]) -> tuple[float, ...]:
        """The durations below which these ascending shares of the weight lie."""
        buckets = sorted(self.buckets)
        upto = list(accumulate(self.buckets[bucket] for bucket in buckets))
        found: list[float] = []
        for share in shares:
            target = share * upto[-1]
            position = min(bisect_left(upto, target), len(buckets) - 1)
            weight = self.buckets[buckets[position]]
            inside = min(max(1 - (upto[position] - target) / weight, 0.0), 1.0)
            found.append(math.exp((buckets[position] + inside) * _LOG_RATIO))
        return tuple(found)

    def remaining(self, age_s: float) -> tuple[float, float]:
        """(strength of what outlived `age_s`, mean time it still took); (0, 0) if nothing did."""
        outlived = excess = 0.0
        for bucket, weight in self.buckets.items():
            middle = math.exp((bucket + 0.5) * _LOG_RATIO)
            if middle > age_s:
                outlived += weight
                excess += weight * (middle - age_s)
        return (outlived / self.unit, excess / outlived) if outlived else (0.0, 0.0)

    def merge(self, other: "Sketch") -> "Sketch":
        """Both as one: what two replicas saw, each aged to the later one's last observation."""
        last_s = max(self.last_s, other.last_s)
        merged = Sketch(samples=self.samples + other.samples, last_s=last_s, buckets={})
        for part in (self, other):
            scale = 1.0 / (part.unit * _growth(last_s - part.last_s))
            merged.weight += part.weight * scale
            merged.total += part.total * scale
            for bucket, weight in part.buckets.items():
                merged.buckets[bucket] = merged.buckets.get(bucket, 0.0) + weight * scale
        return merged

    def _age(self, now: float) -> None:
        if self.samples:
            self.unit *= _growth(now - self.last_s)
        self.last_s = max(now, self.last_s)
        if self.unit > _LARGEST_UNIT:
            self._rescale()

    def _rescale(self) -> None:
        scale = 1.0 / self.unit
        kept = {bucket: weight * scale for bucket, weight in self.buckets.items()}
        # Below a millionth of a call: keeping it would only make the file grow.
        self.buckets = {bucket: weight for bucket, weight in kept.items() if weight >= 1e-6}
        self.weight *= scale
        self.total *= scale
        self.unit = 1.0

    def damaged(self) -> bool:
        """Numbers no honest run could have produced, e.g. from an edited file."""
        numbers = (self.weight, self.total, self.unit, self.last_s, *self.buckets.values())
        far = any(abs(bucket) > 1000 for bucket in self.buckets)
        empty = self.samples > 0 and not (self.weight > 0 and any(self.buckets.values()))
        return far or empty or not all(map(math.isfinite, numbers))


def clamped(value_s: float) -> float:
    """A duration within what the buckets hold."""
    return min(max(value_s, _SHORTEST_S), _LONGEST_S)


def bucket(value_s: float) -> int:
    """The bucket of a clamped duration."""
    return math.floor(math.log(value_s) / _LOG_RATIO)


def _growth(gap_s: float) -> float:
    return math.exp2(min(max(gap_s, 0.0), PAUSE_S) / HALF_LIFE_S)
