"""The benchmarks' command line: `python -m benchmarks NAME`."""

import argparse

from benchmarks.agents.command import AGENTS
from benchmarks.agents.live import AGENTS_LIVE
from benchmarks.commands import Command
from benchmarks.continuity import CONTINUITY
from benchmarks.hop import HOP
from benchmarks.identity import IDENTITY
from benchmarks.overload import OVERLOAD
from benchmarks.retention_cost import RETENTION_COST
from benchmarks.steps import STEPS
from benchmarks.streaming import STREAMING
from benchmarks.tier import TIER
from benchmarks.tools_live import TOOLS_LIVE
from benchmarks.tools_sim import TOOLS_SIM
from benchmarks.tools_soak import TOOLS_SOAK
from benchmarks.tools_speed import TOOLS_SPEED

COMMANDS: tuple[Command, ...] = (
    STREAMING,
    HOP,
    OVERLOAD,
    TOOLS_SIM,
    TOOLS_LIVE,
    TOOLS_SPEED,
    TOOLS_SOAK,
    IDENTITY,
    AGENTS,
    RETENTION_COST,
    AGENTS_LIVE,
    CONTINUITY,
    TIER,
    STEPS,
)


def main() -> None:
    """Run the benchmark that the command line names."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks")
    chosen = parser.add_subparsers(required=True, metavar="NAME")
    for command in COMMANDS:
        options = chosen.add_parser(command.name, help=command.summary)
        command.configure(options)
        options.set_defaults(run=command.run)
    args = parser.parse_args()
    args.run(args)


if __name__ == "__main__":
    main()
