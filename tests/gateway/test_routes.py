"""Which model a request means."""

from typing import Any

import msgspec
import pytest

from gateway.config import RoutingConfig
from gateway.errors import BadRequest, NotFound
from gateway.routes import Routes, Target
from gateway.wire import ApiRequest, parse

ALIASES: dict[str, Any] = {
    "gpt-4o": "strong",
    "fast": [{"model": "cheap", "pool": "latency"}],
    "auto": [
        {"model": "strong", "prompt_chars": 100},
        {"model": "strong", "turns": 2, "tools": True},
        {"model": "cheap"},
    ],
    "picky": [{"model": "strong", "tools": False, "prompt_chars": 10}],
}
USER = {"role": "user", "content": "hi"}
BOT = {"role": "assistant", "content": "ho"}
TOOL = {"type": "function", "function": {"name": "f"}}
SERVER_TOOLS = {"type": "mcp", "server_label": "roundhouse"}


def request(**fields: object) -> ApiRequest:
    body = {"messages": [USER], **fields}
    return parse(msgspec.json.encode(body), "chat", "roundhouse")


@pytest.fixture
def routes() -> Routes:
    config = RoutingConfig.model_validate({"aliases": ALIASES})
    return Routes(["cheap", "strong", "cheap"], config)


@pytest.mark.parametrize(
    ("fields", "target"),
    [
        ({"model": "cheap"}, Target("cheap")),
        ({"model": "gpt-4o"}, Target("strong")),
        ({"model": "fast"}, Target("cheap", "latency")),
        ({"model": "auto"}, Target("cheap")),
        ({"model": "auto", "messages": [{"role": "user", "content": "x" * 100}]}, Target("strong")),
        (
            {
                "model": "auto",
                "messages": [{"role": "user", "content": [{"type": "text", "text": "x" * 60}] * 2}],
            },
            Target("strong"),
        ),
        ({"model": "auto", "messages": [USER, BOT, USER, BOT, USER]}, Target("cheap")),
        (
            {"model": "auto", "messages": [USER, BOT, USER, BOT, USER], "tools": [TOOL]},
            Target("strong"),
        ),
        (
            {"model": "auto", "messages": [USER, BOT, USER, BOT, USER], "tools": [SERVER_TOOLS]},
            Target("strong"),
        ),
    ],
)
def test_a_request_means_the_first_choice_that_fits(
    routes: Routes, fields: dict[str, object], target: Target
) -> None:
    assert routes.resolve(request(**fields), None) == target


def test_the_header_says_which_pool(routes: Routes) -> None:
    assert routes.resolve(request(model="cheap"), "throughput") == Target("cheap", "throughput")
    assert routes.resolve(request(model="fast"), "throughput").pool == "throughput"
    with pytest.raises(BadRequest, match="latency, throughput"):
        routes.resolve(request(model="cheap"), "speed")


@pytest.mark.parametrize("model", ["gpt-5", "picky", None])
def test_who_means_nothing_is_told_what_there_is(routes: Routes, model: str | None) -> None:
    with pytest.raises(NotFound, match="auto, cheap, fast, gpt-4o, picky, strong"):
        routes.resolve(request(model=model), None)


def test_an_only_model_needs_no_name() -> None:
    assert Routes(["one"], RoutingConfig()).resolve(request(), None) == Target("one")


@pytest.mark.parametrize("aliases", [{"a": "nowhere"}, {"cheap": "cheap"}])
def test_an_alias_that_cannot_be_stops_the_start(aliases: dict[str, str]) -> None:
    with pytest.raises(ValueError, match=r"routing\.aliases"):
        Routes(["cheap"], RoutingConfig.model_validate({"aliases": aliases}))
