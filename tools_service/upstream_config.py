"""The settings of one upstream: another MCP server whose tools are served here."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tools_service.settings import WEB_URL, PositiveSeconds, Settings

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,31}")
"""What upstreams may be called."""

VariableName = Annotated[str, Field(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z0-9-]+$")]


class UpstreamConfig(Settings):
    """How to reach it, what may be served of it and how far it is trusted.

    Credentials are named here and read from the environment, so that no file holds one.
    """

    transport: Literal["stdio", "http", "sse"] = Field(
        description="stdio: a command; http: streamable HTTP; sse: the older HTTP with SSE"
    )
    command: str | None = Field(default=None, min_length=1, description="program of a stdio server")
    args: tuple[str, ...] = ()
    env: tuple[VariableName, ...] = Field(
        default=(), description="variables that a stdio server gets beside PATH, HOME, LANG, …"
    )
    cwd: Path | None = Field(default=None, description="folder in which a stdio server runs")
    url: str | None = Field(default=None, pattern=WEB_URL)
    token_env: VariableName | None = Field(
        default=None, description="variable with the bearer token of an HTTP server"
    )
    header_env: dict[HeaderName, VariableName] = Field(
        default_factory=dict, description="other headers of an HTTP server, by their variables"
    )
    era: Literal["auto", "legacy", "modern"] = "auto"
    prefix: str | None = Field(
        default=None,
        pattern=r"^[A-Za-z0-9_-]{0,40}$",
        description="put before each tool's name; none: the upstream's name and an underscore",
    )
    tools: Literal["all"] | Annotated[tuple[str, ...], Field(min_length=1)] = Field(
        description="its tools to serve; no default: a server may come to offer anything"
    )
    trusted: bool = Field(
        default=False, description="believe its hints: read-only, idempotent, closed world"
    )
    connect_s: PositiveSeconds = Field(
        default=10.0, description="longest start, and longest tools/list"
    )
    refresh_s: PositiveSeconds = Field(
        default=60.0, description="its tools are listed anew this often"
    )

    @model_validator(mode="after")
    def _matches_transport(self) -> Self:
        wanted, strange = (
            ("command", ("url", "token_env", "header_env"))
            if self.transport == "stdio"
            else ("url", ("command", "args", "env", "cwd"))
        )
        if not getattr(self, wanted):
            raise ValueError(f"transport {self.transport} needs {wanted}")
        for name in strange:
            if getattr(self, name):
                raise ValueError(f"transport {self.transport} has no {name}")
        if self.transport == "sse" and self.era == "modern":
            raise ValueError("transport sse belongs to the legacy era")
        return self

    @property
    def variables(self) -> Iterator[str]:
        """The variables it is given: all of them hold credentials, for all we know."""
        yield from self.env
        yield from self.header_env.values()
        if self.token_env is not None:
            yield self.token_env
