"""The calculate tool: arithmetic, and nothing but arithmetic."""

import ast
import json
import math
import operator
from collections.abc import Callable, Mapping

from tools_service.errors import ToolFailed
from tools_service.tools.registry import Annotations, Arguments, Context, Output, Schema, size_shape

Number = int | float

_LONGEST = 1000
_MOST_BITS = 3400  # about 1,000 decimal digits
_LARGEST_FACTORIAL = 400
_OPERATORS: Mapping[type[ast.operator], Callable[[Number, Number], object]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
}
_SIGNS: Mapping[type[ast.unaryop], Callable[[Number], Number]] = {
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_CONSTANTS: Mapping[str, Number] = {"pi": math.pi, "e": math.e, "tau": math.tau}


def _factorial(number: int) -> int:
    if number > _LARGEST_FACTORIAL:
        raise ToolFailed(f"factorial of more than {_LARGEST_FACTORIAL} is too large")
    return math.factorial(number)


_FUNCTIONS: Mapping[str, Callable[..., object]] = {
    "abs": abs,
    "acos": math.acos,
    "asin": math.asin,
    "atan": math.atan,
    "atan2": math.atan2,
    "ceil": math.ceil,
    "cos": math.cos,
    "degrees": math.degrees,
    "exp": math.exp,
    "factorial": _factorial,
    "floor": math.floor,
    "gcd": math.gcd,
    "hypot": math.hypot,
    "ln": math.log,
    "log": math.log,
    "log10": math.log10,
    "log2": math.log2,
    "max": max,
    "min": min,
    "pow": lambda base, exponent: _power(base, exponent),
    "radians": math.radians,
    "round": round,
    "sin": math.sin,
    "sqrt": math.sqrt,
    "tan": math.tan,
}


_INPUT: Schema = {
    "type": "object",
    "properties": {
        "expression": {
            "type": "string",
            "minLength": 1,
            "maxLength": _LONGEST,
            "description": "for example (17.5 * 4 - 28) / 2",
        }
    },
    "required": ["expression"],
    "additionalProperties": False,
}
_OUTPUT: Schema = {
    "type": "object",
    "properties": {"result": {"type": "number"}},
    "required": ["result"],
}


class Calculate:
    """`calculate(expression)` answers {"result": number}."""

    name = "calculate"
    description = (
        "Evaluate an arithmetic expression and return the number. Operators: + - * / // % ** and "
        f"parentheses. Functions: {', '.join(_FUNCTIONS)}. Constants: pi, e, tau."
    )
    input_schema: Schema = _INPUT
    output_schema: Schema | None = _OUTPUT
    annotations = Annotations(read_only=True, idempotent=True, open_world=False)
    upstream: str | None = None

    def shape(self, arguments: Arguments) -> str:
        return size_shape(arguments)

    async def run(self, arguments: Arguments, context: Context) -> Output:
        answer = {"result": evaluate(str(arguments["expression"]))}
        return Output(json.dumps(answer), answer)


def evaluate(expression: str) -> Number:
    """The value of an arithmetic expression. Raises ToolFailed for everything else."""
    if len(expression) > _LONGEST:
        raise ToolFailed(f"the expression is longer than {_LONGEST} characters")
    try:
        tree = ast.parse(expression.strip(), mode="eval")
        return _tidy(_value(tree.body))
    except ZeroDivisionError:
        raise ToolFailed("division by zero") from None
    except OverflowError:
        raise ToolFailed("the result is too large") from None
    except (SyntaxError, RecursionError, MemoryError):
        raise ToolFailed("this is not an arithmetic expression") from None
    except (ValueError, TypeError) as exc:
        raise ToolFailed(str(exc)) from None


def _value(node: ast.expr) -> Number:
    match node:
        case ast.Constant(value=int() | float() as number) if not isinstance(number, bool):
            return _checked(number)
        case ast.Name(id=name) if name in _CONSTANTS:
            return _CONSTANTS[name]
        case ast.UnaryOp(op=sign, operand=operand) if type(sign) in _SIGNS:
            return _SIGNS[type(sign)](_value(operand))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_value(left), _value(right))
        case ast.BinOp(op=ast.BitXor()):
            raise ToolFailed("^ is not an operator here; write ** for a power")
        case ast.BinOp(left=left, op=sign, right=right) if type(sign) in _OPERATORS:
            return _checked(_OPERATORS[type(sign)](_value(left), _value(right)))
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]) if name in _FUNCTIONS:
            return _checked(_FUNCTIONS[name](*map(_value, arguments)))
        case ast.Call(func=ast.Name(id=name)):
            raise ToolFailed(f"unknown function {name[:32]}; known: {', '.join(_FUNCTIONS)}")
        case ast.Name(id=name):
            raise ToolFailed(f"unknown name {name[:32]}; known: {', '.join(_CONSTANTS)}")
        case _:
            raise ToolFailed("only numbers, + - * / // % **, parentheses and functions are allowed")


def _power(base: Number, exponent: Number) -> Number:
    # Before computing: an integer power can take all memory there is.
    if (
        isinstance(base, int)
        and abs(exponent) * base.bit_length() > 2 * _MOST_BITS
        and abs(base) > 1
    ):
        raise OverflowError
    return _checked(base**exponent)


def _checked(value: object) -> Number:
    if isinstance(value, complex):
        raise ToolFailed("the result is not a real number")
    if not isinstance(value, int | float):
        raise ToolFailed("the result is not a number")
    if isinstance(value, int) and value.bit_length() > _MOST_BITS:
        raise OverflowError
    if isinstance(value, float) and not math.isfinite(value):
        raise OverflowError
    return value


def _tidy(value: Number) -> Number:
    """42 rather than 42.0, 0.3 rather than 0.30000000000000004."""
    rounded = value if isinstance(value, int) else float(f"{value:.12g}")
    return int(rounded) if rounded == int(rounded) and abs(rounded) < 1e15 else rounded
