"""What is read of the gateway when Prometheus asks."""

from gateway.admission import Queue
from gateway.fleet import Fleet
from gateway.metrics import Readings
from gateway.router import Standing
from gateway.sessions import Sessions


def gauges(queue: Queue, sessions: Sessions, fleet: Fleet) -> Readings:
    """How the gateway stands, as gauges."""
    members = fleet.members
    return Readings(
        {
            "roundhouse_queue_depth": (
                "Requests that wait for a place.",
                "",
                lambda: {"": float(queue.depth)},
            ),
            "roundhouse_queue_oldest_seconds": (
                "How long the first of them has waited.",
                "",
                lambda: {"": queue.oldest_s},
            ),
            "roundhouse_requests_running": (
                "Requests that are admitted and have not ended.",
                "",
                lambda: {"": float(queue.running)},
            ),
            "roundhouse_engine_ready": (
                "1 while requests are sent to the engine.",
                "engine",
                lambda: {n: float(m.standing is Standing.WELL) for n, m in members.items()},
            ),
            "roundhouse_engine_asleep": (
                "1 while the engine sleeps or is about to.",
                "engine",
                lambda: {n: float(m.standing is Standing.ASLEEP) for n, m in members.items()},
            ),
            "roundhouse_engine_requests": (
                "This gateway's requests that are with the engine.",
                "engine",
                lambda: {n: float(m.in_flight) for n, m in members.items()},
            ),
            "roundhouse_engine_programs": (
                "Active sessions at home on the engine.",
                "engine",
                lambda: fleet.programs,
            ),
            "roundhouse_engine_kv_used_ratio": (
                "Share of the engine's KV cache that running requests use, 0 if not known.",
                "engine",
                lambda: {n: m.engine.load().kv_used_ratio for n, m in members.items()},
            ),
            "roundhouse_sessions": (
                "Live sessions by what their agent does.",
                "phase",
                sessions.phases,
            ),
            "roundhouse_session_groups": (
                "Groups with a live session; an agent by itself is one.",
                "",
                lambda: {"": float(sessions.groups())},
            ),
        }
    )
