"""Who is away for longer than it pays to keep, without a look at everybody for every head. Pure.

A pool that is full of idle programs has hundreds of them, and every new program wants one to go.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from gateway.program import Program, Stand

_ORDER_S = 1.0  # what was found stays in its order for so long
_PAUSE_S = 0.02  # after a look that has let nobody in


@dataclass(slots=True)
class Absences:
    """Programs that are away for long, in the order in which they were when last looked for.

    Each is asked again before it goes: only the order is old, and who has left since is not in it.
    """

    _found: list[tuple[Program, float]] = field(default_factory=list)
    """With the begin of the absence; the longest away last."""
    _found_s: float = -math.inf
    _outlasts_s: float = math.inf
    """When the next of the others is away for too long."""
    _again_s: float = -math.inf
    _is_owed: bool = False

    def look(self, idle: Iterable[Program], patience_s: float, now: float) -> None:
        """Find out who of the idle ones stays away for more than `patience_s` longer."""
        away: list[tuple[float, Program]] = []
        self._outlasts_s = math.inf
        for program in idle:
            left_s = program.returns_in_s(now)
            if left_s > patience_s:
                away.append((left_s, program))
            else:
                outlasts_s = program.outlasts_at_s(patience_s, now)
                self._outlasts_s = min(self._outlasts_s, outlasts_s)
        away.sort(key=lambda pair: pair[0])
        self._found = [(program, program.since_s) for _, program in away]
        self._found_s, self._is_owed = now, False

    def still(self, patience_s: float, now: float) -> Iterator[Program]:
        """Those that are still away for more than `patience_s` longer, the longest first."""
        if now > self._found_s + _ORDER_S:
            return
        found = self._found
        for at in range(len(found) - 1, -1, -1):
            program, since_s = found[at]
            is_here = program.stand is not Stand.IDLE or program.since_s != since_s
            if not is_here and program.returns_in_s(now) > patience_s:
                yield program
            elif at == len(found) - 1:
                found.pop()  # or the next head would meet all that have gone before it

    def pause(self, now: float) -> None:
        """The last look has let nobody in: the next has time."""
        self._again_s = now + _PAUSE_S

    def may_look(self, now: float) -> bool:
        """Whether it is time to look; if not, `next_s` says when."""
        self._is_owed = now < self._again_s
        return not self._is_owed

    @property
    def next_s(self) -> float:
        """When another look may find more; infinite if time alone changes nothing."""
        return self._again_s if self._is_owed else self._outlasts_s
