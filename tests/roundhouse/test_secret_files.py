"""Secrets from files: read where they are named, shown nowhere."""

import io
import os
from pathlib import Path

import pytest

from gateway.access import tenant_of
from roundhouse.config import Flags, load
from roundhouse.errors import ConfigFault
from roundhouse.launch import alone, api_keys, programs
from roundhouse.secret_files import NAMES, with_files
from roundhouse.tenants import names
from tests.roundhouse.processes import Start

PROFILE = load(None, None, Flags())


@pytest.fixture
def secret(tmp_path: Path) -> Path:
    file = tmp_path / "secret"
    file.write_text("word-of-the-file\n")
    return file


@pytest.mark.parametrize("name", NAMES)
def test_a_secret_is_read_from_the_file_that_is_named(name: str, secret: Path) -> None:
    assert with_files({f"{name}_FILE": str(secret), "A": "b"}) == {
        name: "word-of-the-file",
        "A": "b",
    }
    assert with_files({name: "said", f"{name}_FILE": ""}) == {name: "said"}


def test_other_variables_that_end_like_that_stay() -> None:
    assert with_files({"SSL_CERT_FILE": "/etc/certs"}) == {"SSL_CERT_FILE": "/etc/certs"}


def test_api_keys_may_stand_one_a_line(secret: Path) -> None:
    secret.write_text("first\nsecond\n")
    env = {"ROUNDHOUSE_API_KEYS_FILE": str(secret)}
    assert api_keys(PROFILE, env) == ["first", "second"]
    assert names(env, io.StringIO()) == [tenant_of("first"), tenant_of("second")]


@pytest.mark.parametrize(
    ("content", "why"),
    [(b"", "is empty"), (b" \n", "is empty"), (b"\xff\xfe", "not text"), (b"one two", "one word")],
)
def test_a_file_that_holds_no_secret_is_named_and_not_shown(
    secret: Path, content: bytes, why: str
) -> None:
    secret.write_bytes(content)
    with pytest.raises(ConfigFault, match=why) as fault:
        with_files({"ROUNDHOUSE_TOOLS_TOKEN_FILE": str(secret)})
    assert str(secret) in str(fault.value)
    assert "two" not in f"{fault.value} {fault.value.remedy}"


def test_a_file_that_is_not_there_is_a_fault(tmp_path: Path) -> None:
    with pytest.raises(ConfigFault, match="No such file"):
        with_files({"ROUNDHOUSE_API_KEYS_FILE": str(tmp_path / "nothing")})


def test_a_secret_can_not_be_said_twice(secret: Path) -> None:
    env = {"ROUNDHOUSE_TOOLS_TOKEN": "said", "ROUNDHOUSE_TOOLS_TOKEN_FILE": str(secret)}
    with pytest.raises(ConfigFault, match="both set"):
        with_files(env)


@pytest.mark.parametrize(
    "text", ["gateway: {api_keys: sesame-99aa}", "tools_service: {token: [sesame-99aa]}"]
)
def test_a_secret_that_stands_wrong_in_the_settings_is_not_shown(tmp_path: Path, text: str) -> None:
    file = tmp_path / "house.yaml"
    file.write_text(text)
    with pytest.raises(ConfigFault) as fault:
        load(file, None, Flags())
    assert "sesame-99aa" not in f"{fault.value} {fault.value.remedy}"


def test_both_processes_get_what_the_files_say_and_tools_no_clients_keys(
    tmp_path: Path, secret: Path
) -> None:
    env = {f"{name}_FILE": str(secret) for name in ("ROUNDHOUSE_API_KEYS", "TAVILY_API_KEY")}
    tools, gateway = programs(PROFILE, tmp_path, env)
    assert gateway.env["ROUNDHOUSE_API_KEYS"] == "word-of-the-file"
    assert tools.env["TAVILY_API_KEY"] == "word-of-the-file"
    assert not {"ROUNDHOUSE_API_KEYS", "ROUNDHOUSE_API_KEYS_FILE"} & tools.env.keys()
    assert tools.env["ROUNDHOUSE_TOOLS_TOKEN"] == gateway.env["ROUNDHOUSE_TOOLS_TOKEN"]


def test_a_process_alone_has_no_parent_and_no_token_of_its_own_invention() -> None:
    for name in ("gateway", "tools_service"):
        env = alone(PROFILE, name, {}).env
        assert not {"ROUNDHOUSE_PARENT_PID", "ROUNDHOUSE_TOOLS_TOKEN"} & env.keys()


async def test_a_process_alone_serves_in_the_commands_place_and_tells_no_secret(
    start: Start, ports: tuple[str, str], secret: Path, tmp_path: Path
) -> None:
    file = tmp_path / "house.yaml"
    file.write_text(f"tools_service: {{port: {ports[1]}}}")
    run = ["-m", "roundhouse", "run", "tools_service", "--config", str(file)]
    running = await start(*run, ROUNDHOUSE_TOOLS_TOKEN_FILE=str(secret))
    await running.until(f"listening on http://127.0.0.1:{ports[1]}")
    running.process.terminate()  # what we started is the service itself
    assert await running.end() == 0
    assert "draining" in running.output
    assert "word-of-the-file" not in running.output
    assert sorted(os.listdir(tmp_path)) == ["house.yaml", "secret"]  # nothing is left behind


async def test_a_process_alone_that_would_be_open_to_all_does_not_start(
    start: Start, tmp_path: Path
) -> None:
    file = tmp_path / "open.yaml"
    file.write_text("tools_service: {host: 0.0.0.0}")
    run = ["-m", "roundhouse", "run", "tools_service", "--config", str(file)]
    running = await start(*run, ROUNDHOUSE_TOOLS_TOKEN="")
    assert await running.end() == 2
    assert "without a token" in running.output


async def test_settings_with_a_fault_end_the_command_with_2(start: Start, tmp_path: Path) -> None:
    running = await start("-m", "roundhouse", "run", "gateway", "--profile", "nothing.yaml")
    assert await running.end() == 2
    assert "can't read nothing.yaml" in running.output
