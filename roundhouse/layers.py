"""Settings from several places, laid over each other."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import reduce
from pathlib import Path

import yaml
from pydantic import JsonValue

from roundhouse.errors import ConfigFault
from roundhouse.faults import hint

PROFILES = Path(__file__).parent / "profiles"

Values = Mapping[str, JsonValue]


@dataclass(frozen=True, slots=True)
class Layer:
    """The settings of one place; `origin` is how a fault names that place."""

    origin: str
    values: Values


def read_file(file: Path, profile: str | None) -> list[Layer]:
    """The file's layers: what stands in it, then the chosen profiles. Raises ConfigFault."""
    values = read_yaml(file)
    profiles = mapping(values.pop("profiles", None), f"{file}: profiles")
    layers = [Layer(str(file), values)]
    return layers if profile is None else [*layers, *choose(profile, profiles, str(file))]


def choose(names: str, profiles: Values, origin: str) -> list[Layer]:
    """One profile, or several with commas between them. Raises ConfigFault."""
    return [_one(name.strip(), profiles, origin) for name in names.split(",")]


def _one(name: str, profiles: Values, origin: str) -> Layer:
    """The file's own profile of that name, else the shipped one, or a file."""
    if name.endswith((".yaml", ".yml")):
        return Layer(name, read_yaml(Path(name)))
    if name in profiles:
        place = f"{origin}: profiles.{name}"
        return Layer(place, mapping(profiles[name], place))
    shipped = {path.stem for path in PROFILES.glob("*.yaml")}
    if name not in shipped:
        known = sorted(shipped | set(profiles))
        remedy = hint(name, known) or f"there are: {', '.join(known)}"
        raise ConfigFault(f"no profile is called {name!r}", remedy)
    return read_shipped(name)


def read_shipped(name: str) -> Layer:
    """A profile that comes with Roundhouse."""
    return Layer(f"shipped profile {name}", read_yaml(PROFILES / f"{name}.yaml"))


def read_yaml(file: Path) -> dict[str, JsonValue]:
    """The file's settings. Raises ConfigFault."""
    try:
        values = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigFault(f"can't read {file}: {error.strerror}", "check the path") from error
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigFault(f"{file} is not YAML: {error}", "mend the line it names") from error
    return mapping(values, str(file))


def mapping(values: JsonValue, place: str) -> dict[str, JsonValue]:
    """The values as a mapping, empty where nothing is said. Raises ConfigFault."""
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise ConfigFault(f"{place} must be a mapping of names to settings", "write `name: value`")
    return values


def merge(layers: Iterable[Layer]) -> dict[str, JsonValue]:
    """One mapping; the later layer wins."""
    return reduce(lay, (layer.values for layer in layers), {})


def lay(below: Values, above: Values) -> dict[str, JsonValue]:
    """Mappings are laid over each other key by key; anything else, lists too, is replaced."""
    merged = dict(below)
    for key, value in above.items():
        under = merged.get(key)
        if isinstance(under, dict) and isinstance(value, dict):
            merged[key] = lay(under, value)
        else:
            merged[key] = value
    return merged
