"""What is shown while the processes start, on a terminal and elsewhere."""

import io

from rich.console import Console

from roundhouse.errors import NotReady
from roundhouse.view import View


def screen(terminal: bool) -> tuple[Console, io.StringIO]:
    out = io.StringIO()
    console = Console(file=out, force_terminal=terminal, width=120, color_system=None)
    return console, out


def test_elsewhere_every_line_is_shown_with_its_process() -> None:
    console, out = screen(terminal=False)
    with View(console) as view:
        view.hear("gateway", "INFO loading")
    assert "gateway | INFO loading" in out.getvalue()


def test_a_terminal_shows_the_newest_message_without_its_head() -> None:
    console, out = screen(terminal=True)
    with View(console) as view:
        view.hear("gateway", "(EngineCore pid=7) INFO 11-20 18:20:01 [core.py:105] Loading [x]")
        view.hear("gateway", "  something without a level")
        view.progress.refresh()
    assert "Loading [x]" in out.getvalue()
    assert "core.py" not in out.getvalue()
    assert "something" not in out.getvalue()


def test_a_terminal_shows_the_hidden_lines_when_the_start_fails() -> None:
    console, out = screen(terminal=True)
    try:
        with View(console) as view:
            view.hear("gateway", "Traceback of the cause")
            raise NotReady("not ready")
    except NotReady:
        pass
    assert "gateway | Traceback of the cause" in out.getvalue()


def test_once_started_a_terminal_shows_every_line() -> None:
    console, out = screen(terminal=True)
    with View(console) as view:
        view.hear("gateway", "before")
        view.started()
        view.hear("gateway", "after")
    assert "gateway | after" in out.getvalue()
    assert "before" not in out.getvalue()


def test_what_bindings_leak_at_exit_is_not_shown() -> None:
    console, out = screen(terminal=False)
    with View(console) as view:
        view.hear("gateway", "nanobind: leaked 4 instances!")
        view.hear("gateway", ' - leaked type "x"')
    assert "leaked" not in out.getvalue()
