"""The benchmark of the server's cost per call."""

from pathlib import Path

from benchmarks import tools_speed
from benchmarks.tools_speed import Options, Row


def row(server: str, cpu_ms: float, concurrent: int = 16) -> Row:
    return Row(server, concurrent, cpu_ms, rate=100.0, p50_ms=2.0, p99_ms=9.0)


def test_every_server_returns_the_text_through_the_gateways_client(tmp_path: Path) -> None:
    options = Options((4,), calls=8, reps=1, fastmcp=None, out=tmp_path / "speed")
    rows = tools_speed.run(options)
    assert [found.server for found in rows] == ["plain", "ours", "untold", "sdk"]
    assert all(found.rate > 0 and found.p50_ms <= found.p99_ms for found in rows)


def test_the_report_says_what_is_added_and_which_goals_are_met() -> None:
    rows = [row("plain", 0.1), row("ours", 0.7), row("plain", 0.2), row("ours", 1.0)]
    text = tools_speed.markdown(rows, {"cores": "2"})
    assert "| tools service | 0.85 (0.70..1.00) | 0.70 (0.60..0.80) |" in text
    assert "| at most 1.0 ms added at 16 at once | 0.70 ms | met |" in text
    slow = [row("plain", 0.1), row("ours", 1.5)]
    assert tools_speed.markdown(slow, {}).count("**missed**") == 2
