"""The policies that are compared, by name."""

import math
from dataclasses import dataclass, field, replace
from typing import Literal, TypeAlias

from benchmarks.agents.knowledge import Kind
from gateway.program import Rule

Order: TypeAlias = Literal["fcfs", "program", "least-served"]
Gate: TypeAlias = Literal["none", "programs", "thunder"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may enter, in what order the engine takes turns, and what it keeps."""

    name: str
    gate: Gate = "none"
    rule: Rule = field(default_factory=Rule)
    half_life_s: float = math.inf
    """In which the weight of a session in a tool halves, for the gate `thunder`."""
    order: Order = "fcfs"
    retention: bool = False
    knows: Kind = "events"
    pin_s: float | None = None
    """How long a context is pinned after each turn."""
    cap_load: float | None = None
    """The load of as many sessions as may be begun at once."""
    unbounded: bool = False
    """A pool that holds everything."""


def _known(policy: Policy) -> tuple[Policy, ...]:
    kinds: tuple[Kind, ...] = ("events", "table", "noisy", "perfect")
    return tuple(replace(policy, name=f"{policy.name}, {kind}", knows=kind) for kind in kinds)


VANILLA, CAP, CLAIRVOYANT = "vanilla", "cap", "clairvoyant"
CLAIRVOYANT_CAP = f"{CLAIRVOYANT} {CAP}"
OURS = "gate + retention, table"

_BOTH = Policy("gate + retention", gate="programs", retention=True)
_RULES = (
    Rule(target=0.8),
    Rule(target=0.95, patience=0.25),
    Rule(target=0.95, patience=16.0),
    Rule(target=1.1),
)
POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(VANILLA),
        Policy("program order", order="program"),
        Policy("least served", order="least-served"),
        Policy("thunder gate", gate="thunder"),
        Policy("thunder gate, decay", gate="thunder", half_life_s=1.0),
        Policy("pins of 15 s", order="program", pin_s=15.0),
        Policy("gate, events", gate="programs"),
        Policy("gate, table", gate="programs", knows="table"),
        *_known(Policy("retention", retention=True)),
        *_known(_BOTH),
        *(
            replace(_BOTH, name=f"{CLAIRVOYANT} {number}", knows="perfect", rule=rule)
            for number, rule in enumerate(_RULES, 1)
        ),
        Policy("unbounded pool", unbounded=True),
    )
}


def named(name: str) -> Policy:
    """The policy of that name; `cap LOAD` is a fixed number of sessions at once, as many as make
    the load, and `clairvoyant cap LOAD` the same with retention that knows all gaps.

    Raises:
        KeyError: there is no such policy.
    """
    words, _, load = name.rpartition(" ")
    if words == CAP:
        return Policy(name, cap_load=float(load))
    if words == CLAIRVOYANT_CAP:
        return Policy(name, cap_load=float(load), retention=True, knows="perfect")
    return POLICIES[name]
