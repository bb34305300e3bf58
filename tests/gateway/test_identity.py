"""Whose request it is."""

import pytest

from gateway.config import GROUP_HEADERS, SESSION_HEADERS
from gateway.errors import BadRequest
from gateway.identity import Identity, identify


def who(headers: dict[str, str] | None = None, **body: object) -> Identity:
    return identify("tenant", headers or {}, body, SESSION_HEADERS, GROUP_HEADERS)


def test_a_header_names_the_session() -> None:
    assert who({"x-roundhouse-session": "s"}) == Identity("tenant", "s", None, True)


def test_the_first_known_header_counts_and_comes_before_the_body() -> None:
    headers = {"session_id": "c", "x-session-id": "b", "x-roundhouse-session": "a"}
    assert who(headers, session_id="d").session == "a"
    assert who({"session_id": "c"}, session_id="d").session == "c"


def test_the_body_names_the_session_where_no_header_does() -> None:
    assert who(session_id="d") == Identity("tenant", "d", None, True)


def test_a_cache_key_names_the_session_where_nothing_else_does() -> None:
    assert who(prompt_cache_key="k") == Identity("tenant", "k", None, True)
    assert who(session_id="d", prompt_cache_key="k").session == "d"
    with pytest.raises(BadRequest) as caught:
        who(prompt_cache_key=[])
    assert caught.value.param == "prompt_cache_key"


def test_who_names_no_session_gets_a_new_one_each_time() -> None:
    one, other = who(), who()
    assert one.session != other.session
    assert not one.named and not other.named


def test_a_header_names_the_group() -> None:
    assert who({"x-roundhouse-group": "g"}).group == "g"


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "\ud800", 7, [], True, "a" * 257])
def test_a_name_that_is_no_name_is_refused(name: object) -> None:
    with pytest.raises(BadRequest) as caught:
        who(session_id=name)
    assert caught.value.param == "session_id"


@pytest.mark.parametrize("header", ["x-roundhouse-session", "x-roundhouse-group"])
def test_a_refused_header_is_named(header: str) -> None:
    with pytest.raises(BadRequest) as caught:
        who({header: ""})
    assert caught.value.param == header


def test_a_name_that_no_header_can_carry_is_refused() -> None:
    """The answer repeats the session in a header: such a name made the gateway fail with 500."""
    with pytest.raises(BadRequest):
        who(session_id="会话")


def test_the_longest_name_is_served() -> None:
    assert who(session_id="a" * 256).session == "a" * 256
