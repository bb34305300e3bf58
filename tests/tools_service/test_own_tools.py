"""Functions of one's own as tools, from modules that the test writes."""

import asyncio
import json
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tools_service.config import ToolsServiceConfig
from tools_service.errors import BadArguments, ConfigError, NameTaken, ToolFailed
from tools_service.tools.build import opened
from tools_service.tools.function import FunctionTool
from tools_service.tools.own import load
from tools_service.tools.registry import Annotations, Context, Output, Progress, Registry
from tools_service.tools.threads import Threads

HEAD = """
    import asyncio, threading, time
    from datetime import date
    from typing import Annotated, Literal
    from pydantic import BaseModel, Field
    from tools_service.tools.own import Context, Output, Progress, ToolFailed, tool
"""

Write = Callable[[str], str]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def written(text: str) -> str:
        path = tmp_path / "mine.py"
        path.write_text(dedent(HEAD) + dedent(text))
        return str(path)

    return written


def only(module: str) -> FunctionTool:
    (found,) = load([module])
    return found


async def run(tool: FunctionTool, **arguments: object) -> Output:
    return await tool.run(arguments, Context())


async def test_a_function_becomes_a_tool_by_its_name_docstring_and_hints(write: Write) -> None:
    tool = only(
        write('''
        @tool
        async def weather(
            city: Annotated[str, Field(min_length=2, description="where")],
            unit: Literal["C", "F"] = "C",
            days: int | None = None,
        ) -> str:
            """The forecast.

            Of a city.
            """
            return f"{city} {unit} {days}"
        ''')
    )
    assert (tool.name, tool.description) == ("weather", "The forecast.\n\nOf a city.")
    assert tool.input_schema == {
        "type": "object",
        "properties": {
            "city": {"type": "string", "minLength": 2, "description": "where"},
            "unit": {"type": "string", "enum": ["C", "F"], "default": "C"},
            "days": {"anyOf": [{"type": "integer"}, {"type": "null"}], "default": None},
        },
        "required": ["city"],
        "additionalProperties": False,
    }
    assert tool.output_schema is None
    assert tool.annotations == Annotations(read_only=False, idempotent=False, open_world=True)
    assert await run(tool, city="Bern") == Output("Bern C None")
    registry = Registry([tool])
    for wrong in ({}, {"city": "B"}, {"city": "Bern", "town": 1}, {"city": "Bern", "unit": "K"}):
        with pytest.raises(BadArguments):
            registry.check(tool, wrong)


async def test_models_go_in_and_come_out_with_a_schema(write: Write) -> None:
    tool = only(
        write("""
        class Point(BaseModel):
            x: float
            on: date | None = None

        class Way(BaseModel):
            length: float
            points: list[Point]

        @tool(read_only=True, open_world=False, shape=lambda given: str(len(given["points"])))
        def way(points: list[Point], schema: bool = False) -> Way:
            "How far it is."
            assert isinstance(points[0].on, date)
            return Way(length=sum(point.x for point in points), points=points)
        """)
    )
    points = [{"x": 1.5, "on": "2026-01-02"}, {"x": 2}]
    output = await run(tool, points=points)
    assert output.structured == {
        "length": 3.5,
        "points": [{"x": 1.5, "on": "2026-01-02"}, {"x": 2.0, "on": None}],
    }
    assert json.loads(output.text) == output.structured
    assert tool.output_schema is not None
    assert tool.output_schema["required"] == ["length", "points"]
    assert tool.annotations == Annotations(read_only=True, idempotent=True, open_world=False)
    assert tool.shape({"points": points}) == "2"
    Registry([tool]).check(tool, {"points": points, "schema": True})
    with pytest.raises(ToolFailed, match="points/0/on: Input should be a valid date"):
        await run(tool, points=[{"x": 1, "on": "the day after"}])


@pytest.mark.parametrize(
    ("returned", "value", "text", "structured"),
    [
        ("dict[str, int]", '{"a": 1}', '{"a": 1}', {"a": 1}),
        ("list[int]", "[1, 2]", "[1, 2]", None),
        ("int | None", "None", "null", None),
        ("None", "None", "null", None),
        ("date", "date(2026, 1, 2)", "2026-01-02", None),
        ("Output", "Output('as it is', origin='here')", "as it is", None),
    ],
)
async def test_what_a_function_returns_becomes_text_and_objects_stay_objects(
    write: Write, returned: str, value: str, text: str, structured: object
) -> None:
    tool = only(
        write(f"""
        @tool
        def give() -> {returned}:
            "Give."
            return {value}
        """)
    )
    output = await run(tool)
    assert (output.text, output.structured) == (text, structured)
    assert (tool.output_schema is not None) == (structured is not None)


async def test_a_context_is_given_and_is_not_the_models(write: Write) -> None:
    tool = only(
        write("""
        @tool
        async def steps(count: int, context: Context) -> str:
            "Count."
            for step in range(count):
                await context.tell(Progress(step, count))
            return context.session or ""
        """)
    )
    told: list[Progress] = []

    async def tell(progress: Progress) -> None:
        told.append(progress)

    output = await tool.run({"count": 2}, Context(session="s", tell=tell))
    assert output.text == "s"
    assert told == [Progress(0, 2), Progress(1, 2)]
    assert list(tool.input_schema["properties"]) == ["count"]  # type: ignore[call-overload]


async def test_a_failure_is_told_and_a_bug_is_raised(write: Write) -> None:
    tool = only(
        write("""
        @tool
        def risky(how: str) -> str:
            "Fail."
            if how == "told":
                raise ToolFailed("no such city")
            return 5 if how == "wrong" else {}["bug"]
        """)
    )
    with pytest.raises(ToolFailed, match="no such city"):
        await run(tool, how="told")
    for bug, error in (("wrong", ValueError), ("bug", KeyError)):
        with pytest.raises(error):
            await run(tool, how=bug)


async def test_a_blocking_function_runs_beside_the_loop_and_is_left_when_cancelled(
    write: Write,
) -> None:
    tool = only(
        write("""
        began, end, ended = threading.Event(), threading.Event(), threading.Event()

        @tool
        def block() -> str:
            "Block."
            began.set()
            end.wait()
            ended.set()
            return threading.current_thread().name
        """)
    )
    module = sys.modules[tool._said.function.__module__]
    call = asyncio.create_task(run(tool))
    assert await asyncio.to_thread(module.began.wait, 30)
    call.cancel()
    with pytest.raises(asyncio.CancelledError):
        await call
    assert not module.ended.is_set()
    module.end.set()
    assert await asyncio.to_thread(module.ended.wait, 30)
    assert (await run(tool)).text == "tool"


async def test_threads_are_bounded_and_a_place_is_free_only_when_its_function_ends() -> None:
    threads = Threads(1)
    gate, began = threading.Event(), threading.Event()

    def hold() -> None:
        began.set()
        gate.wait(30)

    async with asyncio.timeout(240):
        first = asyncio.create_task(threads.run(hold))
        await asyncio.to_thread(began.wait, 30)
        first.cancel()
        second = asyncio.create_task(threads.run(lambda: "second"))
        await asyncio.wait([first])
        assert not second.done()
        gate.set()
        assert await second == "second"


async def test_modules_may_be_named_as_imports_and_share_functions(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "own_first.py").write_text(
        "from tools_service.tools.own import tool\n"
        "@tool\ndef one() -> str:\n    'One.'\n    return '1'\n"
    )
    (tmp_path / "own_second.py").write_text(
        "from own_first import one\nfrom tools_service.tools.own import tool\n"
        "@tool\ndef two() -> str:\n    'Two.'\n    return one() + '2'\n"
    )
    tools = load(["own_first", "own_second"])
    assert [tool.name for tool in tools] == ["one", "two"]
    assert (await run(tools[1])).text == "12"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x = 1", "no function in it has @tool above it"),
        ("1 / 0", "can't be imported: ZeroDivisionError"),
        ("@tool\ndef f() -> str: ...", "f: give it a docstring"),
        ("@tool\ndef f(a) -> str:\n    'F.'", "f: give a a type"),
        ("@tool\ndef f():\n    'F.'", "f: say what it returns"),
        ("@tool\ndef f(*a: int) -> str:\n    'F.'", "f: a model passes arguments by name"),
        ("@tool\ndef f(a: 'Nothing') -> str:\n    'F.'", "f: its type hints can't be read"),
        ("@tool\ndef f(a: threading.Lock) -> str:\n    'F.'", "f: its type hints make no schema"),
        ("@tool\ndef \u00e9() -> str:\n    'F.'", "a tool's name has at most 64 ASCII letters"),
    ],
)
def test_what_cannot_be_a_tool_is_said_with_the_module_and_the_function(
    write: Write, text: str, complaint: str
) -> None:
    path = write("")
    with open(path, "a") as file:
        file.write(text)
    with pytest.raises(ConfigError) as raised:
        load([path])
    assert str(raised.value).startswith(f"own module {path}")
    assert complaint in str(raised.value)


def test_a_missing_module_is_said() -> None:
    for name in ("no_such_module_of_ours", "/nowhere/mine.py"):
        with pytest.raises(ConfigError, match="can't be imported"):
            load([name])


async def test_they_are_served_beside_the_built_in_tools(write: Write) -> None:
    path = write("@tool\ndef mine() -> str:\n    'Mine.'\n    return 'mine'")
    settings = {"tools": ["calculate"], "own": [path]}
    async with opened(ToolsServiceConfig.model_validate(settings), {}) as tools:
        assert [tool.name for tool in Registry(tools)] == ["calculate", "mine"]
    taken = write("@tool\ndef calculate() -> str:\n    'Mine.'\n    return 'mine'")
    async with opened(ToolsServiceConfig.model_validate({"own": [taken]}), {}) as tools:
        with pytest.raises(NameTaken, match="'calculate'"):
            Registry(tools)
