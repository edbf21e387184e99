"""Agents without policies: what stands around the policies of N sites, for all of them at once."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from . import env_kernel as kernel
from .allocator import Allocator
from .deploy.guard import Guard
from .env_config import EnvConfig, to_us
from .feature_kernel import IN_MINUTE
from .features import Features
from .local_time import LocalClocks
from .policy import SiteInfo
from .refusal import RefusalWatch

SENT: Final = 0
"""Status of a command that the coordinator took."""


class ControlBatch:
    """Features, allocator, guard and the loop's rules of sending, for ``n`` instances of a site.

    Once a control step, in this order: :meth:`observe`, :meth:`command`, and :meth:`sent` if
    something was due.
    """

    def __init__(self, site: SiteInfo, n: int, config: EnvConfig) -> None:
        """Allocate the memory."""
        self._config = config
        self.features = Features(site, n, config.command_deadband_w)
        self._allocator = Allocator(site, n)
        self._refusals = RefusalWatch(site, n)
        self._guard = Guard(site, config.max_age_s)
        limit_s = config.max_age_s
        self._max_age_us = math.inf if limit_s is None else float(to_us(limit_s))
        self._refresh_us = to_us(config.refresh_s)
        self._low_w, self._high_w = (np.array(limit) for limit in site.phase_range_w())
        direct = config.action == "actuator_power"
        self._weights = site.consumption().sum(axis=0) if direct else np.ones(3)
        self._seen = np.zeros((kernel.SEEN, n), dtype=np.int64)
        self._held = np.zeros((kernel.HELD, n), dtype=np.int64)
        self._state = np.zeros(n, dtype=np.int64)
        self._targets_w = np.zeros((3, n))
        self._asked_w = np.zeros(n)
        self._guarded_w = np.zeros((len(site.actuators), n))
        self._in_force_w = np.zeros((len(site.actuators), n))
        self._kind = np.zeros(n, dtype=np.int64)
        self._clocks: LocalClocks | None = None

    def begin(self, clocks: LocalClocks) -> None:
        """Forget everything; ``clocks`` tell the time of the run that begins."""
        self._clocks = clocks
        self.features.reset()
        self._allocator.reset()
        self._refusals.reset()
        self._seen[:] = 0
        self._seen[kernel.SEEN_PUBLISHED] = -1
        self._held[:] = 0
        self._targets_w[:] = 0.0
        self._asked_w[:] = 0.0

    @property
    def decides(self) -> NDArray[np.bool_]:
        """[N] whose policy is in control at this step: there is a reading, and not an old one."""
        decides: NDArray[np.bool_] = self._state == kernel.DECIDES
        return decides

    def observe(
        self,
        t_us: int,
        reading: tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.int64]],
        report_w: NDArray[np.float64] | None,
    ) -> None:
        """Take readings (values, sampled, published) and reports [load, N] in."""
        assert self._clocks is not None
        features = self.features
        values, sampled_us, published_us = reading
        features.reading[:] = values
        kernel.see(
            sampled_us,
            published_us,
            self._seen,
            features.input_us,
            self._state,
            t_us,
            self._max_age_us,
        )
        features.input_us[IN_MINUTE] = self._clocks.minute_of_week(t_us)
        if report_w is not None:
            features.reported_w[:] = self._refusals.take(
                t_us, report_w, features.sent_w, self._allocator.usable
            )
        features.update(t_us)

    def command(
        self, t_us: int, action_w: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
        """Make commands of actions [3 or A, N].

        Returns:
            Set-points [A, N] that may be sent, which of them are due, and each one's kind.
        """
        if self._config.action == "phase_deltas":
            kernel.add_deltas(action_w, self._low_w, self._high_w, self._state, self._targets_w)
            action_w = self._targets_w
        kernel.ask(self._weights, action_w, self._state, self._asked_w)
        self.features.asked(self._asked_w)
        if self._config.action != "actuator_power":
            action_w = self._allocator.allocate(t_us, action_w)
        kernel.guard(
            action_w,
            self._guard.limits,
            self._guard.safe_w,
            self._guard.positive_setpoint,
            self._config.command_deadband_w,
            self.features.sent_w,
            self._held,
            self._state,
            t_us - self._refresh_us,
            self._guarded_w,
            self._kind,
        )
        kind = np.where(self._state == kernel.STALE, kernel.SAFE, self._kind)
        return self._guarded_w, self._kind != kernel.HOLD, kind

    def sent(self, t_us: int, sent: NDArray[np.bool_]) -> None:
        """Take note of whose last command [N] was sent at ``t_us``."""
        kernel.hold(self._guarded_w, sent, self._held, t_us, self.features.sent_w, self._in_force_w)
        # Who sent nothing is told what is in force already, which changes nothing.
        self.features.sent(t_us, self._in_force_w)
        self._allocator.sent(t_us, self._in_force_w, sent)
