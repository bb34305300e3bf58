"""Calls that a server runs within a request: the client never sees them."""

import random
from dataclasses import replace

from benchmarks.agents.sessions import HUMAN, Script, Turn


def hide(script: Script, share: float, chance: random.Random) -> Script:
    """Let so many of the turns after a tool go on within the request before.

    The client's next request has none of them: what was said and found since its last one leaves
    the context, and the answer is told anew.
    """
    turns: list[Turn] = []
    seen = lost = 0  # what the client's last request has said; what has left the context so far
    for turn in script:
        is_hidden = bool(turns) and turn.tool != HUMAN and chance.random() < share
        kept = min(turn.kept, turns[-1].context if turns else 0)
        if turns and not is_hidden and (hidden := turns[-1].prompt - seen):
            lost, kept = lost + hidden, min(kept, seen)
        prompt = max(turn.prompt - lost, kept + 1)
        turns.append(replace(turn, prompt=prompt, kept=kept))
        if not is_hidden:
            seen = prompt
    return tuple(turns)
