"""What a request says of itself."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.config import (
    AGENT_HEADERS,
    END_HEADERS,
    PARENT_HEADERS,
    SESSION_FIELDS,
    SESSION_HEADERS,
    SessionsConfig,
)
from gateway.errors import BadRequest
from gateway.identity import Claim, Names
from gateway.wire import ApiRequest, parse

USER = {"role": "user", "content": "hi"}


def request(**body: object) -> ApiRequest:
    return parse(msgspec.json.encode({"messages": [USER], **body}), "chat", "roundhouse")


def who(headers: dict[str, str] | None = None, **body: object) -> Claim:
    return Names(SessionsConfig()).claim("tenant", headers or {}, request(**body))


def test_the_first_known_header_counts_and_comes_before_the_body() -> None:
    headers = {"session_id": "c", "x-session-id": "b", "x-roundhouse-session": "a"}
    assert who(headers, session_id="d").session == "a"
    assert who({"session_id": "c"}, session_id="d").session == "c"
    assert who(session_id="d").session == "d"


@pytest.mark.parametrize(
    "header",
    [
        "x-session-id",
        "x_session_id",
        "x-claude-code-session-id",
        "session-id",
        "session_id",
        "thread-id",
        "conversation_id",
        "x-opencode-session",
        "x-session-affinity",
        "x-dynamo-session-id",
        "x-litellm-session-id",
        "x-litellm-trace-id",
        "x-smg-routing-key",
        "x-aibrix-session-key",
        "x-bf-session-id",
        "x-grok-conv-id",
        "x-anybody-session-id",
    ],
)
def test_every_header_in_use_names_the_session(header: str) -> None:
    assert who({header: "abcdefgh"}).session == "abcdefgh"


@pytest.mark.parametrize("header", ["x-request-id", "x-correlation-id", "x-user-id", "x-session"])
def test_a_header_that_names_something_else_names_no_session(header: str) -> None:
    assert who({header: "abcdefgh"}).session is None


def test_a_header_nobody_listed_needs_eight_characters_to_count() -> None:
    assert who({"x-anybody-session-id": "1"}).session is None


def test_the_session_is_read_out_of_the_w3c_baggage() -> None:
    assert who({"baggage": "user.id=u,session.id=abc;p=1,x=y"}).session == "abc"
    assert who({"baggage": "user.id=u"}).session is None


@pytest.mark.parametrize(
    ("body", "session"),
    [
        ({"conversation_id": "c"}, "c"),
        ({"program_id": "p"}, "p"),
        ({"job_id": "j"}, "j"),
        ({"vllm_xargs": {"agentic_context": {"session_id": "x"}}}, "x"),
        ({"metadata": {"session_id": "m"}}, "m"),
        ({"metadata": {"user_id": "user_1_account__session_0a-b"}}, "0a-b"),
        ({"metadata": {"user_id": "somebody"}}, None),
    ],
)
def test_every_field_in_use_names_the_session(body: dict[str, object], session: str | None) -> None:
    assert who(None, **body).session == session


def test_the_gateways_own_fields_do_not_reach_the_engine() -> None:
    asked = request(session_id="s", conversation_id="c", prompt_cache_key="k", program_id="p")
    Names(SessionsConfig()).claim("tenant", {}, asked)
    assert asked.body == {"messages": [USER]}


def test_agents_of_one_session_id_are_sessions_of_one_group() -> None:
    claude = {"x-claude-code-session-id": "s", "x-claude-code-agent-id": "sub"}
    claim = who(claude)
    assert (claim.session, claim.parent, claim.group) == ("s/sub", "s", "s")
    deeper = who({**claude, "x-claude-code-parent-agent-id": "above"})
    assert (deeper.session, deeper.parent) == ("s/sub", "s/above")


@pytest.mark.parametrize("header", ["x-parent-session-id", "x-dynamo-parent-session-id"])
def test_a_header_names_the_parent(header: str) -> None:
    assert who({header: "p", "x-session-id": "s"}).parent == "p"
    assert who({header: "s", "x-session-id": "s"}).parent is None


def test_a_header_names_the_group_and_the_agent() -> None:
    claim = who({"x-roundhouse-group": "g", "x-agent-name": "critic", "x-session-id": "s"})
    assert (claim.group, claim.agent, claim.session) == ("g", "critic", "s")


@pytest.mark.parametrize("header", ["x-roundhouse-session-final", "x-dynamo-session-final"])
@pytest.mark.parametrize(("value", "ends"), [("true", True), ("1", True), ("false", False)])
def test_a_header_says_that_the_session_ends(header: str, value: str, ends: bool) -> None:
    assert who({header: value}).ends is ends


def test_the_responses_apis_fields_are_read() -> None:
    assert who(previous_response_id="r").response == "r"
    assert who(conversation="c").conversation == "c"
    assert who(conversation={"id": "c"}).conversation == "c"


def test_what_names_the_session_does_not_reach_the_engine() -> None:
    asked = request(previous_response_id="r", conversation="c", prompt_cache_key="k", seed=1)
    Names(SessionsConfig()).claim("t", {}, asked)
    assert asked.body.keys().isdisjoint(
        {"previous_response_id", "conversation", "prompt_cache_key"}
    )
    assert asked.body["seed"] == 1


def test_the_lists_are_the_operators() -> None:
    config = SessionsConfig(headers=("X-Mine",), fields=("mine.id",))
    names = Names(config)
    assert names.claim("t", {"x-mine": "a", "x-session-id": "b"}, request()).session == "a"
    assert names.claim("t", {}, request(mine={"id": "c"}, session_id="d")).session == "c"


@pytest.mark.parametrize("name", ["", "a\nb", "a\x00", "会话", 7, [], True, "a" * 257])
@pytest.mark.parametrize(
    "field", ["session_id", "prompt_cache_key", "previous_response_id", "conversation"]
)
def test_a_name_that_is_no_name_is_refused(name: object, field: str) -> None:
    """The answer repeats the session in a header: some such names made the gateway fail."""
    with pytest.raises(BadRequest) as caught:
        who(None, **{field: name})
    assert caught.value.param == field


@pytest.mark.parametrize("header", ["x-roundhouse-session", "x-roundhouse-group"])
def test_a_refused_header_is_named(header: str) -> None:
    with pytest.raises(BadRequest) as caught:
        who({header: ""})
    assert caught.value.param == header


def test_the_longest_name_is_served() -> None:
    assert who(session_id="a" * 256).session == "a" * 256


NAMES = [
    *SESSION_HEADERS,
    *PARENT_HEADERS,
    *AGENT_HEADERS,
    *END_HEADERS,
    "x-a-session-id",
    "accept",
]
FIELDS = [field.partition(":")[0].split(".")[0] for field in SESSION_FIELDS]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=9), inner),
    max_leaves=5,
)


@given(
    st.dictionaries(st.sampled_from([name.partition(":")[0] for name in NAMES]), st.text()),
    st.dictionaries(
        st.sampled_from([*FIELDS, "conversation", "previous_response_id", "prompt_cache_key", "n"]),
        JSON,
    ),
)
def test_whatever_a_client_sends_is_read_or_refused(
    headers: dict[str, str], body: dict[str, object]
) -> None:
    metadata = {"metadata": body.pop("metadata", None)}
    asked = ApiRequest("chat", None, False, False, False, {"messages": [], **body}, echo=metadata)
    try:
        claim = Names(SessionsConfig()).claim("tenant", headers, asked)
    except BadRequest as error:
        assert error.param
        return
    for name in (claim.session, claim.parent, claim.group):
        assert name is None or (name.isascii() and name.isprintable() and name)
