"""Asks a served model the natural questions: `python -m models.interview http://127.0.0.1:8000/v1`."""

import argparse
import json
import sys
from collections.abc import Iterable
from typing import Any

from openai import OpenAI

from models.transcripts import TRANSCRIPTS, Step, Transcript


def definitions(tools: Iterable[str]) -> list[dict[str, Any]]:
    """OpenAI tool definitions for lines such as search(query, max_results)."""
    found = []
    for line in tools:
        name, _, rest = line.rstrip(")").partition("(")
        names = rest.split(", ")
        parameters = {
            "type": "object",
            "properties": {parameter: {"type": "string"} for parameter in names},
            "required": names[:1],
        }
        found.append({"type": "function", "function": {"name": name, "parameters": parameters}})
    return found


def ask(client: OpenAI, model: str, transcript: Transcript) -> str:
    """Goes through a transcript; returns what differs from it, or nothing."""
    messages: list[Any] = [{"role": "user", "content": transcript.question}]
    offered: dict[str, Any] = {"tools": definitions(transcript.tools)} if transcript.tools else {}
    for steps in (*transcript.rounds, ()):
        reply = client.chat.completions.create(
            model=model, messages=messages, temperature=0, max_completion_tokens=300, **offered
        )
        message = reply.choices[0].message
        made = [
            (call.function.name, json.loads(call.function.arguments))
            for call in message.tool_calls or []
        ]
        if made != [(step.name, step.arguments) for step in steps]:
            return f"called {made}, said {message.content!r}"
        if not steps and message.content != transcript.answer:
            return f"said {message.content!r}"
        messages += [message.model_dump(exclude_none=True), *_results(message, steps)]
    return ""


def _results(message: Any, steps: tuple[Step, ...]) -> list[dict[str, str]]:
    calls = message.tool_calls or []
    return [
        {"role": "tool", "tool_call_id": call.id, "content": step.result}
        for call, step in zip(calls, steps, strict=True)
    ]


def main() -> int:
    """Command line; the exit code tells whether all was as expected."""
    parser = argparse.ArgumentParser(prog="python -m models.interview", description=__doc__)
    parser.add_argument("url", help="base URL, ending in /v1")
    given = parser.parse_args()
    client = OpenAI(base_url=given.url, api_key="none")
    model = client.models.list().data[0].id
    misses = 0
    for transcript in TRANSCRIPTS:
        difference = ask(client, model, transcript)
        misses += bool(difference)
        sys.stdout.write(f"{'MISS' if difference else 'ok':5}{transcript.question}  {difference}\n")
    sys.stdout.write(f"{len(TRANSCRIPTS) - misses} of {len(TRANSCRIPTS)} as expected\n")
    return min(misses, 1)


if __name__ == "__main__":
    sys.exit(main())
