"""A typed Python function as a tool: schemas from its type hints, values checked both ways."""

import inspect
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, get_type_hints

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, create_model
from pydantic.errors import PydanticUserError
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from tools_service.errors import ConfigError, ToolFailed
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema
from tools_service.tools.threads import Threads

Shape = Callable[[Arguments], str]

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


class _Untitled(GenerateJsonSchema):
    """Titles repeat the names and cost a model tokens."""

    def field_title_should_be_set(self, schema: object) -> bool:
        return False


@dataclass(frozen=True, slots=True)
class Signature:
    """What a function's name, docstring and type hints say."""

    function: Callable[..., Any]
    description: str
    arguments: type[BaseModel]
    fields: Mapping[str, str]
    """From the model's field names to parameters: pydantic reserves some names, Python does not."""
    contexts: tuple[str, ...]
    returned: TypeAdapter[Any]
    finished: bool
    """It returns a text or an Output: the result as it is, with nothing to describe."""

    @property
    def name(self) -> str:
        return self.function.__name__


def signature(function: Callable[..., Any]) -> Signature:
    """Raises ConfigError: the function can't be a tool, and what to do."""
    if not _NAME.fullmatch(function.__name__):
        raise ConfigError("a tool's name has at most 64 ASCII letters, digits and underscores")
    description = inspect.getdoc(function)
    if not description:
        raise ConfigError("give it a docstring: models choose tools by their descriptions")
    try:
        hints = get_type_hints(function, include_extras=True)
    except Exception as exc:
        raise ConfigError(f"its type hints can't be read: {exc}") from exc
    if "return" not in hints:
        raise ConfigError("say what it returns: `-> str`, a model, a dict, …")
    contexts = tuple(name for name, hint in hints.items() if hint is Context)
    try:
        arguments, fields = _arguments(function, hints, contexts)
        returned = TypeAdapter(hints["return"])
        arguments.model_json_schema()
    except (PydanticUserError, TypeError) as exc:
        raise ConfigError(f"its type hints make no schema: {str(exc).splitlines()[0]}") from exc
    finished = hints["return"] in (str, Output)
    return Signature(function, description, arguments, fields, contexts, returned, finished)


def _arguments(
    function: Callable[..., Any], hints: Mapping[str, Any], contexts: tuple[str, ...]
) -> tuple[type[BaseModel], dict[str, str]]:
    fields: dict[str, Any] = {}
    names: dict[str, str] = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ConfigError(f"a model passes arguments by name: {parameter} has none")
        if parameter.name not in hints:
            raise ConfigError(f"give {parameter.name} a type")
        if parameter.name in contexts:
            continue
        default = ... if parameter.default is parameter.empty else parameter.default
        field = f"field_{len(names)}"
        names[field] = parameter.name
        fields[field] = (hints[parameter.name], Field(default, alias=parameter.name))
    config = ConfigDict(extra="forbid")
    return create_model(function.__name__, __config__=config, **fields), names


class FunctionTool:
    """Runs it: a coroutine function in the event loop, any other in a thread."""

    upstream: str | None = None

    def __init__(
        self, said: Signature, annotations: Annotations, shape: Shape, threads: Threads
    ) -> None:
        self.name = said.name
        self.description = said.description
        self.input_schema: Schema = _schema(TypeAdapter(said.arguments))
        self.output_schema: Schema | None = _object(said)
        self.annotations = annotations
        self._said = said
        self._shape = shape
        self._threads = threads

    def shape(self, arguments: Arguments) -> str:
        return self._shape(arguments)

    async def run(self, arguments: Arguments, context: Context) -> Output:
        said = self._said
        call = partial(said.function, **self._checked(arguments), **self._contexts(context))
        if inspect.iscoroutinefunction(said.function):
            value = await call()
        else:
            value = await self._threads.run(call)
        return self._output(value)

    def _checked(self, arguments: Arguments) -> dict[str, Any]:
        """Values of the hinted types. JSON schema can't say all that a type demands."""
        try:
            model = self._said.arguments.model_validate(arguments)
        except ValidationError as exc:
            first = exc.errors(include_url=False, include_input=False)[0]
            where = "/".join(map(str, first["loc"])) or "arguments"
            raise ToolFailed(f"{where}: {first['msg']}") from exc
        return {name: getattr(model, field) for field, name in self._said.fields.items()}

    def _contexts(self, context: Context) -> dict[str, Context]:
        return dict.fromkeys(self._said.contexts, context)

    def _output(self, value: object) -> Output:
        if isinstance(value, Output):
            return value
        adapter = self._said.returned
        if self._said.finished:
            return Output(adapter.validate_python(value, strict=True))
        plain = adapter.dump_python(adapter.validate_python(value), mode="json")
        text = plain if isinstance(plain, str) else json.dumps(plain, ensure_ascii=False)
        structured = plain if self.output_schema is not None else None
        return Output(text, structured)


def _object(said: Signature) -> Schema | None:
    """The output schema, where it returns objects; MCP has none for anything else."""
    if said.finished:
        return None
    try:
        schema = _schema(said.returned, mode="serialization")
    except PydanticUserError:
        return None
    return schema if schema.get("type") == "object" else None


def _schema(adapter: TypeAdapter[Any], mode: JsonSchemaMode = "validation") -> Schema:
    schema = adapter.json_schema(mode=mode, schema_generator=_Untitled)
    schema.pop("title", None)
    return schema
