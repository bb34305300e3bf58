"""What pydantic found wrong with the settings, in the words of who wrote them."""

import difflib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

Path = Sequence[str | int]
Schema = Mapping[str, Any]  # a JSON schema, as pydantic writes it


def describe(error: ValidationError, model: type[BaseModel], origin: Callable[[Path], str]) -> str:
    """One line a fault: where it stands, what is wrong, the nearest right name.

    `origin` says from where the setting at a path came.
    """
    schema = model.model_json_schema()
    faults = error.errors(include_input=False)
    return "\n".join(line(fault, schema, origin) for fault in faults if not above(fault, faults))


def above(fault: ErrorDetails, faults: Sequence[ErrorDetails]) -> bool:
    """Is it only what follows from a fault further down? ("engines has no valid item")"""
    path = fault["loc"]
    return any(other["loc"][: len(path)] == path != other["loc"] for other in faults)


def line(fault: ErrorDetails, schema: Schema, origin: Callable[[Path], str]) -> str:
    path = fault["loc"]
    place = ": ".join(filter(None, (origin(path), dotted(path))))
    if fault["type"] != "extra_forbidden":
        return f"{place}: {fault['msg'].removeprefix('Value error, ')}"
    known = sorted(names(schema, path[:-1]))
    near = hint(str(path[-1]), known) or f"known here: {', '.join(known)}"
    return f"{place}: unknown setting; {near}"


def hint(name: str, known: Iterable[str]) -> str:
    """The nearest right name, as a question; empty when none is near."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f"did you mean {near[0]}?" if near else ""


def dotted(path: Path) -> str:
    """engines, 0, model -> engines[0].model"""
    steps = (f"[{step}]" if isinstance(step, int) else f".{step}" for step in path)
    return "".join(steps).lstrip(".")


def names(schema: Schema, path: Path) -> set[str]:
    """Every setting that the schema knows at that path."""
    places = [*kinds(schema, schema)]
    for step in path:
        below = [kind for place in places for kind in down(place, step, schema)]
        # A step that leads nowhere is pydantic's name for one kind of a union: stay.
        places = below or places
    return {name for place in places for name in place.get("properties", {})}


def down(place: Schema, step: str | int, schema: Schema) -> Iterator[Schema]:
    """What the schema says one step further down."""
    further = place.get("properties", {}).get(step) or place.get("additionalProperties")
    if isinstance(step, int):
        further = place.get("items")
    if isinstance(further, dict):
        yield from kinds(further, schema)


def kinds(place: Schema, schema: Schema) -> Iterator[Schema]:
    """The place itself with its references followed, or each kind of a union."""
    if "$ref" in place:
        place = schema["$defs"][place["$ref"].rpartition("/")[2]]
    choices = [*place.get("anyOf", ()), *place.get("oneOf", ()), *place.get("allOf", ())]
    if not choices:
        yield place
    for choice in choices:
        yield from kinds(choice, schema)
