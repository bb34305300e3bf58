"""Ten times the load that saturates, for a minute: what is still served, and what is refused how.

Three windows in one run before one gateway: as many clients as it can serve, back to back (the
peak); requests at ten times that rate, whatever becomes of them; and the clients again.
"""

import argparse
import re
import shlex
import sys
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import msgspec

from benchmarks import hop_peers, variants
from benchmarks.apart import measured
from benchmarks.arrivals import ArrivalPlan, ArrivalResult
from benchmarks.commands import Command, publish
from benchmarks.cores import Cores, layout, pin, usable
from benchmarks.load import LoadPlan, LoadResult
from benchmarks.machine import describe
from benchmarks.overload_report import Overload, findings, markdown
from benchmarks.servers import Server, free_port, serving
from benchmarks.variants import ROOT, Place, Setup

_TICK_MS = 10.0
_TOKENS = 32
_STEEP = 10.0
_NICE = 10  # of two cores the load shares one with vLLM's process, which is what is measured
_ENGINES = {
    "upstream": f"over HTTP, a token every {_TICK_MS:g} ms for every stream",
    "fake": f"vLLM in the gateway's process, whose model is replaced by steps of {_TICK_MS:g} ms",
    "demo": "vLLM in the gateway's process with the demo model",
}
_COUNTED = re.compile(r'^roundhouse_requests_total\{[^}]*outcome="(\w+)"\} ([\d.e+]+)$', re.M)


@dataclass(frozen=True, slots=True)
class Options:
    """One run; `running` requests are with the engine at once, as many wait."""

    engine: str
    running: int
    duration_s: float
    window_s: float


def run(options: Options) -> Overload:
    """Measure. Raises ServerFailed."""
    cores = layout(usable())
    with tempfile.TemporaryDirectory() as folder, _gateway(options, Path(folder), cores) as server:
        before = _closed(options, server, cores)
        rate = before.requests / before.duration_s
        counted = _counted(server)
        during = _open(options, server, cores, _STEEP * rate)
        ended = {name: count - counted.get(name, 0) for name, count in _counted(server).items()}
        after = _closed(options, server, cores)
    return Overload(before, during, after, {name: count for name, count in ended.items() if count})


@contextmanager
def _gateway(options: Options, folder: Path, cores: Cores | None) -> Iterator[Server]:
    place = Place(free_port(), folder)
    queue = {"running": options.running, "waiting": options.running}
    log = folder / "server.log"
    if options.engine != "upstream":
        setup = Setup(ROOT / "models" / "demo", fake=options.engine == "fake", step_ms=_TICK_MS)
        with serving(variants.gateway(setup, place, queue=queue), log, cores) as server:
            yield server
        return
    launch = hop_peers.upstream(Place(free_port(), folder), _TICK_MS)
    with serving(launch, folder / "upstream.log", None) as behind:
        if cores is not None:
            pin(behind.front_pid, cores.load)
        url = f"http://127.0.0.1:{behind.port}"
        ours = hop_peers.gateway(Path(sys.executable), place, url, queue=queue)
        with serving(ours, log, cores) as server:
            yield server


def _closed(options: Options, server: Server, cores: Cores | None) -> LoadResult:
    """As many clients as saturate it, each with one request after the other."""
    plan = LoadPlan(
        port=server.port,
        body=_body(options),
        streams=options.running + options.running // 2,
        duration_s=options.window_s,
        warm_up_s=options.window_s / 5,
        watched={"front": [server.front_pid]},
        front_core=server.front_core,
    )
    return measured("benchmarks.load", plan, LoadResult, cores, nice=_NICE)


def _open(options: Options, server: Server, cores: Cores | None, rate: float) -> ArrivalResult:
    plan = ArrivalPlan(
        port=server.port,
        body=_body(options),
        rate=rate,
        duration_s=options.duration_s,
        tokens=_TOKENS,
        front_pid=server.front_pid,
    )
    return measured("benchmarks.arrivals", plan, ArrivalResult, cores, nice=_NICE)


def _body(options: Options) -> str:
    request = {
        "model": hop_peers.MODEL if options.engine == "upstream" else variants.SERVED_NAME,
        "messages": [{"role": "user", "content": "How does a train turn round?"}],
        "max_tokens": _TOKENS,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if options.engine != "upstream":
        request["ignore_eos"] = True
    return msgspec.json.encode(request).decode()


def _counted(server: Server) -> dict[str, int]:
    """How the gateway itself says that requests have ended."""
    with urllib.request.urlopen(f"http://127.0.0.1:{server.port}/metrics", timeout=30) as page:
        text = page.read().decode()
    counts: dict[str, int] = {}
    for name, value in _COUNTED.findall(text):
        counts[name] = counts.get(name, 0) + int(float(value))
    return counts


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--engine", choices=list(_ENGINES), default="upstream")
    parser.add_argument("--running", type=int, default=64, help="gateway.queue.running")
    parser.add_argument("--duration", type=float, default=60.0, help="of the overload, seconds")
    parser.add_argument("--window", type=float, default=10.0, help="before and after, seconds")
    parser.add_argument("--out", type=Path, help="FILE.md; standard output if absent")


def _main(args: argparse.Namespace) -> None:
    options = Options(args.engine, args.running, args.duration, args.window)
    overload = run(options)
    facts = {
        **describe(),
        "command": shlex.join(["python", "-m", "benchmarks", *sys.argv[1:]]),
        "engine": _ENGINES[options.engine],
        "gateway": f"{options.running} requests run, {options.running} wait, the rest is refused",
        "request": f"streamed, {_TOKENS} tokens, each of a session of its own",
    }
    text = markdown(overload, facts)
    publish(text, args.out)
    if not all(found.met for found in findings(overload)):
        sys.exit(1)


OVERLOAD = Command("overload", "ten times too much to do: what is still served", _configure, _main)
