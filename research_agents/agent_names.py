"""A middleware for LangChain's agents and DeepAgents: every request tells which agent sends it."""

from collections.abc import Awaitable, Callable
from typing import Any

from langchain.agents.middleware import AgentMiddleware, ModelRequest, ModelResponse
from langgraph.config import get_config


class AgentNames(AgentMiddleware[Any, Any, Any]):
    """Names one agent; give each agent and sub-agent its own.

    With a `thread_id` in the run's configuration the thread names the session, and every sub-agent
    that it starts is a session below it. Without one the gateway finds the sessions by itself.
    """

    def __init__(self, agent: str) -> None:
        super().__init__()
        self.agent = agent

    def wrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], ModelResponse[Any]],
    ) -> ModelResponse[Any]:
        """Ask the model with the names."""
        return handler(self._named(request))

    async def awrap_model_call(
        self,
        request: ModelRequest[Any],
        handler: Callable[[ModelRequest[Any]], Awaitable[ModelResponse[Any]]],
    ) -> ModelResponse[Any]:
        """Ask the model with the names."""
        return await handler(self._named(request))

    def _named(self, request: ModelRequest[Any]) -> ModelRequest[Any]:
        settings = request.model_settings
        headers = {**settings.get("extra_headers", {}), **self._headers()}
        return request.override(model_settings={**settings, "extra_headers": headers})

    def _headers(self) -> dict[str, str]:
        configurable = get_config().get("configurable", {})
        headers = {"x-roundhouse-agent-name": self.agent}
        if thread := configurable.get("thread_id"):
            headers["x-roundhouse-session"] = str(thread)
            # "model:…" in the main agent, "tools:…|model:…" in what one of its tools has started.
            *started_by, _ = configurable.get("checkpoint_ns", "").split("|")
            if started_by:
                headers["x-roundhouse-agent"] = started_by[-1]
        return headers
