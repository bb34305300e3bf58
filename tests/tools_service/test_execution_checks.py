"""Settings of execution that nothing would ever obey stop the start."""

import pytest

from tests.tools_service.tool_stand_ins import Trial, stand
from tools_service.errors import ConfigError

NOTES = {"transport": "stdio", "command": "x", "tools": ["add.note"]}
ALL = {**NOTES, "tools": "all"}


@pytest.mark.parametrize(
    "settings",
    [
        {"per_tool": {"serach": {"slots": 1}}},
        {"tenants": {"*": ["serach"]}, "token": "secret"},
        {"per_upstream": {"tavilly": {"slots": 1}}},
        {"per_upstream": {"local": {"slots": 1}}},
        {"per_tool": {"notes_add": {}}, "upstreams": {"notes": NOTES}},
        {"per_tool": {"note_add": {}}, "upstreams": {"notes": ALL}},
    ],
)
def test_a_name_that_nothing_has_stops_the_start(settings: dict[str, object]) -> None:
    with pytest.raises(ConfigError, match="there is no"):
        stand(pins_path="pins.json", **settings)


@pytest.mark.parametrize(
    "settings",
    [
        {"per_tool": {"trial": {"slots": 1}}, "tenants": {"*": ["trial", "*"]}},
        {"per_tool": {"python": {"slots": 1}}, "per_upstream": {"brave": {"slots": 1}}},
        {"per_upstream": {"web": {"slots": 2}, "notes": {"slots": 1}}, "upstreams": {"notes": ALL}},
        {"per_tool": {"notes_add_note": {}}, "upstreams": {"notes": NOTES}},
        {"per_tool": {"notes_any": {}}, "upstreams": {"notes": ALL}},
        {"per_tool": {"any": {}}, "upstreams": {"notes": {**ALL, "prefix": ""}}},
    ],
)
def test_what_is_not_served_now_but_may_be_is_nobodys_mistake(settings: dict[str, object]) -> None:
    stand(Trial(), pins_path="pins.json", **settings)
