"""`roundhouse doctor`: a table of what was found, and what to do about it."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from roundhouse.checks import Finding, State, check_machine
from roundhouse.config import Flags, load
from roundhouse.errors import ConfigFault
from roundhouse.probes import look
from roundhouse.profile_checks import check_profile

COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAULT: "bold red"}


def examine(file: Path | None, name: str | None, flags: Flags, env: Mapping[str, str]) -> int:
    """The exit code: 1 when there is a fault."""
    console = Console(highlight=False)
    with Console(stderr=True).status("looking (PyTorch is imported once) …"):
        machine = look()
    findings = list(check_machine(machine))
    try:
        findings += check_profile(load(file, name, flags), machine, env)
    except ConfigFault as fault:
        findings.append(Finding("settings", State.FAULT, str(fault), fault.remedy))
    console.print(table(findings))
    faults = sum(finding.state is State.FAULT for finding in findings)
    console.print(f"{faults} to mend" if faults else "roundhouse up can start")
    return 1 if faults else 0


def table(findings: Sequence[Finding]) -> Table:
    page = Table("", "what", "found", "to do", box=None, pad_edge=False)
    for finding in findings:
        state = Text(finding.state, style=COLOURS[finding.state])
        page.add_row(state, finding.what, Text(finding.detail), Text(finding.remedy))
    return page
