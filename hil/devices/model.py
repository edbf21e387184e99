"""Device profiles: what a device is, what it says on its bus, and how it behaves.

A profile serves both sides: the driver reads a real device through it, and an emulated device is
built from it. Only models are in here; `scenarios.devices` loads a file with line numbers.
"""

from __future__ import annotations

import datetime as dt
from pathlib import Path
from typing import Annotated, Final, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import CurrentA, DurationS, EnergyWh, Model, PowerW, TemperatureC, VolumeL
from .modbus_model import (
    QUANTITY,
    ModbusMap,
    Point,
    Register,
    SunspecMap,
    SunspecModel,
    SunspecPoint,
)
from .zigbee_model import Attribute, Endpoint, Reporting, ZigbeeMap

__all__ = [
    "DEVICES_FOLDER",
    "Actuator",
    "Attribute",
    "DeviceProfile",
    "Endpoint",
    "Identity",
    "Measured",
    "ModbusMap",
    "Point",
    "Ratings",
    "Register",
    "Reporting",
    "SafeBand",
    "SunspecMap",
    "SunspecModel",
    "SunspecPoint",
    "Timing",
    "Watchdog",
    "ZigbeeMap",
    "profile_names",
    "quantities",
    "readable",
]

#: Where the shipped profiles are.
DEVICES_FOLDER: Final = Path(__file__).parents[2] / "fixtures" / "devices"

Kind = Literal["meter", "inverter", "battery", "heater", "charger", "plug", "sensor"]
Quantity = Annotated[str, Field(pattern=QUANTITY)]


class Identity(Model):
    """Who the device says it is; serial and firmware are those of the emulated one."""

    manufacturer: str = Field(min_length=1, max_length=32)
    model: str = Field(min_length=1, max_length=32)
    serial: str = Field("", max_length=32)
    firmware: str = Field("", max_length=16)


class Ratings(Model):
    """What the device can do; percentages on the bus refer to these."""

    power_w: PowerW = Field(0.0, ge=0)
    """Greatest power, of a battery that of discharging; 0: it has none."""
    charge_power_w: PowerW = Field(0.0, ge=0)
    """Greatest power that a battery charges with."""
    capacity_wh: EnergyWh = Field(0.0, ge=0)
    current_a: CurrentA = Field(0.0, ge=0)
    """Per phase."""
    phases: Literal[1, 3] = 1
    volume_l: VolumeL = Field(200.0, gt=0)
    """Of the water that a heater warms."""
    temperature_limit_c: TemperatureC = Field(75.0, ge=0, le=120)
    """At which a heater's thermostat opens."""


class Timing(Model):
    """How fast the device is; the same numbers hold for every point of it."""

    refresh_s: DurationS = Field(1.0, ge=0, le=3600)
    """How often its values change; 0: with every request."""
    answer_s: DurationS = Field(0.01, ge=0, le=30)
    """What it takes to answer a request."""
    answer_spread_s: DurationS = Field(0.0, ge=0, le=30)
    """The answer takes up to this much longer, evenly spread."""
    first_answer_s: DurationS = Field(0.0, ge=0, le=60)
    """What the first answer after `idle_s` takes, if that is longer."""
    idle_s: DurationS = Field(60.0, gt=0, le=86400)
    """Without a request for this long the next answer is a first one."""
    min_gap_s: DurationS = Field(0.0, ge=0, le=60)
    """Least time between an answer and the next request."""
    min_command_gap_s: DurationS = Field(0.0, ge=0, le=3600)
    """Least time between two writes."""
    too_early: Literal["ignore", "busy"] = "ignore"
    """What it does with a request that comes too early: no answer, or exception 6."""
    boot_s: DurationS = Field(5.0, ge=0, le=600)
    """How long it does not answer after a reset."""


class SafeBand(Model):
    """What a measured quantity must be for the device to be safe."""

    quantity: Quantity = "power_w"
    low: float
    high: float

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            raise PydanticCustomError("range", "low must not be above high")
        return self


class Watchdog(Model):
    """What the device does when commands stay away."""

    timeout_s: DurationS = Field(ge=0, le=86400)
    """Time after which it reverts; 0: never, unless `timeout_register` says otherwise."""
    slack_s: DurationS = Field(0.0, ge=0, le=3600)
    """It reverts up to this much late, evenly spread: real ones do."""
    value: float = 0.0
    """What the quantity becomes."""
    reversion: bool = False
    """Whether it is the reversion time of a SunSpec control, which a driver writes with the value
    (`also` of the point): there is no other watchdog."""
    rearmed_by: Literal["write", "request"] = "write"
    """What starts the time again: a write of the quantity, or any request."""
    timeout_register: str | None = None
    """Name of a register with the timeout in s; null: it cannot be set over the bus."""
    value_register: str | None = None
    """Name of a register with the value to revert to; null: it cannot be set over the bus."""


class Actuator(Model):
    """A quantity that can be commanded: its limits, its dynamics, and what is safe."""

    quantity: Quantity
    """`power_setpoint_w`, `power_limit_w`, `current_setpoint_a`, `enabled`, `on`, `level` …"""
    low: float = 0.0
    """Commands outside of low … high are refused or clamped."""
    high: float
    default: float = 0.0
    """After a reset."""
    resolution: float = Field(0.0, ge=0)
    """Steps in which it moves; 0: continuously."""
    dead_time_s: DurationS = Field(0.0, ge=0, le=600)
    """From a command to the first effect."""
    ramp_s: DurationS = Field(0.0, ge=0, le=3600)
    """What it takes from `low` to `high`; 0: it jumps."""
    watchdog: Watchdog | None = None
    """null: the last command holds for ever."""
    safe: SafeBand | None = None
    """null: every state is safe."""
    danger: str = Field("", max_length=200)
    """What happens outside of the safe band."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low >= self.high:
            raise PydanticCustomError("range", "low must be below high")
        if not self.low <= self.default <= self.high:
            raise PydanticCustomError("range", "default must lie between low and high")
        return self


class Measured(Model):
    """Where a profile's numbers come from if they were measured on a device."""

    date: dt.date | None = None
    uncertainty: dict[str, float] = Field(default_factory=dict)
    """Standard uncertainty by path of the key, `timing.refresh_s: 0.05`."""


class DeviceProfile(Model):
    """A device profile."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_.-]{0,63}$")
    """Default: the file's name."""
    title: str = Field("", max_length=120, pattern=r"^[^\n]*$")
    kind: Kind
    identity: Identity
    ratings: Ratings = Ratings()
    timing: Timing = Timing()
    actuators: tuple[Actuator, ...] = Field((), max_length=32)
    modbus: ModbusMap | None = None
    """null: it does not speak Modbus."""
    zigbee: ZigbeeMap | None = None
    """null: it does not speak Zigbee."""
    measured: Measured | None = None
    """null: the numbers are those of a data sheet, or assumed."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if (self.modbus is None) == (self.zigbee is None):
            raise PydanticCustomError("bus", "exactly one of modbus and zigbee must be there")
        quantities = [actuator.quantity for actuator in self.actuators]
        twice = next((name for name in quantities if quantities.count(name) > 1), None)
        if twice is not None:
            raise PydanticCustomError(
                "actuators", "actuators has '{name}' twice; allowed: once", {"name": twice}
            )
        self._check_registers()
        self._check_ratings()
        return self

    def _check_registers(self) -> None:
        known = {item.name for item in self.modbus.registers} if self.modbus is not None else set()
        for index, actuator in enumerate(self.actuators):
            dog = actuator.watchdog
            for key in ("timeout_register", "value_register"):
                name = getattr(dog, key, None)
                if name is not None and name not in known:
                    raise PydanticCustomError(
                        "reference",
                        "there is no register '{name}'",
                        {"name": name, "at": ["actuators", index, "watchdog", key]},
                    )

    def _check_ratings(self) -> None:
        if self.modbus is None:
            return
        points: list[Point | SunspecPoint] = [*self.modbus.points]
        for model in self.modbus.sunspec.models if self.modbus.sunspec else ():
            points += model.points.values()
        for point in points:
            if point.percent_of is not None and not getattr(self.ratings, point.percent_of):
                raise PydanticCustomError(
                    "rating",
                    "ratings lacks {name}, of which '{quantity}' is a percentage",
                    {"name": point.percent_of, "quantity": point.quantity, "at": ["ratings"]},
                )

    @property
    def bus(self) -> Literal["modbus", "zigbee"]:
        """What kind of bus the device is on."""
        return "modbus" if self.modbus is not None else "zigbee"

    def actuator(self, quantity: str) -> Actuator | None:
        """Return how a quantity is commanded, None if it is not."""
        return next((item for item in self.actuators if item.quantity == quantity), None)


def quantities(
    modbus: ModbusMap | None, zigbee: ZigbeeMap | None, access: Literal["r", "w"] = "r"
) -> frozenset[str]:
    """Return the quantities that can be read from a device, or those that can be commanded.

    Behind a coordinator they are the same: what is commanded by a cluster's command has an
    attribute that shows it.
    """
    items: list[Attribute | Point | SunspecPoint] = []
    other, known = ("w" if access == "r" else "r"), set()
    if zigbee is not None:
        items += zigbee.attributes
    elif modbus is not None:
        items += (point for point in modbus.points if point.access != other)
        for model in modbus.sunspec.models if modbus.sunspec is not None else ():
            items += (point for point in model.points.values() if point.access != other)
        if modbus.sunspec is not None and access == "r":
            known.add("serial")
    return frozenset(known | {item.quantity for item in items if item.quantity is not None})


def readable(profile: DeviceProfile) -> frozenset[str]:
    """Return the quantities that can be read from a device."""
    return quantities(profile.modbus, profile.zigbee)


def profile_names(folder: Path = DEVICES_FOLDER) -> tuple[str, ...]:
    """Return the names of the shipped profiles, sorted."""
    return tuple(sorted(path.stem for path in folder.glob("*.yaml")))
