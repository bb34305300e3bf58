"""Lines of a child: bounded, whole and as it wrote them."""

import json
from collections.abc import Iterable
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from tests.tools_service.upstream_stand_ins import front, stdio
from tools_service.tools.upstream.lines import LARGEST, Decoder

LONG = b"x" * LARGEST


def decoded(parts: Iterable[bytes]) -> str:
    decoder = Decoder("replace")
    return "".join(decoder.decode(part) for part in parts)


@given(st.lists(st.text(max_size=20)), st.integers(1, 7))
def test_lines_come_out_whole_however_they_are_cut(lines: list[str], size: int) -> None:
    lines = [line.replace("\n", " ") for line in lines]
    data = "".join(f"{line}\n" for line in lines).encode()
    assert decoded(data[at : at + size] for at in range(0, len(data), size)) == data.decode()


def test_a_long_answer_becomes_an_error_of_its_call_and_the_next_line_is_read() -> None:
    start = b'{"jsonrpc":"2.0","id":7,"result":"'
    error, after = decoded([start, LONG, LONG, b'"}\n{"a":', b"1}\n"]).splitlines()
    assert json.loads(error)["id"] == 7
    assert "more than 4194304 bytes" in json.loads(error)["error"]["message"]
    assert after == '{"a":1}'


def test_a_long_line_that_answers_nobody_is_dropped() -> None:
    assert decoded([LONG, b'{"id":1,', b"\n", b"short\n"]) == "short\n"


async def test_a_child_that_writes_too_much_ends_one_call_and_no_other(tmp_path: Path) -> None:
    async with front(tmp_path / "p", fx=stdio(refresh_s=3600)) as served:
        answer = await served.call("fx_echo", text="w" * LARGEST)
        assert "more than 4194304 bytes" in answer.text
        assert "ok" in (await served.call("fx_echo", text="ok")).text
        assert served.metric("upstream_reconnects_total", upstream="fx") == 0
