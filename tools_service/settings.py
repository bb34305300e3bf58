"""What all models of settings are made of."""

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field


class Settings(BaseModel):
    """Read once and never changed; a name that is no setting stops the start."""

    model_config = ConfigDict(frozen=True, extra="forbid")


PositiveSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
WEB_URL = r"^https?://[^\s@]+$"
"""Without a user or a password: those are no settings."""
