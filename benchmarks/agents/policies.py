"""The policies that are compared, by name."""

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from benchmarks.agents.knowledge import Kind
from gateway.program import Rule

Order: TypeAlias = Literal["fcfs", "program", "least-served"]
Gate: TypeAlias = Literal["none", "working-set", "thunder"]


@dataclass(frozen=True, slots=True)
class Policy:
    """Who may enter, in what order the engine takes turns, and what it keeps."""

    name: str
    gate: Gate = "none"
    rule: Rule = field(default_factory=Rule)
    order: Order = "fcfs"
    retention: bool = False
    knows: Kind = "events"
    pin_s: float | None = None
    """How long a context is pinned after each turn."""
    cap_load: float | None = None
    """The load of as many sessions as may be begun at once."""
    unbounded: bool = False
    """A pool that holds everything."""


def capped(load: float) -> Policy:
    """A fixed number of sessions at once: as many as make the load."""
    return Policy(f"cap {load:g}", cap_load=load)


VANILLA = "vanilla"
POLICIES: dict[str, Policy] = {
    policy.name: policy
    for policy in (
        Policy(VANILLA),
        Policy("program order", order="program"),
        Policy("least served", order="least-served"),
        Policy("gate, events", gate="working-set"),
        Policy("gate, table", gate="working-set", knows="table"),
        Policy("gate, noisy", gate="working-set", knows="noisy"),
        Policy("gate, perfect", gate="working-set", knows="perfect"),
        Policy("unbounded pool", unbounded=True),
    )
}
