"""Secrets stay out of what is written down."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry.redact import EXCERPT, MARK, excerpt, redact


@pytest.mark.parametrize(
    "text",
    [
        "Authorization: Bearer THESECRET.abc",
        "authorization: basic THESECRET==",
        "https://user:THESECRET@example.com/x",
        "https://example.com/?api_key=THESECRET&q=1",
        "https://example.com/?access_token=THESECRET#x",
        '{"password": "THESECRET", "q": 1}',
        r'{"arguments": "{\"password\": \"THESECRET\"}"}',
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


def test_an_excerpt_is_bounded_and_has_no_half_of_a_secret() -> None:
    text = "x" * (EXCERPT - 12) + " sk-proj-THESECRETTHESECRET"
    assert "THESEC" not in excerpt(text.encode())
    assert len(excerpt("y" * 10 * EXCERPT)) == EXCERPT + 1
