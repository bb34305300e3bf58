"""Who may come in, who it is, and what a request asks for."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from msgspec.structs import replace

from gateway.access import Access, Grant
from gateway.errors import BadRequest
from gateway.identity import Claim, Names
from gateway.limits import Limits
from gateway.metrics import Metrics
from gateway.recognition import Recognition
from gateway.shared import SharedSessions
from gateway.timeline import Timeline
from gateway.trail import Trails
from gateway.visit import Visit
from gateway.wire import ApiRequest

DEADLINE_HEADER = "x-roundhouse-deadline"
SDK_TIMEOUT_HEADER = "x-stainless-read-timeout"


@dataclass(frozen=True, slots=True)
class Door:
    """What is asked of every request before it is served."""

    access: Access
    names: Names
    recognition: Recognition
    limits: Limits
    metrics: Metrics
    timeline: Timeline
    """Where it is written down."""
    trails: Trails
    """What is left behind of those who came."""
    shared: SharedSessions | None = None
    """What other gateways know."""

    async def grant(self, headers: Mapping[str, str]) -> Grant:
        """Who asks. Raises Unauthorized."""
        return await self.access.grant(headers.get("authorization"))

    async def visit(
        self, tenant: str, headers: Mapping[str, str], request: ApiRequest, answer_id: str
    ) -> Visit:
        """Which session asks. Raises BadRequest."""
        claim = await self._named(self.names.claim(tenant, headers, request))
        visit = Visit(self.recognition, claim, answer_id)
        self.metrics.recognised.labels(visit.identity.by).inc()
        if visit.is_linked:
            self.metrics.sub_agents.inc()
        return visit

    async def _named(self, claim: Claim) -> Claim:
        if self.shared is None or claim.session is not None:
            return claim
        claim, is_known = self.recognition.look(claim)
        return claim if is_known else await self.shared.found(claim)


def graded(request: ApiRequest, grant: Grant) -> ApiRequest:
    """The request, whose answer names its service tier if it named one."""
    if request.echo is None or "service_tier" not in request.echo:
        return request
    return replace(request, echo={**request.echo, "service_tier": grant.terms.tier(request.tier)})


def deadline_s(headers: Mapping[str, str]) -> float | None:
    """How long the client waits, as it says itself or OpenAI's SDK for it. Raises BadRequest."""
    if (said := headers.get(DEADLINE_HEADER)) is not None:
        if (seconds := _seconds(said)) is None:
            raise BadRequest(
                f"the header '{DEADLINE_HEADER}' must be a number of seconds above 0",
                param=DEADLINE_HEADER,
            )
        return seconds
    return _seconds(headers.get(SDK_TIMEOUT_HEADER, ""))


def _seconds(text: str) -> float | None:
    try:
        seconds = float(text)
    except ValueError:
        return None
    return seconds if 0 < seconds < math.inf else None
