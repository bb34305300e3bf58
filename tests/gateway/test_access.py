"""Bearer keys."""

import pytest

from gateway.access import ANYONE, Access
from gateway.errors import Unauthorized


def test_without_keys_everybody_is_served_as_one_tenant() -> None:
    assert Access(()).tenant(None) == ANYONE
    assert Access(()).tenant("Bearer whatever") == ANYONE


def test_every_key_opens_and_is_a_tenant_of_its_own() -> None:
    access = Access(["one", "two"])
    assert access.tenant("Bearer one") == access.tenant("Bearer one")
    assert access.tenant("Bearer one") != access.tenant("Bearer two")


def test_the_name_of_a_tenant_does_not_show_its_key() -> None:
    assert "secret" not in Access(["secret"]).tenant("Bearer secret")


@pytest.mark.parametrize("shown", ["bearer one", "BEARER one", "Bearer  one ", "Bearer one"])
def test_the_scheme_is_read_as_http_says(shown: str) -> None:
    assert Access(["one"]).tenant(shown) == Access(["one"]).tenant("Bearer one")


@pytest.mark.parametrize("shown", [None, "", "Bearer", "Bearer ", "one", "Basic one", "Bearerone"])
def test_a_missing_key_is_told_how_to_be_shown(shown: str | None) -> None:
    with pytest.raises(Unauthorized, match="Authorization: Bearer") as caught:
        Access(["one"]).tenant(shown)
    assert caught.value.headers == {"www-authenticate": "Bearer"}


@pytest.mark.parametrize("shown", ["Bearer two", "Bearer on", "Bearer onee", "Bearer é", "Bearer "])
def test_a_wrong_key_is_refused(shown: str) -> None:
    with pytest.raises(Unauthorized):
        Access(["one", "three"]).tenant(shown)
