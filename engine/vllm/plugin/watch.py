"""EngineCore ends when its parent does."""

import os
import signal
import threading

# `sleep` itself, not `time`: a virtual clock may replace the module's attribute.
from time import sleep

WATCH_PERIOD_S = 1.0
GRACE_S = 10.0


def watch_parent() -> None:
    """End this process soon after its parent has gone.

    Without it a gateway killed by SIGKILL leaves EngineCore and workers behind, which keep the
    GPU. PR_SET_PDEATHSIG won't do: it fires when the *thread* that built the engine ends.
    """
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            sleep(WATCH_PERIOD_S)
        os.kill(os.getpid(), signal.SIGTERM)
        sleep(GRACE_S)
        os._exit(1)

    threading.Thread(target=watch, daemon=True, name="parent-watch").start()
