"""`python -m benchmarks continuity`: how much of its last turn a session finds in the cache."""

from __future__ import annotations

import argparse
import asyncio
import itertools
import os
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks.commands import Command
from benchmarks.fake_step import STEP_VARIABLE

if TYPE_CHECKING:
    from benchmarks.continuity_families import Family


def configure(options: argparse.ArgumentParser) -> None:
    """The options."""
    options.add_argument("--trajectories", type=Path, help="recorded conversations, as JSON")
    options.add_argument(
        "--template",
        action="append",
        default=[],
        metavar="FAMILY=FILE",
        help="a chat template, and the family that is served with it; gpt-oss has none; "
        "may be repeated",
    )
    options.add_argument(
        "--writing",
        choices=("template", "free", "both"),
        default="both",
        help="answers as the template writes them, or with other spaces, as models do",
    )
    options.add_argument("--conversations", type=_count, help="how many to play; all by default")


def run(args: argparse.Namespace) -> None:
    """Replay, and print the table."""
    os.environ[STEP_VARIABLE] = "0"
    os.environ.setdefault("VLLM_LOGGING_STREAM", "ext://sys.stderr")  # the table goes to stdout
    asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> None:
    # Below, because they load vLLM, which the other benchmarks' clients do without.
    from benchmarks.continuity_conversations import OURS, read
    from benchmarks.continuity_families import DEMO, FAMILIES

    try:
        conversations = OURS if args.trajectories is None else read(args.trajectories)
    except ValueError as error:
        raise SystemExit(str(error)) from error
    chosen: list[tuple[str, Path | None]] = [_template(text, FAMILIES) for text in args.template]
    chosen = chosen or [("demo", DEMO / "chat_template.jinja")]
    print(HEAD)  # noqa: T201
    writings = ("template", "free") if args.writing == "both" else (args.writing,)
    for (name, file), writing, kept in itertools.product(chosen, writings, (True, False)):
        played = conversations[: args.conversations]
        row = await _measure(name, file, played, writing=writing, kept=kept)
        print(row, flush=True)  # noqa: T201


def _count(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text}: give a number of at least 1")
    return int(text)


def _template(text: str, families: Mapping[str, Family]) -> tuple[str, Path | None]:
    name, _, file = text.partition("=")
    family = families.get(name)
    if family is not None and family.is_harmony and not file:
        return name, None
    if family is None or family.is_harmony or not Path(file).is_file():
        raise SystemExit(
            f"--template {text}: say FAMILY=FILE, with a family of {', '.join(families)}; "
            "gpt-oss has no file"
        )
    return name, Path(file)


HEAD = (
    "| family | answers | continuity | turns | found of the turn before | turns that lost some "
    "| tokens of a prompt | computed of them | prompts |\n|---|---|---|---|---|---|---|---|---|"
)


async def _measure(
    name: str,
    file: Path | None,
    conversations: Sequence[Sequence[Mapping[str, Any]]],
    *,
    writing: str,
    kept: bool,
) -> str:
    from benchmarks.continuity_families import FAMILIES, MAX_MODEL_LEN, make_model
    from benchmarks.continuity_replay import BLOCK, replay
    from benchmarks.variants import FAKE_EXECUTOR
    from engine.config import EngineConfig
    from engine.vllm.backend import VllmEngine

    family = FAMILIES[name]
    with tempfile.TemporaryDirectory() as folder:
        tokenizer = make_model(family, file, Path(folder))
        config = EngineConfig(
            name=name,
            model=folder,
            tool_parser=family.parser,
            reasoning_parser=family.reasoning_parser,
            max_model_len=MAX_MODEL_LEN,
            continuity_mib=256 if kept else 0,
            args={
                "enforce_eager": True,
                "block_size": BLOCK,
                "distributed_executor_backend": FAKE_EXECUTOR,
            },
        )
        engine = VllmEngine(config)
        await engine.start()
        try:
            found = await replay(
                engine, family, tokenizer, conversations, is_free=writing == "free"
            )
        finally:
            await engine.close()
    share = found.cached / max(found.whole, 1)
    prompts = ", ".join(f"{count} {why}" for why, count in sorted(found.prompts.items()))
    return (
        f"| {name} | {writing} | {'on' if kept else 'off'} | {found.turns} | {share:.2%} "
        f"| {found.short} "
        f"| {found.prompt / max(found.turns, 1):.0f} "
        f"| {found.computed / max(found.turns, 1):.0f} | {prompts} |"
    )


CONTINUITY = Command(
    "continuity", "how much of its last turn a session finds in the cache", configure, run
)
