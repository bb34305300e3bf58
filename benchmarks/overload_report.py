"""What an overload did: goodput against the peak, refusals, memory, and whether that is kept to."""

from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.arrivals import OK, REFUSED, ArrivalResult
from benchmarks.load import LoadResult, Quantiles
from benchmarks.tools_report import Goal, listing, table

_SHARE = 0.9
_MOST_MIB = 64.0  # what the tables of 10,000 sessions take, with room
_SETTLED = 0.5


@dataclass(frozen=True, slots=True)
class Overload:
    """The three windows, and how the gateway counted the requests of the second."""

    before: LoadResult
    during: ArrivalResult
    after: LoadResult
    counted: Mapping[str, int]

    @property
    def peak(self) -> float:
        """Good answers a second at the load that saturates."""
        return self.before.requests / self.before.duration_s

    @property
    def goodput(self) -> float:
        """Good answers a second at ten times that."""
        return self.during.ends.get(OK, 0) / self.during.duration_s


def findings(overload: Overload) -> list[Goal]:
    """Promises and what became of them."""
    during = overload.during
    ok, refused = during.ends.get(OK, 0), during.ends.get(REFUSED, 0)
    others = {end: count for end, count in during.ends.items() if end not in (OK, REFUSED)}
    share, again = overload.goodput / overload.peak, overload.after.requests
    again_share = again / overload.after.duration_s / overload.peak
    rss = during.rss_mib or [0.0]
    settled = rss[int(_SETTLED * len(rss))]
    memory = f"{rss[0]:.0f} MiB before, {max(rss):.0f} at most, {rss[-1]:.0f} at the end"
    counts = ", ".join(f"{name} {count}" for name, count in sorted(overload.counted.items()))
    faults = sum(overload.before.errors.values()) + sum(overload.after.errors.values())
    return [
        Goal(f"goodput is {_SHARE:.0%} of the peak", f"{share:.1%}", share >= _SHARE),
        Goal("every refusal says when to come again, 1 to 59 s", f"{refused}", refused > 0),
        Goal("every other request is answered whole, once", f"{ok}; not: {others}", not others),
        Goal(
            "the gateway counts what its clients count",
            counts,
            dict(overload.counted) == {OK: ok, REFUSED: refused},
        ),
        Goal("memory is bounded", memory, max(rss) - settled <= _MOST_MIB),
        Goal(
            "afterwards it is as it was",
            f"{again_share:.1%} of the peak, {faults} errors",
            again_share >= _SHARE and not faults,
        ),
    ]


def markdown(overload: Overload, facts: dict[str, str]) -> str:
    """The whole report."""
    before, during, after = overload.before, overload.during, overload.after
    offered = sum(during.ends.values()) / during.duration_s
    tens = [sum(during.seconds[at : at + 10]) / 10 for at in range(0, len(during.seconds) - 9, 10)]
    rows = [
        ["as many clients as it serves", "", f"{overload.peak:.0f}", "", *_times(before.request)],
        [
            "ten times as many requests",
            f"{offered:.0f}",
            f"{overload.goodput:.0f}",
            f"{during.ends.get(REFUSED, 0) / during.duration_s:.0f}",
            *_times(during.ok),
        ],
        [
            "the clients again",
            "",
            f"{after.requests / after.duration_s:.0f}",
            "",
            *_times(after.request),
        ],
    ]
    goals = [
        [one.text, one.found, "met" if one.met else "**missed**"] for one in findings(overload)
    ]
    refusal = " / ".join(_times(during.refused))
    facts = {
        **facts,
        "a refusal took": f"{refusal} ms (p50 / p99)",
        "good answers a second, each ten seconds": ", ".join(f"{rate:.0f}" for rate in tens),
        "most requests open at once": str(during.most_open),
        "CPU of the gateway": f"{before.cpu_s['front'] / before.duration_s:.0%} of a core at the "
        f"peak, {during.cpu_s / during.duration_s:.0%} of one at ten times that",
        "its core, whoever used it": f"{before.front_core_busy or 0:.0%} at the peak",
    }
    parts = ["# Ten times too much to do", listing(facts)]
    parts.append(table(["goal", "found", ""], goals))
    head = ["load", "requests/s", "answered/s", "refused/s", "p50 ms", "p99 ms"]
    parts.append(table(head, rows))
    return "\n\n".join(parts) + "\n"


def _times(times: Quantiles) -> list[str]:
    return ["" if value is None else f"{value:.0f}" for value in (times.p50_ms, times.p99_ms)]
