"""`python -m benchmarks retention-cost`: what retention adds to vLLM's scheduler."""

import argparse
import subprocess
import sys

from benchmarks.commands import Command


def _configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--sessions", type=int, default=1000, help="that account is kept of")
    parser.add_argument("--steps", type=int, default=1500, help="of the scheduler, in each run")
    parser.add_argument("--reps", type=int, default=3, help="runs; the median counts")


def _main(args: argparse.Namespace) -> None:
    options = ["--sessions", args.sessions, "--steps", args.steps, "--reps", args.reps]
    command = [sys.executable, "-m", "benchmarks.agents.overhead", *map(str, options)]
    if subprocess.run(command).returncode:
        raise SystemExit("the run failed; what it said stands above")


RETENTION_COST = Command(
    "retention-cost", "what retention adds to vLLM's scheduler", _configure, _main
)
