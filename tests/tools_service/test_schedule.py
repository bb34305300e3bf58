"""Who is next, against a plain scan of everybody who waits."""

from collections import Counter
from dataclasses import dataclass, field

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.policy import POLICIES, Entry, Group, Policy, Work, fifo, group, kept, sjf
from tools_service.schedule import Schedule


def call(
    expected_s: float = 1.0, *, tool: str = "a", group_id: str | None = None, session: str = "s"
) -> Entry:
    return Entry(tool, 0.0, expected_s, Group(id=group_id, session=session))


def started(schedule: Schedule, *entries: Entry) -> list[Entry]:
    """Lets these come, and everybody start who may."""
    for entry in entries:
        schedule.add(entry)
    return list(iter(schedule.start, None))


def drained(schedule: Schedule, running: list[Entry]) -> list[Entry]:
    """The order in which the others start, one slot at a time."""
    order = []
    while running:
        schedule.finish(running.pop(0))
        order += (new := started(schedule))
        running += new
    return order


def one_slot(policy: Policy, reserve: int | None = 0, **per_tool: int) -> Schedule:
    return Schedule(slots=1, per_tool=per_tool, policy=policy, reserve=reserve)


def test_inside_a_group_the_longest_goes_first_even_if_it_comes_last() -> None:
    schedule = one_slot(group)
    running = started(schedule, call())
    short, long, alone = call(1, group_id="g"), call(3, group_id="g"), call(3.5)
    started(schedule, short, alone, long)
    assert drained(schedule, running) == [alone, long, short]


def test_two_sessions_may_use_the_same_id() -> None:
    schedule = one_slot(group)
    running = started(schedule, call())
    mine, yours = call(2, group_id="g", session="x"), call(1, group_id="g", session="y")
    started(schedule, mine, yours)
    assert drained(schedule, running) == [yours, mine]


def test_the_longest_group_gets_the_kept_slot() -> None:
    schedule = Schedule(slots=2, per_tool={}, policy=sjf, reserve=1)
    oldest = call(50)
    first, second = started(schedule, call(), call())
    started(schedule, oldest, *(call(1) for _ in range(3)))
    schedule.finish(second)
    assert oldest not in started(schedule)
    schedule.finish(first)
    assert started(schedule) == [oldest]


def test_a_tool_at_its_limit_holds_up_nobody() -> None:
    schedule = Schedule(slots=3, per_tool={"a": 1}, policy=fifo)
    first, second, other = call(), call(), call(tool="b")
    assert started(schedule, first, second, other) == [first, other]
    schedule.finish(first)
    assert started(schedule) == [second]


def test_the_oldest_call_of_a_limited_tool_is_not_starved_by_its_like() -> None:
    schedule = Schedule(slots=8, per_tool={"a": 1}, policy=sjf, reserve=1)
    oldest, first = call(50), call(1)
    assert started(schedule, first, oldest, call(1)) == [first]
    schedule.finish(first)
    assert started(schedule) == [oldest]


def test_the_predicted_wait_is_the_work_in_front_over_the_slots() -> None:
    schedule = Schedule(slots=2, per_tool={}, policy=sjf, reserve=0)
    assert schedule.wait_s(call(1)) == 0.0
    started(schedule, call(4), call(4))
    started(schedule, call(3), call(9))
    assert schedule.wait_s(call(1)) == (0 + 8 / 2) / 2
    assert schedule.wait_s(call(5)) == (3 + 8 / 2) / 2
    assert schedule.wait_s(call(99)) == (3 + 9 + 8 / 2) / 2


def test_the_predicted_wait_knows_the_limit_of_the_tool() -> None:
    schedule = Schedule(slots=8, per_tool={"a": 1}, policy=fifo)
    started(schedule, call(4))
    started(schedule, call(3))
    assert schedule.wait_s(call(1)) == 3 + 4
    assert schedule.wait_s(call(1, tool="b")) == 0.0


def test_a_crowd_that_leaves_before_its_turn_leaves_nothing_behind() -> None:
    schedule = one_slot(group)
    (holder,) = started(schedule, call(group_id="g"))
    for _ in range(500):
        entry = call(group_id="g")
        schedule.add(entry)
        schedule.withdraw(entry)
    assert schedule.waiting == 0
    assert len(schedule._shared.heap) < 100
    schedule.finish(holder)
    assert not schedule._groups


@dataclass
class Scan:
    """The same rules, said plainly: everybody is looked at every time."""

    slots: int
    per_tool: dict[str, int]
    policy: Policy
    reserve: int | None
    waiting: list[Entry] = field(default_factory=list)
    running: list[tuple[Entry, bool, bool]] = field(default_factory=list)
    came: list[Entry] = field(default_factory=list)
    born: dict[str, int] = field(default_factory=dict)
    work_s: Counter[str] = field(default_factory=Counter)

    def add(self, entry: Entry) -> None:
        here = [held for held, _, _ in self.running] + self.waiting
        self.came.append(entry)
        name = str(entry.group.id)
        if all(other.group.id != entry.group.id for other in here):
            self.work_s[name], self.born[name] = 0, len(self.came)
        self.work_s[name] += entry.expected_s  # type: ignore[assignment]  # a Counter of seconds
        self.waiting.append(entry)

    def rank(self, entry: Entry) -> tuple[object, int]:
        name = str(entry.group.id)
        work = Work(self.work_s[name], self.born[name])
        return self.policy(entry, work), self.came.index(entry)

    def start(self) -> Entry | None:
        by_age = sum(kept_one for _, kept_one, _ in self.running)
        fit = [e for e in self.waiting if self.fits(e)]
        if not fit or len(self.running) == self.slots:
            return None
        is_kept = by_age < kept(self.slots, self.slots, self.reserve)
        chosen = fit[0] if is_kept else min(fit, key=self.rank)
        self.waiting.remove(chosen)
        self.running.append((chosen, is_kept, self.keeps(chosen.tool)))
        return chosen

    def keeps(self, tool: str) -> bool:
        """The next place of this tool is for its oldest call."""
        by_age = sum(kept_one for held, _, kept_one in self.running if held.tool == tool)
        places = self.per_tool.get(tool)
        return places is not None and by_age < kept(places, self.slots, self.reserve)

    def fits(self, entry: Entry) -> bool:
        running = sum(held.tool == entry.tool for held, _, _ in self.running)
        first = next(other for other in self.waiting if other.tool == entry.tool)
        at_turn = entry is first or not self.keeps(entry.tool)
        return running < self.per_tool.get(entry.tool, self.slots) and at_turn

    def finish(self, entry: Entry) -> None:
        self.running = [held for held in self.running if held[0] is not entry]


events = st.tuples(
    st.sampled_from(["come", "come", "finish", "withdraw"]),
    st.sampled_from("abc"),
    st.integers(1, 9),
    st.integers(0, 5),
)


@pytest.mark.parametrize("policy", POLICIES.values())
@given(
    story=st.lists(events, max_size=80),
    slots=st.integers(1, 5),
    limits=st.dictionaries(st.sampled_from("ab"), st.integers(1, 3)),
    reserve=st.none() | st.integers(0, 3),
)
def test_the_schedule_chooses_what_a_scan_of_everybody_would(
    policy: Policy,
    story: list[tuple[str, str, int, int]],
    slots: int,
    limits: dict[str, int],
    reserve: int | None,
) -> None:
    schedule = Schedule(slots=slots, per_tool=limits, policy=policy, reserve=reserve)
    scan = Scan(slots, limits, policy, reserve)
    for number, (act, tool, size, which) in enumerate(story):
        if act == "come":
            entry = Entry(tool, float(number), float(size), Group(id=f"g{which}"))
            schedule.add(entry)
            scan.add(entry)
        elif act == "finish" and scan.running:
            entry = scan.running[which % len(scan.running)][0]
            schedule.finish(entry)
            scan.finish(entry)
        elif act == "withdraw" and scan.waiting:
            schedule.withdraw(entry := scan.waiting[which % len(scan.waiting)])
            scan.waiting.remove(entry)
        while (chosen := scan.start()) is not None:
            assert schedule.start() is chosen
        assert schedule.start() is None
        assert (schedule.waiting, schedule.running) == (len(scan.waiting), len(scan.running))
