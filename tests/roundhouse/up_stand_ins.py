"""`roundhouse up` with stand-ins for both processes.

python up_stand_ins.py GATEWAY_PORT TOOLS_PORT GATEWAY_BEHAVIOURS TOOLS_BEHAVIOURS [up's options]

The behaviours are those of stand_in.py, joined by commas.
"""

import asyncio
import os
import sys
from pathlib import Path

from rich.console import Console

from roundhouse.child import Program
from roundhouse.cli import explained
from roundhouse.config import Flags, Profile, load
from roundhouse.up import Order, up
from roundhouse.view import View

STAND_IN = Path(__file__).with_name("stand_in.py")


def profile(port: int, tools_port: int) -> Profile:
    loaded = load(None, None, Flags(port, tools_port))
    gateway = loaded.gateway.model_copy(update={"shutdown_s": 0.2})
    tools = loaded.tools_service.model_copy(update={"shutdown_s": 0.2})
    return loaded.model_copy(update={"gateway": gateway, "tools_service": tools})


def program(name: str, port: str, behaviours: str) -> Program:
    argv = [sys.executable, str(STAND_IN), port, *filter(None, behaviours.split(","))]
    return Program(name, argv, os.environ)


def main() -> int:
    port, tools_port, gateway, tools, *options = sys.argv[1:]
    ready_s = 1.0 if "--impatient" in options else 60.0
    margin_s = 60.0 if "--patient" in options else 1.5
    order = Order(profile(int(port), int(tools_port)), "--check" in options, ready_s, margin_s)
    programs = program("tools_service", tools_port, tools), program("gateway", port, gateway)
    with explained(), View(Console(stderr=True)) as view:
        return asyncio.run(up(order, *programs, view))


if __name__ == "__main__":
    # typer turns its Exit into an exit code inside a command; here nobody does.
    import typer

    try:
        sys.exit(main())
    except typer.Exit as end:
        sys.exit(end.exit_code)
