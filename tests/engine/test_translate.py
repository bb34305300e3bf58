"""vLLM's errors as ours."""

from typing import Any

import pytest
from pydantic import BaseModel
from vllm.exceptions import QueueOverflowError, VLLMValidationError
from vllm.v1.engine.exceptions import EngineDeadError, EngineGenerateError

from engine.errors import BadCall, ContextOverflow, EngineBusy, EngineDead, EngineFailed
from engine.vllm.translate import checking, generating


class Inner(BaseModel):
    name: str


class Outer(BaseModel):
    tools: list[Inner]
    limit: int = 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"tools": [{"name": "a"}, {"name": 5}]}, "tools[1].name"),
        ({"tools": [{"name": "a"}, {}]}, "tools[1].name"),
        ({"tools": [], "limit": "x"}, "limit"),
        ({}, "tools"),
        ({"tools": 3}, "tools"),
    ],
)
def test_a_wrong_field_is_named_by_its_path_in_the_body(body: dict[str, Any], param: str) -> None:
    with pytest.raises(BadCall) as caught, checking("one", body):
        Outer.model_validate(body)
    assert caught.value.param == param


def test_before_the_first_token_the_request_is_to_blame() -> None:
    with pytest.raises(BadCall, match="no such thing") as caught, checking("one", {}):
        raise VLLMValidationError("no such thing", parameter="stop", value=3)
    assert caught.value.param == "stop"
    with pytest.raises(ContextOverflow), checking("one", {}):
        raise ValueError("Input length (9) exceeds model's maximum context length (8).")
    with pytest.raises(BadCall, match="int is not iterable"), checking("one", {}):
        raise TypeError("int is not iterable")


def test_what_generate_wraps_is_unwrapped() -> None:
    with pytest.raises(BadCall, match="bad grammar"), checking("one", {}):
        raise EngineGenerateError from ValueError("bad grammar")
    with pytest.raises(EngineFailed), checking("one", {}):
        raise EngineGenerateError from RuntimeError("a bug")


def test_a_full_engine_is_busy_and_a_dead_one_dead() -> None:
    with pytest.raises(EngineBusy), checking("one", {}):
        raise QueueOverflowError
    for guard in (checking("one", {}), generating("one")):
        with pytest.raises(EngineDead, match="'one' has died"), guard:
            raise EngineDeadError
    with pytest.raises(EngineFailed), generating("one"):
        raise ValueError("in mid-answer it is ours")
