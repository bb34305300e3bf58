"""What runs first inside the jail: it sets the bounds, then runs the code that comes on stdin.

Its text is handed to an interpreter of its own, so it imports the standard library only.
"""

import linecache
import resource
import sys
import traceback


def _bound(seconds: int, memory: int, disk: int, processes: int) -> None:
    for kind, most in (
        (resource.RLIMIT_CPU, seconds),
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_FSIZE, disk),
        (resource.RLIMIT_NPROC, processes),
        (resource.RLIMIT_NOFILE, 256),
        (resource.RLIMIT_CORE, 0),
    ):
        # The hard one too: nobody in here may raise it again.
        resource.setrlimit(kind, (most, most))


def _main(value: str, shown: int) -> int:
    code = sys.stdin.buffer.read().decode()
    linecache.cache["main.py"] = (len(code), None, code.splitlines(keepends=True), "main.py")
    scope: dict[str, object] = {"__name__": "__main__"}
    try:
        exec(compile(code, "main.py", "exec"), scope)
        if value and (last := scope.get(value)) is not None:
            _say(f"{last!r:.{shown}}")
    except SystemExit as exit:
        if exit.code in (None, 0):
            return 0
        _say(f"SystemExit: {exit.code}")
        return 1
    except BaseException as error:
        below = error.__traceback__.tb_next if error.__traceback__ else None
        lines = traceback.TracebackException(type(error), error, below).format()
        # Where this machine keeps its Python is nobody's business.
        _say("".join(lines).replace(sys.base_prefix, "/python"))
        return 1
    return 0


def _say(text: str) -> None:
    """The end of the run, behind a mark that tells it from what the code printed."""
    # Not to `sys.stdout`: the code may have put something else there.
    with open(1, "wb", closefd=False) as out:
        out.write(f"\0{text}".encode(errors="replace"))


if __name__ == "__main__":
    limits, value, shown = sys.argv[1:5], sys.argv[5], int(sys.argv[6])
    sys.argv = ["main.py"]
    _bound(*map(int, limits))
    sys.exit(_main(value, shown))
