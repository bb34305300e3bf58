"""Reads recorded sessions from a CSV file, one row per request."""

import csv
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from benchmarks.agents.sessions import HUMAN, Script, Turn

_BLOCK = 64  # recorded tokens of one block hash
_COLUMNS = (
    "trace", "path", "in_tok", "out_tok", "blocks", "shared_blocks_prev", "think_time",
    "input_types",
)  # fmt: skip


class BadTrace(Exception):
    """A trace can't be read; the message names the file and what is amiss."""


def read(path: Path) -> list[Script]:
    """All main conversations of a trace. Raises BadTrace."""
    rows: dict[str, list[dict[str, str]]] = {}
    try:
        with _open(path) as lines:
            reader = csv.DictReader(lines)
            if missing := [name for name in _COLUMNS if name not in (reader.fieldnames or ())]:
                raise BadTrace(f"{path}: no column {missing[0]!r}; docs/agents.md lists them")
            for row in reader:
                if not row["path"]:  # rows with a path belong to a sub-agent
                    rows.setdefault(row["trace"], []).append(row)
        scripts = [_script(conversation) for conversation in rows.values()]
    except (OSError, ValueError) as error:
        raise BadTrace(f"{path}: {error}") from error
    if not scripts:
        raise BadTrace(f"{path}: no sessions in it")
    return scripts


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", newline="")
    return path.open(newline="")


def _script(rows: Sequence[dict[str, str]]) -> Script:
    turns: list[Turn] = []
    for row in rows:
        prompt, answer = max(int(row["in_tok"]), 1), max(int(row["out_tok"]), 1)
        if not turns:
            turns.append(Turn(prompt, answer, 0))
            continue
        before = turns[-1]
        shared, previous = int(row["shared_blocks_prev"]), int(rows[len(turns) - 1]["blocks"])
        # The prompt's last blocks may be cut otherwise; then the answer is kept too.
        grows = shared >= previous - 2
        kept = min(before.context if grows else shared * _BLOCK, prompt - 1, before.context)
        think = row["think_time"]
        gap_s = float(think) if think not in ("", "None") else 0.0
        turns.append(Turn(prompt, answer, kept, _tool(row["input_types"]), gap_s))
    return tuple(turns)


def _tool(types: str) -> str:
    """The tools' names are not recorded: what the prompt gained tells them apart."""
    return types if "tool_result" in types else HUMAN
