"""The words of a query that are worth looking for."""

import re

_MOST_TERMS = 32
_WORD = re.compile(r"[^\W_]+")
# Words in nearly every passage cost the most time and rank nothing.
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """a about an and are as at be by can do does for from has have how i in is it
        its me my of on or please tell that the their there this to was we what when
        where which who why will with you your""",
    )
)


def terms(query: str) -> list[str]:
    """The words worth looking for, once each; all of them if none is."""
    words = list(dict.fromkeys(_WORD.findall(query.lower())))
    return ([word for word in words if word not in _COMMON] or words)[:_MOST_TERMS]


def match(found: list[str]) -> str:
    """FTS5's expression for any of these words."""
    return " OR ".join(f'"{term}"' for term in found)
