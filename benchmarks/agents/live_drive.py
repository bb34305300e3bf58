"""Live agents: closed-loop sessions over HTTP, and what they and the engine count."""

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass

import aiohttp
import msgspec
from prometheus_client.parser import text_string_to_metric_families

from benchmarks.agents.live_load import Load, Session, rules, sessions
from benchmarks.variants import SERVED_NAME

_TOKENS = 60  # an answer and the call before it
_TIMEOUT_S = 300.0
_TOOLS = {"type": "mcp", "server_label": "roundhouse", "require_approval": "never"}


class AskFailed(Exception):
    """A request was not answered; the run is worth nothing."""


class _Details(msgspec.Struct):
    cached_tokens: int


class _Usage(msgspec.Struct):
    prompt_tokens: int
    prompt_tokens_details: _Details


class _Called(msgspec.Struct):
    outcome: str
    took_s: float


class _Report(msgspec.Struct):
    turns: int
    tool_calls: list[_Called]


class _Message(msgspec.Struct):
    content: str | None = None


class _Choice(msgspec.Struct):
    message: _Message


class _Answer(msgspec.Struct):
    usage: _Usage
    choices: list[_Choice]
    roundhouse: _Report


@dataclass(frozen=True, slots=True)
class Asked:
    """What one request counted; `wait_s` is its time without its tool's."""

    is_first: bool
    turns: int
    prompt: int
    cached: int
    wait_s: float
    is_called: bool
    """Whether the tool ran: so small a model may fill a call's arguments with white space."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of one variant. Tokens and preemptions are exact; seconds are this machine's."""

    turns: int
    took_s: float
    worst_wait_s: float
    prompt: int
    cached: int
    later_prompt: int
    """Of requests that were not their session's first."""
    later_cached: int
    preemptions: int
    set_aside: int
    failed_calls: int

    @property
    def computed(self) -> int:
        """Prompt tokens that were not found in the cache."""
        return self.prompt - self.cached

    @property
    def cached_share(self) -> float:
        """Of the prompts of later requests."""
        return self.later_cached / max(self.later_prompt, 1)

    @property
    def turns_per_min(self) -> float:
        return 60 * self.turns / self.took_s


async def drive(url: str, load: Load) -> Outcome:
    """Play all sessions of a load. Raises ExceptionGroup of AskFailed and of aiohttp's errors."""
    left = iter(sessions(load))
    asked: list[Asked] = []
    # A connection kept for later may be closed by the gateway just when it is used again.
    connector = aiohttp.TCPConnector(limit=load.live, force_close=True)
    timeout = aiohttp.ClientTimeout(_TIMEOUT_S)
    async with aiohttp.ClientSession(url, connector=connector, timeout=timeout) as http:
        before = await _counters(http)
        began_s = time.monotonic()
        async with asyncio.TaskGroup() as agents:
            for _ in range(load.live):
                agents.create_task(_agent(http, left, asked))
        took_s = time.monotonic() - began_s
        after = await _counters(http)
    return summary(asked, took_s, {name: n - before.get(name, 0.0) for name, n in after.items()})


def summary(asked: list[Asked], took_s: float, counted: dict[str, float]) -> Outcome:
    """All requests of a run together."""
    later = [one for one in asked if not one.is_first]
    return Outcome(
        turns=sum(one.turns for one in asked),
        took_s=took_s,
        worst_wait_s=max(one.wait_s for one in asked),
        prompt=sum(one.prompt for one in asked),
        cached=sum(one.cached for one in asked),
        later_prompt=sum(one.prompt for one in later),
        later_cached=sum(one.cached for one in later),
        preemptions=round(counted.get("vllm:num_preemptions_total", 0)),
        set_aside=round(counted.get("roundhouse_programs_set_aside_total", 0)),
        failed_calls=sum(not one.is_called for one in asked),
    )


def counters(text: str) -> dict[str, float]:
    """Samples of a page of metrics, summed over their labels."""
    found: dict[str, float] = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            found[sample.name] = found.get(sample.name, 0.0) + sample.value
    return found


async def _counters(http: aiohttp.ClientSession) -> dict[str, float]:
    async with http.get("/metrics") as reply:
        return counters(await reply.text())


async def _agent(http: aiohttp.ClientSession, left: Iterator[Session], asked: list[Asked]) -> None:
    """One session after the other, until none is left."""
    for session in left:
        messages: list[dict[str, str]] = [{"role": "system", "content": rules()}]
        for number, ask in enumerate(session.asks):
            messages.append({"role": "user", "content": ask.text})
            headers = {"x-roundhouse-session": session.name}
            if number == len(session.asks) - 1:
                headers["x-roundhouse-session-final"] = "true"
            body = {
                "model": SERVED_NAME,
                "messages": messages,
                "tools": [_TOOLS],
                "tool_choice": {"type": "function", "function": {"name": ask.tool}},
                "max_tool_calls": 1,
                "max_completion_tokens": _TOKENS,
            }
            answer, took_s = await _ask(http, body, headers)
            usage, report = answer.usage, answer.roundhouse
            asked.append(
                Asked(
                    is_first=number == 0,
                    turns=report.turns,
                    prompt=usage.prompt_tokens,
                    cached=usage.prompt_tokens_details.cached_tokens,
                    wait_s=took_s - sum(call.took_s for call in report.tool_calls),
                    is_called=[call.outcome for call in report.tool_calls] == ["ok"],
                )
            )
            said = answer.choices[0].message.content or "done"
            messages.append({"role": "assistant", "content": said})


async def _ask(
    http: aiohttp.ClientSession, body: dict[str, object], headers: dict[str, str]
) -> tuple[_Answer, float]:
    began_s = time.monotonic()
    async with http.post("/v1/chat/completions", json=body, headers=headers) as reply:
        content = await reply.read()
    if reply.status != 200:
        raise AskFailed(f"status {reply.status}: {content.decode(errors='replace')[:500]}")
    return msgspec.json.decode(content, type=_Answer), time.monotonic() - began_s
