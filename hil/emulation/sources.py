"""What emulated devices of an export site measure and drive: the plant, quantity by quantity.

The grid meter and the inverter's power come from the plant's own meter: its window, noise and
delay are the edge's, and the device only adds when it refreshes its registers. Other devices
measure at their own terminals. A set-point goes to the plant by wire; heaters behind a mesh get
theirs by broadcast instead (`mesh`).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import partial
from typing import Final

import numpy as np

from ...sim.clock import US_PER_S
from ...sim.edge import meter
from ...sim.export.plant import ExportPlant
from ...sim.export.terminals import Terminals, watts
from .effects import Effects

_PHASES: Final = "abc"
_FREQUENCY_HZ: Final = 50.0

#: Quantity of a meter → field of the plant's sample.
METER_FIELDS: Final[Mapping[str, int]] = {
    "power_w": meter.POWER_TOTAL,
    "import_energy_wh": meter.IMPORT_NET,
    "export_energy_wh": meter.EXPORT_NET,
    **{f"power_{p}_w": meter.POWER_A + k for k, p in enumerate(_PHASES)},
    **{f"voltage_{p}_v": meter.VOLTAGE_A + k for k, p in enumerate(_PHASES)},
    **{f"current_{p}_a": meter.CURRENT_A + k for k, p in enumerate(_PHASES)},
    **{f"import_energy_{p}_wh": meter.IMPORT_A + k for k, p in enumerate(_PHASES)},
    **{f"export_energy_{p}_wh": meter.EXPORT_A + k for k, p in enumerate(_PHASES)},
}

Measure = Callable[[], float | str | None]
Command = Callable[[float, int], None]


class Site:
    """A plant with terminals to measure at and wires to set-points; notes what these effect."""

    def __init__(self, plant: ExportPlant) -> None:
        self.plant = plant
        self.terminals = Terminals(plant)
        self.effects = Effects(len(plant.actuators))
        self._reading: meter.MeterReading | None = None
        self._reading_us = -1

    def reading(self, t_us: int) -> meter.MeterReading | None:
        """Return the newest sample of the plant's meter at a time, None before the first.

        Two devices of one bus mostly ask for the same time.
        """
        t_us = max(t_us, 0)
        if t_us != self._reading_us:
            self._reading, self._reading_us = self.plant.reading(t_us), t_us
        return self._reading

    def wire(self, t_us: int, actuator: int, power_w: float) -> None:
        """Hand a set-point to an actuator by wire."""
        t_us = max(t_us, 0)
        self.effects.wire(t_us, actuator, self.plant.wire(t_us, actuator, power_w))

    def index(self, actuator: str) -> int:
        """Return the place of an actuator."""
        return next(k for k, one in enumerate(self.plant.actuators) if one.id == actuator)


def rehearsed(make: Callable[[], ExportPlant]) -> ExportPlant:
    """Return a plant whose kernels were called before, on another one that is thrown away.

    The first call of each compiles it, or loads what was compiled: longer than a client waits.
    """
    other = make()
    other.broadcast(0, np.zeros(len(other.actuators)))
    other.wire(0, 0, 0.0)
    for t_us in (0, 1, US_PER_S, US_PER_S + 1):
        other.advance(t_us)
        other.reading(t_us)
        other.reports_w(t_us)
    other.truth()
    plant = make()
    plant.advance(0)
    return plant


class PlantSource:
    """Quantities that a plant has, as functions; times before the run count as its start."""

    def __init__(
        self,
        site: Site,
        measures: Mapping[str, Measure],
        commands: Mapping[str, Command] | None = None,
    ) -> None:
        self._terminals = site.terminals
        self._measures = dict(measures)
        self._commands = dict(commands or {})

    def measure(self, quantity: str, t_us: int) -> float | str | None:
        """Return a quantity at a time, None if the plant has none or has not measured it yet."""
        found = self._measures.get(quantity)
        if found is None:
            return None
        self._terminals.advance(max(t_us, 0))
        return found()

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Drive a quantity; what the plant has no actuator for is ignored."""
        found = self._commands.get(quantity)
        if found is not None:
            found(value, max(t_us, 0))


class MeterSource(PlantSource):
    """The grid meter: the newest sample that the plant's meter has published."""

    def __init__(self, site: Site) -> None:
        super().__init__(site, {})
        self._site = site
        self._t_us = -1
        self._sample: meter.MeterReading | None = None
        self._shown: dict[str, float] = {}

    def snapshot(self, t_us: int) -> Mapping[str, float | str | None]:
        """Return every quantity of the newest sample at a time, nothing before the first."""
        if t_us != self._t_us:
            self._t_us = t_us
            before, self._sample = self._sample, self._site.reading(t_us)
            if self._sample is None:
                self._shown = {}
            elif before is None or before.published_us != self._sample.published_us:
                self._shown = _meter_values(self._sample)
        return self._shown

    def measure(self, quantity: str, t_us: int) -> float | str | None:
        """Return a quantity of the newest sample at a time, None before the first."""
        return self.snapshot(t_us).get(quantity)


def _meter_values(sample: meter.MeterReading) -> dict[str, float]:
    """Return what a meter shows of a sample: what was measured, and what follows from it."""
    fields = sample.values.tolist()
    shown = {name: fields[field] for name, field in METER_FIELDS.items()}
    shown["frequency_hz"] = _FREQUENCY_HZ
    total_va = total_var = 0.0
    for f, phase in enumerate(_PHASES):
        power_w = fields[meter.POWER_A + f]
        apparent_va = fields[meter.VOLTAGE_A + f] * fields[meter.CURRENT_A + f]
        reactive_var = math.sqrt(max(apparent_va * apparent_va - power_w * power_w, 0.0))
        shown[f"apparent_power_{phase}_va"] = apparent_va
        shown[f"reactive_power_{phase}_var"] = reactive_var
        shown[f"power_factor_{phase}"] = _power_factor(power_w, apparent_va)
        total_va += apparent_va
        total_var += reactive_var
    shown["apparent_power_va"], shown["reactive_power_var"] = total_va, total_var
    shown["power_factor"] = _power_factor(shown["power_w"], total_va)
    return shown


def _power_factor(power_w: float, apparent_va: float) -> float:
    return max(min(power_w / apparent_va, 1.0), -1.0) if apparent_va > 0 else 1.0


class InverterSource(PlantSource):
    """The PV inverter: power as the plant's meter has it, and a limit where there is one."""

    def __init__(self, site: Site, actuator: int | None) -> None:
        super().__init__(site, {})
        self._site, self._actuator = site, actuator
        self._t_us = -1
        self._shown: dict[str, float] = {}
        share = [p in site.plant.config.pv.phases for p in _PHASES]
        self._shares = [float(on) / sum(share) for on in share]

    def snapshot(self, t_us: int) -> Mapping[str, float | str | None]:
        """Return every quantity at a time; powers and currents are the inverter's, fed in + ."""
        if t_us != self._t_us:
            self._t_us = t_us
            sample = self._site.reading(t_us)
            self._shown = {} if sample is None else self._values(sample)
        return self._shown

    def _values(self, sample: meter.MeterReading) -> dict[str, float]:
        power_w = float(sample.values[meter.PV_POWER])
        shown = {
            "power_w": power_w,
            "energy_wh": self._terminals.pv_energy_wh(),
            "frequency_hz": _FREQUENCY_HZ,
        }
        for f, phase in enumerate(_PHASES):
            volts = float(sample.values[meter.VOLTAGE_A + f])
            shown[f"voltage_{phase}_v"] = volts
            shown[f"current_{phase}_a"] = self._shares[f] * power_w / volts if volts > 0 else 0.0
        if self._actuator is not None:
            shown["power_limit_w"] = self._terminals.setpoint_w(self._actuator)
        return shown

    def measure(self, quantity: str, t_us: int) -> float | str | None:
        """Return a quantity at a time."""
        return self.snapshot(t_us).get(quantity)

    def command(self, quantity: str, value: float, t_us: int) -> None:
        """Limit the power."""
        if quantity == "power_limit_w" and self._actuator is not None:
            self._site.wire(t_us, self._actuator, value)


def _current_a(terminals: Terminals, phase: int) -> float:
    return abs(terminals.grid_power_w(phase)) / terminals.voltage_v(phase)


def _energy_wh(terminals: Terminals, phase: int, way: int) -> float:
    return terminals.grid_energy_wh(phase)[way]


def witness_source(site: Site) -> PlantSource:
    """Return the source of a second meter at the connection: truth, whatever the first shows."""
    terminals = site.terminals
    measures: dict[str, Measure] = {
        "power_w": lambda: sum(terminals.grid_power_w(f) for f in range(3)),
        "import_energy_wh": lambda: terminals.net_energy_wh()[0],
        "export_energy_wh": lambda: terminals.net_energy_wh()[1],
        "frequency_hz": lambda: _FREQUENCY_HZ,
    }
    for f, phase in enumerate(_PHASES):
        measures[f"power_{phase}_w"] = partial(terminals.grid_power_w, f)
        measures[f"voltage_{phase}_v"] = partial(terminals.voltage_v, f)
        measures[f"current_{phase}_a"] = partial(_current_a, terminals, f)
        measures[f"import_energy_{phase}_wh"] = partial(_energy_wh, terminals, f, 0)
        measures[f"export_energy_{phase}_wh"] = partial(_energy_wh, terminals, f, 1)
    return PlantSource(site, measures)


def load_source(site: Site, name: str) -> PlantSource:
    """Return the source of a load's device: heater or switched plug."""
    plant, terminals = site.plant, site.terminals
    load = next(k for k, one in enumerate(plant.config.loads) if one.id == name)
    actuator = site.index(name)
    rated_w = plant.config.loads[load].rated_power_w
    phase = _PHASES.index(plant.config.loads[load].phase)

    on_w = rated_w  # where it goes when it is switched on

    def set_power(power_w: float, t_us: int) -> None:
        nonlocal on_w
        on_w = power_w if power_w > 0 else on_w
        site.wire(t_us, actuator, power_w)

    def switch(on: float, t_us: int) -> None:
        site.wire(t_us, actuator, on_w if on else 0.0)

    def current_a() -> float:
        volts = terminals.voltage_v(phase)
        return terminals.load_power_w(load) / volts if volts > 0 else 0.0

    return PlantSource(
        site,
        {
            "power_w": lambda: terminals.load_power_w(load),
            "power_setpoint_w": lambda: terminals.setpoint_w(actuator),
            "max_power_w": lambda: rated_w,
            "temperature_c": lambda: terminals.load_temperature_c(load),
            "on": lambda: float(terminals.setpoint_w(actuator) > 0.0),
            "level": lambda: min(terminals.setpoint_w(actuator) / rated_w, 1.0),
            "voltage_a_v": lambda: terminals.voltage_v(phase),
            "current_a_a": current_a,
        },
        {
            "power_setpoint_w": set_power,
            "on": switch,
            "level": lambda level, t_us: set_power(level * rated_w, t_us),
        },
    )


def charger_source(site: Site, name: str) -> PlantSource:
    """Return the source of a charger."""
    plant, terminals = site.plant, site.terminals
    charger = next(k for k, one in enumerate(plant.config.chargers) if one.id == name)
    actuator, phases = site.index(name), plant.config.chargers[charger].phases
    wanted = {"current_a": 0.0, "enabled": 1.0}

    def apply(t_us: int) -> None:
        granted_a = wanted["current_a"] if wanted["enabled"] else 0.0
        site.wire(t_us, actuator, watts(granted_a, phases))

    def set_current(current_a: float, t_us: int) -> None:
        wanted["current_a"] = current_a
        apply(t_us)

    def enable(on: float, t_us: int) -> None:
        wanted["enabled"] = float(bool(on))
        apply(t_us)

    def car_state() -> str:
        if not terminals.plugged(charger):
            return "idle"
        return "charging" if terminals.charger_power_w(charger) > 0.0 else "waiting"

    measures: dict[str, Measure] = {
        "power_w": lambda: terminals.charger_power_w(charger),
        "current_setpoint_a": lambda: wanted["current_a"],
        "enabled": lambda: wanted["enabled"],
        "energy_wh": lambda: terminals.charger_energy_wh(charger),
        "car_state": car_state,
    }
    for f, phase in enumerate(_PHASES):
        measures[f"current_{phase}_a"] = partial(terminals.charger_current_a, charger, f)
        measures[f"voltage_{phase}_v"] = partial(terminals.voltage_v, f)
    return PlantSource(site, measures, {"current_setpoint_a": set_current, "enabled": enable})


def battery_source(site: Site) -> PlantSource:
    """Return the source of the battery's inverter."""
    plant, terminals = site.plant, site.terminals
    battery = plant.config.battery
    assert battery is not None
    capacity_wh = battery.capacity_wh
    measures: dict[str, Measure] = {
        "power_w": terminals.battery_power_w,
        "soc": terminals.battery_soc,
        "capacity_wh": lambda: capacity_wh,
        "available_energy_wh": lambda: terminals.battery_soc() * capacity_wh,
    }
    for f, phase in enumerate(_PHASES):
        measures[f"voltage_{phase}_v"] = partial(terminals.voltage_v, f)
    if battery.mode != "commanded":
        return PlantSource(site, measures)
    actuator = site.index("battery")
    measures["power_setpoint_w"] = lambda: terminals.setpoint_w(actuator)
    return PlantSource(
        site,
        measures,
        {"power_setpoint_w": lambda power_w, t_us: site.wire(t_us, actuator, power_w)},
    )


def source_of(site: Site, served: str) -> PlantSource:
    """Return the source of what a device serves: `grid`, `pv`, `load.a1` and so on.

    Raises:
        KeyError: the plant has no such thing.
    """
    plant, (kind, _, name) = site.plant, served.partition(".")
    if kind == "grid":
        return MeterSource(site)
    if kind == "witness":
        return witness_source(site)
    if kind == "pv":
        curtailable = plant.config.pv.curtailable
        return InverterSource(site, site.index("pv") if curtailable else None)
    known = {one.id for one in (plant.config.loads if kind == "load" else plant.config.chargers)}
    if kind == "load" and name in known:
        return load_source(site, name)
    if kind == "charger" and name in known:
        return charger_source(site, name)
    if kind == "battery" and plant.config.battery is not None:
        return battery_source(site)
    raise KeyError(served)
