"""What the suite wants that is not a tool: prompts, resources, completion, log levels."""

from typing import Any

from mcp.server.context import ServerRequestContext
from mcp.server.lowlevel import Server
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    BlobResourceContents,
    CompleteRequestParams,
    CompleteResult,
    Completion,
    EmbeddedResource,
    EmptyResult,
    GetPromptRequestParams,
    GetPromptResult,
    ImageContent,
    InputRequiredResult,
    ListPromptsResult,
    ListResourcesResult,
    ListResourceTemplatesResult,
    PaginatedRequestParams,
    Prompt,
    PromptArgument,
    PromptMessage,
    ReadResourceRequestParams,
    ReadResourceResult,
    Resource,
    ResourceTemplate,
    SetLevelRequestParams,
    SubscribeRequestParams,
    TextContent,
    TextResourceContents,
    UnsubscribeRequestParams,
)

from tests.conformance.fixture_logging import remembering
from tests.conformance.fixture_tools import PNG, STRING, form
from tools_service.answers import asked
from tools_service.tools.asks import InputNeeded

Ctx = ServerRequestContext[dict[str, Any], Any]
Page = PaginatedRequestParams | None

_ARGUMENTS = {
    "test_simple_prompt": [],
    "test_prompt_with_arguments": ["arg1", "arg2"],
    "test_prompt_with_embedded_resource": ["resourceUri"],
    "test_prompt_with_image": [],
    "test_input_required_result_prompt": [],
}
_CONTEXT = InputNeeded(
    {"user_context": form("What context should the prompt use?", context=STRING)}
)


def extend(server: Server[dict[str, Any]]) -> None:
    """The seam: `Parts.extend`."""
    server.middleware.append(remembering)
    add = server.add_request_handler
    add("prompts/list", PaginatedRequestParams, list_prompts)
    add("prompts/get", GetPromptRequestParams, get_prompt)
    add("resources/list", PaginatedRequestParams, list_resources)
    add("resources/templates/list", PaginatedRequestParams, list_templates)
    add("resources/read", ReadResourceRequestParams, read_resource)
    add("resources/subscribe", SubscribeRequestParams, acknowledge)
    add("resources/unsubscribe", UnsubscribeRequestParams, acknowledge)
    add("completion/complete", CompleteRequestParams, complete)
    add("logging/setLevel", SetLevelRequestParams, acknowledge)


async def acknowledge(ctx: Ctx, params: object) -> EmptyResult:
    return EmptyResult()


async def complete(ctx: Ctx, params: CompleteRequestParams) -> CompleteResult:
    return CompleteResult(completion=Completion(values=["test"], total=1, has_more=False))


async def list_prompts(ctx: Ctx, params: Page) -> ListPromptsResult:
    return ListPromptsResult(
        prompts=[
            Prompt(
                name=name,
                description=f"The suite's {name}.",
                arguments=[PromptArgument(name=each, required=True) for each in arguments],
            )
            for name, arguments in _ARGUMENTS.items()
        ]
    )


async def get_prompt(
    ctx: Ctx, params: GetPromptRequestParams
) -> GetPromptResult | InputRequiredResult:
    given = params.arguments or {}
    match params.name:
        case "test_input_required_result_prompt" if not params.input_responses:
            return asked(_CONTEXT)
        case "test_prompt_with_embedded_resource":
            resource = TextResourceContents(
                uri=given["resourceUri"], mime_type="text/plain", text="Embedded."
            )
            return _says(EmbeddedResource(type="resource", resource=resource))
        case "test_prompt_with_image":
            return _says(ImageContent(type="image", data=PNG, mime_type="image/png"))
        case name if name in _ARGUMENTS:
            return _says(TextContent(type="text", text=f"A prompt for testing: {dict(given)}"))
    raise MCPError(INVALID_PARAMS, "no such prompt")


def _says(content: EmbeddedResource | ImageContent | TextContent) -> GetPromptResult:
    return GetPromptResult(messages=[PromptMessage(role="user", content=content)])


async def list_resources(ctx: Ctx, params: Page) -> ListResourcesResult:
    kinds = {"static-text": "text/plain", "static-binary": "image/png", "watched-resource": None}
    return ListResourcesResult(
        resources=[
            Resource(uri=f"test://{name}", name=name, description=f"{name}.", mime_type=kind)
            for name, kind in kinds.items()
        ]
    )


async def list_templates(ctx: Ctx, params: Page) -> ListResourceTemplatesResult:
    template = ResourceTemplate(
        uri_template="test://template/{id}/data", name="template", mime_type="application/json"
    )
    return ListResourceTemplatesResult(resource_templates=[template])


async def read_resource(ctx: Ctx, params: ReadResourceRequestParams) -> ReadResourceResult:
    uri = str(params.uri)
    contents: TextResourceContents | BlobResourceContents
    match uri.removeprefix("test://").split("/"):
        case ["static-binary"]:
            contents = BlobResourceContents(uri=uri, mime_type="image/png", blob=PNG)
        case ["static-text" | "watched-resource"]:
            contents = TextResourceContents(uri=uri, mime_type="text/plain", text="Static text.")
        case ["template", id, "data"]:
            contents = TextResourceContents(
                uri=uri, mime_type="application/json", text=f'{{"id": "{id}"}}'
            )
        case _:
            raise MCPError(INVALID_PARAMS, "no such resource", {"uri": uri})
    return ReadResourceResult(contents=[contents])
