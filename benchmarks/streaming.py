"""The streaming benchmark: what a streamed token costs each front end, interleaved in one run."""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks.apart import measured
from benchmarks.commands import Command
from benchmarks.cores import Cores, layout, usable
from benchmarks.fake_step import SEED
from benchmarks.load import LoadPlan, LoadResult
from benchmarks.machine import describe
from benchmarks.report import SHORT, STREAM, Row, markdown
from benchmarks.servers import Server, ServerFailed, free_port, serving
from benchmarks.variants import ROOT, SERVED_NAME, VARIANTS, NotRunnable, Place, Setup

_PROMPT = (
    "A small team keeps a service that answers questions about trains. Describe in plain words "
    "how one request travels from the passenger to the timetable and back to the passenger."
)
_SHORT_TOKENS = 4
_SHORT_STREAMS = 16


@dataclass(frozen=True, slots=True)
class Options:
    """One run of the benchmark."""

    setup: Setup
    variants: list[str]
    streams: list[int]
    tokens: int
    reps: int
    duration_s: float
    warm_up_s: float
    out: Path | None


@dataclass(frozen=True, slots=True)
class Report:
    """Everything a run leaves behind as JSON."""

    facts: dict[str, str]
    notes: dict[str, str]
    rows: list[Row]


def run(options: Options) -> Report:
    """Measure every variant in every repetition, one server at a time."""
    cores = layout(usable())
    rows: list[Row] = []
    notes: dict[str, str] = {}
    for repetition in range(options.reps):
        for variant in in_turn(options.variants, repetition):
            try:
                for row in _measure(variant, repetition, options, cores):
                    rows.append(row)
                    _say(row)
            except (NotRunnable, ServerFailed) as exc:
                kind = "not runnable here" if isinstance(exc, NotRunnable) else "failed"
                notes[variant] = f"{kind}: {exc}"
    return Report(_facts(options, cores), notes, rows)


def in_turn(variants: Sequence[str], repetition: int) -> Sequence[str]:
    """A B, then B A: a machine that slows down slows both sides of a ratio."""
    return variants[::-1] if repetition % 2 else variants


def body(tokens: int, *, streamed: bool) -> str:
    """The chat request; usage is asked for because it states the tokens exactly."""
    request: dict[str, object] = {
        "model": SERVED_NAME,
        "messages": [{"role": "user", "content": _PROMPT}],
        "max_tokens": tokens,
        "ignore_eos": True,
        "stream": streamed,
    }
    if streamed:
        request["stream_options"] = {"include_usage": True}
    return msgspec.json.encode(request).decode()


def _measure(variant: str, repetition: int, options: Options, cores: Cores | None) -> Iterator[Row]:
    """One server's life: warmed up, then every number of streams, then short answers."""
    with tempfile.TemporaryDirectory() as folder:
        launch = VARIANTS[variant](options.setup, Place(free_port(), Path(folder)))
        with serving(launch, Path(folder) / "server.log", cores) as server:
            first = _plan(server, options, STREAM, 8, duration_s=1.0)
            measured("benchmarks.load", first, LoadResult, cores)
            windows = [(STREAM, streams) for streams in options.streams]
            for mode, streams in [*windows, (SHORT, _SHORT_STREAMS)]:
                plan = _plan(server, options, mode, streams, duration_s=options.duration_s)
                result = measured("benchmarks.load", plan, LoadResult, cores)
                yield Row(variant, mode, streams, repetition, result)


def _plan(
    server: Server, options: Options, mode: str, streams: int, *, duration_s: float
) -> LoadPlan:
    streamed = mode == STREAM
    return LoadPlan(
        port=server.port,
        body=body(options.tokens if streamed else _SHORT_TOKENS, streamed=streamed),
        streams=streams,
        duration_s=duration_s,
        warm_up_s=options.warm_up_s,
        streamed=streamed,
        watched=server.watched,
        front_core=server.front_core,
    )


def _facts(options: Options, cores: Cores | None) -> dict[str, str]:
    setup = options.setup
    engine = f"fake, one step every {setup.step_ms:g} ms" if setup.fake else "real"
    pinned = (
        f"front end {cores.front}, engine {cores.engine}, worker {cores.worker}, "
        f"load generator {cores.load}"
        if cores
        else "not pinned: one core only"
    )
    return {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "engine": engine,
        "engine flags": msgspec.json.encode(
            {"max_model_len": setup.max_model_len, **setup.engine_args}
        ).decode(),
        "request": f"{options.tokens} tokens, ignore_eos, prompt of {len(_PROMPT.split())} words",
        "windows": f"{options.reps} x {options.duration_s:g} s after {options.warm_up_s:g} s",
        "pinned": pinned,
        "seed of the fake tokens": str(SEED),
    }


def _say(row: Row) -> None:
    front_s = row.result.cpu_s["front"]
    cost = front_s * 1e6 / row.result.tokens if row.result.tokens else float("nan")
    sys.stderr.write(
        f"{row.repetition} {row.variant} {row.mode} {row.streams}: {cost:.1f} µs/token, "
        f"{row.result.tokens / row.result.duration_s:.0f} tokens/s\n"
    )


def _write(report: Report, out: Path | None) -> None:
    text = markdown(report.rows, report.notes, report.facts)
    if out is None:
        sys.stdout.write(text)
    elif out.suffix == ".json":
        out.write_bytes(msgspec.json.format(msgspec.json.encode(report)))
    else:
        out.write_text(text)


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=["fake", "real"], default="fake")
    parser.add_argument("--variants", default="gateway,vllm,vllm-rust", help="comma list")
    parser.add_argument("--streams", default="1,16,64,256", help="comma list")
    parser.add_argument("--tokens", type=int, default=128, help="per streamed reply")
    parser.add_argument("--reps", type=int, default=3)
    parser.add_argument("--step-ms", type=float, default=8.0, help="of the fake engine")
    parser.add_argument("--duration", type=float, default=6.0, help="of a window, seconds")
    parser.add_argument("--warm-up", type=float, default=2.0, help="before a window, seconds")
    parser.add_argument("--model", type=Path, default=ROOT / "models" / "demo")
    parser.add_argument("--out", type=Path, help="FILE.json or FILE.md; standard output if absent")


def _main(args: argparse.Namespace) -> None:
    variants = args.variants.split(",")
    unknown = sorted(set(variants) - set(VARIANTS))
    if unknown:
        raise SystemExit(f"unknown variants: {', '.join(unknown)}")
    options = Options(
        setup=Setup(args.model.resolve(), fake=args.engine == "fake", step_ms=args.step_ms),
        variants=variants,
        streams=[int(count) for count in args.streams.split(",")],
        tokens=args.tokens,
        reps=args.reps,
        duration_s=args.duration,
        warm_up_s=args.warm_up,
        out=args.out,
    )
    _write(run(options), options.out)


STREAMING = Command("streaming", "cost of a streamed token, per front end", _configure, _main)
