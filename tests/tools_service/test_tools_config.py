"""The settings of the tools service."""

import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import ValidationError

from tools_service.__main__ import load
from tools_service.config import ToolsServiceConfig
from tools_service.errors import ConfigError, OpenDoor

TOKEN = {"ROUNDHOUSE_TOOLS_TOKEN": "secret"}


def written(folder: Path, text: str) -> Path:
    path = folder / "roundhouse.yaml"
    path.write_text(text)
    return path


def test_other_parts_of_the_file_are_left_alone(tmp_path: Path) -> None:
    path = written(tmp_path, "gateway: {port: 8000}\ntools_service: {port: 8002, slots: 4}\n")
    config = load(path, {})
    assert (config.port, config.slots, config.secret) == (8002, 4, "")


def test_json_is_read_too_and_defaults_fill_the_rest(tmp_path: Path) -> None:
    assert load(written(tmp_path, '{"engine": {}}'), {}) == ToolsServiceConfig()


def test_the_token_comes_from_the_environment_and_is_not_shown(tmp_path: Path) -> None:
    config = load(written(tmp_path, "tools_service: {}"), TOKEN)
    assert config.secret == "secret"
    assert "secret" not in repr(config)


def test_a_typo_stops_the_start() -> None:
    with pytest.raises(ValidationError, match="Extra inputs"):
        ToolsServiceConfig.model_validate({"slotz": 4})


@pytest.mark.parametrize("text", ["tools_service: [1]", "tools_service: {slots: 0}", "a: b: c"])
def test_a_file_that_says_nothing_sensible_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, text), {})


def test_a_corpus_that_is_not_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="not a folder"):
        load(written(tmp_path, "tools_service: {corpus: /nowhere}"), {})


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="none"):
        load(tmp_path / "none", {})


@pytest.mark.parametrize("host", ["127.0.0.1", "127.0.0.2", "::1", "localhost"])
def test_loopback_needs_no_token(host: str) -> None:
    ToolsServiceConfig(host=host).check_door()


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "10.0.0.1", "tools"])
def test_the_network_needs_a_token(tmp_path: Path, host: str) -> None:
    path = written(tmp_path, f'tools_service: {{host: "{host}"}}')
    with pytest.raises(OpenDoor, match="ROUNDHOUSE_TOOLS_TOKEN"):
        load(path, {})
    assert load(path, TOKEN).host == host


def test_the_settings_are_light_to_import() -> None:
    """The command line reads them; it should not pay for a server."""
    program = (
        "import sys, tools_service.config\n"
        "heavy = {'mcp', 'starlette', 'uvicorn', 'aiohttp', 'msgspec', 'yaml'}\n"
        "sys.exit(' '.join(heavy & set(sys.modules)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", program], check=False, capture_output=True)
    assert done.returncode == 0, done.stderr


def test_the_password_of_redis_comes_from_the_environment(tmp_path: Path) -> None:
    environ = {"ROUNDHOUSE_REDIS_PASSWORD": "secret"}
    path = written(tmp_path, "tools_service: {redis: {url: 'redis://cache:6379/0'}}")
    config = load(path, environ).redis
    assert config.password is not None
    assert config.password.get_secret_value() == "secret"
    assert "secret" not in repr(config)
    assert load(written(tmp_path, "tools_service: {}"), environ).redis.url is None


@pytest.mark.parametrize(
    "url", ["cache:6379", "redis://user:word@cache", "http://cache", "redis://"]
)
def test_an_address_of_redis_that_is_none_or_tells_a_password_stops_the_start(
    tmp_path: Path, url: str
) -> None:
    with pytest.raises(ConfigError):
        load(written(tmp_path, f"tools_service: {{redis: {{url: '{url}'}}}}"), {})
