"""Every setting, with its type, default and meaning, from the models that read it."""

import ast
import inspect
import re
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from engine.config import EngineConfig
from gateway.config import GatewayConfig
from tools_service.config import ToolsServiceConfig

SECTIONS: dict[str, type[BaseModel]] = {
    "gateway": GatewayConfig,
    "engines[]": EngineConfig,
    "tools_service": ToolsServiceConfig,
}


README = dict(
    re.findall(
        r"^\| `([a-z_]+(?:\[\])?\.[^`]*)` \| [^|]* \| ([^|]*) \|$",
        (Path(__file__).parents[2] / "README.md").read_text(encoding="utf-8"),
        re.M,
    )
)
"""What the README says of a setting, for those of which the code says nothing."""


def rows() -> Iterator[tuple[str, str, str, str]]:
    """(name, type, default, meaning), in the order of the models."""
    for name, model in SECTIONS.items():
        yield from below(name, model)


def below(path: str, model: type[BaseModel]) -> Iterator[tuple[str, str, str, str]]:
    words = meanings(model)
    for name, field in model.model_fields.items():
        place = f"{path}.{name}"
        inner = section(field.annotation)
        if inner is None:
            said = words[name] or README.get(place, "")
            yield place, kind(field), default(field), said.replace("|", "\\|")
        else:
            many = ".NAME" if "dict" in str(field.annotation) else ""
            yield from below(place + many, inner)


def section(annotation: Any) -> type[BaseModel] | None:
    """The model below this setting, also where it stands for each of several names."""
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one
    return None


def kind(field: FieldInfo) -> str:
    """The type in words an operator uses."""
    text = str(field.annotation)
    choices = [str(choice) for choice in get_args(field.annotation) if isinstance(choice, str)]
    if choices and "Literal" in text:
        return ", ".join(f"`{choice}`" for choice in choices)
    for sign, word in (
        ("dict", "names to values"),
        ("tuple", "list"),
        ("bool", "true or false"),
        ("Secret", "text"),
        ("int", "whole number"),
        ("float", "number"),
        ("Path", "path"),
    ):
        if sign in text:
            return word
    return "text"


def default(field: FieldInfo) -> str:
    if field.is_required():
        return "needed"
    value = field.get_default(call_default_factory=True)
    if value is None or value in ((), {}):
        return "none"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, tuple):
        return ", ".join(f"`{item}`" for item in value)
    return f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


def meanings(model: type[BaseModel]) -> dict[str, str]:
    """A field's description, or the words that stand below it."""
    said = {name: field.description or "" for name, field in model.model_fields.items()}
    for parent in reversed(model.__mro__):
        if parent in (BaseModel, object) or not issubclass(parent, BaseModel):
            continue
        (tree,) = ast.parse(textwrap.dedent(inspect.getsource(parent))).body
        assert isinstance(tree, ast.ClassDef)
        for above, here in zip(tree.body, tree.body[1:], strict=False):
            if isinstance(above, ast.AnnAssign) and isinstance(here, ast.Expr):
                assert isinstance(above.target, ast.Name) and isinstance(here.value, ast.Constant)
                said[above.target.id] = str(here.value.value)
    return {name: " ".join(text.split()) for name, text in said.items()}
