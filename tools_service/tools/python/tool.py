"""The python tool: code in, what it prints and its last value out."""

from tools_service.errors import ToolFailed
from tools_service.tools.clean import strip
from tools_service.tools.python.cell import cell, shape
from tools_service.tools.python.engine import Engine
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema

_LONGEST = 50_000
_INPUT: Schema = {
    "type": "object",
    "properties": {
        "code": {
            "type": "string",
            "minLength": 1,
            "maxLength": _LONGEST,
            "description": "a whole program; print results, or end with an expression",
        }
    },
    "required": ["code"],
    "additionalProperties": False,
}


class Python:
    """`python(code)` answers what the code printed and the value of its last expression.

    Every call begins afresh: nothing is kept from one to the next.
    """

    name = "python"
    input_schema: Schema = _INPUT
    output_schema: Schema | None = None
    annotations = Annotations(read_only=False, idempotent=False, open_world=False)
    upstream: str | None = None

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.description = (
            "Run Python code and return what it prints and the value of its last expression. "
            f"{engine.about} Nothing is kept between calls."
        )

    def shape(self, arguments: Arguments) -> str:
        return shape(str(arguments["code"]))

    async def run(self, arguments: Arguments, context: Context) -> Output:
        code = str(arguments["code"])
        try:
            code.encode()
        except UnicodeEncodeError:
            raise ToolFailed("the code holds half a character (a lone surrogate)") from None
        ran = await self._engine.run(cell(code))
        text = strip(ran.text).rstrip("\n")
        if not ran.ok:
            raise ToolFailed(text)
        return Output(text or "(no output)")
