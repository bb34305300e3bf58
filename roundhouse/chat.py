"""A chat with the gateway over its OpenAI-compatible stream."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp
from pydantic import BaseModel, ConfigDict, JsonValue, ValidationError

from roundhouse.errors import NoAnswer, NothingListens

REMEDIES = {
    401: "give the key with --api-key or ROUNDHOUSE_API_KEYS",
    404: "roundhouse ask without --model takes the model that is served",
    429: "it is full: try again a little later",
}
LINE_LIMIT = 4 << 20  # bytes: a chunk may carry the whole result of a tool


@dataclass(frozen=True, slots=True)
class Address:
    """Where the gateway is, and with which key it is asked."""

    url: str
    api_key: str | None = None

    def session(self) -> aiohttp.ClientSession:
        head = {"Authorization": f"Bearer {self.api_key}"} if self.api_key else {}
        limits = aiohttp.ClientTimeout(total=None, sock_connect=10)
        return aiohttp.ClientSession(
            self.url, headers=head, timeout=limits, read_bufsize=LINE_LIMIT
        )


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked, and with which tools; `allowed` None means all of them."""

    text: str
    model: str
    tools: bool = True
    allowed: tuple[str, ...] | None = None
    temperature: float | None = None

    def body(self) -> dict[str, JsonValue]:
        body: dict[str, JsonValue] = {
            "model": self.model,
            "messages": [{"role": "user", "content": self.text}],
            "stream": True,
        }
        if self.temperature is not None:
            body["temperature"] = self.temperature
        if self.tools:
            tool: dict[str, JsonValue] = {"type": "mcp", "server_label": "roundhouse"}
            if self.allowed is not None:
                tool["allowed_tools"] = list(self.allowed)
            body["tools"] = [tool | {"require_approval": "never"}]
        return body


class Loose(BaseModel):
    """A part of a chunk: what we read of it, and nothing else."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class ToolEvent(Loose):
    """Something that happened to a tool call inside the gateway."""

    event: str
    id: str = ""
    name: str = ""
    arguments: JsonValue = None
    expected_s: tuple[float, float] | None = None
    took_s: float | None = None
    failed: bool = False
    outcome: str = "failed"


class Delta(Loose):
    content: str | None = None
    reasoning: str | None = None


class Choice(Loose):
    delta: Delta = Delta()
    finish_reason: str | None = None


class Fault(Loose):
    message: str = "no reason given"


class Refusal(Loose):
    """The body of an answer that is an error."""

    error: Fault


class Model(Loose):
    id: str


class Listing(Loose):
    """The answer of /v1/models."""

    data: tuple[Model, ...]


class Chunk(Loose):
    """One event of the stream."""

    choices: tuple[Choice, ...] = ()
    roundhouse: ToolEvent | None = None
    error: Fault | None = None


async def first_model(http: aiohttp.ClientSession) -> str:
    """The first model the gateway serves. Raises NoAnswer."""
    async with asked(http, "GET", "/v1/models") as response:
        listed = Listing.model_validate_json(await response.read())
    if not listed.data:
        raise NoAnswer("the gateway serves no model", "look at its log")
    return listed.data[0].id


async def chat(http: aiohttp.ClientSession, question: Question) -> AsyncGenerator[Chunk, None]:
    """The answer's chunks as they come. Raises NoAnswer."""
    async with asked(http, "POST", "/v1/chat/completions", question.body()) as response:
        async for line in response.content:
            if not line.startswith(b"data:"):
                continue
            data = line[5:].strip()
            if data == b"[DONE]":
                return
            chunk = Chunk.model_validate_json(data)
            if chunk.error:
                raise NoAnswer(f"the answer broke off: {chunk.error.message}")
            yield chunk
    raise NoAnswer("the answer broke off", "look at the gateway's log")


@asynccontextmanager
async def asked(
    http: aiohttp.ClientSession, method: str, path: str, body: dict[str, JsonValue] | None = None
) -> AsyncIterator[aiohttp.ClientResponse]:
    """The response of a gateway that agreed to answer; aiohttp's errors in our words."""
    try:
        async with http.request(method, path, json=body) as response:
            if not response.ok:
                raise refusal(response.status, await response.read())
            yield response
    except aiohttp.ClientConnectionError as error:
        if isinstance(error, aiohttp.ClientConnectorError):
            raise NothingListens(
                f"nothing listens at {error.host}:{error.port}", "start it with: roundhouse up"
            ) from error
        raise NoAnswer(f"the connection broke: {error}", "look at the gateway's log") from error
    except (aiohttp.ClientError, ValidationError) as error:
        raise NoAnswer(f"not an answer of Roundhouse: {error}", "check the address") from error


def refusal(status: int, body: bytes) -> NoAnswer:
    """What the gateway said instead of an answer."""
    try:
        fault = Refusal.model_validate_json(body).error
    except ValidationError:
        fault = Fault(message=body[:200].decode(errors="replace"))
    return NoAnswer(f"refused with {status}: {fault.message}", REMEDIES.get(status, ""))
