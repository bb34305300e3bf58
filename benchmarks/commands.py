"""What a benchmark offers to the command line."""

import argparse
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Command:
    """One sub-command: its options, and what it does with them."""

    name: str
    summary: str
    configure: Callable[[argparse.ArgumentParser], None]
    run: Callable[[argparse.Namespace], None]


def positive(text: str) -> int:
    """A whole number above 0. Raises argparse.ArgumentTypeError."""
    if not text.isdigit() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} must be a whole number above 0")
    return int(text)


def publish(text: str, out: Path | None) -> None:
    """Write a report to the file, or to standard output where none is named."""
    if out is None:
        sys.stdout.write(text)
    else:
        out.write_text(text)
