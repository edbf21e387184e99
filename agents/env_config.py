"""The configuration of the batched environment."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..sim.config import DurationS, Model, PowerW
from ..sim.export.batch import STEP_US
from .policy import ActionKind


def to_us(seconds: float) -> int:
    """Return seconds as whole microseconds."""
    return round(seconds * 1e6)


class EnvConfig(Model):
    """Times, limits and objective of an environment; defaults are those of a scenario."""

    episode_s: DurationS = Field(3600.0, gt=0, le=31 * 86400)
    """A multiple of `control_period_s`."""
    control_period_s: DurationS = Field(1.0, ge=0.2, le=60)
    """Time between two decisions; a multiple of 0.2 s."""
    decision_delay_s: DurationS = Field(0.02, ge=0, le=60)
    """Declared time from sampling to sending; at most one period."""
    refresh_s: DurationS = Field(30.0, ge=1, le=3600)
    """An unchanged command is sent again after this."""
    action: ActionKind = "phase_targets"
    """What an action is, in W."""
    setpoint_w: PowerW = Field(0.0, ge=-100_000, le=100_000)
    """Grid power that controllers aim at (+ import)."""
    max_age_s: DurationS | None = Field(5.0, gt=0, le=3600)
    """With a reading older than this, safe values are commanded; null: readings never age."""
    command_deadband_w: PowerW = Field(10.0, ge=0, le=10_000)
    """A command in which no set-point differs by more than this from the last is not sent."""
    import_weight: float = Field(0.5, ge=0, le=100)
    """λ₁ of the objective."""
    unserved_weight: float = Field(2.0, ge=0, le=100)
    """λ₂ of the objective."""

    @model_validator(mode="after")
    def _on_the_grid(self) -> Self:
        period_us = to_us(self.control_period_s)
        if period_us % STEP_US:
            raise PydanticCustomError(
                "grid", "control_period_s must be a multiple of 0.2 s, the step of the plant", {}
            )
        if to_us(self.episode_s) % period_us:
            raise PydanticCustomError(
                "grid", "episode_s must be a multiple of control_period_s", {}
            )
        if self.decision_delay_s > self.control_period_s:
            raise PydanticCustomError(
                "order", "decision_delay_s must not exceed control_period_s", {}
            )
        return self
