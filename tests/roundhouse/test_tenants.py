"""The names that operators write into allow-lists."""

import asyncio

import pytest
from typer.testing import CliRunner

from gateway.access import Access
from gateway.keys import Terms, digest
from roundhouse.cli import app


def test_a_name_is_the_one_the_gateway_gives_to_the_key() -> None:
    result = CliRunner().invoke(
        app, ["tenant"], input="one\ntwo\n", env={"ROUNDHOUSE_API_KEYS": ""}
    )
    access = Access({digest(key): Terms() for key in ("one", "two")})
    granted = [asyncio.run(access.grant(f"Bearer {key}")) for key in ("one", "two")]
    assert result.output.split() == [grant.tenant for grant in granted]


def test_keys_of_the_environment_come_first() -> None:
    env = {"ROUNDHOUSE_API_KEYS": "one, two"}
    result = CliRunner().invoke(app, ["tenant"], input="three", env=env)
    assert len(result.output.split()) == 2


@pytest.mark.parametrize("text", ["", " \n", ","])
def test_no_key_is_no_name(text: str) -> None:
    result = CliRunner().invoke(app, ["tenant"], input=text, env={"ROUNDHOUSE_API_KEYS": ""})
    assert (result.exit_code, result.output) == (0, "")
