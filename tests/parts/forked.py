"""Engines that are started within tests."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def no_errors_of_warnings() -> Iterator[None]:
    """For an engine's start: its processes are forked and inherit the filters.

    A warning inside vLLM would become an error there. What vLLM leaves to the garbage collector,
    which may come just now, stays as quiet as it is elsewhere.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.filterwarnings("ignore", "Unclosed context <zmq", ResourceWarning)
        yield
