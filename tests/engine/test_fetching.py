"""When contexts are fetched before their sessions return, and how many at once."""

import asyncio

from engine.outlook import Outlook
from engine.vllm.fetching import Fetching, due_s


class Gate:
    """Fetches that last until they are let go."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: list[str] = []
        self.changed = asyncio.Event()
        self.open = asyncio.Event()

    async def fetch(self, outlook: Outlook) -> None:
        self.begun.append(outlook.session)
        self.changed.set()
        try:
            await self.open.wait()
        finally:
            self.ended.append(outlook.session)
            self.changed.set()

    async def until(self, begun: int, ended: int = 0) -> None:
        """Return when so many have begun and ended."""
        async with asyncio.timeout(5):
            while len(self.begun) < begun or len(self.ended) < ended:
                self.changed.clear()
                await self.changed.wait()


def test_a_context_is_due_before_the_earliest_return() -> None:
    outlook = Outlook("a", "away", gone_s=2.0, expected_s=(10.0, 60.0))
    assert due_s(outlook, 1.0) == 7.0


def test_an_overdue_session_and_one_whose_tool_has_ended_are_due_at_once() -> None:
    assert due_s(Outlook("a", "away", gone_s=20.0, expected_s=(10.0, 60.0)), 1.0) == 0
    assert due_s(Outlook("a", "coming"), 1.0) == 0


def test_nobody_is_fetched_who_is_not_expected() -> None:
    assert due_s(Outlook("a", "away"), 1.0) is None
    assert due_s(Outlook("a", "aside", expected_s=(1.0, 2.0)), 1.0) is None
    assert due_s(Outlook("a", "done"), 1.0) is None


async def test_no_more_are_fetched_at_once_than_said() -> None:
    gate = Gate()
    fetching = Fetching(gate.fetch, most=2, lead_s=1.0)
    for name in "abc":
        fetching.expect(Outlook(name, "coming"))
    await gate.until(2)
    assert gate.begun == ["a", "b"]

    gate.open.set()
    await gate.until(3, 3)
    await fetching.close()


async def test_a_turn_that_arrives_ends_its_fetch_and_makes_way_for_the_next() -> None:
    gate = Gate()
    fetching = Fetching(gate.fetch, most=1, lead_s=1.0)
    fetching.expect(Outlook("a", "coming"))
    fetching.expect(Outlook("b", "coming"))
    await gate.until(1)
    fetching.drop("a")
    await gate.until(2, 1)

    assert gate.ended == ["a"]
    await fetching.close()
    assert gate.ended == ["a", "b"]
