"""From YAML, profiles and flags to one checked profile, and on to the two processes."""

import json
import stat
from pathlib import Path

import pytest

from gateway.process import read
from roundhouse.config import DEMO, Flags, load
from roundhouse.errors import ConfigFault
from roundhouse.launch import api_keys, programs

FLAGS = Flags()


@pytest.fixture
def write(tmp_path: Path) -> "Write":
    return Write(tmp_path / "roundhouse.yaml")


class Write:
    """Writes the file, and gives its path."""

    def __init__(self, file: Path) -> None:
        self.file = file

    def __call__(self, text: str) -> Path:
        self.file.write_text(text)
        return self.file


def fault(file: Path | None, profile: str | None = None, flags: Flags = FLAGS) -> str:
    with pytest.raises(ConfigFault) as caught:
        load(file, profile, flags)
    return f"{caught.value}; {caught.value.remedy}"


def test_without_a_word_the_demo_model_is_served_on_loopback() -> None:
    profile = load(None, None, FLAGS)
    assert [engine.model for engine in profile.engines] == [DEMO]
    assert profile.engines[0].model_name == "demo"
    assert profile.url == "http://127.0.0.1:8000"
    assert profile.tools_url == "http://127.0.0.1:8001"


def test_a_file_is_laid_over_the_default_key_by_key(write: Write) -> None:
    profile = load(write("gateway: {queue: {running: 7}}"), None, FLAGS)
    assert (profile.gateway.queue.running, profile.gateway.port) == (7, 8000)
    assert profile.engines[0].model == DEMO


def test_the_profile_wins_over_the_file_and_a_flag_over_both(write: Write) -> None:
    file = write("gateway: {port: 1}\nprofiles: {big: {gateway: {port: 2, host: '::1'}}}")
    assert load(file, None, FLAGS).gateway.port == 1
    assert load(file, "big", FLAGS).url == "http://[::1]:2"
    assert load(file, "big", Flags(port=3)).url == "http://[::1]:3"


def test_of_several_profiles_the_later_wins(write: Write, tmp_path: Path) -> None:
    file = write("profiles: {big: {gateway: {port: 2, host: '::1'}}, near: {gateway: {port: 3}}}")
    assert load(file, "big,near", FLAGS).url == "http://[::1]:3"
    more = tmp_path / "more.yaml"
    more.write_text("gateway: {port: 4}")
    assert load(file, f"big, near, {more}", FLAGS).url == "http://[::1]:4"
    assert load(None, f"cpu,{more}", FLAGS).gateway.port == 4
    assert "no profile is called 'bog'; did you mean big?" in fault(file, "near,bog")


def test_engines_of_a_file_replace_the_default_ones(write: Write) -> None:
    file = write("engines: [{name: big, model: Qwen/Qwen3-8B}, {name: small, model: demo}]")
    models = [engine.model for engine in load(file, None, FLAGS).engines]
    assert models == ["Qwen/Qwen3-8B", DEMO]


@pytest.mark.parametrize("name", ["cpu", "qwen3-8b", "gpt-oss-20b"])
def test_every_shipped_profile_can_be_loaded_without_a_file(name: str) -> None:
    assert load(None, name, FLAGS).engines[0].tool_parser


def test_one_line_serves_another_model() -> None:
    flags = Flags(model="Qwen/Qwen3-8B", tool_parser="hermes", max_model_len=4096)
    (engine,) = load(None, None, flags).engines
    assert (engine.name, engine.model_name) == ("qwen3-8b", "Qwen/Qwen3-8B")
    assert (engine.tool_parser, engine.max_model_len, engine.kv_cache_gib) == ("hermes", 4096, None)


def test_a_flag_about_a_model_needs_the_model() -> None:
    assert "--tool-parser goes with --model" in fault(None, flags=Flags(tool_parser="hermes"))


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gatway: {}", "roundhouse.yaml: gatway: unknown setting; did you mean gateway?"),
        ("gateway: {prot: 1}", "gateway.prot: unknown setting; did you mean port?"),
        (
            "gateway: {queue: {runing: 1}}",
            "gateway.queue.runing: unknown setting; did you mean running?",
        ),
        (
            "engines: [{name: a, model: b, tool_praser: c}]",
            "engines[0].tool_praser: unknown setting; did you mean tool_parser?",
        ),
        (
            "gateway: {xyzzy: 1}",
            "gateway.xyzzy: unknown setting; known here: admin_key, api_keys, ",
        ),
        ("gateway: {port: high}", "roundhouse.yaml: gateway.port: Input should be a valid integer"),
        ("engines: []", "engines: Tuple should have at least 1 item"),
        ("gateway: {port: 0}", "settings: gateway.port can't be 0"),
        ("[1, 2]", "must be a mapping"),
        ("a: [", "is not YAML"),
        ("profiles: {big: 3}", "profiles.big must be a mapping"),
    ],
)
def test_a_fault_names_its_place_and_the_nearest_right_name(
    write: Write, text: str, said: str
) -> None:
    assert said in fault(write(text), "big" if "profiles" in text else None)


def test_a_fault_in_a_profile_is_found_there(write: Write) -> None:
    file = write("profiles: {big: {gateway: {prot: 1}}}")
    assert "roundhouse.yaml: profiles.big: gateway.prot: unknown setting" in fault(file, "big")


def test_a_fault_of_a_flag_is_the_command_lines() -> None:
    assert "command line: gateway.port" in fault(None, flags=Flags(port=70_000))


def test_one_fault_in_an_engine_is_told_once(write: Write) -> None:
    """Pydantic adds that the list has no valid item, which helped nobody."""
    assert "at least 1 item" not in fault(write("engines: [{name: a, model: b, modle: c}]"))


def test_an_unknown_profile_is_refused_with_the_nearest(write: Write) -> None:
    assert "no profile is called 'qwen3'; did you mean qwen3-8b?" in fault(None, "qwen3")
    file = write("profiles: {mine: {}}")
    assert "there are: cpu, gpt-oss-20b, mine, qwen3-8b" in fault(file, "xyzzy")


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    assert "No such file" in fault(tmp_path / "none.yaml")


def test_both_processes_read_one_file_without_secrets(write: Write, tmp_path: Path) -> None:
    file = write("gateway: {api_keys: [sesame]}\ntools_service: {token: open, host: 0.0.0.0}")
    tools, gateway = programs(load(file, None, FLAGS), tmp_path, {"ROUNDHOUSE_API_KEYS": ""})
    settings = Path(tools.argv[-1])
    assert gateway.argv[-1] == str(settings)
    assert stat.S_IMODE(settings.stat().st_mode) == 0o600
    text = settings.read_text()
    assert "sesame" not in text and '"token"' not in text and "**" not in text
    assert json.loads(text)["gateway"]["tools"]["url"] == "http://127.0.0.1:8001/mcp"
    assert gateway.env["ROUNDHOUSE_API_KEYS"] == "sesame"
    assert "ROUNDHOUSE_API_KEYS" not in tools.env
    assert gateway.env["ROUNDHOUSE_TOOLS_TOKEN"] == tools.env["ROUNDHOUSE_TOOLS_TOKEN"] == "open"


def test_the_tools_token_is_another_one_at_every_start(tmp_path: Path) -> None:
    profile = load(None, None, FLAGS)
    folders = [tmp_path / "one", tmp_path / "two"]
    tokens = set()
    for folder in folders:
        folder.mkdir()
        tokens.add(programs(profile, folder, {})[0].env["ROUNDHOUSE_TOOLS_TOKEN"])
    assert len(tokens) == 2


def test_a_tools_service_elsewhere_stays_where_the_file_says(write: Write, tmp_path: Path) -> None:
    file = write("gateway: {tools: {url: 'http://tools:9/mcp'}}")
    tools, _ = programs(load(file, None, FLAGS), tmp_path, {})
    settings = json.loads(Path(tools.argv[-1]).read_text())
    assert settings["gateway"]["tools"]["url"] == "http://tools:9/mcp"


def test_keys_of_the_environment_join_those_of_the_file(write: Write) -> None:
    profile = load(write("gateway: {api_keys: [one]}"), None, FLAGS)
    assert api_keys(profile, {"ROUNDHOUSE_API_KEYS": "two, three,"}) == ["one", "two", "three"]


def test_an_engine_met_over_http_survives_the_way_to_the_gateway(
    write: Write, tmp_path: Path
) -> None:
    file = write(
        "engines: [{name: far, kind: http, model: demo, url: 'http://gpu1:8000', key_env: FAR_KEY}]"
    )
    profile = load(file, None, FLAGS)
    assert profile.engines[0].model == "demo", "the server's name, not our folder"
    folder = tmp_path / "run"
    folder.mkdir()
    tools, gateway = programs(profile, folder, {"FAR_KEY": "k"})
    assert "FAR_KEY" not in tools.env
    assert gateway.env["FAR_KEY"] == "k"
    assert read(folder / "settings.json").engines == profile.engines
