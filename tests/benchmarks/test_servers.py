"""The life of a server under test."""

import os
import sys
from pathlib import Path

import psutil
import pytest

from benchmarks.servers import ServerFailed, free_port, serving
from benchmarks.variants import Launch

# A server with a child, as an engine is one.
PROGRAM = """
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
from http.server import HTTPServer, SimpleHTTPRequestHandler
HTTPServer(("127.0.0.1", int(sys.argv[1])), SimpleHTTPRequestHandler).serve_forever()
"""


def launch(program: str) -> Launch:
    port = free_port()
    return Launch([sys.executable, "-c", program, str(port)], dict(os.environ), port, "/")


def test_a_server_is_ready_inside_and_gone_with_its_children_afterwards(tmp_path: Path) -> None:
    with serving(launch(PROGRAM), tmp_path / "log", None) as server:
        watched = [server.front_pid, *server.engine_pids]
        assert len(watched) == 2
        assert all(psutil.pid_exists(pid) for pid in watched)
    assert not any(psutil.pid_exists(pid) for pid in watched)


def test_a_server_that_dies_fails_with_the_end_of_its_log(tmp_path: Path) -> None:
    dying = launch("raise SystemExit('no such model')")
    with pytest.raises(ServerFailed, match="no such model"), serving(dying, tmp_path / "log", None):
        pytest.fail("it was never ready")
