"""The audit as a file of JSON lines that begins anew when it is large."""

import asyncio
import os
from pathlib import Path


class AuditFile:
    """A sink. `path` is the newest file, `path.1` the one before, up to `path.<files>`."""

    def __init__(self, path: Path, *, file_bytes: int, files: int) -> None:
        self._path = path
        self._file_bytes = file_bytes
        self._files = files

    async def write(self, batch: list[bytes]) -> None:
        """Appends, in a thread. Raises OSError."""
        await asyncio.to_thread(self._append, b"".join(line + b"\n" for line in batch))

    def _append(self, data: bytes) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Opened each time: whoever moves the file away gets a new one. Nobody else may read it.
        handle = os.open(self._path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        with open(handle, "ab") as file:
            file.write(data)
            size = file.tell()
        if size >= self._file_bytes:
            self._rotate()

    def _rotate(self) -> None:
        for number in range(self._files, 0, -1):
            older = self._numbered(number)
            newer = self._numbered(number - 1) if number > 1 else self._path
            if newer.exists():
                newer.replace(older)

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")
