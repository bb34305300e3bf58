"""Bearer keys and their terms."""

from pathlib import Path

import msgspec
import pytest

from gateway.access import ANYONE, Access, Grant, tenant_of
from gateway.errors import Unauthorized
from gateway.keys import Terms, digest, read
from gateway.store import MemoryStore
from tests.parts.clock import Clock


def access(*keys: str) -> Access:
    return Access({digest(key): Terms() for key in keys})


async def test_without_keys_everybody_is_served_as_one_tenant() -> None:
    assert await access().grant(None) == Grant(ANYONE)
    assert await access().grant("Bearer whatever") == Grant(ANYONE)


async def test_every_key_opens_and_is_a_tenant_of_its_own() -> None:
    door = access("one", "two")
    assert await door.grant("Bearer one") == await door.grant("Bearer one")
    assert (await door.grant("Bearer one")).tenant == tenant_of("one") != tenant_of("two")


async def test_the_name_of_a_tenant_does_not_show_its_key() -> None:
    assert "secret" not in (await access("secret").grant("Bearer secret")).tenant


@pytest.mark.parametrize("shown", ["bearer one", "BEARER one", "Bearer  one ", "Bearer one"])
async def test_the_scheme_is_read_as_http_says(shown: str) -> None:
    assert (await access("one").grant(shown)).tenant == tenant_of("one")


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", "one", "Basic one", "Bearerone"])
async def test_a_missing_key_is_told_how_to_be_shown(shown: str | None) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer") as caught:
        await access("one").grant(shown)
    assert caught.value.headers == {"www-authenticate": "Bearer"}


@pytest.mark.parametrize("shown", ["Bearer two", "Bearer on", "Bearer onee", "Bearer é", "Bearer "])
async def test_a_wrong_key_is_refused(shown: str) -> None:
    with pytest.raises(Unauthorized):
        await access("one", "three").grant(shown)


async def test_a_key_in_the_store_opens_with_its_terms_and_is_asked_for_now_and_then() -> None:
    clock = Clock()
    store = MemoryStore(clock)
    door = Access({}, store, clock)
    with pytest.raises(Unauthorized):
        await door.grant("Bearer late")
    stored = msgspec.json.encode({"requests_per_minute": 5})
    await store.put(f"key:{digest('late')}", stored, 3600.0)
    with pytest.raises(Unauthorized):
        await door.grant("Bearer late")
    clock.now_s = 11.0
    grant = await door.grant("Bearer late")
    assert grant.terms == Terms(requests_per_minute=5)
    await store.put(f"key:{digest('late')}", None, 0.0)
    clock.now_s = 22.0
    with pytest.raises(Unauthorized):
        await door.grant("Bearer late")


async def test_terms_in_the_store_that_can_not_be_read_open_nothing() -> None:
    store = MemoryStore(Clock())
    await store.put(f"key:{digest('odd')}", b'{"weight": "much"}', 60.0)
    with pytest.raises(Unauthorized):
        await Access({}, store).grant("Bearer odd")


def test_a_file_has_digests_and_terms(tmp_path: Path) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(
        f"keys:\n  - digest: {digest('one')}\n    service_tier: flex\n    sessions: 2\n"
    )
    assert read(file) == {digest("one"): Terms(sessions=2, service_tier="flex")}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("keys: [{digest: abc}]", "matching"),
        ("keys: [{sessions: 2}]", "digest"),
        ("keys: [{digest: %s, sesions: 2}]", "sesions"),
        ("keys: [{digest: %s, weight: 0}]", "> 0"),
        ("keys: [{digest: %s}, {digest: %s}]", "twice"),
        ("keys", "object"),
        ("}", ""),
    ],
)
def test_a_file_with_a_fault_is_refused_with_its_name(tmp_path: Path, text: str, said: str) -> None:
    file = tmp_path / "keys.yaml"
    file.write_text(text.replace("%s", digest("one")))
    with pytest.raises(ValueError, match=r"keys\.yaml") as refused:
        read(file)
    assert said in str(refused.value)
