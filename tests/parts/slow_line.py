"""A line between a client and a server on a socket file that delays the answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

_PIECE = 2**16


class SlowLine:
    """Every piece of an answer arrives `delay_s` after it was sent; all in their order."""

    def __init__(self, server: Path) -> None:
        self._server = server
        self.path = server.with_name("slow.sock")
        self.delay_s = 0.0
        self.asked = 0
        """Pieces that clients have sent; a question is one."""

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection, until either side ends it."""
        answers, questions = await asyncio.open_unix_connection(self._server)
        try:
            async with asyncio.TaskGroup() as both:
                both.create_task(self._ask(reader, questions))
                both.create_task(self._answer(answers, writer))
        except* (OSError, EOFError):
            pass
        finally:
            questions.close()
            writer.close()

    async def _ask(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_PIECE):
            self.asked += 1
            writer.write(data)
        raise EOFError

    async def _answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        loop = asyncio.get_running_loop()
        while data := await reader.read(_PIECE):
            if self.delay_s:
                loop.call_later(self.delay_s, writer.write, data)
            else:
                writer.write(data)
        raise EOFError


@asynccontextmanager
async def slow_line(server: Path) -> AsyncIterator[SlowLine]:
    """A running one, to the server that listens on this file."""
    line = SlowLine(server)
    listening = await asyncio.start_unix_server(line.carry, line.path)
    try:
        yield line
    finally:
        listening.close()
        with suppress(TimeoutError):
            async with asyncio.timeout(5):
                await listening.wait_closed()
