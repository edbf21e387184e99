"""Faults that a scenario injects: what, on whom, from when, for how long."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from .config import DurationS, Fraction, Model, PowerW


class _Window(Model):
    start_s: DurationS = Field(ge=0, le=31 * 86400)
    """Since the start of the run."""
    duration_s: DurationS = Field(ge=1, le=31 * 86400)
    """At least 1 s: loads look for faults once a second, a meter at its samples."""


class MeterFreeze(_Window):
    """The meter goes on answering with its last sample; the sample's stamp stands still."""

    kind: Literal["meter_freeze"] = "meter_freeze"


class MeterMissing(_Window):
    """Each sample is missing with a probability."""

    kind: Literal["meter_missing"] = "meter_missing"
    probability: Fraction = Field(1.0, gt=0, le=1)


class MeterOffset(_Window):
    """The meter reads each phase too high by an offset (negative: too low)."""

    kind: Literal["meter_offset"] = "meter_offset"
    offset_w: PowerW


class MeterWrongSign(_Window):
    """The meter counts the other way: import reads as export."""

    kind: Literal["meter_wrong_sign"] = "meter_wrong_sign"


class BroadcastLoss(_Window):
    """Each message is lost with this probability, on top of the mesh's own loss."""

    kind: Literal["broadcast_loss"] = "broadcast_loss"
    probability: Fraction = Field(0.5, gt=0, le=1)


class ExtraDelay(_Window):
    """Commands take longer through the mesh by this much."""

    kind: Literal["extra_delay"] = "extra_delay"
    delay_s: DurationS = Field(gt=0, le=4)


class CoordinatorRestart(_Window):
    """The coordinator is down: broadcasts are refused, acks are lost; its tables start empty."""

    kind: Literal["coordinator_restart"] = "coordinator_restart"


class LoadStuckOn(_Window):
    """A load draws full power whatever its set-point (its thermostat and cut-out still act)."""

    kind: Literal["load_stuck_on"] = "load_stuck_on"
    load: str


class LoadStuckOff(_Window):
    """A load draws nothing whatever its set-point; it still acknowledges."""

    kind: Literal["load_stuck_off"] = "load_stuck_off"
    load: str


class LoadVanished(_Window):
    """A load has left the network and draws nothing: no reception, no ack."""

    kind: Literal["load_vanished"] = "load_vanished"
    load: str


class ClockStep(_Window):
    """The meter's clock is off by this much: the stamps of its samples jump."""

    kind: Literal["clock_step"] = "clock_step"
    step_s: float = Field(ge=-31 * 86400, le=31 * 86400, allow_inf_nan=False)
    """Seconds; negative: into the past."""


FaultConfig = Annotated[
    MeterFreeze
    | MeterMissing
    | MeterOffset
    | MeterWrongSign
    | BroadcastLoss
    | ExtraDelay
    | CoordinatorRestart
    | LoadStuckOn
    | LoadStuckOff
    | LoadVanished
    | ClockStep,
    Field(discriminator="kind"),
]


def slot(fault: FaultConfig) -> str:
    """Return what a fault occupies; two faults of one slot must not overlap in time.

    A load can be stuck or vanished, one of them at a time; a sample can be frozen or missing.
    """
    if isinstance(fault, LoadStuckOn | LoadStuckOff | LoadVanished):
        return f"load {fault.load}"
    if isinstance(fault, MeterFreeze | MeterMissing):
        return "the meter's samples"
    return fault.kind
