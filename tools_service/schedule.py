"""The calls that wait and the places they wait for: a policy at work, without clock or event loop.

`start` costs a few microseconds however many wait: ranks only grow, so a heap whose items are
corrected when they come to its top stays in order.
"""

from collections import OrderedDict
from collections.abc import Callable, Hashable, Mapping
from dataclasses import dataclass, field
from heapq import heapify, heappop, heappush, heapreplace

from tools_service.policy import Entry, Policy, Rank, Work, kept

_Item = tuple[Rank, int, Entry]


@dataclass(slots=True)
class Lane:
    """Places of which `kept` go to the oldest call whenever fewer than that are held by such."""

    places: int
    kept: int
    taken: int = 0
    by_age: int = 0
    running_s: float = 0.0

    @property
    def fits(self) -> bool:
        """A place is free."""
        return self.taken < self.places

    @property
    def is_for_oldest(self) -> bool:
        """The next place is one of the kept."""
        return self.by_age < self.kept

    def take(self, entry: Entry) -> bool:
        """Gives a place away; whether it was a kept one, for `free`."""
        by_age = self.is_for_oldest
        self.taken += 1
        self.by_age += by_age
        self.running_s += entry.expected_s
        return by_age

    def free(self, entry: Entry, by_age: bool) -> None:
        """Takes a place back."""
        self.taken -= 1
        self.by_age -= by_age
        self.running_s = self.running_s - entry.expected_s if self.taken else 0.0

    def delay_s(self, ahead_s: float) -> float:
        """When a place comes free, with so much expected work in front.

        A running call counts whole: with long tails, one that has run for a while is no nearer to
        its end. The first of them to end does so after a `places`-th of the mean.
        """
        return (ahead_s + self.running_s / self.places) / self.places


@dataclass(slots=True)
class Line:
    """The waiting calls under one limit, by age and by rank."""

    lane: Lane
    numbers: OrderedDict[Entry, int] = field(default_factory=OrderedDict)
    expected_s: float = 0.0
    heap: list[_Item] = field(default_factory=list)

    def add(self, rank: Rank, number: int, entry: Entry) -> None:
        """Lets a call wait."""
        self.numbers[entry] = number
        self.expected_s += entry.expected_s
        # What left by age or was cancelled lies in the heap until it comes to the top.
        if len(self.heap) > 2 * len(self.numbers) + 32:
            self.heap = [item for item in self.heap if item[2] in self.numbers]
            heapify(self.heap)
        heappush(self.heap, (rank, number, entry))

    def drop(self, entry: Entry) -> None:
        """The call waits no more."""
        del self.numbers[entry]
        self.expected_s = self.expected_s - entry.expected_s if self.numbers else 0.0

    def oldest(self) -> tuple[int, Entry]:
        """The call that has waited longest; somebody must."""
        entry, number = next(iter(self.numbers.items()))
        return number, entry

    def first(self, rank: Callable[[Entry], Rank]) -> _Item:
        """The call with the lowest rank; somebody must wait."""
        if self.lane.is_for_oldest:
            number, entry = self.oldest()
            return rank(entry), number, entry
        while True:
            known, number, entry = self.heap[0]
            if entry not in self.numbers:
                heappop(self.heap)
            elif (current := rank(entry)) != known:
                heapreplace(self.heap, (current, number, entry))
            else:
                return self.heap[0]


@dataclass(slots=True)
class _Tally:
    work: Work
    here: int = 0


class Schedule:
    """Who waits, who runs, who is next.

    `add` a call, `start` those that may run until nobody may, `finish` each; `withdraw` one that
    still waits. A call at the limit of its tool or upstream never holds up another one's.
    """

    def __init__(
        self,
        *,
        slots: int,
        per_tool: Mapping[str, int],
        policy: Policy,
        reserve: int | None = None,
        per_upstream: Mapping[str, int] | None = None,
    ) -> None:
        """A tool with a limit of its own is not counted against that of its upstream."""
        self._policy = policy
        self._all = Lane(slots, kept(slots, slots, reserve))
        # A limit of its own is a line of its own; the others share one, which has no limit.
        self._shared = Line(Lane(slots, 0))

        def lines(limits: Mapping[str, int]) -> dict[str, Line]:
            return {
                name: Line(Lane(places, kept(places, slots, reserve)))
                for name, places in limits.items()
            }

        self._tools, self._upstreams = lines(per_tool), lines(per_upstream or {})
        self._lines = (self._shared, *self._tools.values(), *self._upstreams.values())
        self._groups: dict[Hashable, _Tally] = {}
        self._running: dict[Entry, tuple[bool, bool]] = {}
        self._came = 0

    @property
    def waiting(self) -> int:
        """Calls without a slot."""
        return sum(len(line.numbers) for line in self._lines)

    @property
    def running(self) -> int:
        """Slots in use."""
        return self._all.taken

    @property
    def kept(self) -> int:
        """Slots that go to the oldest call."""
        return self._all.kept

    def add(self, entry: Entry) -> None:
        """Lets a call wait."""
        self._came += 1
        tally = self._groups.setdefault(_key(entry), _Tally(Work(0.0, self._came)))
        tally.work = _grown(tally.work, entry)
        tally.here += 1
        self._line(entry).add(self._rank(entry), self._came, entry)

    def withdraw(self, entry: Entry) -> None:
        """Forgets a call that waits."""
        self._line(entry).drop(entry)
        self._part(entry)

    def start(self) -> Entry | None:
        """The next call to run, from now on counted as running; None when nobody may start."""
        able = [line for line in self._lines if line.numbers and line.lane.fits]
        if not able or not self._all.fits:
            return None
        if self._all.is_for_oldest:
            _, entry = min(line.oldest() for line in able)
        else:
            _, _, entry = min(line.first(self._rank) for line in able)
        line = self._line(entry)
        line.drop(entry)
        self._running[entry] = (self._all.take(entry), line.lane.take(entry))
        return entry

    def finish(self, entry: Entry) -> None:
        """Gives the slot back."""
        by_age, by_age_of_tool = self._running.pop(entry)
        self._all.free(entry, by_age)
        self._line(entry).lane.free(entry, by_age_of_tool)
        self._part(entry)

    def wait_s(self, entry: Entry) -> float:
        """How long this call should wait if it came now: expected work before it, over the places.

        It knows nothing of who comes later and overtakes, so with `sjf` and `group` it is rather
        too low: who is refused would have been late, but not all who will be late are refused.
        It looks at everybody who waits; `most_s`, which is never less, does not.
        """
        tally = self._groups.get(_key(entry))
        known = tally.work if tally else Work(0.0, self._came + 1)
        mine = self._policy(entry, _grown(known, entry))
        return self._delay_s(entry, lambda line: self._ahead_s(line, mine))

    def most_s(self, entry: Entry) -> float:
        """The same, with everybody who waits before it."""
        return self._delay_s(entry, lambda line: line.expected_s)

    def _delay_s(self, entry: Entry, ahead_s: Callable[[Line], float]) -> float:
        lane = self._line(entry).lane
        own_s = 0.0 if lane.fits else lane.delay_s(ahead_s(self._line(entry)))
        if self._all.fits:
            return own_s
        return max(own_s, self._all.delay_s(sum(map(ahead_s, self._lines))))

    def _ahead_s(self, line: Line, mine: Rank) -> float:
        return sum(entry.expected_s for entry in line.numbers if self._rank(entry) <= mine)

    def _rank(self, entry: Entry) -> Rank:
        return self._policy(entry, self._groups[_key(entry)].work)

    def _line(self, entry: Entry) -> Line:
        line = self._tools.get(entry.tool)
        if line is None and entry.upstream is not None:
            line = self._upstreams.get(entry.upstream)
        return line or self._shared

    def _part(self, entry: Entry) -> None:
        key = _key(entry)
        tally = self._groups[key]
        tally.here -= 1
        if not tally.here:
            del self._groups[key]


def _key(entry: Entry) -> Hashable:
    """Ids are the callers' own: two sessions may use the same."""
    return entry if entry.group.id is None else (entry.group.session, entry.group.id)


def _grown(work: Work, entry: Entry) -> Work:
    return Work(work.expected_s + entry.expected_s, work.born)
