"""Which model a request means: by name, by alias, by what it asks for."""

from collections.abc import Iterable, Mapping, Sequence
from typing import get_args

import msgspec

from engine.types import Pool
from gateway.config import ChoiceConfig, RoutingConfig
from gateway.errors import BadRequest, NotFound
from gateway.wire import ApiRequest

POOL_HEADER = "x-roundhouse-pool"
POOLS: tuple[Pool, ...] = get_args(Pool)


class Target(msgspec.Struct, frozen=True):
    """A model, and what its engine must be tuned for."""

    model: str
    pool: Pool | None = None


class Routes:
    """The names clients may use."""

    def __init__(self, models: Iterable[str], config: RoutingConfig) -> None:
        """Raises ValueError for an alias that leads nowhere or hides a model."""
        self._models = tuple(dict.fromkeys(models))
        self._aliases = {name: _choices(said) for name, said in config.aliases.items()}
        for alias, choices in self._aliases.items():
            if alias in self._models:
                raise ValueError(f"routing.aliases: '{alias}' is a model's own name")
            for choice in choices:
                if choice.model not in self._models:
                    there = ", ".join(self._models)
                    raise ValueError(
                        f"routing.aliases: '{alias}' means '{choice.model}'; there is: {there}"
                    )

    @property
    def names(self) -> Mapping[str, tuple[str, ...]]:
        """Every name, and the models it may mean."""
        aliases = {a: tuple(c.model for c in choices) for a, choices in self._aliases.items()}
        return {name: (name,) for name in self._models} | aliases

    def resolve(self, request: ApiRequest, pool: str | None) -> Target:
        """What a request means; without a name the only model. Raises NotFound and BadRequest."""
        model, wanted = request.model, _pool(pool)
        if model is None and len(self._models) == 1:
            return Target(self._models[0], wanted)
        if model in self._models:
            return Target(model, wanted)
        choices = self._aliases.get(model or "", ())
        choice = next((choice for choice in choices if _fits(choice, request)), None)
        if choice is None:
            raise self._unknown(model)
        return Target(choice.model, wanted or choice.pool)

    def _unknown(self, model: str | None) -> NotFound:
        names = ", ".join(sorted(self.names))
        said = f"the model '{model}' does not exist"
        if model is None:
            said = "name a model"
        elif model in self._aliases:
            said = f"no choice of '{model}' fits this request"
        return NotFound(f"{said}; there is: {names}", param="model", code="model_not_found")


def _choices(said: str | Sequence[ChoiceConfig]) -> tuple[ChoiceConfig, ...]:
    return (ChoiceConfig(model=said),) if isinstance(said, str) else tuple(said)


def _pool(said: str | None) -> Pool | None:
    for pool in POOLS:
        if said == pool:
            return pool
    if said is not None:
        raise BadRequest(f"'{POOL_HEADER}' must be one of: {', '.join(POOLS)}", param=POOL_HEADER)
    return None


def _fits(choice: ChoiceConfig, request: ApiRequest) -> bool:
    body = request.body
    has_tools = bool(body.get("tools")) or request.server_tools is not None
    if choice.tools is not None and choice.tools != has_tools:
        return False
    if choice.turns is not None and _turns(body) < choice.turns:
        return False
    return choice.prompt_chars is None or _prompt_chars(body) >= choice.prompt_chars


def _turns(body: Mapping[str, object]) -> int:
    messages = body.get("messages")
    if not isinstance(messages, list):
        return 0
    return sum(isinstance(m, dict) and m.get("role") == "assistant" for m in messages)


def _prompt_chars(body: Mapping[str, object]) -> int:
    messages = body.get("messages", body.get("prompt"))
    return _chars(messages)


def _chars(part: object) -> int:
    """Characters of a prompt, a message's content or a list of either."""
    if isinstance(part, str):
        return len(part)
    if isinstance(part, list):
        return sum(map(_chars, part))
    if isinstance(part, dict):
        return _chars(part.get("content", part.get("text")))
    return 0
