"""The benchmark of overload: what counts as answered, as refused, and as kept."""

from dataclasses import replace

import pytest

from benchmarks.arrivals import ArrivalResult, outcome
from benchmarks.connection import Reply
from benchmarks.load import LoadResult, Quantiles
from benchmarks.overload import Options, run
from benchmarks.overload_report import Overload, findings, markdown

NONE = Quantiles(0, None, None)
STREAM = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
TOKEN, DONE = b'data: {"choices":[{"delta":{"content":"a"}}]}\n\n', b"data: [DONE]\n\n"
USAGE = b'data: {"choices":[],"usage":{"completion_tokens":3}}\n\n'


def reply(head: bytes, *events: bytes) -> Reply:
    one = Reply(began_inside=True)
    body = b"".join(b"%x\r\n%b\r\n" % (len(event), event) for event in events) + b"0\r\n\r\n"
    one.feed(head + (body if events else b""))
    assert one.complete
    return one


def refusal(status: int, *fields: bytes) -> Reply:
    head = b"\r\n".join([b"HTTP/1.1 %d No" % status, b"Content-Length: 0", *fields])
    return reply(head + b"\r\n\r\n")


@pytest.mark.parametrize(
    ("one", "end"),
    [
        (reply(STREAM, TOKEN, TOKEN, TOKEN, USAGE, DONE), "ok"),
        (reply(STREAM, TOKEN, TOKEN, TOKEN, USAGE), "the stream ended without [DONE]"),
        (reply(STREAM, *[TOKEN] * 9, USAGE, DONE), "11 events for 3 tokens"),
        (reply(STREAM, *[TOKEN] * 3, DONE), "None tokens stated instead of 3"),
        (refusal(429, b"Retry-After: 59"), "refused"),
        (refusal(429, b"Retry-After: 60"), "refused with Retry-After b'60'"),
        (refusal(429), "refused with Retry-After None"),
        (refusal(503), "status 503"),
    ],
)
def test_only_whole_answers_and_refusals_with_a_time_are_good(one: Reply, end: str) -> None:
    assert outcome(one, tokens=3) == end


def overload(ok: int = 950, refused: int = 9000, **others: int) -> Overload:
    window = LoadResult(10.0, 1000, 0, 0.0, {}, NONE, NONE, NONE, {"front": 1.0}, 0.1, 0.5)
    ends = {"ok": ok, "refused": refused, **others}
    during = ArrivalResult(10.0, ends, NONE, NONE, [95] * 10, [80.0, 90.0, 91.0], 200, 4.0)
    return Overload(window, during, window, {"ok": ok, "refused": refused})


def test_each_promise_is_compared_with_what_was_found() -> None:
    assert [goal.met for goal in findings(overload())] == [True] * 6
    assert not next(goal.met for goal in findings(overload(ok=899)))
    lost = findings(overload(closed=1))
    assert [goal.met for goal in lost] == [True, True, False, True, True, True]
    doubled = replace(overload(), counted={"ok": 951, "refused": 9000})
    assert [goal.met for goal in findings(doubled)].index(False) == 3
    grown = replace(overload().during, rss_mib=[80.0, 90.0, 190.0])
    assert [goal.met for goal in findings(replace(overload(), during=grown))].index(False) == 4
    text = markdown(overload(), {"cores": "2"})
    assert "| goodput is 90% of the peak | 95.0% | met |" in text
    assert "| ten times as many requests | 995 | 95 | 900 |  |  |" in text


def test_a_short_overload_of_the_real_gateway_loses_and_doubles_nothing() -> None:
    found = run(Options("upstream", running=8, duration_s=3.0, window_s=1.0))
    met = {goal.text: goal.met for goal in findings(found)}
    # The machine that runs tests does other things too: no rate is compared with another here.
    assert met["every refusal says when to come again, 1 to 59 s"]
    assert met["every other request is answered whole, once"]
    assert met["the gateway counts what its clients count"]
    assert found.during.ends["ok"] > 0
