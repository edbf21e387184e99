"""The features: one causal streaming kernel, with memory, for one instance or thousands.

The loop (one instance), the batched environment and the pipeline that reads logs all call
:meth:`Features.update` once a control step, so a policy meets the same numbers everywhere. Arrays
have the batch axis last. Everything is computed again from ring buffers at each step, newest value
first: no running sum can drift, and an instance that was reset in the middle of a batch gives the
same bits as a fresh one.

Rolling statistics and lags count control steps: with a control period of 1 s a lag of 5 s is the
value of five steps ago, which may be an older sample if the meter is slower. Before the first
reading all features of the meter are 0; the first one fills the windows.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim.edge.meter import METER_FIELDS
from . import feature_kernel as kernel
from . import feature_names as names
from .policy import SiteInfo


def _day_table() -> NDArray[np.float64]:
    # Sine and cosine come from a table by the minute: computed once, by scalar code, so that a
    # vectorised version with another last bit never gets into a batch.
    angles = [2.0 * math.pi * minute / 1440.0 for minute in range(1440)]
    return np.array([[math.sin(x) for x in angles], [math.cos(x) for x in angles]])


_DAY = _day_table()


class Features:
    """The features of ``n`` instances of a site, with their memory.

    Write ``reading`` and ``input_us`` (and ``reported_w`` where loads report), call
    :meth:`update`, read ``values``. After a command went out, call :meth:`sent`.
    """

    def __init__(self, site: SiteInfo, n: int = 1, deadband_w: float = 10.0) -> None:
        """Allocate the memory; ``deadband_w`` is what two commands must differ by to count."""
        self._plan, rows = _plan(site.control_period_s)
        ramp_s = max(site.ramp_s, 1e-3)
        self._figures = np.array(
            [
                site.control_period_s,
                site.command_delay_s + site.meter_delay_s,
                ramp_s,
                max(site.meter_window_s, 1e-3),
                site.setpoint_w,
                *(power_w / ramp_s for power_w in site.load_rating_w()),
            ]
        )
        self._consumption = site.consumption()
        self._deadband_w = deadband_w
        self._inputs = np.zeros((kernel.INPUTS, n))
        self._memory = np.zeros((kernel.MEMORY, n))
        self._marks = np.zeros((kernel.MARKS, n), dtype=np.int64)
        self._rings = np.zeros((rows, n))
        self.reading = self._inputs[:METER_FIELDS]
        """[19, N] the newest reading, fields as in `sim.edge.meter`; not finite: there is none."""
        self.reported_w = self._inputs[kernel.REPORTED_A :]
        """[3, N] reported power of the actuators of each phase; NaN where not all report."""
        self.input_us = np.zeros((3, n), dtype=np.int64)
        """[3, N] when the reading was sampled (−1: none yet), its age, the minute of the week."""
        self.sent_w = np.zeros((len(site.actuators), n))
        """[A, N] the set-points sent last."""
        self.values = np.zeros((names.FEATURES, n))
        """[F, N] the features after the last update."""
        self.reset()

    def reset(self, instances: Any = slice(None), now_us: int = 0) -> None:
        """Forget everything about some instances (an index, a mask, a slice; default: all)."""
        self._inputs[:, instances] = 0.0
        self.reported_w[:, instances] = np.nan
        self.input_us[:, instances] = 0
        self.input_us[kernel.IN_SAMPLED, instances] = -1
        self._memory[:, instances] = 0.0
        self._marks[:, instances] = 0
        self._marks[kernel.CHANGED_AT, instances] = now_us - kernel.MAX_AGE_US
        self._rings[:, instances] = 0.0
        self.sent_w[:, instances] = 0.0
        self.values[:, instances] = 0.0

    def update(self, now_us: int) -> None:
        """Advance by one control step; ``now_us`` is the time in µs, the same for all instances."""
        update = kernel.update_many if self.values.shape[1] > kernel.BLOCK else kernel.update
        update(
            self._inputs,
            self.input_us,
            self._memory,
            self._marks,
            self._rings,
            self._plan,
            self._figures,
            _DAY,
            self.values,
            now_us,
        )

    def sent(self, now_us: int, power_w: NDArray[np.float64]) -> None:
        """Take note of the set-points [A, N] that were sent at ``now_us``, after an update."""
        kernel.note_sent(
            power_w,
            self.sent_w,
            self._consumption,
            self._memory,
            self._marks,
            now_us,
            self._deadband_w,
        )

    def asked(self, total_w: NDArray[np.float64] | float) -> None:
        """Take note of what the controller asked for, in all ([N] or a number, W consumption)."""
        self._memory[kernel.OUTPUT] = total_w


def _plan(period_s: float) -> tuple[NDArray[np.int64], int]:
    """Return the kernel's plan for a control period, and the number of rows of the rings."""

    def steps(seconds: float) -> int:
        return max(1, round(seconds / period_s))

    windows = [steps(seconds) for seconds in names.WINDOWS_S]
    command = [steps(seconds) for seconds in names.COMMAND_LAGS_S]
    surplus = [steps(seconds) for seconds in names.SURPLUS_LAGS_S]
    # The model looks back 16 s: dead time, ramp and window, and a reading of some seconds' age.
    depths = [max(windows), max(*command, steps(16.0)) + 1, max(surplus) + 1, steps(60.0)]
    sizes = [depths[0], 3 * depths[1], depths[2], depths[3]]
    offsets = [sum(sizes[:k]) for k in range(4)]
    plan = np.array([0, *depths, *offsets, *windows, *command, *surplus], dtype=np.int64)
    assert plan.size == kernel.PLAN
    return plan, sum(sizes)
