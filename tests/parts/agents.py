"""Agents in the styles of the frameworks, talking to an index of sessions."""

import itertools
import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

from engine.types import ChoiceDone, Delta, Finished, ToolCall, Usage
from gateway.identity import Claim, Identity
from gateway.recognition import Recognition
from gateway.visit import Visit

Style: TypeAlias = Literal["plain", "parts", "absent", "reserialised", "text"]
Message: TypeAlias = dict[str, Any]
STYLES: tuple[Style, ...] = ("plain", "parts", "absent", "reserialised", "text")

SYSTEM, QUESTION = "You are an expert.", "What is X?"

_answers = itertools.count()


def visit(recognition: Recognition, messages: Sequence[Message], **claim: Any) -> Visit:
    """One request, not yet answered."""
    tenant = claim.pop("tenant", "tenant")
    return Visit(recognition, Claim(tenant, messages=messages, **claim), f"id-{next(_answers):09}")


def tool_call(name: str = "search", call_id: str = "", **arguments: object) -> ToolCall:
    """A call as an engine makes it."""
    call_id = call_id or f"chatcmpl-tool-{secrets.token_hex(8)}"
    return ToolCall(0, 0, call_id, name, json.dumps(arguments))


def answer(it: Visit, text: str = "", *calls: ToolCall) -> Identity:
    """The answer to a request; gives whose it was."""
    for call in calls:
        it.hear(call)
    it.hear(Delta(0, text))
    it.hear(ChoiceDone(0, "tool_calls" if calls else "stop"))
    it.hear(Finished(Usage(1, 1)))
    return it.identity


@dataclass
class Agent:
    """One conversation, kept as its client keeps it."""

    recognition: Recognition
    style: Style = "plain"
    tenant: str = "tenant"
    messages: list[Message] = field(default_factory=list)
    sessions: list[str] = field(default_factory=list)
    """The sessions its requests were found to belong to."""
    asked: Visit | None = None
    """The request that is not answered yet."""
    last: Identity | None = None

    def begin(self, system: str, question: str) -> None:
        """Say the first things."""
        self.messages = [self._message("system", system), self._message("user", question)]

    def ask(self, text: str = "", *calls: ToolCall, **claim: Any) -> Identity:
        """One request, and its answer."""
        self.send(**claim)
        return self.receive(text, *calls)

    def send(self, **claim: Any) -> Identity:
        """One request."""
        self.asked = visit(self.recognition, list(self.messages), tenant=self.tenant, **claim)
        self.sessions.append(self.asked.identity.session)
        return self.asked.identity

    def receive(self, text: str = "", *calls: ToolCall) -> Identity:
        """Its answer."""
        assert self.asked is not None
        self.last = answer(self.asked, text, *calls)
        self.asked = None
        self.messages += self._told(text, calls)
        return self.last

    def result(self, call: ToolCall, content: str = "found") -> None:
        """A tool's result, as the next request carries it."""
        if self.style == "text":
            self.messages.append(self._message("user", f"Observation:\n{content}"))
        else:
            message = self._message("tool", content)
            self.messages.append({**message, "tool_call_id": call.id, "name": call.name})

    def say(self, text: str) -> None:
        """Something more from the user."""
        self.messages.append(self._message("user", text))

    def _message(self, role: str, text: str) -> Message:
        parts = self.style in ("parts", "text")
        return {"role": role, "content": [{"type": "text", "text": text}] if parts else text}

    def _told(self, text: str, calls: Sequence[ToolCall]) -> list[Message]:
        if self.style == "text" and calls:
            told = [
                {
                    "id": call.id,
                    "type": "function",
                    "function": {"name": call.name, "arguments": json.loads(call.arguments)},
                }
                for call in calls
            ]
            return [self._message("assistant", f"Calling tools:\n{told}")]
        message = self._message("assistant", text)
        if not text and self.style == "absent":
            del message["content"]
        elif not text and self.style != "parts":
            message["content"] = None
        if calls:
            message["tool_calls"] = [self._call(call) for call in calls]
        return [{**message, "name": "agent"}]

    def _call(self, call: ToolCall) -> Message:
        arguments = call.arguments
        if self.style == "reserialised":
            ordered = sorted(json.loads(arguments).items(), reverse=True)
            arguments = json.dumps(dict(ordered), separators=(",", ":"))
        function = {"arguments": arguments, "name": call.name}
        return {"type": "function", "function": function, "id": call.id}


def agents(count: int, style: Style = "plain") -> list[Agent]:
    """Agents with the same prompts at one gateway."""
    recognition = Recognition()
    made = [Agent(recognition, style) for _ in range(count)]
    for agent in made:
        agent.begin(SYSTEM, QUESTION)
    return made
