"""One export site as the bench sees it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ..edge.config import EdgeConfig
from ..edge.meter import MeterReading
from ..faults import FaultConfig
from ..points import Actuator
from . import tracing
from .batch import STEP_US, SiteBatch
from .config import ExportPlantConfig
from .layout import SECOND_US

_CHUNK: Final = 512
"""Seconds that are traced row by row before they are moved to columns. A row a second straight
into columns of a day touches a hundred pages of memory."""

_NEVER_US: Final = 1 << 62


class ExportPlant:
    """A single site, traced once a second; the N = 1 case of :class:`SiteBatch`."""

    def __init__(
        self,
        config: ExportPlantConfig,
        edge: EdgeConfig,
        profiles: NDArray[np.float32],
        faults: Sequence[FaultConfig],
        seed: int,
        duration_us: int,
    ) -> None:
        self.config, self.edge = config, edge
        self.batch = SiteBatch(config, edge, profiles, faults, [seed])
        self.batch.record_truth(_CHUNK)
        self.actuators: tuple[Actuator, ...] = self.batch.actuators
        self._limit_us = duration_us // SECOND_US * SECOND_US
        self._truth = np.empty((self.batch.trace.shape[1], duration_us // SECOND_US))
        self._kept = 0
        self._border_us = min(_CHUNK * SECOND_US, self._limit_us)
        self._acked_us: list[NDArray[np.int64]] = []
        self._effective_us: list[NDArray[np.int64]] = []
        self._stored_wh = self._stored_energy_wh()
        self._ack_rows = self.batch.layout.rows("ack_us")
        self._effective_rows = self.batch.layout.rows("effective_us")
        self._reading_rows = self.batch.layout.rows("reading")
        self._sampled_row = self.batch.layout.rows("reading_sampled_us").start
        self._published_row = self.batch.layout.rows("reading_published_us").start
        self._seq_row = self.batch.layout.rows("seq").start
        self._status_row = self.batch.layout.rows("status").start

    @property
    def now_us(self) -> int:
        """Time up to which the plant has been simulated."""
        return self.batch.now_us

    def advance(self, to_us: int) -> None:
        """Simulate up to the last grid time not later than ``to_us``.

        What comes after the run's end (waiting for the safe state) follows the last row of the
        profiles and is not part of the trace.
        """
        batch = self.batch
        while to_us >= self._border_us:
            batch.advance(self._border_us)
            self._keep()
        batch.advance(to_us)

    def _keep(self) -> None:
        """Move what was traced since the last time to where columns are contiguous."""
        batch = self.batch
        seconds = min(batch.now_us, self._limit_us) // SECOND_US
        rows = batch.trace[self._kept % _CHUNK : self._kept % _CHUNK + seconds - self._kept]
        self._truth[:, self._kept : seconds] = rows.T
        self._kept = seconds
        if seconds * SECOND_US >= self._limit_us:
            batch.record_truth(0)
            self._border_us = _NEVER_US
        else:
            chunk = (seconds // _CHUNK + 1) * _CHUNK
            self._border_us = min(chunk * SECOND_US, self._limit_us)

    def send(self, t_us: int, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Broadcast set-points [actuator] in W; return (sequence number, status).

        The plant is advanced to ``t_us``: the channel is as good or bad as it is then.
        Status is one of ``edge.channel``'s; a refused broadcast has sequence number −1.

        Raises:
            ValueError: a set-point is not finite or the shape is wrong.
        """
        if power_w.shape != (len(self.actuators),) or not np.isfinite(power_w).all():
            raise ValueError(
                f"set-points must be {len(self.actuators)} finite numbers, got {power_w!r}"
            )
        return self.broadcast(t_us, power_w)

    def broadcast(self, t_us: int, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Do what `send` does; actuators whose set-point is NaN are not addressed."""
        batch = self.batch
        if t_us >= batch.now_us + STEP_US:
            self.advance(t_us)
        batch.send(t_us, np.ascontiguousarray(power_w)[:, None])
        status = int(batch.k[0, self._status_row, 0])
        if status != 0:
            return -1, status
        self._acked_us.append(batch.k[0, self._ack_rows, 0].copy())
        self._effective_us.append(batch.k[0, self._effective_rows, 0].copy())
        return int(batch.k[0, self._seq_row, 0]) - 1, status

    def wire(self, t_us: int, actuator: int, power_w: float) -> int:
        """Hand a set-point in W to one actuator by wire; return when it acts on it (−1: never).

        Raises:
            ValueError: the set-point is not finite.
        """
        if not np.isfinite(power_w):
            raise ValueError(f"a set-point must be a finite number, got {power_w!r}")
        if t_us >= self.batch.now_us + STEP_US:
            self.advance(t_us)
        return self.batch.wire(t_us, actuator, power_w)

    def sun_power_w(self, t_us: int) -> float:
        """Return what the sun would give through the inverter at a time."""
        pv = self.config.pv
        row = self._profile_row(t_us)
        return min(pv.peak_power_w * float(row[0]), pv.inverter_power_w)

    def household_power_w(self, t_us: int) -> float:
        """Return what the house takes on all phases at a time."""
        return float(self._profile_row(t_us)[1:4].sum())

    def _profile_row(self, t_us: int) -> NDArray[np.float32]:
        profile = self.batch.profile(0)
        row: NDArray[np.float32] = profile[min(t_us // SECOND_US, len(profile) - 1)]
        return row

    def follow(self, load: int) -> None:
        """Let a real load take the place of a simulated one: its power is what `measured` says.

        Set-points, thermostat and ramp of the simulated load no longer act; its tank goes on as a
        model that is heated with what was measured.
        """
        for name, value in (("ramp", 0.0), ("thermostat_c", 1e9), ("cut_out_c", 1e9)):
            self.batch.p[0, self.batch.layout.rows(name).start + load, 0] = value

    def measured(self, t_us: int, load: int, power_w: float) -> None:
        """Take what a real load draws from ``t_us`` on, in place of the simulated one's power.

        Raises:
            ValueError: the power is negative or not finite.
        """
        if not np.isfinite(power_w) or power_w < 0:
            raise ValueError(f"a load's power must be finite and not negative, got {power_w!r}")
        batch = self.batch
        if t_us >= batch.now_us + STEP_US:
            self.advance(t_us)
        x, p, rows = batch.x[0, :, 0], batch.p[0, :, 0], batch.layout.rows
        phase = "abc".index(self.config.loads[load].phase)
        w_per_v2 = p[rows("w_per_v2").start + load]
        square_vs = x[rows("square_vs").start + phase]
        duty, since, used = (rows(n).start + load for n in ("duty", "moved_v2s", "moved_j"))
        x[used] += x[duty] * w_per_v2 * (square_vs - x[since])
        x[since] = square_vs
        volts = x[rows("vr").start + phase], x[rows("vi").start + phase]
        x[duty] = power_w / (w_per_v2 * (volts[0] ** 2 + volts[1] ** 2))

    def reading(self, t_us: int) -> MeterReading | None:
        """Return the newest meter sample published by ``t_us``, or None; advances to ``t_us``."""
        batch = self.batch
        if t_us >= batch.now_us + STEP_US:
            self.advance(t_us)
        if t_us == batch.now_us and t_us > 0:
            k = batch.k
            published_us = int(k[0, self._published_row, 0])
            if published_us < 0:
                return None
            values = batch.x[0, self._reading_rows, 0].copy()
            return MeterReading(values, int(k[0, self._sampled_row, 0]), published_us)
        fields, sampled, published = batch.readings(t_us)
        if published[0] < 0:
            return None
        return MeterReading(fields[:, 0].copy(), int(sampled[0]), int(published[0]))

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return each load's last power report that arrived by ``t_us`` (NaN: none yet)."""
        reports_w = self.batch.reports_w(t_us)
        return None if reports_w is None else reports_w[:, 0]

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to broadcast ``seq`` arrives; −1: never."""
        return self._acked_us[seq]

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acted on broadcast ``seq``; −1: lost or overtaken."""
        mine = self._effective_us[seq].copy()
        # A later broadcast that acted no later has overtaken this one; at most eight are under way.
        for later in self._effective_us[seq + 1 : seq + 9]:
            mine[(later >= 0) & (later <= mine)] = -1
        return mine

    def truth(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the truth stream up to now: columns and their units."""
        if self._border_us < _NEVER_US:
            self._keep()
        return tracing.stream(
            self.batch.layout,
            self._truth[:, : self._kept],
            [load.id for load in self.config.loads],
            [charger.id for charger in self.config.chargers],
        )

    def meta(self) -> dict[str, Any]:
        """Return what judging needs to know: fuse, ratings, comfort, energy stored at the start."""
        return {
            "main_fuse_a": self.config.connection.main_fuse_a,
            "nominal_voltage_v": 230.0,
            "stored_energy_initial_wh": self._stored_wh,
            "loads": [
                {
                    "id": load.id,
                    "phase": load.phase,
                    "rated_power_w": load.rated_power_w,
                    "cut_out_c": load.tank.cut_out_c if load.tank else None,
                    "thermostat_c": load.tank.thermostat_c if load.tank else None,
                    "comfort_c": load.tank.comfort_c if load.tank else None,
                }
                for load in self.config.loads
            ],
            "chargers": [{"id": charger.id} for charger in self.config.chargers],
            "battery": self.config.battery is not None,
        }

    def _stored_energy_wh(self) -> float:
        field = self.batch.get
        heat_j = (field("temperature_c") - field("cold_c")) * field("heat_j_per_k")
        return float(heat_j.sum() + field("battery_j").sum()) / 3600.0

    def within_safe_band(self) -> bool:
        """Return whether the truth shows every load and charger at or below its safe set-point.

        A load that heats by itself (comfort) or is stuck on is not within its band.
        """
        field = self.batch.get
        duty, rated = field("duty")[:, 0], field("rated_w")[:, 0]
        safe = field("safe_w")[:, 0]
        loads = len(duty)
        if (duty * rated > safe[:loads] + 1e-6).any():
            return False
        return not (field("charger_a")[:, 0] > 0.0).any()
