"""A model's code as a cell: its last value kept, its imports named."""

from hypothesis import given
from hypothesis import strategies as st

from tools_service.tools.python.cell import cell, modules, shape

CODES = st.text(st.sampled_from("ab1+=;()[]{}'\"\n\r\t #é\\:,.\x0c\u2028"), max_size=40)


@given(CODES)
def test_keeping_the_value_changes_nothing_else(code: str) -> None:
    kept = cell(code)
    if not kept.has_value:
        assert kept.code == code
        return
    compile(kept.code, "kept", "exec")
    assert len(kept.code.encode()) == len(code.encode()) + len("_ = ()")
    assert kept.code.count("\n") == code.count("\n")


def test_the_shape_names_what_is_imported_and_nothing_a_model_made_up() -> None:
    assert modules("import json, os.path\nfrom math import pi\nimport my_secret") == [
        *("json", "math", "os", "other")
    ]
    assert shape("import b\nimport c") == "other"
    assert shape("1 + 1") == shape("no python at all") == "plain"
    assert shape("from . import x") == "plain"
