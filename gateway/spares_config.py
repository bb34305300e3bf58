"""What an operator says about engines that may sleep."""

from datetime import time
from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

Day = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
DAYS: tuple[Day, ...] = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
HOUR_MIN = 60
DAY_MIN = 24 * HOUR_MIN


def _minutes(said: object) -> object:
    """YAML reads 18:00 without quotes as the number 1080, in sixties."""
    if isinstance(said, int | float):
        if not 0 <= said < DAY_MIN:
            raise ValueError("say an hour and minutes, such as 18:00; midnight is 00:00")
        return time(int(said) // HOUR_MIN, int(said) % HOUR_MIN)
    return said


def _plain(said: time) -> time:
    if said.tzinfo is not None:
        raise ValueError("say the hour alone, and its timezone in `timezone`")
    return said


TimeOfDay = Annotated[time, BeforeValidator(_minutes), AfterValidator(_plain)]


class WindowConfig(BaseModel):
    """Hours in which more engines are kept awake, because work is expected."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    days: tuple[Day, ...] = Field(default=DAYS, min_length=1)
    """Days on which it begins."""
    start: TimeOfDay
    end: TimeOfDay
    """Not after `start`: it ends on the next day."""
    awake: int | None = Field(default=None, ge=1)
    """Engines of each model to be awake; none said: all."""


class SparesConfig(BaseModel):
    """When engines marked `spare` sleep and wake."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    awake: int = Field(default=1, ge=1)
    """Engines of each model that are kept awake at least."""
    wake_ratio: float = Field(default=0.8, gt=0, le=1)
    """A spare is woken when the awake engines' KV caches are this full on the mean …"""
    wake_waiting: int = Field(default=1, ge=1)
    """… or so many turns wait for them …"""
    wake_after_s: float = Field(default=3.0, ge=0)
    """… for so long."""
    sleep_ratio: float = Field(default=0.5, gt=0, le=1)
    """A spare is put to sleep when nothing waits and the others would be no fuller than this …"""
    sleep_after_s: float = Field(default=300.0, ge=0)
    """… for so long …"""
    awake_s: float = Field(default=600.0, ge=0)
    """… and it has been awake for so long."""
    drain_s: float = Field(default=60.0, gt=0)
    """How long its running turns may take to end; if they don't, it stays awake."""
    look_s: float = Field(default=1.0, gt=0)
    """How often that is looked at."""
    timezone: str = Field(default="UTC", validate_default=True)
    """Of the windows' hours, such as Europe/Berlin."""
    windows: tuple[WindowConfig, ...] = ()

    @field_validator("timezone")
    @classmethod
    def know_timezone(cls, name: str) -> str:
        """A timezone nobody knows is refused at the start, when files may still be read."""
        try:
            ZoneInfo(name)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ValueError(
                f"there is no timezone '{name}'; say one of the IANA's, such as Europe/Berlin"
            ) from None
        return name

    @model_validator(mode="after")
    def leave_a_gap(self) -> Self:
        """Without one a spare would be woken as soon as it sleeps."""
        if self.sleep_ratio >= self.wake_ratio:
            raise ValueError(
                f"sleep_ratio {self.sleep_ratio:g} must be less than wake_ratio "
                f"{self.wake_ratio:g}: what sends one to sleep would wake it again"
            )
        return self
