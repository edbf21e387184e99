"""How a rig's devices are trusted and made safe: bands, waivers, calibration, preconditions."""

from __future__ import annotations

import datetime as dt
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator
from pydantic_core import PydanticCustomError

from ...sim.config import DurationS, Model, PowerW
from .buses import ID

Quantity = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
"""Name of a point of a device profile, such as `power_w`."""


class Waiver(Model):
    """Somebody takes it upon himself that an actuator has no watchdog and no interlock."""

    name: str = Field(min_length=2, max_length=80)
    """Who; goes into the record."""
    reason: str = Field(min_length=5, max_length=400)


class Safe(Model):
    """How an actuator is made safe; what is not given is as its profile says."""

    point: Quantity | None = None
    """What is written to make it safe; null: what the profile has a safe band for."""
    value: float | None = None
    """The safe value, in the unit of that point; null: to which the device's watchdog reverts, or
    the nearest to zero that it takes."""
    low_w: PowerW | None = None
    """Lower end of the safe band of its measured power; null: as the profile says."""
    high_w: PowerW | None = None
    """Upper end; null: as the profile says."""
    danger: str = Field("", max_length=200)
    """What happens outside of the band: `a heater at full power overheats`."""
    measured_by: str | None = None
    """Device whose power tells whether the band is reached; null: the actuator itself."""
    measured_point: Quantity = "power_w"
    """Where that device measures it."""
    within_s: DurationS | None = Field(None, gt=0, le=600)
    """What the device itself takes to get there; null: dead time and ramp of its profile."""
    watchdog: bool = True
    """false: the device's watchdog is switched off or not trusted."""
    interlock: str | None = Field(None, min_length=3, max_length=200)
    """Relay that opens by itself when nobody is in control, in words. null: none, then the device
    has a watchdog of its own, or the actuator is waived."""
    waived: Waiver | None = None
    """null: arming is refused without watchdog and interlock."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low_w is not None and self.high_w is not None and self.low_w > self.high_w:
            message = "low_w must not exceed high_w ({high} W)"
            raise PydanticCustomError("order", message, {"high": f"{self.high_w:g}"})
        return self


class Calibration(Model):
    """What is known of a point's error: true = gain · shown + offset, give or take."""

    point: Quantity
    gain: float = Field(1.0, gt=0, le=10)
    offset: float = 0.0
    """In the point's own unit."""
    uncertainty: float = Field(0.0, ge=0)
    """Half width of the 95 % interval of a corrected value, in the point's own unit."""
    date: dt.date | None = None
    expires: dt.date | None = None
    """From the next day on a run warns."""
    by: str = Field("", max_length=80)
    """Laboratory or person, certificate."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.date is not None and self.expires is not None and self.expires < self.date:
            message = "expires must not lie before date ({date})"
            raise PydanticCustomError("order", message, {"date": self.date.isoformat()})
        return self

    def corrected(self, shown: float) -> float:
        """Return the true value of one that the device shows."""
        return self.gain * shown + self.offset

    def expired(self, today: dt.date) -> bool:
        """Return whether it holds no longer."""
        return self.expires is not None and today > self.expires


class RangePrecondition(Model):
    """A value lies in a range: the tank is not too hot to take heat."""

    kind: Literal["range"] = "range"
    device: str = Field(pattern=ID)
    point: Quantity
    low: float = -1e9
    high: float = 1e9
    remedy: str = Field("", max_length=200)
    """What a person does about it."""

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        if self.low > self.high:
            message = "low must not exceed high ({high})"
            raise PydanticCustomError("order", message, {"high": f"{self.high:g}"})
        return self

    def holds(self, value: float | str | None) -> bool:
        """Return whether a value meets it."""
        return isinstance(value, int | float) and self.low <= value <= self.high

    @property
    def wanted(self) -> str:
        """What it asks for, in words."""
        if self.low <= -1e9:
            return f"at most {self.high:g}"
        return f"at least {self.low:g}" if self.high >= 1e9 else f"{self.low:g} … {self.high:g}"


class StatePrecondition(Model):
    """A value is one of several: the vehicle is plugged in."""

    kind: Literal["state"] = "state"
    device: str = Field(pattern=ID)
    point: Quantity
    one_of: tuple[str | int, ...] = Field(min_length=1, max_length=32)
    """Texts or whole numbers."""
    remedy: str = Field("", max_length=200)
    """What a person does about it."""

    def holds(self, value: float | str | None) -> bool:
        """Return whether a value meets it."""
        return value in self.one_of

    @property
    def wanted(self) -> str:
        """What it asks for, in words."""
        return " or ".join(str(item) for item in self.one_of)


Precondition = Annotated[RangePrecondition | StatePrecondition, Field(discriminator="kind")]


class Outlet(Model):
    """A switched power outlet that feeds other devices."""

    device: str = Field(pattern=ID)
    """Device of the rig that is the outlet: a plug or a relay."""
    point: Quantity = "on"
    powers: tuple[str, ...] = Field((), max_length=32)
    """Devices that lose their supply when it is off."""
    off_s: DurationS = Field(5.0, gt=0, le=600)
    """How long it stays off when a device is power cycled."""
