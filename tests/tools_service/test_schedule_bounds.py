"""The guarantee on waits, in virtual time, and that no slot stays idle for nothing."""

import heapq
import math
from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.policy import POLICIES, Entry, Group, Policy, bound_s, kept, sjf
from tools_service.schedule import Schedule

LONGEST_S = 8.0


@dataclass
class World:
    """A service whose calls run as long as the story says, up to LONGEST_S."""

    schedule: Schedule
    limits: dict[str, int]
    slots: int
    now: float = 0.0
    ends: list[tuple[float, int, Entry]] = field(default_factory=list)
    waiting: dict[Entry, float] = field(default_factory=dict)
    run_s: dict[Entry, float] = field(default_factory=dict)
    older: dict[Entry, tuple[int, int]] = field(default_factory=dict)
    waits: dict[Entry, float] = field(default_factory=dict)
    running: list[Entry] = field(default_factory=list)

    def come(self, entry: Entry, run_s: float) -> None:
        self.run_until(entry.arrived)
        alike = sum(self.lane(other) == self.lane(entry) for other in self.waiting)
        self.older[entry] = (len(self.waiting), alike)
        self.waiting[entry] = self.now
        self.run_s[entry] = run_s
        self.schedule.add(entry)
        self.fill()

    def leave(self, entry: Entry) -> None:
        """Its caller is gone, whether it waits or runs."""
        if self.waiting.pop(entry, None) is not None:
            self.schedule.withdraw(entry)
        elif entry in self.running:
            self.ends = [item for item in self.ends if item[2] is not entry]
            heapq.heapify(self.ends)
            self.end(entry)
        self.fill()

    def run_until(self, time_s: float) -> None:
        while self.ends and self.ends[0][0] <= time_s:
            self.now, _, entry = heapq.heappop(self.ends)
            self.end(entry)
            self.fill()
        self.now = max(self.now, min(time_s, 1e9))

    def end(self, entry: Entry) -> None:
        self.running.remove(entry)
        self.schedule.finish(entry)

    def fill(self) -> None:
        while (entry := self.schedule.start()) is not None:
            self.waits[entry] = self.now - self.waiting.pop(entry)
            self.running.append(entry)
            heapq.heappush(self.ends, (self.now + self.run_s[entry], len(self.waits), entry))
        self.check()

    def check(self) -> None:
        """Limits hold, and whoever waits is held up by one."""
        assert len(self.running) == self.schedule.running <= self.slots
        held = Counter(map(self.lane, self.running))
        assert all(held[lane] <= places for lane, places in self.limits.items())
        if len(self.running) < self.slots:
            lanes = map(self.lane, self.waiting)
            assert all(held[lane] == self.limits.get(lane or "") for lane in lanes)

    def lane(self, entry: Entry) -> str | None:
        """The limit it is under, beside that of all."""
        names = (name for name in (entry.tool, entry.upstream) if name in self.limits)
        return next(names, None)


calls = st.tuples(
    st.floats(0, 3),  # since the last one came
    st.sampled_from("abc"),
    st.floats(0.01, LONGEST_S),  # how long it runs
    st.floats(0.01, 20),  # and is expected to
    st.integers(0, 6),
    st.booleans(),  # its caller leaves half a time unit later
)


@pytest.mark.parametrize("policy", POLICIES.values())
@given(
    story=st.lists(calls, max_size=120),
    slots=st.integers(1, 10),
    reserve=st.none() | st.integers(1, 10),
    # An upstream of two tools, a tool by itself; "a" and "b" are in the upstream.
    limits=st.dictionaries(st.sampled_from(["up", "c"]), st.integers(1, 4))
    | st.dictionaries(st.sampled_from(["a", "b"]), st.integers(1, 4)),
)
def test_no_call_waits_longer_than_the_guarantee(
    policy: Policy,
    story: list[tuple[float, str, float, float, int, bool]],
    slots: int,
    reserve: int | None,
    limits: dict[str, int],
) -> None:
    schedule = Schedule(
        slots=slots, per_tool=limits, policy=policy, reserve=reserve, per_upstream=limits
    )
    world = World(schedule, limits, slots)
    now = 0.0
    for gap_s, tool, run_s, expected_s, group_id, leaves in story:
        now += gap_s
        upstream = None if tool == "c" else "up"
        entry = Entry(tool, now, expected_s, Group(id=f"g{group_id}"), upstream)
        world.come(entry, run_s)
        if leaves:
            now += 0.5
            world.run_until(now)
            world.leave(entry)
    world.run_until(math.inf)
    assert not world.waiting
    assert not schedule.running
    for entry, wait_s in world.waits.items():
        assert wait_s <= allowed_s(entry, world, reserve) + 1e-6


def allowed_s(entry: Entry, world: World, reserve: int | None) -> float:
    """The docstring of the policies, as numbers."""
    older, alike = world.older[entry]
    kept_slots = kept(world.slots, world.slots, reserve)
    lane = world.lane(entry)
    if lane is None:
        return bound_s(older, kept_slots, LONGEST_S)
    kept_places = kept(world.limits[lane], world.slots, reserve)
    return (older / kept_slots + alike / kept_places + alike + 2) * LONGEST_S


@pytest.mark.parametrize(("reserve", "starves"), [(0, True), (1, False)])
def test_without_a_kept_slot_a_stream_of_short_calls_starves_a_long_one(
    reserve: int, starves: bool
) -> None:
    schedule = Schedule(slots=2, per_tool={}, policy=sjf, reserve=reserve)
    world = World(schedule, {}, 2)
    long = Entry("a", 0.0, LONGEST_S, Group())
    for number in range(3):
        world.come(Entry("a", 0.0, 1.0, Group()), 1.0 + number / 4)
    world.come(long, LONGEST_S)
    for number in range(200):
        world.come(Entry("a", number / 2, 1.0, Group()), 1.0)
    assert (long not in world.waits) is starves
