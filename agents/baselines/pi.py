"""A PI controller on grid power, in velocity form.

Each change adds ``kp·(e − e′) + ki·e·Δt`` to what is commanded now, where ``e`` is set-point minus
grid power, ``e′`` its value at the last change and Δt the time since, at most one interval.
Starting from the command that really went out is back-calculation in its simplest form: neither a
limit of the loads nor a guard that stepped in leaves anything to unwind. With an interval longer
than the dead time, the effect of one change is known before the next.
"""

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
from . import simc
from .control import Controller, ControllerConfig


class PiConfig(ControllerConfig):
    """PI controller with dead-band, anti-windup and a least time between changes."""

    kind: Literal["pi"] = "pi"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        **ControllerConfig.tunables,
        "kp": Tunable(0.0, 1.0),
        "ki_per_s": Tunable(0.01, 0.5, log=True),
        "deadband_w": Tunable(10.0, 500.0, log=True),
        "min_interval_s": Tunable(1.0, 15.0),
    }
    kp: float = Field(0.2, ge=0, le=10)
    """Watts of command a watt of change of the error."""
    ki_per_s: float = Field(0.14, ge=0, le=10)
    """Watts of command a second a watt of error."""
    deadband_w: PowerW = Field(80.0, ge=0, le=10_000)
    """Errors up to this are left alone (on each phase a third of it)."""
    min_interval_s: DurationS = Field(6.0, ge=0, le=600)
    """Least time between two changes; less than the dead time makes it swing."""
    anti_windup: bool = True
    """Whether a change starts from the command that really went out. Without, it starts from what
    was asked for before, as a plain integrator does, whether the loads could follow and the
    command got through or not: a bad practice, here for scenarios that are to catch it."""


class Pi(Controller):
    """PI on net power, or on each phase."""

    def __init__(self, config: PiConfig, site: SiteInfo) -> None:
        """Take limits and set-point from the site."""
        super().__init__(config, site)
        self._kp, self._ki_per_s = config.kp, config.ki_per_s
        self._interval_s = max(config.min_interval_s, site.control_period_s)
        self._deadband_w = config.deadband_w
        self._anti_windup = config.anti_windup
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Forget errors and changes; nothing is drawn."""
        super().reset(seed)
        self._changed_us: int | None = None
        self._errors_w = [0.0, 0.0, 0.0]
        self._wound_w = [0.0, 0.0, 0.0]

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the phase targets [3]."""
        now_us = observation.t_us
        if not self._budget.allows(now_us):
            return self._targets_w
        head = observation.values[:HEAD].tolist()
        if self._each:
            setpoint = self._setpoint_w / 3.0
            errors = [setpoint - head[GRID_A + phase] for phase in range(3)]
            deadband = self._deadband_w / 3.0
            if max(abs(error) for error in errors) > deadband:
                changes = self._changes(now_us, errors)
                command = head[COMMAND_A : COMMAND_A + 3] if self._anti_windup else self._wound_w
                self._wound_w = [command[phase] + changes[phase] for phase in range(3)]
                self._ask(now_us, self._wound_w)
        elif abs(error := self._setpoint_w - head[GRID_TOTAL]) > self._deadband_w:
            total = head[COMMAND_TOTAL] if self._anti_windup else self._wound_w[0]
            total += self._changes(now_us, [error])[0]
            self._wound_w[0] = total
            total = min(max(total, self._total_low_w), self._total_high_w)
            self._ask_total(now_us, total, head[SURPLUS_A : SURPLUS_A + 3])
        return self._targets_w

    def _changes(self, now_us: int, errors_w: list[float]) -> list[float]:
        """Return the change of command for each error, and remember the errors."""
        first = self._changed_us is None
        elapsed_s = self._interval_s
        if self._changed_us is not None:
            elapsed_s = min((now_us - self._changed_us) * 1e-6, self._interval_s)
        before = errors_w if first else self._errors_w
        self._changed_us = now_us
        self._errors_w = errors_w
        return [
            self._kp * (error - old) + self._ki_per_s * error * elapsed_s
            for error, old in zip(errors_w, before, strict=False)
        ]


register(PiConfig, Pi, simc.pi_start)
