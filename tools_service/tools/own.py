"""Tools of one's own: a typed Python function with `@tool` above it, in a module of the operator's.

    from tools_service.tools.own import ToolFailed, tool

    @tool(read_only=True)
    async def weather(city: str, days: int = 1) -> str:
        \"\"\"The weather forecast of a city.\"\"\"

The name is the function's, the description its docstring, the input schema comes from its type
hints. A parameter of the type `Context` is not the model's: it is given the caller's ids and `tell`
for progress. `ToolFailed("…")` tells the model what went wrong; any other exception is a bug.

The module runs in the service's own process, with all its rights: it is trusted like the service.
"""

import importlib
import importlib.util
import inspect
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, ParamSpec, TypeVar, overload

from tools_service.errors import ConfigError, ToolFailed
from tools_service.tools.function import FunctionTool, Shape, signature
from tools_service.tools.registry import Annotations, Context, Output, Progress, size_shape
from tools_service.tools.threads import Threads

__all__ = ["Context", "Output", "Progress", "ToolFailed", "load", "tool"]

MOST_THREADS = 16
_MARK = "__roundhouse_tool__"

Parameters = ParamSpec("Parameters")
Returned = TypeVar("Returned")


@dataclass(frozen=True, slots=True)
class _Options:
    annotations: Annotations
    shape: Shape


@overload
def tool(function: Callable[Parameters, Returned], /) -> Callable[Parameters, Returned]: ...


@overload
def tool(
    *,
    read_only: bool = False,
    idempotent: bool = False,
    open_world: bool = True,
    shape: Shape = size_shape,
) -> Callable[[Callable[Parameters, Returned]], Callable[Parameters, Returned]]: ...


def tool(
    function: Callable[..., Any] | None = None,
    /,
    *,
    read_only: bool = False,
    idempotent: bool = False,
    open_world: bool = True,
    shape: Shape = size_shape,
) -> Callable[..., Any]:
    """Makes a tool of a function; the function itself stays as it is.

    `read_only`: it changes nothing. `idempotent`: running it twice does what running it once does;
    only such tools, and read-only ones, are ever run a second time by themselves. `open_world`: its
    results hold words of others; they reach the model marked as such. `shape`: from the arguments
    to a short name shared by calls that take about as long.
    """
    options = _Options(Annotations(read_only, idempotent or read_only, open_world), shape)

    def mark(function: Callable[..., Any]) -> Callable[..., Any]:
        function.__dict__[_MARK] = options
        return function

    return mark if function is None else mark(function)


def load(modules: Iterable[str]) -> list[FunctionTool]:
    """The tools of these modules, each an import name or a path ending in `.py`.

    Raises ConfigError with the module, the function and what to do.
    """
    threads = Threads(MOST_THREADS)
    made: dict[int, FunctionTool] = {}
    for name in modules:
        found = list(_marked(_imported(name)))
        if not found:
            raise ConfigError(f"own module {name}: no function in it has @tool above it")
        for function, options in found:
            # A function that one module imports from another is one tool.
            made[id(function)] = _made(name, function, options, threads)
    return list(made.values())


def _made(
    module: str, function: Callable[..., object], options: _Options, threads: Threads
) -> FunctionTool:
    try:
        return FunctionTool(signature(function), options.annotations, options.shape, threads)
    except ConfigError as exc:
        raise ConfigError(f"own module {module}: {function.__name__}: {exc}") from exc


def _imported(name: str) -> ModuleType:
    try:
        return _from_file(Path(name)) if name.endswith(".py") else importlib.import_module(name)
    except Exception as exc:
        # Anything can go wrong while somebody's module runs.
        raise ConfigError(
            f"own module {name} can't be imported: {type(exc).__name__}: {exc}"
        ) from exc


def _from_file(path: Path) -> ModuleType:
    name = f"own:{path.resolve()}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = importlib.util.module_from_spec(spec)
    # Type hints and dataclasses look their module up here.
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def _marked(module: ModuleType) -> Iterator[tuple[Callable[..., object], _Options]]:
    for value in vars(module).values():
        options = getattr(value, "__dict__", {}).get(_MARK)
        if inspect.isfunction(value) and isinstance(options, _Options):
            yield value, options
