"""Admission by program under any history: the account holds, and nobody waits for nothing."""

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from gateway.program import Program, Rule, Stand, Used
from gateway.working_set import WorkingSet


class Programs(RuleBasedStateMachine):
    """Programs that ask, are granted, end, pause and leave in any order."""

    def __init__(self) -> None:
        super().__init__()
        self.set = WorkingSet(Rule(prefill_rate=1000.0, target=1.0, bound_s=100.0), 1000)
        self.now = 0.0
        self.all = [Program(str(n), f"t{n % 2}", float(n)) for n in range(6)]

    @rule(number=st.integers(0, 5), tokens=st.integers(0, 1500))
    def ask(self, number: int, tokens: int) -> None:
        self.set.ask(self.all[number], tokens, self.now)

    @rule()
    def grant(self) -> None:
        while self.set.grant(self.now) is not None:
            pass

    @rule(number=st.integers(0, 5), prompt=st.integers(0, 1200), known=st.booleans())
    def end(self, number: int, prompt: int, known: bool) -> None:
        if self.all[number].running:
            used = Used(prompt, 5, prompt // 2) if known else None
            self.set.end(self.all[number], self.now, used)

    @rule(number=st.integers(0, 5))
    def withdraw(self, number: int) -> None:
        if self.all[number].asking:
            self.set.withdraw(self.all[number])

    @rule(number=st.integers(0, 5))
    def leave(self, number: int) -> None:
        if self.all[number].stand in (Stand.IDLE, Stand.OUT):
            self.set.leave(self.all[number])

    @rule(number=st.integers(0, 5), low=st.floats(0, 50), high=st.floats(0, 500))
    def expect(self, number: int, low: float, high: float) -> None:
        self.set.expect(self.all[number], (low, high))

    @rule(seconds=st.floats(0, 60))
    def wait(self, seconds: float) -> None:
        self.now += seconds

    @precondition(lambda self: self.set.waiting)
    @rule()
    def wait_for_time(self) -> None:
        """Time alone, as long as is said, and as often as it takes, lets the first head in, unless
        too much of the pool is running."""
        self.grant()  # next_s tells of those who can't go now
        asked = self.set.waiting
        for _ in range(50 if asked else 0):
            until = self.set.next_s(self.now)
            if until is None:  # only a turn's end can help
                assert any(one.running for one in self.all)
                return
            self.now = max(self.now, until) + 1e-6
            if self.set.grant(self.now) is not None:
                break
        assert not asked or self.set.waiting < asked

    @invariant()
    def the_account_is_the_sum_of_its_programs(self) -> None:
        admitted = [p for p in self.all if p.stand in (Stand.IDLE, Stand.RUNNING)]
        assert self.set.admitted == len(admitted)
        assert self.set.waiting == sum(p.stand is Stand.WAITING for p in self.all)
        shared = max((p.shared for p in admitted), default=0)
        assert self.set.demand == pytest.approx(shared + sum(p.charge for p in admitted))
        for one in self.all:
            assert (one.stand is Stand.RUNNING) == (one.running > 0)
            assert (one.stand is Stand.WAITING) == (one.asking > 0)


TestPrograms = Programs.TestCase
