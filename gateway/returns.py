"""How long clients are away, learned: until they come back from their own tools, or ask again.

The gateway does not run a client's tools, but sees when it answers with a call and when the session
asks again. A row holds decayed moments of the logarithm of that gap, as absences are taken to be
log-normal (`engine.outlook`). An estimate shrinks from the tool to all clients' tools to a prior,
each level with the weight n / (n + 8), as the tools service's does.
"""

import math
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

Range: TypeAlias = tuple[float, float]
"""Seconds that eight of ten absences end in: p10 and p90."""

CALL_S: Range = (2.0, 60.0)
"""Of clients' tools before anything is learned: what agents that write code show."""
ANSWER_S: Range = (6.0, 3600.0)
"""Of answers without a call: somebody reads them."""

_Z90 = 1.2815515655446004
_SHRINK = 8.0
_DECAY = 0.98
"""Of what was learned, with every new absence: some fifty count."""
_LEAST_S = 1e-3
_TENANTS, _TOOLS = 256, 64


@dataclass(slots=True)
class Gaps:
    """Decayed moments of the logarithm of gaps."""

    weight: float = 0.0
    mean: float = 0.0
    variance: float = 0.0

    def learn(self, gap_s: float) -> None:
        """Take one gap."""
        log = math.log(max(gap_s, _LEAST_S))
        self.weight = self.weight * _DECAY + 1
        share = 1 / self.weight
        off = log - self.mean
        self.mean += share * off
        self.variance = (1 - share) * (self.variance + share * off * off)

    def shrink(self, middle: float, spread: float) -> tuple[float, float]:
        """Mean and standard deviation, as far as enough was seen; else those given."""
        share = self.weight / (self.weight + _SHRINK)
        mean = middle + share * (self.mean - middle)
        # Two sources that differ spread wider than each of them.
        between = share * (1 - share) * (self.mean - middle) ** 2
        variance = share * self.variance + (1 - share) * spread**2 + between
        return mean, math.sqrt(variance)


@dataclass(slots=True)
class Returns:
    """What was learned, by tenant and tool; of tenants and tools unused longest go first."""

    _calls: Gaps = field(default_factory=Gaps)
    _answers: Gaps = field(default_factory=Gaps)
    _tenants: OrderedDict[str, OrderedDict[str | None, Gaps]] = field(default_factory=OrderedDict)

    def __len__(self) -> int:
        return sum(len(tools) for tools in self._tenants.values())

    def expected(self, tenant: str, calls: Sequence[str]) -> Range:
        """When a client returns that was answered with these calls, or with none."""
        if not calls:
            return self._range(tenant, None)
        return max((self._range(tenant, tool) for tool in calls), key=_end)

    def learn(self, tenant: str, calls: Sequence[str], gap_s: float) -> None:
        """A client has returned. Of several calls, the one that was to take longest is learned."""
        tool = calls[0] if calls else None
        if len(calls) > 1:
            tool = max(calls, key=lambda tool: _end(self._range(tenant, tool)))
        (self._answers if tool is None else self._calls).learn(gap_s)
        tools = self._tenants.setdefault(tenant, OrderedDict())
        self._tenants.move_to_end(tenant)
        tools.setdefault(tool, Gaps()).learn(gap_s)
        tools.move_to_end(tool)
        if len(tools) > _TOOLS:
            tools.popitem(last=False)
        if len(self._tenants) > _TENANTS:
            self._tenants.popitem(last=False)

    def _range(self, tenant: str, tool: str | None) -> Range:
        whole, prior = (self._answers, _ANSWER) if tool is None else (self._calls, _CALL)
        middle, spread = whole.shrink(*prior)
        tools = self._tenants.get(tenant)
        if tools is not None and tool in tools:
            middle, spread = tools[tool].shrink(middle, spread)
        return math.exp(middle - _Z90 * spread), math.exp(middle + _Z90 * spread)


def _law(ends_s: Range) -> tuple[float, float]:
    """Mean and standard deviation of the logarithm."""
    low_s, high_s = ends_s
    return math.log(low_s * high_s) / 2, math.log(high_s / low_s) / (2 * _Z90)


_CALL, _ANSWER = _law(CALL_S), _law(ANSWER_S)


def _end(expected_s: Range) -> float:
    return expected_s[1]
