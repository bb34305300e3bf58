"""Secrets stay out of what is written down."""

import io
import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.logs import HumanFormatter
from telemetry.redact import MARK, redact
from tests.tools_service.tool_stand_ins import Act, stand
from tools_service.call import Call, Started
from tools_service.policy import Group


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer THESECRET.abc",
        "authorization: basic THESECRET==",
        "https://user:THESECRET@example.com/x",
        "https://example.com/?api_key=THESECRET&q=1",
        "https://example.com/?access_token=THESECRET#x",
        '{"password": "THESECRET", "q": 1}',
        "{'client_secret': 'THESECRET'}",
        "X-Subscription-Token: THESECRET",
        "tvly-dev-THESECRETTHESECRET",
        "sk-proj-THESECRET_THESECRET",
        "ghp_THESECRETTHESECRET0123",
        "github_pat_THESECRETTHESECRET",
        "AKIATHESECRET0123456 ",
        "AIzaTHESECRETTHESECRETTHESECRETTHESECR",
        "xoxb-0123-THESECRET",
        "eyJhbGciOiJI.THESECRETTHESECRET.THESECRET",
        "-----BEGIN RSA PRIVATE KEY-----\nTHESECRET\n-----END RSA PRIVATE KEY-----",
        "-----BEGIN PRIVATE KEY-----\nTHESECRET",
    ],
)
def test_what_looks_like_a_secret_is_taken_out(text: str) -> None:
    redacted = redact(f"before {text} after")
    assert "THESECRET" not in redacted
    assert MARK in redacted
    assert redacted.startswith("before ")


@pytest.mark.parametrize(
    "text",
    [
        "tool search ok after 0.004 s",
        "a token of 12 words",
        "key figures: 3",
        "GET http://a.b/c 200",
    ],
)
def test_ordinary_lines_stay_as_they_are(text: str) -> None:
    assert redact(text) == text


@given(st.text(alphabet="abcXYZ019-_", min_size=6, max_size=40), st.text(), st.text())
def test_a_known_secret_is_taken_out_whatever_it_looks_like(
    secret: str, before: str, after: str
) -> None:
    redacted = redact(before + secret + after, [secret])
    assert secret not in redacted.replace(MARK, "") or secret in MARK


async def test_a_traceback_in_the_log_has_no_secret_of_the_arguments() -> None:
    def crash(text: str) -> str:
        raise RuntimeError(f"GET https://x.example/?api_key={text} failed")

    written = io.StringIO()
    handler = logging.StreamHandler(written)
    handler.setFormatter(HumanFormatter(["house-key-1"]))
    logger = logging.getLogger("tools_service")
    logger.addHandler(handler)
    try:
        executor = stand(Act(crash)).parts.executor

        async def silent(started: Started) -> None:
            """Nobody listens."""

        for text in ("tvly-THESECRETTHESECRET", "house-key-1"):
            answer = await executor.call(Call("act", {"text": text}, Group()), silent)
            assert text not in answer.text
    finally:
        logger.removeHandler(handler)
    assert "Traceback" in written.getvalue()
    assert "THESECRET" not in written.getvalue()
    assert "house-key-1" not in written.getvalue()
