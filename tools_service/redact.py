"""Secrets out of whatever is written down: the shapes keys have, and the keys we know."""

import logging
import re
from collections.abc import Iterable

MARK = "[redacted]"

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


def redact(text: str, known: Iterable[str] = ()) -> str:
    """The text without anything that looks like a secret or is one of the known ones."""
    for secret in known:
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, MARK)
    text = _SHAPES.sub(MARK, text)
    text = _BEARER.sub(rf"\1\2{MARK}", text)
    text = _USERINFO.sub(rf"\1{MARK}@", text)
    return _NAMED.sub(rf"\1{MARK}", text)


class RedactingFormatter(logging.Formatter):
    """Formats a record, traceback included, and takes the secrets out of the whole."""

    def __init__(self, pattern: str, known: Iterable[str] = ()) -> None:
        super().__init__(pattern)
        self._known = tuple(known)

    def format(self, record: logging.LogRecord) -> str:
        return redact(super().format(record), self._known)
