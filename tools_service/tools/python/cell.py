"""A model's code as a notebook's cell: what it imports, and the value of its last expression."""

import ast
import sys
from collections.abc import Iterator
from dataclasses import dataclass

VALUE = "_"
"""The name under which the value of the last expression is kept, as at Python's own prompt."""

_MOST_MODULES = 4


@dataclass(frozen=True, slots=True)
class Cell:
    """Code to run. With `has_value` it leaves its value under `VALUE`."""

    code: str
    has_value: bool


def cell(code: str) -> Cell:
    """The code, so that the value of a last expression is kept; lines stay where they are."""
    tree = _parsed(code)
    if tree is None or not tree.body or not isinstance(last := tree.body[-1], ast.Expr):
        return Cell(code, has_value=False)
    # Positions are in UTF-8 bytes; bytes.splitlines knows the same line ends as Python's parser.
    lines = code.encode().splitlines(keepends=True)
    start = _place(lines, last.lineno, last.col_offset)
    end = _place(lines, last.end_lineno or last.lineno, last.end_col_offset or 0)
    whole = b"".join(lines)
    kept = b"%s%s = (%s)%s" % (whole[:start], VALUE.encode(), whole[start:end], whole[end:])
    return Cell(kept.decode(), has_value=True)


def modules(code: str) -> list[str]:
    """The top-level modules it imports, in order; those outside the standard library as "other".

    Few names, and none that a model makes up.
    """
    tree = _parsed(code)
    found = set(_imported(tree)) if tree else set()
    return sorted({one if one in sys.stdlib_module_names else "other" for one in found})


def shape(code: str) -> str:
    """Names the code that takes about as long as this, as in `Tool.shape`."""
    return "+".join(modules(code)[:_MOST_MODULES]) or "plain"


def _imported(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name.partition(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module.partition(".")[0]


def _parsed(code: str) -> ast.Module | None:
    """None for what is no Python; the sandbox says what is wrong with it."""
    try:
        return ast.parse(code)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return None


def _place(lines: list[bytes], line: int, column: int) -> int:
    return sum(map(len, lines[: line - 1])) + column
