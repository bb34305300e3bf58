"""The commands and their options.

What a command needs is imported when it runs: `--help` and a mistyped option answer at once.
"""

import asyncio
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from roundhouse.errors import RoundhouseError

app = typer.Typer(
    name="roundhouse",
    help="An agent-aware serving gateway: your models, their tools, one OpenAI-compatible door.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", metavar="FILE", help="Settings in YAML.")
]
ProfileName = Annotated[
    str | None,
    typer.Option(
        "--profile",
        "-p",
        help="A profile of that file, a shipped one, or a YAML file; several with commas.",
    ),
]
Port = Annotated[
    int | None, typer.Option(min=1, envvar="ROUNDHOUSE_PORT", help="The gateway's port.")
]
ToolsPort = Annotated[
    int | None,
    typer.Option(min=1, envvar="ROUNDHOUSE_TOOLS_PORT", help="The tools service's port."),
]
Model = Annotated[
    str | None, typer.Option(help="Serve this model, a folder or a hub id, and no other.")
]
ToolParser = Annotated[
    str | None, typer.Option(help="With --model: how it calls tools, e.g. hermes.")
]
ReasoningParser = Annotated[
    str | None, typer.Option(help="With --model: how it thinks, e.g. qwen3.")
]
MaxModelLen = Annotated[
    int | None, typer.Option(min=1, help="With --model: longest context, in tokens.")
]


@app.command()
def up(
    config: ConfigFile = None,
    profile: ProfileName = None,
    port: Port = None,
    tools_port: ToolsPort = None,
    model: Model = None,
    tool_parser: ToolParser = None,
    reasoning_parser: ReasoningParser = None,
    max_model_len: MaxModelLen = None,
    check: Annotated[
        bool, typer.Option("--check", help="Stop after the self-test; exit code 0 if it passed.")
    ] = False,
    ready_timeout: Annotated[
        float, typer.Option(min=1, help="Longest wait for the model to load, in seconds.")
    ] = 1800.0,
    verbose: Annotated[
        bool, typer.Option("--verbose", "-v", help="Show every log line of the start.")
    ] = False,
) -> None:
    """Start the gateway, with the model in it, and the tools service; Ctrl-C stops both."""
    from roundhouse.config import Flags, load
    from roundhouse.up import Order, run

    flags = Flags(port, tools_port, model, tool_parser, reasoning_parser, max_model_len)
    with explained():
        order = Order(load(config, profile, flags), check, ready_timeout)
        raise typer.Exit(run(order, verbose))


class Process(StrEnum):
    """The processes that can be run alone."""

    GATEWAY = "gateway"
    TOOLS_SERVICE = "tools_service"


@app.command()
def run(
    process: Process,
    config: ConfigFile = None,
    profile: ProfileName = None,
) -> None:
    """Become one of the two processes, for containers and service managers.

    Both must be given the same ROUNDHOUSE_TOOLS_TOKEN.
    """
    from roundhouse.config import Flags, load
    from roundhouse.launch import alone

    with explained():
        program = alone(load(config, profile, Flags()), process, os.environ)
    # In the place of this process, so that signals and the exit code are the program's own.
    os.execve(program.argv[0], list(program.argv), dict(program.env))


@app.command()
def ask(
    question: Annotated[str, typer.Argument(help="What to ask.")],
    url: Annotated[
        str, typer.Option(envvar="ROUNDHOUSE_URL", help="Where the gateway answers.")
    ] = "http://127.0.0.1:8000",
    api_key: Annotated[
        str | None, typer.Option(envvar="ROUNDHOUSE_API_KEYS", help="The key, if it wants one.")
    ] = None,
    model: Annotated[str, typer.Option(help="By default the first one served.")] = "",
    tool: Annotated[
        list[str] | None, typer.Option(help="Allow this tool only; may be repeated.")
    ] = None,
    no_tools: Annotated[bool, typer.Option("--no-tools", help="Answer without tools.")] = False,
) -> None:
    """Ask the running gateway; shows the tool calls as they happen."""
    from rich.console import Console

    from roundhouse.ask import answer
    from roundhouse.chat import Address, Question

    key = api_key.partition(",")[0] if api_key else None
    address = Address(url.rstrip("/").removesuffix("/v1"), key)
    asked = Question(question, model, not no_tools, tuple(tool) if tool else None)
    with explained():
        asyncio.run(answer(address, asked, Console(highlight=False)))


@app.command()
def ingest(
    folder: Annotated[Path, typer.Argument(help="Markdown, text, HTML and PDF, at any depth.")],
    config: ConfigFile = None,
    profile: ProfileName = None,
) -> None:
    """Index a folder for the tool `retrieve`; run it again after changes, or to go on."""
    from roundhouse.config import Flags, load
    from roundhouse.ingest import become_ingest

    with explained():
        become_ingest(load(config, profile, Flags()), folder, os.environ)


@app.command()
def doctor(
    config: ConfigFile = None,
    profile: ProfileName = None,
    port: Port = None,
    tools_port: ToolsPort = None,
    gpu_memory_gib: Annotated[
        float | None, typer.Option(min=1, help="Ask about GPUs of this size, which are elsewhere.")
    ] = None,
    gpus: Annotated[int, typer.Option(min=1, help="With --gpu-memory-gib: how many of them.")] = 1,
    session_tokens: Annotated[
        int | None, typer.Option(min=1, help="How long the contexts of sessions usually become.")
    ] = None,
) -> None:
    """Look for what would keep `roundhouse up` from working, and say what to do about it."""
    from roundhouse.config import Flags
    from roundhouse.doctor import Wish, examine

    wish = Wish(gpu_memory_gib, gpus, session_tokens)
    raise typer.Exit(examine(config, profile, Flags(port, tools_port), os.environ, wish))


@app.command()
def tenant() -> None:
    """Print the names of tenants, for `tools_service.tenants`.

    Reads their API keys from ROUNDHOUSE_API_KEYS, or else from standard input, never from the
    command line, which everybody on the machine can read.
    """
    from roundhouse.tenants import names

    with explained():
        for name in names(os.environ, sys.stdin):
            typer.echo(name)


@contextmanager
def explained() -> Iterator[None]:
    """An error of ours ends the command with its message, its remedy and its exit code."""
    try:
        yield
    except RoundhouseError as error:
        typer.secho(f"roundhouse: {error}", fg="red", err=True)
        if error.remedy:
            typer.echo(f"  To do: {error.remedy}", err=True)
        raise typer.Exit(error.exit_code) from error
    except KeyboardInterrupt:
        raise typer.Exit(130) from None
