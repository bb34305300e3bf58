"""The settings of the `python` tool: which sandbox, and its bounds."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from tools_service.settings import Settings

_MIB = 1024 * 1024


class PythonConfig(Settings):
    """Bounds of one run of a model's code."""

    engine: Literal["monty", "bubblewrap"] = Field(
        default="monty", description="monty: a subset of Python; bubblewrap: CPython in a jail"
    )
    interpreter: Path | None = Field(
        default=None, description="the CPython to jail; none: the one this service runs on"
    )
    timeout_s: Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)] = 10.0
    memory_bytes: Annotated[int, Field(ge=16 * _MIB)] = Field(
        default=256 * _MIB, description="of the interpreter; in a jail of each process in it"
    )
    output_chars: Annotated[int, Field(ge=100)] = Field(
        default=20_000, description="printed characters kept; more ends the run"
    )
    workers: Annotated[int, Field(ge=1, le=256)] = Field(
        default=4, description="runs at once; one more waits"
    )
    processes: Annotated[int, Field(ge=1)] = Field(
        default=16, description="processes and threads in a jail"
    )
    disk_bytes: Annotated[int, Field(ge=_MIB)] = Field(
        default=16 * _MIB, description="room under a jail's /tmp, gone after the run"
    )

    @model_validator(mode="after")
    def _coherent(self) -> Self:
        for name in ("interpreter", "processes", "disk_bytes"):
            default = PythonConfig.model_fields[name].default
            if self.engine == "monty" and getattr(self, name) != default:
                raise ValueError(f"{name} goes with engine bubblewrap")
        return self
