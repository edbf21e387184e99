"""A site of which some or all is real: a twin that follows what is measured, and a witness.

The twin is the plant's own kernel. Real loads' measured power takes the place of its own, so its
tanks are a model that is heated with what was measured. What flows at the connection is not the
twin's to say: where a witness meter is bound, or at least the grid meter is a real one, the truth
of the connection is what that meter showed, second by second, and energies are its integral.
"""

from __future__ import annotations

from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import US_PER_S, Clock
from ..sim.edge.meter import MeterReading
from ..sim.export.plant import ExportPlant

TruthOf = Literal["witness", "grid meter", "plant"]
_PHASES: Final = "abc"
_WH: Final = 1.0 / 3600.0


class ConnectionLog:
    """What a meter at the connection showed, sample by sample."""

    def __init__(self, seconds: int) -> None:
        self._values = np.full((7, seconds + 1), np.nan)
        """Powers and voltages of the phases, PV power; column s is the last sample of second s."""

    def sample(self, t_us: int, power_w: list[float], voltage_v: list[float], pv_w: float) -> None:
        """Take a sample; what is not measured is NaN."""
        second = t_us // US_PER_S
        if 0 <= second < self._values.shape[1]:
            self._values[:, second] = (*power_w, *voltage_v, pv_w)

    def overlay(self, columns: dict[str, NDArray[Any]]) -> None:
        """Put what was measured in the place of what the twin says of the connection."""
        rows = len(columns["t_sim_us"])
        held = _held(self._values[:, :rows])
        net_w = np.zeros(rows)
        for f, phase in enumerate(_PHASES):
            power_w = np.where(np.isnan(held[f]), 0.0, held[f])
            net_w += power_w
            columns[f"grid.{phase}.power_w"] = power_w
            columns[f"grid.{phase}.import_energy_wh"] = _integral(np.maximum(power_w, 0.0))
            columns[f"grid.{phase}.export_energy_wh"] = _integral(np.maximum(-power_w, 0.0))
            if np.isfinite(held[3 + f]).all() and rows:
                columns[f"grid.{phase}.voltage_v"] = held[3 + f]
                columns[f"grid.{phase}.current_a"] = np.abs(power_w) / held[3 + f]
        columns["grid.net.import_energy_wh"] = _integral(np.maximum(net_w, 0.0))
        columns["grid.net.export_energy_wh"] = _integral(np.maximum(-net_w, 0.0))
        if np.isfinite(held[6]).all() and rows:
            columns["pv.power_w"] = held[6]
            columns["pv.available_power_w"] = np.maximum(columns["pv.available_power_w"], held[6])


def _held(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return samples with gaps filled by the sample before, the first ones by the first."""
    result = values.copy()
    for row in result:
        known = np.flatnonzero(np.isfinite(row))
        if len(known):
            place = np.searchsorted(known, np.arange(len(row)), side="right") - 1
            row[:] = row[known[np.maximum(place, 0)]]
    return result


def _integral(power_w: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the energy up to the end of each second, Wh."""
    energy: NDArray[np.float64] = np.cumsum(power_w) * _WH
    return energy


class RealSite:
    """The plant of a rig with real devices, as the bench sees it."""

    def __init__(self, twin: ExportPlant, clock: Clock, log: ConnectionLog | None) -> None:
        """Join a twin and, where the connection is measured, what was measured there."""
        self.twin, self._clock, self._log = twin, clock, log
        self.actuators = twin.actuators

    @property
    def now_us(self) -> int:
        """Time up to which the twin was simulated."""
        return self.twin.now_us

    def advance(self, to_us: int) -> None:
        """Simulate the twin."""
        self.twin.advance(max(to_us, 0))

    def send(self, t_us: int, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Refuse: set-points go through devices."""
        raise NotImplementedError("set-points reach this site through its devices")

    def reading(self, t_us: int) -> MeterReading | None:
        """Refuse: readings come from devices."""
        raise NotImplementedError("readings of this site come from its devices")

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Refuse: reports come from devices."""
        raise NotImplementedError("reports from this site come through its devices")

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Refuse: replies come to whoever sent."""
        raise NotImplementedError("replies come to the driver")

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Refuse: nobody can tell when a real device acted."""
        raise NotImplementedError("nobody can tell when a real device acted")

    def measured(self, load: int, power_w: float) -> None:
        """Take what a real load draws now."""
        self.twin.measured(max(self._clock.now_us, 0), load, max(power_w, 0.0))

    def truth(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the truth stream up to now: columns and their units."""
        columns, units = self.twin.truth()
        if self._log is not None:
            self._log.overlay(columns)
        return columns, units

    def meta(self) -> dict[str, Any]:
        """Return what judging needs to know of the site."""
        return self.twin.meta()

    def within_safe_band(self) -> bool:
        """Return False: on a real rig only its guardian measures that."""
        return False
