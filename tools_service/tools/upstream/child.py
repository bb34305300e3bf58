"""What a stdio server is before it is itself: `python child.py PARENT COMMAND …`.

Only Linux can end a child whose parent was killed without a word, and only the child can ask it to.
A file of its own, run without site packages, so that it costs milliseconds.
"""

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main(parent: int, command: list[str]) -> str | None:
    """Becomes the command; returns only what kept it from that."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return "the service has gone"
    try:
        os.execvp(command[0], command)
    except OSError as exc:
        return f"{command[0]} can't be started: {exc.strerror}"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]), sys.argv[2:]))
