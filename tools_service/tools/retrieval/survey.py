"""The files of a folder that can be ingested, and why the others cannot."""

import os
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tools_service.errors import Unreadable
from tools_service.tools.retrieval.documents import SUFFIXES


@dataclass(frozen=True, slots=True)
class Survey:
    """What was found below `root`, as paths relative to it."""

    root: Path
    files: list[str] = field(default_factory=list)
    skipped: Counter[str] = field(default_factory=Counter)
    """How many were left out, by reason."""
    closed: dict[str, str] = field(default_factory=dict)
    """Folders that could not be looked into, and why; nobody knows what is in them."""

    def may_hold(self, path: str) -> bool:
        """Whether a file that was not found may still be there."""
        return "." in self.closed or any(path.startswith(f"{one}/") for one in self.closed)


def survey(folder: Path, largest: int) -> Survey:
    """Walks through a folder, in the order of the names. Links are not followed out of it."""
    found = Survey(folder.resolve())

    def unreadable(error: OSError) -> None:
        path = os.path.relpath(error.filename, found.root)
        found.closed[path] = error.strerror or type(error).__name__

    for above, folders, files in os.walk(found.root, onerror=unreadable):
        folders[:] = sorted(_entered(Path(above), folders, found))
        for name in sorted(files):
            path = Path(above, name)
            if reason := _reason(path, found.root, largest):
                found.skipped[reason] += 1
            else:
                found.files.append(path.relative_to(found.root).as_posix())
    return found


def _entered(above: Path, folders: list[str], found: Survey) -> Iterator[str]:
    for name in folders:
        if name.startswith("."):
            found.skipped["hidden"] += 1
        elif (above / name).is_symlink():
            found.skipped["a link to a folder"] += 1
        else:
            yield name


def _reason(path: Path, root: Path, largest: int) -> str | None:
    """Why a file is left out; None if it is not."""
    suffix = path.suffix.lower()
    if path.name.startswith("."):
        return "hidden"
    if suffix not in SUFFIXES:
        return f"of a kind that is not read ({suffix[:12] or 'no suffix'})"
    if not _is_utf8(path):
        return "with a name that is not UTF-8"
    if path.is_symlink() and not _stays(path, root):
        return "a link that leads out of the folder"
    try:
        # Only now, because it follows links; pipes and devices are no files.
        if not path.is_file():
            return "not a file"
        return "too large" if path.stat().st_size > largest else None
    except OSError:
        return None  # who reads it will say why that can't be done


def _stays(path: Path, root: Path) -> bool:
    try:
        return path.resolve().is_relative_to(root)
    except (OSError, RuntimeError):  # a link to itself
        return False


def _is_utf8(path: Path) -> bool:
    try:
        str(path).encode()
    except UnicodeEncodeError:
        return False
    return True


def read(path: Path, largest: int) -> bytes:
    """The file, which may have grown since it was looked at. Raises Unreadable."""
    try:
        with path.open("rb") as file:
            body = file.read(largest + 1)
    except OSError as exc:
        raise Unreadable(exc.strerror or type(exc).__name__) from exc
    if len(body) > largest:
        raise Unreadable("too large")
    return body
