"""An agent: a policy with its observation, its allocator and its guard, for one site.

The loop calls, once a control step and in this order, :meth:`Agent.observe`, :meth:`Agent.decide`,
:meth:`Agent.guard` and, if something went out, :meth:`Agent.sent`. It times each.

Two nets hang below a policy. ``decide`` raises :class:`~.policy.PolicyError` when the policy
raises or answers with NaN or a wrong shape: that ends the run, and it is the policy's fault.
``guard`` takes whatever is about to be sent and brings it within the limits: the run goes on, with
a note.
"""

from __future__ import annotations

import dataclasses
import math

import numpy as np
from numpy.typing import NDArray

from ..sim.edge.meter import MeterReading
from .allocator import Allocator
from .deploy.guard import Guard, near
from .features import Features
from .local_time import LocalClock
from .policy import Observation, Policy, PolicyConfig, PolicyError, SiteInfo, build
from .refusal import RefusalWatch


class Agent:
    """A policy at work on one site."""

    def __init__(self, config: PolicyConfig, site: SiteInfo) -> None:
        """Build the policy; raise :class:`PolicyError` if that fails."""
        if config.setpoint_w is not None:
            site = dataclasses.replace(site, setpoint_w=config.setpoint_w)
        self.name = config.label
        self.site = site
        self.policy: Policy = build(config, site)
        self.max_age_s = config.max_age_s
        self._features = Features(site, 1, config.command_deadband_w)
        self._allocator = Allocator(site, 1)
        self._guard = Guard(site, config.max_age_s)
        self._refusals = RefusalWatch(site)
        self._clock = LocalClock(site.start)
        self._deadband_w = config.command_deadband_w
        actuators = len(site.actuators)
        self._width = actuators if self.policy.action == "actuator_power" else 3
        self._ones = [1.0] * self._width
        self._low_w, self._high_w = (np.array(limit) for limit in site.phase_range_w())
        self._consumption = site.consumption().sum(axis=0).tolist()
        self._reading = self._features.reading[:, 0]
        self._input_us = self._features.input_us[:, 0]
        self.interventions: tuple[str, ...] = ()
        """Codes of what the guard did at the last step, none if it let everything pass."""
        self._observation = Observation(
            0, -1, float("inf"), self._features.values[:, 0], self._features.sent_w[:, 0]
        )
        self.reset(0)

    @property
    def safe_w(self) -> NDArray[np.float64]:
        """[A] the set-points that are safe when nobody is in control; a copy."""
        return self._guard.safe_w.copy()

    def reset(self, seed: int) -> None:
        """Begin a run anew; ``seed`` is the run's."""
        self._features.reset()
        self._allocator.reset()
        self._refusals.reset()
        self._targets_w = np.zeros(3)
        self._observation.step = -1
        try:
            self.policy.reset(seed)
        except Exception as error:
            raise PolicyError(self.name, _describe(error)) from error

    def observe(
        self,
        t_us: int,
        reading: MeterReading | None,
        age_s: float,
        report_w: NDArray[np.float64] | None = None,
    ) -> Observation:
        """Take a reading in and return what the policy sees; once a control step.

        ``reading`` is the newest one, None if there is none yet; ``age_s`` is how long ago the loop
        first saw it, infinite if there is none. A reading that is not finite is no reading: the
        one before it stays, and ages. ``report_w`` holds the power that each actuator reports, NaN
        for those that do not; it may end after the loads.
        """
        times = self._input_us
        if reading is None:
            times[0] = -1
        else:
            self._reading[:] = reading.values
            times[0] = max(reading.sampled_us, 0)
            times[1] = round(age_s * 1e6)
        times[2] = self._clock.minute_of_week(t_us)
        observation = self._observation
        if report_w is not None:
            self._features.reported_w[:] = self._refusals.take(
                t_us, report_w.reshape(-1, 1), self._features.sent_w, self._allocator.usable
            )
        self._features.update(t_us)
        observation.t_us = t_us
        observation.step += 1
        observation.age_s = age_s
        return observation

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Ask the policy; return its decision as set-points [A] in W, before the guard.

        Raise :class:`PolicyError` if it raises, or answers with a wrong shape or NaN.
        """
        try:
            action = self.policy.decide(observation)
        except Exception as error:
            raise PolicyError(self.name, _describe(error), observation.step) from error
        if not isinstance(action, np.ndarray) or action.shape != (self._width,):
            shape = getattr(action, "shape", None)
            got = f"shape {shape}" if shape is not None else f"a {type(action).__name__}"
            raise PolicyError(
                self.name,
                f"expected an action of shape ({self._width},) ({self.policy.action}), got {got}",
                observation.step,
            )
        if action.dtype != np.float64:
            action = _as_float(action, self.name, observation.step)
        watts = action.tolist()
        total_w = _weighted(self._ones, watts)
        # A sum is finite only if all of its parts are.
        if not math.isfinite(total_w):
            raise PolicyError(self.name, f"the action is not finite: {watts}", observation.step)
        if self.policy.action == "actuator_power":
            self._features.asked(_weighted(self._consumption, watts))
            return action.copy()
        if self.policy.action == "phase_deltas":
            action = np.minimum(np.maximum(self._targets_w + action, self._low_w), self._high_w)
            total_w = _weighted(self._ones, action.tolist())
            self._targets_w = action
        self._features.asked(total_w)
        return self._allocator.allocate(observation.t_us, action.reshape(3, 1))[:, 0].copy()

    def guard(self, decided_w: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return what may be sent [A]; ``interventions`` then holds the guard's codes.

        If that is within the dead-band of what was sent last, it is what was sent last, so that
        nothing needs to be sent.
        """
        guarded_w, self.interventions = self._guard.apply(decided_w, self._observation.age_s)
        if near(guarded_w, self._observation.command_w, self._deadband_w):
            return self._observation.command_w.copy()
        return guarded_w

    def sent(self, t_us: int, power_w: NDArray[np.float64]) -> None:
        """Take note that set-points [A] went out; refreshes may be told too."""
        column = power_w.reshape(-1, 1)
        self._features.sent(t_us, column)
        self._allocator.sent(t_us, column)


def _weighted(weights: list[float], watts: list[float]) -> float:
    # One after the other: "sum" and "@" order and compensate as version and size suggest, and the
    # batched environment must come to the same bits.
    total = 0.0
    for weight, watt in zip(weights, watts, strict=True):
        total += weight * watt
    return total


def _as_float(action: NDArray[np.generic], policy: str, step: int) -> NDArray[np.float64]:
    if action.dtype.kind not in "fiu":
        raise PolicyError(policy, f"expected an action of numbers, got {action.dtype}", step)
    return action.astype(np.float64)


def _describe(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
