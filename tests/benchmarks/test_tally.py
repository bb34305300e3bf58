"""What a payload says."""

from benchmarks.tally import Tally

ROLE = b'data: {"choices":[{"delta":{"role":"assistant","content":""}}]}\n\n'
TEXT = b'data: {"choices":[{"delta":{"content":"\\n\\ndata: a"}}]}\n\n'
USAGE = b'data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2}}\n\n'
DONE = b"data: [DONE]\n\n"
STREAM = ROLE + TEXT + TEXT + USAGE + DONE


def test_events_tokens_and_the_end_survive_a_cut_anywhere() -> None:
    for cut in range(1, len(STREAM)):
        tally = Tally()
        began = tally.feed(STREAM[:cut]) + tally.feed(STREAM[cut:])
        assert began == tally.events == 5
        assert (tally.tokens, tally.terminated, tally.text_seen) == (2, True, True)


def test_a_stream_cut_before_done_has_not_terminated() -> None:
    tally = Tally()
    tally.feed(STREAM[:-1])
    assert not tally.terminated


def test_a_role_is_not_text() -> None:
    tally = Tally()
    tally.feed(ROLE)
    assert not tally.text_seen
    tally.feed(b'data: {"choices":[{"delta":{"reasoning_content":"a"}}]}\n\n')
    assert tally.text_seen


def test_a_plain_json_reply_states_its_tokens_and_has_no_events() -> None:
    tally = Tally()
    tally.feed(b'{"choices":[{"message":{"content":"a"}}],"usage":{"completion_tokens": 4}}')
    assert tally.tokens == 4
    assert tally.events == 0


def test_a_reply_without_usage_states_no_tokens() -> None:
    tally = Tally()
    tally.feed(ROLE + DONE)
    assert tally.tokens is None
