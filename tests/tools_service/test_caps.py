"""What of a result goes out, and that what does not is said."""

import base64
import json

from hypothesis import given
from hypothesis import strategies as st

from tests.tools_service.tool_stand_ins import Act, Trial, act
from tools_service.caps import Caps, capped, shorten
from tools_service.tools.registry import Output, Tool

OURS: Tool = Act(act)
OUTSIDE: Tool = Trial()
CAPS = Caps(text=1024, wire=4096)


def image(size: int) -> dict[str, object]:
    return {"type": "image", "data": base64.b64encode(bytes(size)).decode(), "mimeType": "i/png"}


def test_what_fits_goes_out_as_it_is() -> None:
    output = Output("text", {"a": [1]}, blocks=[image(100)])
    out = capped(OURS, output, CAPS)
    assert (out.output, out.cut_bytes) == (output, 0)


def test_attachments_that_do_not_fit_are_left_out_and_the_text_says_so() -> None:
    small, large = image(100), image(5000)
    out = capped(OURS, Output("text", blocks=[small, large, small]), CAPS)
    assert out.output.text == "text\n[truncated: 1 of 3 attachments were too large]"
    assert out.output.blocks == [small, small]
    assert out.cut_bytes == len(json.dumps(large, separators=(",", ":")))


def test_a_structure_that_does_not_fit_is_left_out_and_the_text_says_so() -> None:
    out = capped(OURS, Output("text", {"a": "x" * 5000}, blocks=[image(100)]), CAPS)
    assert out.output.text == "text\n[truncated: the structured result was too large]"
    assert out.output.structured is None
    assert len(out.output.blocks) == 1
    assert out.cut_bytes > 5000


def test_a_cut_text_does_not_come_with_its_whole_as_a_structure() -> None:
    out = capped(OURS, Output("x" * 2000, {"a": 1}), CAPS)
    assert out.output.structured is None


def test_invisible_characters_leave_attachments_of_the_open_world_too() -> None:
    block = {"type": "resource", "resource": {"uri": "a:b", "text": "a\u200bb"}}
    out = capped(OUTSIDE, Output("t", blocks=[block]), CAPS)
    assert out.output.blocks == [{"type": "resource", "resource": {"uri": "a:b", "text": "ab"}}]


outputs = st.builds(
    Output,
    st.text(max_size=3000),
    st.none() | st.dictionaries(st.text(max_size=5), st.text(max_size=3000), max_size=3),
    blocks=st.lists(st.builds(image, st.integers(0, 4000)), max_size=4),
)


@given(outputs, st.sampled_from([OURS, OUTSIDE]))
def test_no_result_is_larger_than_its_caps_and_nothing_is_missing_in_silence(
    output: Output, tool: Tool
) -> None:
    out = capped(tool, output, CAPS)
    text = out.output.text.encode()
    rest = [out.output.structured, *out.output.blocks]
    sizes = [len(json.dumps(part, ensure_ascii=False).encode("utf-8", "replace")) for part in rest]
    assert len(text) <= CAPS.text
    assert len(text) + sum(sizes) <= CAPS.wire + 400
    assert out.size <= CAPS.wire + 400
    assert ("[truncated: " in out.output.text) or out.cut_bytes == 0
    if not out.cut_bytes:
        assert len(out.output.blocks) == len(output.blocks)


@given(st.text(max_size=300), st.integers(100, 300))
def test_shortening_keeps_to_the_limit_and_loses_nothing_that_fits(text: str, limit: int) -> None:
    short, cut_bytes = shorten(text, limit)
    assert len(short.encode()) <= limit
    assert (short == text and cut_bytes == 0) or cut_bytes > 0
