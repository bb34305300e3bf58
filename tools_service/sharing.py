"""Answers that need no run of their own: kept for a while, or of an identical call that runs.

Only for tools that change nothing. Identical is the same tool with the same arguments for the same
caller; for whom it is asked does not matter where the settings call the tool public.
"""

import hashlib
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from functools import partial

from tools_service.cache import Cache
from tools_service.call import Answer, Job, Listener
from tools_service.config import ToolsServiceConfig
from tools_service.flight import Flights
from tools_service.metrics import Metrics

Run = Callable[[Job, Listener], Awaitable[Answer]]


class Sharing:
    """Runs a call only if it must."""

    def __init__(
        self, config: ToolsServiceConfig, metrics: Metrics, clock: Callable[[], float], run: Run
    ) -> None:
        self._config = config
        self._metrics = metrics
        self._run = run
        self._flights = Flights()
        self._cache: Cache[Answer] = Cache(config.cache, clock)

    def opened(self) -> AbstractAsyncContextManager[None]:
        """Calls may be shared for as long as the block."""
        return self._flights.opened()

    async def answer(self, job: Job, listener: Listener) -> Answer:
        """From the cache, from a run that goes on already, or from one of its own."""
        if not job.tool.annotations.read_only or job.call.inputs.given:
            return await self._run(job, listener)
        key = self._identity(job)
        if (kept := self._cache.get(key)) is not None:
            self._metrics.cache_hits.labels(job.tool.name).inc()
            return replace(kept, cached=True, hedged=False, wait_s=0.0, run_s=0.0, attempts=0)
        while True:
            fly = partial(self._run_and_keep, key, job)
            answer, joined = await self._flights.share(key, fly, listener)
            if not joined:
                return answer
            # One that was refused for its deadline says nothing about another's, and what one user
            # is asked another may not answer.
            if answer.predicted_wait_s is None and answer.asked is None:
                self._metrics.followers.labels(job.tool.name).inc()
                return replace(answer, shared=True)

    async def _run_and_keep(self, key: bytes, job: Job, listener: Listener) -> Answer:
        answer = await self._run(job, listener)
        ttl_s = self._config.about(job.tool.name).cache_s
        if ttl_s is not None and answer.outcome == "ok":
            self._cache.put(key, answer, answer.size, ttl_s)
        return answer

    def _identity(self, job: Job) -> bytes:
        call = job.call
        caller = "" if self._config.about(call.tool).public else call.caller
        digest = hashlib.sha256()
        # A tool may answer otherwise when it knows that it can ask.
        askable = " ".join(sorted(call.inputs.askable))
        for part in (call.tool.encode(), caller.encode(errors="replace"), askable.encode()):
            digest.update(len(part).to_bytes(4) + part)
        digest.update(job.canonical)
        return digest.digest()
