"""Tools for models whose chat template knows none: told in the prompt, called in Hermes' way.

Tools become instructions, earlier calls the text the model would have written, results a message
of the user. As many messages come out as go in, so what is known of a conversation still fits.
"""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from engine.errors import BadCall
from engine.types import TOOLS_IN_PROMPT

PARSER = "hermes"
_INSTRUCTIONS = """\
You can call functions. Each of them is described here in one line of JSON:
<tools>
{tools}
</tools>
To call one, write its name and its arguments as JSON between the tags, one pair of tags a call:
<tool_call>
{{"name": "the function's name", "arguments": {{"an argument": "its value"}}}}
</tool_call>
Then stop: the results come in the next message, between <tool_response> and </tool_response>.
"""


def concerns(body: Mapping[str, Any]) -> bool:
    """Whether there is a tool, a call or a result to tell of."""
    messages = body.get("messages")
    return bool(body.get("tools")) or (
        isinstance(messages, list)
        and any(
            isinstance(message, Mapping)
            and (message.get("role") == "tool" or message.get("tool_calls"))
            for message in messages
        )
    )


def told(body: Mapping[str, Any]) -> dict[str, Any]:
    """The body with its tools in the messages, and nowhere else. Raises BadCall."""
    messages: list[Any] = [_rewritten(message) for message in body["messages"]]
    if messages and (tools := body.get("tools")):
        lines = "\n".join(json.dumps(_described(tool), ensure_ascii=False) for tool in tools)
        messages = _instructed(messages, _INSTRUCTIONS.format(tools=lines))
    hidden = ("tools", "tool_choice", "parallel_tool_calls")
    rest = {name: value for name, value in body.items() if name not in hidden}
    return {**rest, "messages": messages}


def _described(tool: Any) -> Any:
    return tool.get("function", tool) if isinstance(tool, Mapping) else tool


def _instructed(messages: Sequence[Any], instructions: str) -> list[Any]:
    """Instructions join the first message: a system text of their own could be one too many."""
    first, *rest = messages
    if not isinstance(first, Mapping) or not isinstance(first.get("content") or "", str):
        raise BadCall(
            f"with '{TOOLS_IN_PROMPT}' the first message must be text", "messages[0].content"
        )
    content = first.get("content") or ""
    return [{**first, "content": f"{instructions}\n{content}"}, *rest]


def _rewritten(message: Any) -> Any:
    if not isinstance(message, Mapping):
        return message
    if message.get("role") == "tool":
        content = message.get("content")
        text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
        return {"role": "user", "content": f"<tool_response>\n{text}\n</tool_response>"}
    calls = message.get("tool_calls")
    if not isinstance(calls, list) or not calls:
        return message
    kept = {name: value for name, value in message.items() if name != "tool_calls"}
    said = message.get("content")
    texts = [said] if isinstance(said, str) and said else []
    return {**kept, "content": "\n".join([*texts, *map(_written, calls)])}


def _written(call: Any) -> str:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(function, Mapping):
        raise BadCall(f"with '{TOOLS_IN_PROMPT}' every call must name a function", "messages")
    name, arguments = json.dumps(function.get("name")), function.get("arguments") or "{}"
    return f'<tool_call>\n{{"name": {name}, "arguments": {arguments}}}\n</tool_call>'
