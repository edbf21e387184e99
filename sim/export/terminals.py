"""What instruments at a site's own devices would measure: truth, not the grid meter's sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from .devices import NOMINAL_V
from .plant import ExportPlant


class Terminals:
    """The terminals of one site's loads, chargers, battery and inverter, at the plant's time.

    Powers in W, loads and chargers consuming ≥ 0, battery discharging +, PV ≥ 0; energies in Wh
    since the start of the run.
    """

    def __init__(self, plant: ExportPlant) -> None:
        self.plant = plant
        x, p = plant.batch.x[0, :, 0], plant.batch.p[0, :, 0]

        def state(name: str) -> NDArray[np.float64]:
            view: NDArray[np.float64] = x[plant.batch.layout.rows(name)]
            return view

        def parameter(name: str) -> NDArray[np.float64]:
            view: NDArray[np.float64] = p[plant.batch.layout.rows(name)]
            return view

        self._vr, self._vi = state("vr"), state("vi")
        self._duty, self._w_per_v2 = state("duty"), parameter("w_per_v2")
        self._temperature_c, self._setpoint_w = state("temperature_c"), state("setpoint_w")
        self._charger_a, self._charger_j = state("charger_a"), state("charger_j")
        self._plugged, self._target_a = state("plugged"), state("charger_target_a")
        self._battery_w, self._battery_j = state("battery_w"), state("battery_j")
        self._charge_j, self._discharge_j = state("battery_charge_j"), state("battery_discharge_j")
        self._capacity_j = parameter("battery_capacity_j")
        self._pv_j = state("pv_j")
        self._p_w = state("p_w")
        self._import_j, self._export_j = state("import_j"), state("export_j")
        self._net_import_j, self._net_export_j = state("net_import_j"), state("net_export_j")
        self._phase = ["abc".index(load.phase) for load in plant.config.loads]

    def advance(self, t_us: int) -> None:
        """Bring the plant up to a time."""
        self.plant.advance(t_us)

    def voltage_v(self, phase: int) -> float:
        """Return a phase's voltage (0, 1, 2)."""
        return float(np.hypot(self._vr[phase], self._vi[phase]))

    def grid_power_w(self, phase: int) -> float:
        """Return what flows from the grid on a phase."""
        return float(self._p_w[phase])

    def grid_energy_wh(self, phase: int) -> tuple[float, float]:
        """Return (imported, exported) on a phase since the start."""
        return float(self._import_j[phase]) / 3600.0, float(self._export_j[phase]) / 3600.0

    def net_energy_wh(self) -> tuple[float, float]:
        """Return (imported, exported) net over the phases since the start."""
        return float(self._net_import_j[0]) / 3600.0, float(self._net_export_j[0]) / 3600.0

    def load_power_w(self, load: int) -> float:
        """Return what a load draws."""
        volts = self.voltage_v(self._phase[load])
        return float(self._duty[load] * self._w_per_v2[load] * volts * volts)

    def load_temperature_c(self, load: int) -> float | None:
        """Return the temperature of what a load heats; None if it heats nothing."""
        has_tank = self.plant.config.loads[load].tank is not None
        return float(self._temperature_c[load]) if has_tank else None

    def setpoint_w(self, actuator: int) -> float:
        """Return the set-point that an actuator follows."""
        return float(self._setpoint_w[actuator])

    def charger_current_a(self, charger: int, phase: int) -> float:
        """Return a charger's current on a phase."""
        phases = self.plant.config.chargers[charger].phases
        return float(self._charger_a[charger]) if "abc"[phase] in phases else 0.0

    def charger_power_w(self, charger: int) -> float:
        """Return what a charger draws."""
        return sum(self.charger_current_a(charger, f) * self.voltage_v(f) for f in range(3))

    def charger_target_a(self, charger: int) -> float:
        """Return the current that a charger grants."""
        return float(self._target_a[charger])

    def charger_energy_wh(self, charger: int) -> float:
        """Return the energy that a charger has given."""
        return float(self._charger_j[charger]) / 3600.0

    def plugged(self, charger: int) -> bool:
        """Return whether a car is plugged in."""
        return bool(self._plugged[charger] > 0.0)

    def battery_power_w(self) -> float:
        """Return the battery's power, + discharging."""
        return float(self._battery_w[0])

    def battery_soc(self) -> float:
        """Return the battery's state of charge, 0 … 1."""
        return float(self._battery_j[0] / self._capacity_j[0])

    def battery_energy_wh(self) -> tuple[float, float]:
        """Return (charged, discharged)."""
        return float(self._charge_j[0]) / 3600.0, float(self._discharge_j[0]) / 3600.0

    def pv_energy_wh(self) -> float:
        """Return what the inverter has fed in."""
        return float(self._pv_j[0]) / 3600.0


def amperes(power_w: float, phases: str) -> float:
    """Return the current that a charger's power set-point means at nominal voltage."""
    return power_w / (NOMINAL_V * len(phases))


def watts(current_a: float, phases: str) -> float:
    """Return the power set-point that a charger's current means at nominal voltage."""
    return current_a * NOMINAL_V * len(phases)
