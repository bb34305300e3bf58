"""What the compose files and the images promise, read from the files themselves."""

import json
import shutil
import subprocess
import sys
from itertools import chain
from pathlib import Path

import pytest
from compose_spec import parse_duration

from engine.config import EngineConfig
from roundhouse.config import Flags, load
from roundhouse.secret_files import NAMES
from tests.deploy.composed import (
    DEPLOY,
    MAIN,
    REDIS,
    ROOT,
    SGLANG,
    WEB,
    Values,
    composed,
    example_env,
    variables,
)

HOUSE = load(DEPLOY / "house.yaml", str(DEPLOY / "profiles" / "agents.yaml"), Flags())
DOCKERFILES = sorted(DEPLOY.glob("*.Dockerfile"))


def needs(said: Values) -> set[str]:
    """The services that one waits for."""
    return set(said.get("depends_on", ()))


def services(*files: Path) -> Values:
    found: Values = composed(*files)["services"]
    return found


@pytest.mark.parametrize(
    "files", [(MAIN,), (MAIN, WEB), (MAIN, REDIS), (MAIN, SGLANG), (MAIN, WEB, REDIS, SGLANG)]
)
def test_the_files_are_what_the_compose_specification_allows(files: tuple[Path, ...]) -> None:
    found = services(*files)
    assert {"gateway", "tools", "redis", "prometheus", "grafana"} <= found.keys()
    assert not [name for said in found.values() for name in needs(said) if name not in found]


@pytest.mark.parametrize("file", [MAIN, WEB, SGLANG])
def test_every_image_is_pinned_by_a_tag(file: Path) -> None:
    images = [one["image"] for one in services(MAIN, file).values() if "build" not in one]
    assert images
    assert not [image for image in images if ":" not in image or image.endswith("latest")]


def test_the_example_environment_names_every_variable_and_no_other() -> None:
    assert example_env().keys() == variables(MAIN, WEB, SGLANG) | {"COMPOSE_PROFILES"}
    assert example_env()["COMPOSE_PROFILES"] == "gpu"
    profile = DEPLOY / "profiles" / f"{example_env()['ROUNDHOUSE_PROFILE']}.yaml"
    assert profile.is_file()


def test_one_gateway_runs_whatever_the_profile() -> None:
    for name in ("gpu", "cpu", "sglang"):
        running = [
            service
            for service, said in services(MAIN, SGLANG).items()
            if service.startswith("gateway") and name in said["profiles"]
        ]
        assert len(running) == 1


def test_no_secret_is_in_a_file_or_in_the_environment_of_a_container() -> None:
    whole = composed(MAIN, WEB, REDIS, SGLANG)
    for said in whole["services"].values():
        for name, value in said.get("environment", {}).items():
            secret = name.removesuffix("_FILE") in NAMES or "PASSWORD" in name
            assert not secret or not value or str(value).startswith("/run/secrets/")
    assert all(list(secret) == ["file"] for secret in whole["secrets"].values())
    ignored = (DEPLOY / "secrets" / ".gitignore").read_text().split()
    assert ignored[0] == "*"


def test_the_script_of_the_secrets_makes_them_all_where_only_their_owner_gets(
    tmp_path: Path,
) -> None:
    text = (DEPLOY / "secrets" / "README.md").read_text(encoding="utf-8")
    script = text.split("```bash\n")[1].split("```")[0]
    for _ in range(2):  # a second time changes nothing
        subprocess.run(["bash", "-euc", script], cwd=tmp_path, check=True)
    assert {file.name for file in tmp_path.iterdir()} == composed(MAIN)["secrets"].keys()
    assert tmp_path.stat().st_mode & 0o777 == 0o700
    words = {file.read_text() for file in tmp_path.iterdir()}
    assert len(words) == 4 and all(len(word) == 64 for word in words)


def test_the_tools_service_is_locked_up() -> None:
    tools = services(MAIN)["tools"]
    assert tools["read_only"] is True and tools["tmpfs"]
    assert tools["cap_drop"] == ["ALL"]
    assert tools["security_opt"] == ["no-new-privileges:true"]
    assert tools["secrets"] == ["tools_token"]
    assert "ports" not in tools and not tools.get("privileged")
    assert "USER 10001" in (DEPLOY / "tools.Dockerfile").read_text()


def test_the_tools_service_gets_out_only_where_web_tools_are_asked_for() -> None:
    networks = composed(MAIN)["networks"]
    assert services(MAIN)["tools"]["networks"] == ["inside"]
    assert networks["inside"] == {"internal": True}
    assert services(MAIN, WEB)["tools"]["networks"] == ["inside", "egress"]
    others = [
        name for name, said in services(MAIN, WEB).items() if "egress" in said.get("networks", ())
    ]
    assert others == ["tools"]


def test_containers_are_given_longer_to_stop_than_their_processes_take() -> None:
    engines = max(engine.shutdown_s for engine in HOUSE.engines)
    for name, said in services(MAIN, SGLANG).items():
        if name.startswith("gateway"):
            grace = parse_duration(said["stop_grace_period"])
            assert grace > HOUSE.gateway.shutdown_s + engines
    tools = services(MAIN)["tools"]
    assert parse_duration(tools["stop_grace_period"]) > HOUSE.tools_service.shutdown_s


def test_a_gpu_gateway_has_gpus_and_shared_memory() -> None:
    gateway = services(MAIN)["gateway"]
    (device,) = gateway["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]
    assert gateway["shm_size"] == "16gb"
    assert parse_duration(gateway["healthcheck"]["start_period"]) >= 600


def test_what_is_mounted_is_there() -> None:
    mounts = chain.from_iterable(one.get("volumes", ()) for one in services(MAIN, SGLANG).values())
    folders = {mount.split(":")[0] for mount in mounts}
    needed = {folder for folder in folders if folder.startswith("./")}
    missing = {folder for folder in needed if not (DEPLOY / folder).exists()}
    if not (DEPLOY / "grafana").exists():
        missing -= {"./grafana/provisioning", "./grafana/dashboards"}
    assert not missing


@pytest.mark.parametrize("name", ["gateway", "gateway-cpu", "tools"])
def test_gateways_and_tools_services_find_the_redis_of_the_file(name: str) -> None:
    said, alone = services(MAIN, REDIS)[name], services(MAIN)[name]
    *before, profiles = said["command"]
    assert "redis" in said["depends_on"] and "redis_password" in said["secrets"]
    assert said["environment"]["ROUNDHOUSE_REDIS_PASSWORD_FILE"] == "/run/secrets/redis_password"
    assert profiles.split(",")[-1] == "/etc/roundhouse/redis.yaml"
    own = profiles.split(",")[:-1]
    assert [*before, *own] == [*alone["command"], *([] if own else ["--profile"])]
    here = profiles.replace("/etc/roundhouse", str(DEPLOY))
    profile = load(DEPLOY / "house.yaml", here, Flags())
    # A database each, so that one may be emptied without the other.
    assert profile.gateway.store.url == "redis://redis:6379/1"
    assert profile.tools_service.redis.url == "redis://redis:6379/0"


@pytest.mark.skipif("url" not in EngineConfig.model_fields, reason="no engines over HTTP here")
def test_the_gateway_of_sglang_asks_the_server_of_that_file() -> None:
    profile = load(DEPLOY / "house.yaml", str(DEPLOY / "sglang.yaml"), Flags())
    (engine,) = profile.engines
    command = services(MAIN, SGLANG)["sglang"]["command"]
    assert engine.model == command[command.index("--served-model-name") + 1]
    port = command[command.index("--port") + 1]
    assert engine.model_dump()["url"] == f"http://sglang:{port}"


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_a_dockerfile_passes_the_linter(file: Path) -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    found = subprocess.run([hadolint, "-f", "json", str(file)], capture_output=True, text=True)
    assert json.loads(found.stdout) == []


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.name)
def test_an_image_holds_every_package_and_ends_as_another_user_than_root(file: Path) -> None:
    stages = file.read_text(encoding="utf-8").split("\nFROM ")[1:]
    ignored = (ROOT / ".dockerignore").read_text(encoding="utf-8").split()
    for stage in stages:
        if "AS needs" in stage:
            continue
        copied = [line.split()[1:-1] for line in stage.splitlines() if line.startswith("COPY")]
        for source in chain.from_iterable(copied):
            assert (ROOT / source).exists() and f"!{source.split('/')[0]}" in ignored
        packages = {"engine", "gateway", "models", "roundhouse", "tools_service", "benchmarks"}
        assert packages <= set(chain.from_iterable(copied))
        users = [line for line in stage.splitlines() if line.startswith("USER")]
        assert users == ["USER 10001"]


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_prometheus_understands_its_settings_and_asks_the_services_of_the_file() -> None:
    file = DEPLOY / "prometheus" / "compose.yml"
    subprocess.run(["promtool", "check", "config", str(file)], check=True, capture_output=True)
    text = file.read_text(encoding="utf-8")
    assert '"gateway:8000"' in text and '"tools:8001"' in text
