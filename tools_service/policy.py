"""Who goes first among the calls that wait: the policies, as pure functions of what is known.

A policy ranks a call; the lowest rank starts next, and of equal ranks the older call. Calls cannot
be interrupted, so the best static order is by weight over expected mean (c-mu, SEPT). That holds
with estimates, too, as long as nobody recomputes a "remaining" time (Scully, Grosof, Mitzenmacher,
arXiv 2110.00633; Dell'Amico, arXiv 1907.04824). Hence a rank never falls while its call waits.

Order alone starves the calls it puts last. So some places are kept for the oldest (`kept`):

    With R places kept, and T the longest run of one call, a call that finds B older calls waiting
    starts within (B / R + 1) * T, whatever arrives later.

Proof: while the call waits, every kept place is busy, and only with what already held it (at most R
calls) or with one of the B older ones; R places have done those B + R calls in (B + R) / R * T.

A tool or an upstream with a limit of its own is a lane that keeps places in the same way, and its
calls can be held up by either limit. A call with b older ones in its lane, r places kept there,
starts within (B / R + b / r + b + 2) * T. For all its lane's kept places are busy during
(b / r + 1) * T at most, and there are at most b + 1 stretches between, in which the service's kept
places lose at most T each before they serve nothing but the older. Where nothing is kept there is
no bound. The proof needs lanes that share no call, so a call is in one at most: a limit of a tool
and one of its upstream, both set, stop the start of the service.

A retry is a new call here, behind those that wait: each attempt has the bound to itself. A hedge
starts only in a place that nobody who waits may have, as a call does that finds it free on arrival.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, NamedTuple

from msgspec import Meta

Name = Annotated[str, Meta(min_length=1, max_length=256)]
Positive = Annotated[float, Meta(gt=0, le=1e9)]


@dataclass(frozen=True, slots=True)
class Group:
    """The calls one model turn asked for together, as the caller describes them. All optional."""

    id: Name | None = None
    size: Annotated[int, Meta(ge=1, le=1024)] = 1
    session: Name | None = None
    deadline_s: Positive | None = None
    weight: Positive = 1.0


@dataclass(frozen=True, slots=True, eq=False)
class Entry:
    """One call that wants a slot. `arrived` is on the queue's own clock, in seconds."""

    tool: str
    arrived: float
    expected_s: float
    group: Group
    upstream: str | None = None


class Work(NamedTuple):
    """What is known of a group while one of its calls is here: the `expected_s` of all that came.

    `born` tells groups apart: the number of the group's first call.
    """

    expected_s: float
    born: int


Rank = tuple[float, int, float]
Policy = Callable[[Entry, Work], Rank]


def fifo(entry: Entry, work: Work) -> Rank:
    """In the order of arrival."""
    return (entry.arrived, 0, 0.0)


def sjf(entry: Entry, work: Work) -> Rank:
    """The shortest expected call first, whoever waits for what else."""
    return (entry.expected_s / entry.group.weight, 0, 0.0)


def group(entry: Entry, work: Work) -> Rank:
    """The group with the least expected work first, one after the other; inside, the longest call.

    A caller waits for the last call of its group. The order of groups is that of `sjf` among
    groups; the longest call goes first because it is the likeliest to be the last.
    """
    return (work.expected_s / entry.group.weight, work.born, -entry.expected_s)


POLICIES: Mapping[str, Policy] = {"group": group, "sjf": sjf, "fifo": fifo}


def kept(places: int, slots: int, reserve: int | None = None) -> int:
    """How many of these places go to the oldest call: an eighth, or as `reserve` to `slots`."""
    if reserve is None:
        return math.ceil(places / 8)
    return min(math.ceil(places * reserve / slots), places)


def bound_s(older: int, kept_places: int, longest_s: float) -> float:
    """The guarantee above, in seconds, for a call without a lane of its own."""
    return (older / kept_places + 1) * longest_s if kept_places else math.inf
