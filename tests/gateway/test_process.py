"""What the gateway's process reads before it starts."""

from pathlib import Path

import pytest
import yaml

from gateway.process import read

ENGINE = {"name": "zero", "model": "m"}


@pytest.fixture(autouse=True)
def no_keys(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("ROUNDHOUSE_API_KEYS", "ROUNDHOUSE_ADMIN_KEY"):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, **parts: object) -> Path:
    path = folder / "gateway.yaml"
    path.write_text(yaml.safe_dump(parts))
    return path


def test_parts_of_other_processes_are_passed_over(tmp_path: Path) -> None:
    config = read(written(tmp_path, engines=[ENGINE], tools={"port": 1}))
    assert [engine.name for engine in config.engines] == ["zero"]
    assert config.gateway.api_keys == ()


def test_a_typo_stops_the_start(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="prot"):
        read(written(tmp_path, engines=[ENGINE], gateway={"prot": 1}))


@pytest.mark.parametrize("engines", [[], [ENGINE, ENGINE]])
def test_engines_must_be_there_and_have_names_of_their_own(
    tmp_path: Path, engines: list[object]
) -> None:
    with pytest.raises(ValueError, match="names of their own"):
        read(written(tmp_path, engines=engines))


@pytest.mark.parametrize("text", ["", "- a", "engines: [", "engines: 7"])
def test_a_file_of_another_shape_is_told_with_its_path(tmp_path: Path, text: str) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"gateway\.yaml"):
        read(path)


def test_keys_of_the_environment_join_those_of_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ROUNDHOUSE_API_KEYS", "b, c,,")
    monkeypatch.setenv("ROUNDHOUSE_ADMIN_KEY", "d")
    config = read(written(tmp_path, engines=[ENGINE], gateway={"api_keys": ["a"]}))
    assert [key.get_secret_value() for key in config.gateway.api_keys] == ["a", "b", "c"]
    assert "a" not in repr(config.gateway.api_keys)
    assert config.gateway.admin_key is not None
    assert config.gateway.admin_key.get_secret_value() == "d"


def test_a_spare_that_could_never_sleep_stops_the_start(tmp_path: Path) -> None:
    spare = {**ENGINE, "name": "one", "served_name": "m", "spare": True}
    other = {**ENGINE, "name": "two", "served_name": "m"}
    assert read(written(tmp_path, engines=[spare, other])).engines[0].spare
    with pytest.raises(ValueError, match=r"'one' is a spare that can never sleep.*'m': 1"):
        read(written(tmp_path, engines=[spare, ENGINE]))
    with pytest.raises(ValueError, match=r"gateway\.spares\.awake: 2"):
        read(written(tmp_path, engines=[spare, other], gateway={"spares": {"awake": 2}}))


def test_an_hour_without_quotes_is_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "gateway.yaml"
    path.write_text(
        "engines: [{name: a, model: m}]\n"
        "gateway: {spares: {windows: [{start: 8:30, end: 18:00}]}}\n"
    )
    (window,) = read(path).gateway.spares.windows
    assert (f"{window.start:%H:%M}", f"{window.end:%H:%M}") == ("08:30", "18:00")
