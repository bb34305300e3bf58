"""What the tests of the command line stand on: real processes, on ports that are free."""

import socket
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack

import pytest

from tests.roundhouse.processes import HERE, Running, Start, StartGateway, started


@pytest.fixture
async def start() -> AsyncIterator[Start]:
    """Starts a Python program; it is gone after the test."""
    async with AsyncExitStack() as stack:

        async def begin(*args: str, **env: str) -> Running:
            return await stack.enter_async_context(started(sys.executable, *args, **env))

        yield begin


@pytest.fixture
def ports() -> tuple[str, str]:
    """Two free ports, as text."""
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as two:
        found = str(one.getsockname()[1]), str(two.getsockname()[1])
    return found


@pytest.fixture
def start_up(start: Start, ports: tuple[str, str]) -> Start:
    """Starts `up` with stand-ins that behave as told."""

    async def begin(*args: str, **env: str) -> Running:
        gateway, tools, *options = (*args, "", "")[: max(2, len(args))]
        return await start(str(HERE / "up_stand_ins.py"), *ports, gateway, tools, *options, **env)

    return begin


@pytest.fixture
def start_gateway(start: Start, ports: tuple[str, str]) -> StartGateway:
    """Starts the gateway's stand-in alone and waits until it listens."""

    async def begin(*behaviours: str) -> str:
        gateway = await start(str(HERE / "stand_in.py"), ports[0], *behaviours)
        await gateway.until("listening")
        return f"http://127.0.0.1:{ports[0]}"

    return begin
