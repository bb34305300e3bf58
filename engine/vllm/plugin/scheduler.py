"""The scheduler factory that vLLM's EngineCore calls, in its own process."""

import os
import signal
import threading

# `sleep` itself, not `time`: a virtual clock may replace the module's attribute.
from time import sleep

from vllm.v1.core.sched.async_scheduler import AsyncScheduler
from vllm.v1.core.sched.interface import SchedulerInterface
from vllm.v1.core.sched.scheduler import Scheduler

WATCH_PERIOD_S = 1.0
GRACE_S = 10.0


def make_scheduler(**kwargs: object) -> SchedulerInterface:
    """Make the scheduler vLLM would have made, and watch over the parent process."""
    watch_parent()
    config = kwargs["vllm_config"].scheduler_config  # type: ignore[attr-defined]  # VllmConfig
    return (AsyncScheduler if config.async_scheduling else Scheduler)(**kwargs)


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
