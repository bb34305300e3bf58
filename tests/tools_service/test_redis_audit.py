"""Audit records in a Redis stream."""

import pytest

from tests.parts.redis_server import redis_server
from tools_service.config import RedisConfig, ToolsServiceConfig
from tools_service.errors import StoreDown
from tools_service.redis_audit import RedisAudit
from tools_service.redis_link import opened

STREAM = "{house}:audit"


async def test_records_arrive_in_their_order_and_the_latest_are_kept() -> None:
    async with redis_server() as server:
        config = RedisConfig(url=server.url, prefix="house", timeout_s=5)
        audit = RedisAudit(config, most=100)
        async with opened(config) as link:
            await audit.write([])
            await audit.write([b"one", b"two"])
            found = await link.read(STREAM, "0-0", count=10, wait_s=1)
            assert [entry for _, entry in found] == [b"one", b"two"]
            # Redis cuts whole nodes of its stream, so a little more than asked for may stay.
            await audit.write([b"%d" % number for number in range(1000)])
            kept = await link.read(STREAM, "0-0", count=5000, wait_s=1)
            assert 100 <= len(kept) <= 300
            assert kept[-1][1] == b"999"


async def test_a_redis_that_is_away_is_an_error_of_ours() -> None:
    with pytest.raises(StoreDown):
        await RedisAudit(RedisConfig(url="unix:///nowhere/redis.sock")).write([b"one"])


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"audit": {"redis": True}}, "redis.url"),
        (
            {"audit": {"redis": True, "path": "a.jsonl"}, "redis": {"url": "redis://localhost"}},
            "not both",
        ),
    ],
)
def test_the_audit_goes_to_one_place_that_there_is(settings: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        ToolsServiceConfig.model_validate(settings)
