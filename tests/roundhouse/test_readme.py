"""What the README says about settings is true."""

import re
from pathlib import Path

import pytest
import yaml

from gateway import keys
from gateway.routes import Routes
from roundhouse.config import Flags, Profile, load
from roundhouse.faults import names

README = Path(__file__).parents[2] / "README.md"
ROW = re.compile(r"^\| `((?:gateway|engines|tools_service)[^`]*)` \| `?([^`|]*)`? \|", re.M)


def rows() -> list[tuple[str, str]]:
    found = ROW.findall(README.read_text(encoding="utf-8"))
    return [(name, default.strip()) for name, default in found]


@pytest.mark.parametrize(("name", "default"), rows())
def test_a_setting_of_the_table_exists_and_has_that_default(name: str, default: str) -> None:
    *above, last = name.replace("[]", ".0").removesuffix(".NAME").split(".")
    path = [int(step) if step.isdigit() else step for step in above]
    assert last in names(Profile.model_json_schema(), path)
    value: object = load(None, None, Flags())
    for step in [*path, last]:
        value = value[step] if isinstance(step, int) else getattr(value, step)  # type: ignore[index]
    if isinstance(value, bool):
        assert yaml.safe_load(default) is value
    elif isinstance(value, int | float) and name != "engines[].kv_cache_gib":
        assert float(default) == value
    elif isinstance(value, str) and not last.startswith(("model", "tool_parser")):
        assert default == value


def test_the_settings_files_of_the_readme_can_be_used(tmp_path: Path) -> None:
    texts = re.findall(r"```yaml\n(.*?)```", README.read_text(encoding="utf-8"), re.S)
    file = tmp_path / "house.yaml"
    for text in texts:
        file.write_text(text)
        if text.startswith("# the file that gateway.keys_file names"):
            assert keys.read(file)
        else:
            assert load(file, None, Flags())
    text = texts[0]
    file.write_text(text)
    assert yaml.safe_load(text)["profiles"].keys() == {"gpu"}
    assert load(file, None, Flags()).engines[0].name == "small"
    assert load(file, "gpu", Flags()).engines[0].tool_parser == "hermes"
    (several,) = (text for text in texts if "kind: http" in text)
    file.write_text(several)
    profile = load(file, None, Flags())
    assert {engine.kind for engine in profile.engines} == {"http"}
    models = [engine.model_name for engine in profile.engines]
    assert Routes(models, profile.gateway.routing).names["auto"] == ("cloud", "cloud", "qwen3")
