"""The calculate tool: right numbers, clear complaints, nothing dangerous."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tools_service.errors import ToolFailed
from tools_service.tools.calculate import Calculate, evaluate
from tools_service.tools.registry import Context


@pytest.mark.parametrize(
    ("expression", "result"),
    [
        ("6 * 7", "42"),
        ("84 / 2", "42"),
        ("0.1 + 0.2", "0.3"),
        ("7 // 2 + 7 % 4", "6"),
        ("2 ** 10", "1024"),
        ("-(3 - 5) * +2", "4"),
        ("1 / 3", "0.333333333333"),
        ("sqrt(2) ** 2", "2"),
        ("round(2.567, 1)", "2.6"),
        ("max(1, 5, 3) - min(4, 2) + abs(-1)", "4"),
        ("pow(2, 0.5)", "1.41421356237"),
        ("factorial(5)", "120"),
        ("ln(e) + log10(100)", "3"),
        ("floor(2.9) + ceil(2.1)", "5"),
        (" 1e3 ", "1000"),
        ("2 ** 100", "1267650600228229401496703205376"),
        ("2 * pi", "6.28318530718"),
    ],
)
def test_numbers_come_out_right_and_readable(expression: str, result: str) -> None:
    assert json.dumps(evaluate(expression)) == result


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("1 / 0", "division by zero"),
        ("1 +", "not an arithmetic expression"),
        ("two plus two", "not an arithmetic expression"),
        ("10 ** 10 ** 10", "too large"),
        ("9 ** 9 ** 9 ** 9", "too large"),
        ("1e308 * 10", "too large"),
        ("(-8) ** 0.5", "not a real number"),
        ("sqrt(-1)", "math domain error"),
        ("factorial(5000)", "too large"),
        ("2 ^ 10", "write ** for a power"),
        ("__import__('os')", "unknown function"),
        ("(1).real", "only numbers"),
        ("open", "unknown name"),
        ("'a' * 3", "only numbers"),
        ("True + 1", "only numbers"),
        ("[1][0]", "only numbers"),
        ("max()", "expected at least 1 argument"),
        ("round(1, ndigits=2)", "unknown function|only numbers"),
        ("gcd(0.5, 2)", "cannot be interpreted as an integer"),
        ("(" * 400 + "1" + ")" * 400, "not an arithmetic expression"),
        ("1" * 2000, "longer than"),
        ("\0", "not an arithmetic|null bytes"),
    ],
)
def test_everything_else_is_a_clear_complaint(expression: str, complaint: str) -> None:
    with pytest.raises(ToolFailed, match=complaint.replace("*", r"\*")):
        evaluate(expression)


@given(st.text(alphabet="0123456789.+-*/%() e,absqrtminmax", max_size=40))
def test_no_text_gets_anything_but_a_number_or_a_complaint(expression: str) -> None:
    try:
        json.loads(json.dumps(evaluate(expression), allow_nan=False))
    except ToolFailed as exc:
        assert str(exc)


@given(st.integers(-(10**6), 10**6), st.integers(-(10**6), 10**6))
def test_integers_are_exact(left: int, right: int) -> None:
    assert evaluate(f"({left}) * ({right}) - ({left})") == left * right - left


async def test_the_result_is_json_twice_over() -> None:
    output = await Calculate().run({"expression": "6*7"}, Context())
    assert output.text == '{"result": 42}'
    assert output.structured == {"result": 42}
