"""`roundhouse doctor`: a table of what was found, and what to do about it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from engine.config import EngineConfig
from roundhouse.capacity import GIB
from roundhouse.checks import Finding, State, check_machine
from roundhouse.config import Flags, load
from roundhouse.errors import ConfigFault
from roundhouse.memory_checks import Gpus, check_context, check_sharing
from roundhouse.probes import Machine, hub_cache, look
from roundhouse.profile_checks import check_profile

COLOURS = {State.OK: "green", State.WARN: "yellow", State.FAULT: "bold red"}


@dataclass(frozen=True, slots=True)
class Wish:
    """What the doctor is asked about beside this machine."""

    gpu_memory_gib: float | None = None
    """Of GPUs that are elsewhere; then nothing of this machine is looked at."""
    gpus: int = 1
    session_tokens: int | None = None
    """How long the sessions' contexts usually become."""


def examine(
    file: Path | None, name: str | None, flags: Flags, env: Mapping[str, str], wish: Wish
) -> int:
    """The exit code: 1 when there is a fault."""
    console = Console(highlight=False)
    findings: list[Finding] = []
    machine = None
    if wish.gpu_memory_gib is None:
        with Console(stderr=True).status("looking (PyTorch is imported once) …"):
            machine = look()
        findings += check_machine(machine)
    try:
        profile = load(file, name, flags)
        findings += check_profile(profile, machine, env) if machine else ()
        findings += check_contexts(profile.engines, machine, wish, env)
    except ConfigFault as fault:
        findings.append(Finding("settings", State.FAULT, str(fault), fault.remedy))
    console.print(table(findings))
    faults = sum(finding.state is State.FAULT for finding in findings)
    console.print(f"{faults} to mend" if faults else "roundhouse up can start")
    return 1 if faults else 0


def check_contexts(
    engines: Sequence[EngineConfig], machine: Machine | None, wish: Wish, env: Mapping[str, str]
) -> Iterator[Finding]:
    """Whether the engines' contexts fit into the GPUs here, or those asked about."""
    ours = [engine for engine in engines if engine.kind == "vllm"]  # others have their own memory
    for engine in ours:
        gpus = given(engine, machine) if machine else asked(wish)
        yield from check_context(engine, gpus, hub_cache(env), wish.session_tokens)
    if machine is None or "vllm" in machine.versions:
        yield from check_sharing(ours)


def given(engine: EngineConfig, machine: Machine) -> Gpus:
    """The engine's GPUs on this machine; the smallest decides."""
    cards = machine.gpus
    if engine.devices is not None:
        cards = tuple(cards[index] for index in engine.devices if index < len(cards))
    if not cards or "vllm" not in machine.versions:
        return Gpus(0, 0)
    return Gpus(min(card.total_mib for card in cards) * 2**20, len(cards))


def asked(wish: Wish) -> Gpus:
    return Gpus(int((wish.gpu_memory_gib or 0) * GIB), wish.gpus)


def table(findings: Sequence[Finding]) -> Table:
    page = Table("", "what", "found", "to do", box=None, pad_edge=False)
    for finding in findings:
        state = Text(finding.state, style=COLOURS[finding.state])
        page.add_row(state, finding.what, Text(finding.detail), Text(finding.remedy))
    return page
