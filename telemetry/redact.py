"""Secrets out of whatever is written down: the shapes keys have, and the keys we know."""

import re
from collections.abc import Iterable

MARK = "[redacted]"
EXCERPT = 4000
_SHORTEST = 6
_SHAPES = re.compile(
    r"""
    -----BEGIN[ ][A-Z ]*PRIVATE[ ]KEY-----.*?(?:-----END[ ][A-Z ]*PRIVATE[ ]KEY-----|\Z)
    | \b eyJ[\w-]{8,} \. [\w-]{8,} (?: \. [\w-]* )?             # JSON web tokens
    | \b (?: tvly | sk | pk | rk | hf | gsk | xai | npm | glpat | shpat | key )
      [-_] [\w-]{12,}
    | \b (?: gh[pousr]_ | github_pat_ ) \w{16,}
    | \b (?: AKIA | ASIA ) [A-Z0-9]{16} \b
    | \b AIza [\w-]{30,}
    | \b xox[abeoprs] - [\w-]{10,}
    """,
    re.VERBOSE | re.DOTALL,
)
_BEARER = re.compile(r"\b(bearer|basic)(\s+)[\w.~+/=-]{6,}", re.IGNORECASE)
_USERINFO = re.compile(r"(://)[^\s/@\"'<>]{1,256}@")
# `api_key=…`, `"password": "…"`, `X-Subscription-Token: …`, in URLs, JSON, JSON within
# JSON, headers and reprs.
_NAMED = re.compile(
    r"""((?:api[-_]?key|apikey|access[-_]?key|token|secret|passw(?:or)?d|passphrase|signature
        |credentials?)\\{0,4}["']?\s{0,4}(?:=|:)\s{0,4}\\{0,4}["']?)[^\s"'&,;})\]\\]{3,}""",
    re.IGNORECASE | re.VERBOSE,
)
# Each expression costs as much as all the rest of a line; almost no line holds what it looks for.
_SHAPE_HINTS = (
    *("-----begin", "eyj", "akia", "asia", "aiza", "xox", "ghp_", "gho_", "ghu_", "ghs_", "ghr_"),
    *("github_pat_", "tvly", "sk-", "sk_", "pk-", "pk_", "rk-", "rk_", "hf-", "hf_", "xai", "npm"),
    *("glpat", "shpat", "key-", "key_"),
)
_BEARER_HINTS = ("bearer", "basic")
_NAME_HINTS = ("key", "token", "secret", "passw", "passphrase", "signature", "credential")


def redact(text: str, known: Iterable[str] = ()) -> str:
    """The text without anything that looks like a secret or is one of the known ones."""
    for secret in known:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MARK)
    folded = text.casefold()
    if _holds(folded, _SHAPE_HINTS):
        text = _SHAPES.sub(MARK, text)
    if _holds(folded, _BEARER_HINTS):
        text = _BEARER.sub(rf"\1\2{MARK}", text)
    text = _USERINFO.sub(rf"\1{MARK}@", text)
    if _holds(folded, _NAME_HINTS):
        text = _NAMED.sub(rf"\1{MARK}", text)
    return text


def _holds(text: str, hints: tuple[str, ...]) -> bool:
    for hint in hints:  # noqa: SIM110  # a generator would cost more than what it looks for
        if hint in text:
            return True
    return False


def excerpt(body: str | bytes) -> str:
    """The beginning of a body, without secrets; a secret at the cut is still whole when it goes."""
    head = body[: 4 * EXCERPT]
    text = redact(head if isinstance(head, str) else head.decode(errors="replace"))
    return text if len(text) <= EXCERPT else f"{text[:EXCERPT]}…"
