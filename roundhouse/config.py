"""Everything the processes need to know: layers of settings, merged and checked once."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError, model_validator

import models
from engine.config import EngineConfig
from gateway.config import GatewayConfig
from roundhouse.errors import ConfigFault
from roundhouse.faults import describe
from roundhouse.layers import Layer, Values, choose, merge, read_file, read_shipped
from tools_service.config import ToolsServiceConfig

DEMO = str(Path(models.__file__).parent / "demo")
EVERYWHERE = ("0.0.0.0", "::")


class Profile(BaseModel):
    """The whole configuration, checked."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gateway: GatewayConfig
    engines: tuple[EngineConfig, ...] = Field(min_length=1)
    tools_service: ToolsServiceConfig

    @model_validator(mode="after")
    def know_ports(self) -> Self:
        """Any free port (0) would do for a server, but not for those who must find it."""
        for section, port in (
            ("gateway", self.gateway.port),
            ("tools_service", self.tools_service.port),
        ):
            if port == 0:
                raise ValueError(f"{section}.port can't be 0: name a port")
        return self

    @property
    def url(self) -> str:
        """Where the gateway answers."""
        return address(self.gateway.host, self.gateway.port)

    @property
    def tools_url(self) -> str:
        """Where the tools service answers."""
        return address(self.tools_service.host, self.tools_service.port)


@dataclass(frozen=True, slots=True)
class Flags:
    """What the command line says; None where it says nothing."""

    port: int | None = None
    tools_port: int | None = None
    model: str | None = None
    tool_parser: str | None = None
    reasoning_parser: str | None = None
    max_model_len: int | None = None

    def layer(self) -> Layer:
        """As the last layer. Raises ConfigFault."""
        values: dict[str, JsonValue] = {}
        if self.port is not None:
            values["gateway"] = {"port": self.port}
        if self.tools_port is not None:
            values["tools_service"] = {"port": self.tools_port}
        if engine := self.engine():
            values["engines"] = [engine]
        return Layer("command line", values)

    def engine(self) -> dict[str, JsonValue]:
        """The one engine that `--model` asks for, instead of all others; or nothing."""
        said = {name: value for name, value in asdict(self).items() if value is not None}
        about = {name: said[name] for name in said.keys() - {"port", "tools_port"}}
        if about and self.model is None:
            flag = "--" + min(about).replace("_", "-")
            raise ConfigFault(f"{flag} goes with --model", "add --model, or write it in a file")
        return about and {"name": engine_name(self.model or ""), "served_name": self.model, **about}


def load(file: Path | None, profile: str | None, flags: Flags) -> Profile:
    """The checked profile.

    The later wins: built-in default, the file, the chosen profiles in order, the command line.
    Raises ConfigFault.
    """
    layers = [read_shipped("cpu")]
    if file is not None:
        layers += read_file(file, profile)
    elif profile is not None:
        layers += choose(profile, {}, "no file")
    layers.append(flags.layer())
    try:
        return Profile.model_validate(complete(merge(layers)))
    except ValidationError as error:
        faults = describe(error, Profile, lambda path: origin(path, layers))
        raise ConfigFault(faults, "mend it where it stands") from error


def origin(path: Sequence[str | int], layers: Sequence[Layer]) -> str:
    """The last layer that says something at that path, or at the nearest place above it."""
    for length in range(len(path), 0, -1):
        for layer in reversed(layers):
            if says(layer.values, path[:length]):
                return layer.origin
    return "settings"


def says(values: JsonValue | Values, path: Sequence[str | int]) -> bool:
    for step in path:
        if isinstance(values, dict) and step in values:
            values = values[str(step)]
        elif isinstance(values, list) and isinstance(step, int) and step < len(values):
            values = values[step]
        else:
            return False
    return True


def engine_name(model: str) -> str:
    """Qwen/Qwen3-8B -> qwen3-8b"""
    last = Path(model).name.lower()
    letters = "".join(letter if letter.isalnum() or letter in "_.-" else "-" for letter in last)
    return letters.lstrip("_.-")[:63] or "model"


def complete(values: Values) -> dict[str, JsonValue]:
    """With what follows from the rest: where the demo model lies, where the tools answer."""
    engines = values.get("engines")
    if isinstance(engines, list):
        engines = [locate(engine) for engine in engines]
    return {**values, "engines": engines}


def locate(engine: JsonValue) -> JsonValue:
    # Of an HTTP engine the model's name is the server's, whatever it is.
    if isinstance(engine, dict) and engine.get("model") == "demo" and engine.get("kind") != "http":
        return {**engine, "model": DEMO}
    return engine


def address(host: str, port: int) -> str:
    """The base URL at which this machine reaches the host."""
    name = "127.0.0.1" if host in EVERYWHERE else host
    return f"http://[{name}]:{port}" if ":" in name else f"http://{name}:{port}"
