"""The hop benchmark: what a gateway adds to a model server met over HTTP.

Gateways take turns before the same upstream, each alone on one core; upstream and load generator
share the other. CPU time comes first: it hardly moves with what else the machine does.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.apart import measured
from benchmarks.commands import Command, publish
from benchmarks.cores import Cores, layout, pin, usable
from benchmarks.hop_peers import MODEL, PEERS, upstream
from benchmarks.hop_report import DIRECT, STREAM, TURNS, WHOLE, Window, markdown
from benchmarks.hop_upstream import TEXT
from benchmarks.load import CONVERSATION, LoadPlan, LoadResult
from benchmarks.machine import describe
from benchmarks.servers import Server, ServerFailed, free_port, serving
from benchmarks.streaming import in_turn
from benchmarks.variants import Place

_PROMPT = "Describe how one request travels from the passenger to the timetable and back. " * 3
_TICK_MS = 10.0
_STREAM_TOKENS = 100
_STREAMS = 64
_TURNS = 6
_TURNS_AT_ONCE = 16


@dataclass(frozen=True, slots=True)
class Options:
    """One run of the benchmark; `programs` are the peers' executables by name."""

    programs: dict[str, Path]
    connections: list[int]
    reps: int
    duration_s: float
    warm_up_s: float
    out: Path | None


def run(options: Options) -> tuple[list[Window], dict[str, str]]:
    """Measure every peer in every repetition before one upstream; windows, and what failed."""
    cores = layout(usable())
    windows: list[Window] = []
    notes: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        launch = upstream(Place(free_port(), Path(folder)), _TICK_MS)
        with serving(launch, Path(folder) / "upstream.log", None) as behind:
            if cores is not None:
                pin(behind.front_pid, cores.load)
            for repetition in range(options.reps):
                for peer in in_turn([DIRECT, *options.programs], repetition):
                    try:
                        for window in _measure(peer, repetition, options, behind, cores):
                            windows.append(window)
                            _say(window)
                    except ServerFailed as exc:
                        notes[peer] = str(exc)
    return windows, notes


def _measure(
    peer: str, repetition: int, options: Options, behind: Server, cores: Cores | None
) -> Iterator[Window]:
    if peer == DIRECT:
        yield from _windows(peer, repetition, options, behind, cores)
        return
    with tempfile.TemporaryDirectory() as folder:
        url = f"http://127.0.0.1:{behind.port}"
        launch = PEERS[peer](options.programs[peer], Place(free_port(), Path(folder)), url)
        with serving(launch, Path(folder) / "server.log", cores) as server:
            yield from _windows(peer, repetition, options, server, cores)


def _windows(
    peer: str, repetition: int, options: Options, server: Server, cores: Cores | None
) -> Iterator[Window]:
    modes = ((WHOLE, options.connections), (TURNS, [_TURNS_AT_ONCE]), (STREAM, [_STREAMS]))
    for mode, counts in modes:
        for count in counts:
            body, *further = _bodies(mode)
            plan = LoadPlan(
                port=server.port,
                body=body,
                further=further,
                streams=count,
                duration_s=options.duration_s,
                warm_up_s=options.warm_up_s,
                streamed=mode == STREAM,
                watched={"front": [server.front_pid, *server.engine_pids]},
                front_core=server.front_core,
            )
            result = measured("benchmarks.load", plan, LoadResult, cores)
            yield Window(peer, mode, count, repetition, result)


def _bodies(mode: str) -> list[str]:
    """The turns of one conversation; one turn, where each request is a session of its own."""
    request: dict[str, object] = {
        "model": MODEL,
        "max_tokens": _STREAM_TOKENS,
        "stream": mode == STREAM,
    }
    if mode == STREAM:
        request["stream_options"] = {"include_usage": True}
    said = f"{_PROMPT} This is {CONVERSATION}." if mode == TURNS else _PROMPT
    messages = [
        {"role": "system", "content": "You are a helpful agent."},
        {"role": "user", "content": said},
    ]
    bodies = []
    for _ in range(_TURNS if mode == TURNS else 1):
        bodies.append(msgspec.json.encode({**request, "messages": messages}).decode())
        messages += [
            {"role": "assistant", "content": TEXT},
            {"role": "user", "content": f"And then? {_PROMPT}"},
        ]
    return bodies


def _say(window: Window) -> None:
    result = window.result
    each = result.events if window.mode == STREAM else result.requests
    cost = result.cpu_s["front"] * 1e6 / each if each else float("nan")
    what = f"{window.repetition} {window.peer} {window.mode} {window.connections}"
    rate = result.requests / result.duration_s
    errors = "".join(f", {count} x {kind}" for kind, count in result.errors.items())
    sys.stderr.write(f"{what}: {cost:.1f} µs each, {rate:.0f} requests/s{errors}\n")


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--connections", default="1,16,64", help="comma list")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--duration", type=float, default=3.0, help="of a window, seconds")
    parser.add_argument("--warm-up", type=float, default=1.0, help="before a window, seconds")
    parser.add_argument("--out", type=Path, help="FILE.md; standard output if absent")
    own = Path(sys.executable)
    parser.add_argument("--python", type=Path, default=own, help="what the gateway runs on")
    for name in PEERS:
        if name != "gateway":
            parser.add_argument(f"--{name}", type=Path, help=f"the {name} program, to compare with")


def _main(args: argparse.Namespace) -> None:
    said = {name: getattr(args, name.replace("-", "_"), None) for name in PEERS}
    programs = {name: path for name, path in said.items() if path is not None}
    options = Options(
        programs={"gateway": args.python, **programs},
        connections=[int(count) for count in args.connections.split(",")],
        reps=args.reps,
        duration_s=args.duration,
        warm_up_s=args.warm_up,
        out=args.out,
    )
    windows, notes = run(options)
    facts = {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "windows": f"{options.reps} x {options.duration_s:g} s after {options.warm_up_s:g} s",
        "sessions": f"{_TURNS} turns each, the conversation growing, where they return",
        "streams": f"{_STREAMS}, {_STREAM_TOKENS} tokens each, one every {_TICK_MS:g} ms",
    }
    text = markdown(windows, notes, facts)
    publish(text, options.out)


HOP = Command("hop", "what a gateway adds before a server met over HTTP", _configure, _main)
