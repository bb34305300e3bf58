"""The whole list of the suite's tools."""

from tests.conformance import fixture_tools as fixture
from tests.conformance.fixture_logging import logs
from tests.conformance.fixture_tools import (
    NAME,
    ROOTS,
    STRING,
    YES_NO,
    Fixture,
    asks,
    form,
    sampling,
    says,
    task,
)
from tools_service.tools.registry import Output, Schema

_CONFIRM = form("Please confirm", ok=YES_NO)
_IMAGE = {"type": "image", "data": fixture.PNG, "mimeType": "image/png"}
_AUDIO = {"type": "audio", "data": fixture.WAV, "mimeType": "audio/wav"}

_DEFAULTS = form(
    "Please provide user information",
    name={"type": "string", "default": "John Doe"},
    age={"type": "integer", "default": 30},
    score={"type": "number", "default": 95.5},
    status={"type": "string", "enum": ["active", "inactive", "pending"], "default": "active"},
    verified={"type": "boolean", "default": True},
)


def _titled(*names: str) -> list[Schema]:
    return [{"const": name, "title": name.title()} for name in names]


_ENUMS = form(
    "Please choose",
    untitledSingle={"type": "string", "enum": ["option1", "option2", "option3"]},
    titledSingle={"type": "string", "oneOf": _titled("value1", "value2", "value3")},
    legacyEnum={"type": "string", "enum": ["opt1", "opt2"], "enumNames": ["One", "Two"]},
    untitledMulti={
        "type": "array",
        "items": {"type": "string", "enum": ["option1", "option2", "option3"]},
    },
    titledMulti={"type": "array", "items": {"anyOf": _titled("value1", "value2", "value3")}},
)

_SCHEMA_2020_12: Schema = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "type": "object",
    "$defs": {
        "address": {
            "$anchor": "addressDef",
            "type": "object",
            "properties": {"street": STRING, "city": STRING},
        }
    },
    "properties": {
        "name": STRING,
        "address": {"$ref": "#/$defs/address"},
        "contactMethod": {"type": "string", "enum": ["phone", "email"]},
        "phone": STRING,
        "email": STRING,
    },
    "allOf": [{"anyOf": [{"required": ["phone"]}, {"required": ["email"]}]}],
    "if": {"properties": {"contactMethod": {"const": "phone"}}, "required": ["contactMethod"]},
    "then": {"required": ["phone"]},
    "else": {"required": ["email"]},
    "additionalProperties": False,
}


def _object(**properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties)}


def _resource(uri: str, mime: str, text: str) -> dict[str, object]:
    return {"type": "resource", "resource": {"uri": uri, "mimeType": mime, "text": text}}


_EMBEDDED = _resource("test://embedded-resource", "text/plain", "An embedded resource.")
_MIXED = _resource("test://mixed-content-resource", "application/json", '{"test": "data"}')

CONTENT = [
    Fixture("test_simple_text", says(Output("This is a simple text response for testing."))),
    Fixture("test_image_content", says(Output("", blocks=[_IMAGE]))),
    Fixture("test_audio_content", says(Output("", blocks=[_AUDIO]))),
    Fixture("test_embedded_resource", says(Output("", blocks=[_EMBEDDED]))),
    Fixture(
        "test_multiple_content_types",
        says(Output("Multiple content types test:", blocks=[_IMAGE, _MIXED])),
    ),
    Fixture("test_tool_with_progress", fixture.progress),
    Fixture("test_error_handling", fixture.fail),
    Fixture("test_tool_with_logging", logs),
    Fixture("test_logging_tool", logs),
    Fixture("json_schema_2020_12_tool", says(Output("ok")), _SCHEMA_2020_12),
    Fixture(
        "test_custom_header",
        says(Output("ok")),
        _object(region={"type": "string", "x-mcp-header": "Region"}),
    ),
]

INPUT = [
    Fixture("test_input_required_result_elicitation", asks("Hello", user_name=NAME)),
    Fixture(
        "test_input_required_result_sampling",
        asks("The model says", capital_question=sampling("What is the capital of France?")),
    ),
    Fixture("test_input_required_result_list_roots", asks("Roots", client_roots=ROOTS)),
    Fixture(
        "test_input_required_result_request_state", asks("state-ok", "a state", confirm=_CONFIRM)
    ),
    Fixture(
        "test_input_required_result_multiple_inputs",
        asks("All", "a state", user_name=NAME, greeting=sampling("Greet", 50), client_roots=ROOTS),
    ),
    Fixture("test_input_required_result_multi_round", fixture.two_rounds),
    Fixture(
        "test_input_required_result_tampered_state", asks("state-ok", "a state", confirm=_CONFIRM)
    ),
    Fixture("test_input_required_result_capabilities", fixture.whoever_can),
    Fixture("test_missing_capability", asks("no", model=sampling("Who are you?"))),
    Fixture("test_streaming_elicitation", asks("Hello", user_name=NAME)),
    Fixture("test_sampling", fixture.sample, _object(prompt=STRING)),
    Fixture("test_elicitation", fixture.elicit, _object(message=STRING)),
    Fixture("test_elicitation_sep1034_defaults", asks("Elicitation completed", user=_DEFAULTS)),
    Fixture("test_elicitation_sep1330_enums", asks("Elicitation completed", user=_ENUMS)),
]

_SLOW: Schema = {"type": "object", "properties": {"seconds": {"type": "number"}, "label": STRING}}

TASKS = [
    Fixture("greet", fixture.greet, _object(name=STRING)),
    Fixture("slow_compute", fixture.compute, _SLOW, annotations=task("optional")),
    Fixture(
        "confirm_delete",
        asks("deleted", confirm=form("Delete it?", confirm=YES_NO)),
        _object(filename=STRING),
        annotations=task("optional"),
    ),
    Fixture(
        "multi_input",
        asks("both", first=form("Your name?", name=STRING), second=form("Sure?", confirm=YES_NO)),
        annotations=task("optional"),
    ),
    Fixture("failing_job", fixture.fail_later, annotations=task("required")),
    # It asks for what the suite's client can't give: the call itself fails, not the tool.
    Fixture("protocol_error_job", asks("no", roots=ROOTS), annotations=task("optional")),
    Fixture(
        "test_tool_with_task",
        fixture.remember,
        annotations=task("required", {"user_name": NAME}),
    ),
]

TOOLS = [*CONTENT, *INPUT, *TASKS]
