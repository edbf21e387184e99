"""Two thresholds and a step: what a simple relay does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...sim.config import DurationS, PowerW
from ..feature_names import COMMAND_A, COMMAND_TOTAL, GRID_A, GRID_TOTAL, HEAD, SURPLUS_A
from ..policy import Observation, SiteInfo, register
from ..tuning import Tunable
from .control import Controller, ControllerConfig


class ThresholdConfig(ControllerConfig):
    """Takes a step up when export passes one threshold, a step down when import passes another.

    The thresholds must be more than a step apart, or it never rests.
    """

    kind: Literal["threshold"] = "threshold"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        **ControllerConfig.tunables,
        "step_w": Tunable(300.0, 4000.0, log=True),
        "up_above_w": Tunable(100.0, 4000.0, log=True),
        "down_above_w": Tunable(100.0, 4000.0, log=True),
        "min_interval_s": Tunable(1.0, 20.0),
    }
    step_w: PowerW = Field(1500.0, gt=0, le=100_000)
    """What is added or taken away at a time."""
    up_above_w: PowerW = Field(1000.0, ge=0, le=100_000)
    """More export than this, beyond the set-point: a step up."""
    down_above_w: PowerW = Field(700.0, ge=0, le=100_000)
    """More import than this, beyond the set-point: a step down."""
    min_interval_s: DurationS = Field(6.5, ge=0, le=600)
    """Least time between two steps: the effect of the last one must have shown."""


class Threshold(Controller):
    """Hysteresis on export with steps of fixed size."""

    def __init__(self, config: ThresholdConfig, site: SiteInfo) -> None:
        """Take limits and set-point from the site."""
        super().__init__(config, site)
        self._config = config

    def _step(self, surplus_w: float) -> float:
        if surplus_w > self._config.up_above_w:
            return self._config.step_w
        return -self._config.step_w if -surplus_w > self._config.down_above_w else 0.0

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the phase targets [3]."""
        now_us = observation.t_us
        if not self._budget.allows(now_us):
            return self._targets_w
        head = observation.values[:HEAD].tolist()
        if self._each:
            setpoint = self._setpoint_w / 3.0
            steps = [self._step(setpoint - head[GRID_A + phase]) for phase in range(3)]
            if any(steps):
                command = head[COMMAND_A : COMMAND_A + 3]
                self._ask(now_us, [command[phase] + steps[phase] for phase in range(3)])
        elif step := self._step(self._setpoint_w - head[GRID_TOTAL]):
            total = min(max(head[COMMAND_TOTAL] + step, self._total_low_w), self._total_high_w)
            self._ask_total(now_us, total, head[SURPLUS_A : SURPLUS_A + 3])
        return self._targets_w


register(ThresholdConfig, Threshold)
