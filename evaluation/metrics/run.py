"""A record as the metrics read it: arrays that several of them share, computed once."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from ..files import MissingColumnError
from ..header import ActuatorMeta, RecordHeader, SiteMeta
from ..reading import Record
from ..streams import TIME, Stream

PHASES = ("a", "b", "c")
SECONDS_PER_HOUR = 3600.0
MICROSECONDS = 1e6

Floats = NDArray[np.float64]
Shared = TypeVar("Shared")


class Run:
    """View of one record. Arrays: time last, phases a, b, c or actuators first."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.header: RecordHeader = record.header
        self.site: SiteMeta = record.header.site
        self._shared: dict[str, Any] = {}

    @property
    def truth(self) -> Stream:
        """The plant's truth, one row per second."""
        return self._filled("truth")

    @property
    def readings(self) -> Stream:
        """What the loop read, one row per control step."""
        return self._filled("readings")

    @property
    def commands(self) -> Stream:
        """What the loop decided and sent, one row per control step."""
        return self._filled("commands")

    def _filled(self, name: str) -> Stream:
        stream = self.record.stream(name)
        if stream.rows == 0:
            raise MissingColumnError(f"stream '{name}' has no rows")
        return stream

    @cached_property
    def row_s(self) -> Floats:
        """Duration of each row of the truth, s; the first reaches back to the run's start."""
        times: NDArray[np.int64] = self.truth[TIME]
        return np.diff(times, prepend=np.int64(0)) / MICROSECONDS

    @cached_property
    def grid_power_w(self) -> Floats:
        """Mean grid power of each phase over each row, W: [3, rows], + import."""
        return np.stack([self.truth[f"grid.{phase}.power_w"] for phase in PHASES])

    @cached_property
    def net_power_w(self) -> Floats:
        """Grid power summed over the phases, W: [rows]."""
        total: Floats = self.grid_power_w.sum(axis=0)
        return total

    @cached_property
    def steps_min(self) -> float:
        """Duration of all control steps, min."""
        return self.commands.rows * self.site.control_period_s / 60.0

    def energy_wh(self, power_w: Floats) -> float:
        """Integrate a row-wise mean power, Wh."""
        return self.over_time(power_w) / SECONDS_PER_HOUR

    def over_time(self, values: Floats) -> float:
        """Integrate row-wise means over time. Not a dot product: its order of summation varies."""
        return float(np.sum(values * self.row_s))

    def last(self, column: str) -> float:
        """Return a cumulative column's final value."""
        return float(self.truth[column][-1])

    def last_sum(self, kinds: tuple[str, ...], quantity: str) -> float:
        """Sum the final values of a quantity over all actuators of these kinds."""
        return float(sum(self.last(f"{a.kind}.{a.id}.{quantity}") for a in self.of_kind(*kinds)))

    def of_kind(self, *kinds: str) -> tuple[ActuatorMeta, ...]:
        """Return the actuators of these kinds."""
        return tuple(a for a in self.site.actuators if a.kind in kinds)

    def command_matrix(self, stage: str) -> Floats:
        """Return the commands of all actuators at a stage (decided, guarded), W: [A, steps]."""
        names = [f"{stage}.{a.id}_w" for a in self.site.actuators]
        return self.once(stage, lambda: np.stack([self.commands[name] for name in names]))

    def once(self, key: str, compute: Callable[[], Shared]) -> Shared:
        """Return what ``compute`` returned the first time that it was called under ``key``."""
        if key not in self._shared:
            self._shared[key] = compute()
        value: Shared = self._shared[key]
        return value

    def baseline(self, name: str, metric_id: str) -> float:
        """Return a baseline's measurement; NaN if there is none."""
        value: Any = self.header.baselines.get(name, {}).get(metric_id)
        return float("nan") if value is None else float(value)
