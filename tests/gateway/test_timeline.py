"""What is written down of requests, and its bounds."""

from hypothesis import given
from hypothesis import strategies as st

from engine.types import Finished, Usage
from gateway.errors import Overloaded
from gateway.events import (
    ServerCall,
    ServerCallDone,
    ServerCallStarted,
    ToolOutcome,
    ToolStarted,
)
from gateway.identity import Identity
from gateway.timeline import OF_SESSION, PLACEMENTS, TOOLS, TROUBLES, Entry, Timeline
from tests.parts.clock import Clock


def timeline(clock: Clock | None = None, most: int = 1000) -> Timeline:
    return Timeline(clock or Clock(), lambda: 1000.0, most=most)


def of(session: str, tenant: str = "t") -> Identity:
    return Identity(tenant, session, None, True)


def done(call_id: str, outcome: str = "ok") -> ServerCallDone:
    told = ToolOutcome("x", False, outcome, (1.0, 2.0), 0.25, 1.5, 1.8, 1)
    return ServerCallDone(call_id, "search", "{}", told)


def test_a_request_is_told_with_all_that_happened_to_it() -> None:
    clock = Clock()
    book = timeline(clock)
    entry = book.open("id", "chat")
    book.attach(entry, of("s"))
    entry.hold("queue", 0.5, "4 requests ran")
    entry.place("one", "home")
    entry.fail("one", ValueError("gone"))
    entry.place("two", "moved:failed")
    clock.now_s = 2.0
    entry.answer()
    entry.hear(ServerCall("c", "search", "{}"))
    entry.hear(ServerCallStarted("c", "search", ToolStarted((1.0, 3.0), 0.1)))
    entry.hear(done("c"))
    entry.hear(Finished(Usage(10, 5, 4)))
    clock.now_s = 3.0
    book.close(entry, "ok", None)
    told = book.of("t", "s")[0].told()
    assert (told["first_token_s"], told["total_s"], told["outcome"]) == (2.0, 3.0, "ok")
    assert (told["prompt_tokens"], told["cached_tokens"], told["completion_tokens"]) == (10, 4, 5)
    assert told["retried"] == 1
    assert [(p.engine, p.why, p.failed) for p in told["placements"]] == [
        ("one", "home", "gone"),
        ("two", "moved:failed", None),
    ]
    assert told["tools"] == [
        {
            "name": "search",
            "outcome": "ok",
            "began_s": 2.0,
            "expected_s": (1.0, 2.0),
            "wait_s": 0.25,
            "run_s": 1.5,
            "took_s": 1.8,
        }
    ]


def test_the_short_form_says_what_is_known_so_far() -> None:
    clock = Clock()
    entry = timeline(clock).open("id", "chat")
    entry.hold("queue", 0.25, "full")
    entry.place("one", "fewest_programs")
    assert entry.short() == "fewest_programs; waited=0.250; engine=one"
    entry.fail("one", ValueError("gone"))
    entry.place("two", "moved:failed")
    entry.hear(Finished(Usage(10, 5, 4)))
    clock.now_s = 1.5
    assert entry.short().endswith("engine=two; retried=1; cached=4/10; tools=0; total=1.500")


def test_a_wait_nobody_notices_is_not_told() -> None:
    entry = timeline().open("id", "chat")
    entry.hold("queue", 0.0001, "full")
    assert entry.held == []


def test_calls_of_equal_ids_are_told_apart_by_their_order() -> None:
    """Some models number the calls of every turn anew."""
    entry = timeline().open("id", "chat")
    for outcome in ("error", "ok"):
        entry.hear(ServerCall("call_1", "search", "{}"))
        entry.hear(done("call_1", outcome))
    assert [tool.outcome for tool in entry.tools] == ["error", "ok"]


def test_one_request_is_bounded_whatever_its_loop_does() -> None:
    entry = timeline().open("id", "chat")
    for number in range(500):
        entry.place("one", "home")
        entry.hear(ServerCall(str(number), "search", "{}"))
        entry.hear(done(str(number)))
    assert (len(entry.placements), len(entry.tools)) == (PLACEMENTS, TOOLS)


def test_troubles_are_kept_for_a_while_the_newest_first() -> None:
    book = timeline()
    for number in range(TROUBLES + 5):
        refused = Overloaded("busy " * 1000, retry_after_s=1)
        book.close(book.open(str(number), "chat"), "refused", refused)
    assert len(book.troubles) == TROUBLES
    assert book.troubles[0].id == str(TROUBLES + 4)
    assert len(book.troubles[0].message or "") <= 300
    book.close(book.open("fine", "chat"), "ok", None)
    assert book.troubles[0].id == str(TROUBLES + 4)


def test_a_forgotten_session_leaves_nothing_and_others_stay() -> None:
    book = timeline()
    for session in ("a", "b"):
        book.attach(book.open(session, "chat"), of(session))
    book.forget("t", "a")
    book.forget("t", "never")
    assert (book.of("t", "a"), len(book.of("t", "b")), len(book)) == ([], 1, 1)


def test_the_same_session_of_another_tenant_is_another() -> None:
    book = timeline()
    book.attach(book.open("id", "chat"), of("s", "one"))
    assert book.of("two", "s") == []


@given(st.lists(st.integers(0, 5), max_size=400), st.integers(OF_SESSION, 150))
def test_memory_is_bounded_and_the_latest_is_always_there(asks: list[int], most: int) -> None:
    book = timeline(most=most)
    last: dict[int, Entry] = {}
    for number, session in enumerate(asks):
        last[session] = book.open(str(number), "chat")
        book.attach(last[session], of(str(session)))
        kept = [book.of("t", str(s)) for s in range(6)]
        assert len(book) == sum(map(len, kept)) <= most
        assert all(len(entries) <= OF_SESSION for entries in kept)
        assert book.of("t", str(session), 1) == [last[session]]
