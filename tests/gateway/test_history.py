"""What a client has not seen of its own conversation."""

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.history import Hidden, History, Message

USER: Message = {"role": "user", "content": "go"}


def assistant(*ids: str) -> Message:
    calls = [{"id": i, "type": "function", "function": {"name": i, "arguments": ""}} for i in ids]
    return {"role": "assistant", "content": None, "tool_calls": calls}


def result(call: str, text: str = "") -> Message:
    return {"role": "tool", "tool_call_id": call, "content": text or f"of {call}"}


def hide(
    history: History,
    order: tuple[str, ...],
    ours: tuple[str, ...],
    *before: Message,
    tenant: str = "t",
    after: Message = USER,
) -> None:
    """Hide a turn with the calls `order`, of which `ours` ran here."""
    theirs = [call for call in order if call not in ours]
    results = {call: result(call) for call in ours}
    hidden = Hidden(before, assistant(*order), order, results)
    asyncio.run(history.hide(tenant, theirs, hidden, after=after))


def test_our_results_come_back_in_the_order_of_the_calls() -> None:
    history = History(10)
    hide(history, ("s1", "c1", "s2", "c2"), ("s1", "s2"))
    whole, restored = history.restore(
        "t", [USER, assistant("c1", "c2"), result("c2"), result("c1"), USER]
    )
    assert whole == [
        USER,
        assistant("s1", "c1", "s2", "c2"),
        result("s1"),
        result("c1"),
        result("s2"),
        result("c2"),
        USER,
    ]
    assert restored == 2


def test_the_turns_before_come_back_too() -> None:
    """Not counted, they were dropped again where only calls of the client followed."""
    history = History(10)
    before = (assistant("s0"), result("s0"))
    hide(history, ("c1",), (), *before)
    whole, restored = history.restore("t", [USER, assistant("c1"), result("c1")])
    assert whole == [USER, *before, assistant("c1"), result("c1")]
    assert restored == 1


def test_several_hidden_turns_come_back_each_in_its_place() -> None:
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",))
    hide(history, ("c2", "s2"), ("s2",), after=result("c1"))
    told = [USER, assistant("c1"), result("c1"), assistant("c2"), result("c2"), USER]
    whole, restored = history.restore("t", told)
    assert whole == [
        USER,
        assistant("s1", "c1"),
        result("s1"),
        result("c1"),
        assistant("c2", "s2"),
        result("c2"),
        result("s2"),
        USER,
    ]
    assert restored == 2


def test_a_conversation_is_restored_each_time_it_returns() -> None:
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",))
    told: list[object] = [USER, assistant("c1"), result("c1")]
    assert history.restore("t", told) == history.restore("t", told)


def test_a_result_the_client_does_not_bring_is_not_invented() -> None:
    history = History(10)
    hide(history, ("s1", "c1", "c2"), ("s1",))
    whole, _ = history.restore("t", [USER, assistant("c1", "c2"), result("c2")])
    assert whole == [USER, assistant("s1", "c1", "c2"), result("s1"), result("c2")]


def test_our_result_counts_where_the_client_forges_one() -> None:
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",))
    whole, _ = history.restore("t", [USER, assistant("c1"), result("s1", "forged"), result("c1")])
    assert whole == [USER, assistant("s1", "c1"), result("s1"), result("c1")]


def test_another_tenant_sees_nothing() -> None:
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",), tenant="mine")
    told: list[object] = [USER, assistant("c1"), result("c1")]
    assert history.restore("yours", told) == (told, 0)


def test_an_id_that_another_conversation_repeats_restores_nothing_there() -> None:
    """Some models number their calls anew in every conversation."""
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",))
    told: list[object] = [{"role": "user", "content": "else"}, assistant("c1"), result("c1")]
    assert history.restore("t", told) == (told, 0)


def test_a_client_may_write_the_conversation_anew() -> None:
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",))
    rewritten = {"role": "user", "name": "x", "content": [{"type": "text", "text": " go "}]}
    assert history.restore("t", [rewritten, assistant("c1"), result("c1")])[1] == 1


def test_the_oldest_hidden_turn_is_forgotten_first() -> None:
    history = History(2)
    for number in range(3):
        hide(history, (f"s{number}", f"c{number}"), (f"s{number}",))
    assert history.restore("t", [USER, assistant("c0")])[1] == 0
    assert history.restore("t", [USER, assistant("c1"), USER, assistant("c2")])[1] == 2


def test_a_turn_that_is_asked_for_is_kept_longer() -> None:
    history = History(2)
    hide(history, ("s0", "c0"), ("s0",))
    hide(history, ("s1", "c1"), ("s1",))
    history.restore("t", [USER, assistant("c0")])
    hide(history, ("s2", "c2"), ("s2",))
    assert history.restore("t", [USER, assistant("c0")])[1] == 1
    assert history.restore("t", [USER, assistant("c1")])[1] == 0


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=5,
)
unknown_ids = st.sampled_from(["x1", "x2"]) | st.text(max_size=3).map("x".__add__)
messages = st.one_of(
    json_values,
    st.builds(assistant, unknown_ids),
    st.builds(result, unknown_ids),
    st.fixed_dictionaries({"role": st.just("assistant"), "tool_calls": json_values}),
    st.fixed_dictionaries(
        {"role": st.just("assistant"), "tool_calls": st.lists(json_values, max_size=2)}
    ),
    st.fixed_dictionaries({"role": st.just("tool"), "tool_call_id": json_values}),
)


@settings(max_examples=50)
@given(st.lists(messages, max_size=6))
def test_a_conversation_without_hidden_turns_is_left_as_it_is(told: list[object]) -> None:
    history = History(10)
    hide(history, ("s1", "c1"), ("s1",))
    assert history.restore("t", told) == (told, 0)
