"""Parameters of the export plant: a three-phase site with PV and controllable loads."""

from __future__ import annotations

import itertools
import math
from typing import Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ..config import (
    CurrentA,
    DurationS,
    EnergyWh,
    Fraction,
    HeatLossWPerK,
    Model,
    PowerW,
    ResistanceOhm,
    TemperatureC,
    TemperatureK,
    VoltageV,
    VolumeL,
)

Phase = Literal["a", "b", "c"]
Phases = Literal["a", "b", "c", "abc"]
_MOST_VOLTAGE_SHIFT = 0.3
"""Share of the nominal voltage."""

WATER_J_PER_L_K: Final = 4186.0
"""Heat capacity of a litre of water."""

_RESERVED_IDS: Final = ("battery", "grid", "household", "pv")
"""The plant's own values are named after these, as those of a load are after its id."""


class Connection(Model):
    """Four-wire supply from the source to the meter."""

    source_voltage_a_v: VoltageV = Field(230.0, ge=180, le=280)
    """Phase-to-neutral voltage behind the impedance."""
    source_voltage_b_v: VoltageV = Field(230.0, ge=180, le=280)
    source_voltage_c_v: VoltageV = Field(230.0, ge=180, le=280)
    line_resistance_ohm: ResistanceOhm = Field(0.15, ge=0, le=1)
    """Of each phase conductor, source included."""
    line_reactance_ohm: ResistanceOhm = Field(0.06, ge=0, le=1)
    neutral_resistance_ohm: ResistanceOhm = Field(0.15, ge=0, le=1)
    neutral_reactance_ohm: ResistanceOhm = Field(0.06, ge=0, le=1)
    main_fuse_a: CurrentA = Field(63.0, gt=0, le=1000)
    """More than this in any phase, averaged over a second, is a safety violation."""


class VoltWatt(Model):
    """Active power limit that falls linearly with voltage."""

    start_v: VoltageV = Field(250.0, ge=220, le=280)
    """Full power up to here."""
    end_v: VoltageV = Field(258.0, ge=220, le=280)
    """No power from here on."""
    response_s: DurationS = Field(5.0, ge=1, le=60)
    """Time constant with which the inverter follows the curve."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.end_v <= self.start_v:
            raise PydanticCustomError(
                "order", "end_v must exceed start_v ({start} V)", {"start": self.start_v}
            )
        return self


class Pv(Model):
    """PV generator and its inverter."""

    peak_power_w: PowerW = Field(9000.0, ge=0, le=1_000_000)
    """Sum of the modules' ratings (kWp)."""
    inverter_power_w: PowerW = Field(8000.0, gt=0, le=1_000_000)
    """AC limit of the inverter."""
    phases: Phases = "abc"
    power_factor: float = Field(1.0, ge=0.8, le=1.0)
    """Displacement factor; below 1 the inverter absorbs reactive power."""
    volt_watt: VoltWatt | None = None
    """How the inverter gives way to high voltage; null: it does not."""
    curtailable: bool = False
    """Whether policies may set an active power limit (action point `pv.limit`)."""


class Tank(Model):
    """A hot-water tank, fully mixed."""

    volume_l: VolumeL = Field(100.0, gt=0, le=100_000)
    standing_loss_w_per_k: HeatLossWPerK = Field(1.2, ge=0, le=1000)
    ambient_c: TemperatureC = Field(18.0, ge=-30, le=50)
    cold_water_c: TemperatureC = Field(12.0, ge=0, le=30)
    initial_c: TemperatureC = Field(50.0, ge=5, le=95)
    initial_spread_k: TemperatureK = Field(5.0, ge=0, le=30)
    """Half width of the uniform draw around `initial_c`, one per tank and seed."""
    thermostat_c: TemperatureC = Field(70.0, ge=20, le=95)
    """At this temperature the thermostat opens and the tank refuses power."""
    hysteresis_k: TemperatureK = Field(4.0, gt=0, le=30)
    """The thermostat closes again this far below."""
    cut_out_c: TemperatureC = Field(88.0, ge=30, le=99)
    """Independent cut-out: latches off for the rest of the run, and is a safety violation."""
    comfort_c: TemperatureC = Field(45.0, ge=20, le=80)
    """Draws are served with water of at least this temperature; what is missing is unserved."""
    autonomous_heating: bool = False
    """Whether the tank heats uncommanded below `comfort_c` (until `hysteresis_k` above it)."""
    draws: Literal["none", "S", "M", "L", "XL"] = "S"
    """EN 16147 tapping cycle."""
    draw_scale: float = Field(1.0, ge=0, le=10)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.thermostat_c >= self.cut_out_c:
            raise PydanticCustomError(
                "order",
                "thermostat_c must lie below cut_out_c ({cut} °C)",
                {"cut": self.cut_out_c},
            )
        if self.comfort_c >= self.thermostat_c:
            raise PydanticCustomError(
                "order",
                "comfort_c must lie below thermostat_c ({top} °C)",
                {"top": self.thermostat_c},
            )
        if self.cold_water_c >= self.comfort_c:
            raise PydanticCustomError(
                "order",
                "cold_water_c must lie below comfort_c ({comfort} °C)",
                {"comfort": self.comfort_c},
            )
        if self.initial_c + self.initial_spread_k >= self.cut_out_c:
            raise PydanticCustomError(
                "order",
                "initial_c + initial_spread_k must lie below cut_out_c ({cut} °C)",
                {"cut": self.cut_out_c},
            )
        # Temperatures move once a second; a tank that follows much faster would overshoot.
        most_w_per_k = self.volume_l * WATER_J_PER_L_K / 10.0
        if self.standing_loss_w_per_k > most_w_per_k:
            raise PydanticCustomError(
                "order",
                "standing_loss_w_per_k must not exceed {most} for {volume} L",
                {"most": round(most_w_per_k), "volume": self.volume_l},
            )
        return self


class Load(Model):
    """One controllable resistive load on one phase."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    phase: Phase
    rated_power_w: PowerW = Field(gt=0, le=100_000)
    """At 230 V; the power drawn is proportional to the square of the voltage."""
    resolution_w: PowerW = Field(10.0, gt=0)
    """Set-points are rounded down to multiples of this; the rating itself for on/off loads."""
    min_on_s: DurationS = Field(0.0, ge=0, le=3600)
    min_off_s: DurationS = Field(0.0, ge=0, le=3600)
    ramp_s: DurationS = Field(1.5, ge=0, le=600)
    """From zero to rated power."""
    tank: Tank | None = Tank()
    """What the load heats; null: a plain resistor that always accepts power."""

    @model_validator(mode="after")
    def _resolution(self) -> Self:
        if self.resolution_w > self.rated_power_w:
            raise PydanticCustomError(
                "order",
                "resolution_w must not exceed rated_power_w ({rated} W)",
                {"rated": self.rated_power_w},
            )
        return self


class Battery(Model):
    """A battery with its own inverter."""

    capacity_wh: EnergyWh = Field(gt=0, le=10_000_000)
    max_charge_w: PowerW = Field(gt=0)
    max_discharge_w: PowerW = Field(gt=0)
    charge_efficiency: Fraction = Field(0.95, gt=0, le=1)
    discharge_efficiency: Fraction = Field(0.95, gt=0, le=1)
    soc_min: Fraction = Field(0.1, ge=0, le=1)
    soc_max: Fraction = Field(1.0, ge=0, le=1)
    initial_soc: Fraction = Field(0.5, ge=0, le=1)
    phases: Phases = "abc"
    mode: Literal["local", "commanded"] = "local"
    """local: its own controller drives the net grid power to zero; commanded: an action point."""
    response_s: DurationS = Field(3.0, gt=0, le=600)
    """Time constant of the local controller, or of the way to a commanded power."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if not self.soc_min <= self.initial_soc <= self.soc_max:
            raise PydanticCustomError("order", "initial_soc must lie in soc_min … soc_max", {})
        return self


class EvSession(Model):
    """One stay of a car, in seconds since the start of the run."""

    plug_in_s: DurationS = Field(ge=0)
    unplug_s: DurationS = Field(gt=0)
    energy_wh: EnergyWh = Field(gt=0)
    """AC energy wanted by `unplug_s`; what is missing then is unserved."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        # Cars come and go at whole seconds; a shorter stay might fall between two of them.
        if self.unplug_s < self.plug_in_s + 1.0:
            raise PydanticCustomError(
                "order", "unplug_s must be later than plug_in_s by at least 1 s", {}
            )
        return self


class EvCharger(Model):
    """A charger that takes whole amperes; below `min_current_a` it pauses."""

    id: str = Field(pattern=r"^[a-z][a-z0-9_]{0,31}$")
    phases: Phases = "abc"
    min_current_a: CurrentA = Field(6.0, ge=6, le=32)
    max_current_a: CurrentA = Field(16.0, ge=6, le=32)
    min_on_s: DurationS = Field(60.0, ge=0, le=3600)
    min_off_s: DurationS = Field(60.0, ge=0, le=3600)
    ramp_s: DurationS = Field(2.0, ge=0, le=600)
    sessions: tuple[EvSession, ...] = Field((), max_length=4)

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if self.min_current_a > self.max_current_a:
            raise PydanticCustomError(
                "order",
                "min_current_a must not exceed max_current_a ({most} A)",
                {"most": self.max_current_a},
            )
        stays = sorted(self.sessions, key=lambda session: session.plug_in_s)
        for before, after in itertools.pairwise(stays):
            if after.plug_in_s < before.unplug_s:
                raise PydanticCustomError("order", "sessions must not overlap", {})
        return self


class ExportPlantConfig(Model):
    """The export plant: a connection, PV, loads, and optionally a battery and chargers."""

    kind: Literal["export"] = "export"
    connection: Connection = Connection()
    pv: Pv = Pv()
    loads: tuple[Load, ...] = Field(min_length=1, max_length=12)
    """One to four on each phase that has any."""
    battery: Battery | None = None
    """null: there is none."""
    chargers: tuple[EvCharger, ...] = Field((), max_length=4)

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        # ``at`` in an error's context is the way from here to the key that is wrong.
        ids = [("loads", index, load.id) for index, load in enumerate(self.loads)]
        ids += [("chargers", index, charger.id) for index, charger in enumerate(self.chargers)]
        seen = set()
        for section, index, name in ids:
            context = {"name": name, "at": [section, index, "id"]}
            if name in _RESERVED_IDS:
                raise PydanticCustomError(
                    "reserved",
                    "id '{name}' is reserved: values of the plant itself are named so; "
                    "allowed: any but {reserved}",
                    {**context, "reserved": ", ".join(_RESERVED_IDS)},
                )
            if name in seen:
                raise PydanticCustomError(
                    "duplicate",
                    "id '{name}' is used twice; allowed: each id once in loads and chargers",
                    context,
                )
            seen.add(name)
        for phase in "abc":
            count = sum(load.phase == phase for load in self.loads)
            if count > 4:
                raise PydanticCustomError(
                    "count",
                    "phase {phase} has {count} loads; allowed: at most 4 loads a phase",
                    {"phase": phase, "count": count, "at": ["loads"]},
                )
        return self

    def weakness(self) -> str | None:
        """Return why this connection cannot carry what hangs on it; None if it can.

        Beyond a shift of voltage that no supply would be built for, the voltages that constant
        power asks for soon have no solution at all.
        """
        supply = self.connection
        ohm = math.hypot(
            supply.line_resistance_ohm + supply.neutral_resistance_ohm,
            supply.line_reactance_ohm + supply.neutral_reactance_ohm,
        )
        for phase in "abc":
            most_w = self._most_power_w(phase)
            share = most_w * ohm / 230.0**2
            if share > _MOST_VOLTAGE_SHIFT:
                return (
                    f"the connection is too weak: {most_w / 1000:.1f} kW on phase {phase} would "
                    f"shift its voltage by {share * 100:.0f} %; allowed: "
                    f"{_MOST_VOLTAGE_SHIFT * 100:.0f} % (lower impedances or ratings)"
                )
        return None

    def _most_power_w(self, phase: str) -> float:
        """Return the most that can flow on a phase, either way, the household left aside."""

        def share(phases: str) -> float:
            return 1.0 / len(phases) if phase in phases else 0.0

        into_w = sum(load.rated_power_w * share(load.phase) for load in self.loads)
        for charger in self.chargers:
            into_w += charger.max_current_a * 230.0 if phase in charger.phases else 0.0
        most_pv_w = min(self.pv.inverter_power_w, 1.3 * self.pv.peak_power_w)
        out_w = most_pv_w * share(self.pv.phases)
        if self.battery is not None:
            into_w += self.battery.max_charge_w * share(self.battery.phases)
            out_w += self.battery.max_discharge_w * share(self.battery.phases)
        return max(into_w, out_w)

    @property
    def mean_ramp_s(self) -> float:
        """Time that the loads take from zero to rated power, on average."""
        return sum(load.ramp_s for load in self.loads) / len(self.loads)
