"""Starts the processes, proves that they work, watches them and stops them in order."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
from rich.console import Console
from rich.text import Text

from roundhouse.chat import Address
from roundhouse.child import Child, Program
from roundhouse.config import Profile
from roundhouse.errors import NotReady, RoundhouseError
from roundhouse.examples import examples
from roundhouse.launch import first_key, programs
from roundhouse.ports import taken
from roundhouse.race import first
from roundhouse.selftest import self_test
from roundhouse.signals import StopSignals
from roundhouse.view import View, tell

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Order:
    """What `up` is asked to do."""

    profile: Profile
    check: bool = False
    """Stop after the self-test; its outcome is the exit code."""
    ready_s: float = 1800.0
    """Longest wait until both processes are ready."""
    margin_s: float = 10.0
    """What a process may take to end beyond its own shutdown bound."""


def run(order: Order, verbose: bool) -> int:
    """The exit code. Raises RoundhouseError."""
    refuse_taken_ports(order.profile)
    with (
        TemporaryDirectory(prefix="roundhouse-") as folder,
        View(Console(stderr=True), verbose) as view,
    ):
        return asyncio.run(up(order, *programs(order.profile, Path(folder), os.environ), view))


async def up(order: Order, tools: Program, gateway: Program, view: View) -> int:
    """The exit code, when both processes have ended. Raises RoundhouseError."""
    tools_s = order.profile.tools_service.shutdown_s + order.margin_s
    gateway_s = order.profile.gateway.shutdown_s + order.margin_s
    with StopSignals() as signals:
        # Left in reverse: the gateway is stopped first, and may still finish its tool calls.
        async with (
            running(tools, tools_s, signals, view) as tools_child,
            running(gateway, gateway_s, signals, view) as gateway_child,
        ):
            return await first(
                serve(order, view),
                tools_child.died(),
                gateway_child.died(),
                stopped(signals, view, order.check),
            )


async def serve(order: Order, view: View) -> int:
    """From loading to the end of the self-test, and then, unless only checking, for ever."""
    profile = order.profile
    try:
        async with asyncio.timeout(order.ready_s):
            view.wait_for("starting the tools service and loading the model")
            await asyncio.gather(
                ready("tools_service", f"{profile.tools_url}/health", view),
                ready("gateway", f"{profile.url}/readyz", view),
            )
    except TimeoutError:
        remedy = "give --ready-timeout more seconds, or see with --verbose what it waits for"
        raise NotReady(f"not ready after {order.ready_s:.0f} s", remedy) from None
    view.wait_for("self-test: a chat that uses a tool")
    key = first_key(profile, os.environ)
    async with Address(profile.url, key).session() as http:
        outcome = await self_test(http)
    view.started(explain=not outcome.passed)
    view.say(outcome.report, "green" if outcome.passed else "bold yellow")
    if order.check:
        return 0 if outcome.passed else 1
    text = examples(profile.url, profile.engines[0].model_name, locked=key is not None)
    tell(Console(), Text(text))
    await asyncio.Event().wait()
    return 0


async def ready(name: str, url: str, view: View) -> None:
    """Ask until the answer is 200."""
    loop = asyncio.get_running_loop()
    began = loop.time()
    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=5)) as http:
        while not await answers(http, url):  # noqa: ASYNC110 another process can only be asked
            await asyncio.sleep(POLL_S)
    view.say(f"{name} is ready after {loop.time() - began:.1f} s")


async def answers(http: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with http.get(url) as response:
            return response.status == 200
    except (aiohttp.ClientError, TimeoutError):
        return False


async def stopped(signals: StopSignals, view: View, check: bool) -> int:
    """Wait for Ctrl-C or SIGTERM."""
    await signals.asked.wait()
    view.started()
    view.say("stopping: gateway, then tools service. Once more to stop at once.")
    return 1 if check else 0


@asynccontextmanager
async def running(
    program: Program, bound_s: float, signals: StopSignals, view: View
) -> AsyncIterator[Child]:
    """The program's process, running; stopped on leaving, at once if the user insists."""
    child = await Child.start(program)
    following = asyncio.create_task(child.follow(view.hear))
    try:
        yield child
    finally:
        if child.process.returncode is None:
            view.wait_for(f"stopping {child.name}")
        if not await first(child.stop(bound_s), insisted(signals)):
            view.say(f"{child.name} did not end by itself and was killed", "bold yellow")
        with suppress(TimeoutError):
            await asyncio.wait_for(following, 2)


async def insisted(signals: StopSignals) -> bool:
    await signals.insisted.wait()
    return False


def refuse_taken_ports(profile: Profile) -> None:
    """Raises RoundhouseError; found here, it costs no minute of loading."""
    doors = (
        ("--port", profile.gateway.host, profile.gateway.port),
        ("--tools-port", profile.tools_service.host, profile.tools_service.port),
    )
    for flag, host, port in doors:
        if taken(host, port):
            remedy = f"stop the other program, or take another port with {flag}"
            raise RoundhouseError(f"port {port} of {host} can't be had", remedy)
