"""Faults that a scenario injects: what, on whom, from when, for how long.

Those of the plant's edge (meter, mesh, loads) act in the kernel on every rig. Those of a bus bend
frames, so they act only where there are bytes: `needs_bytes` tells which these are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Literal, get_args

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


class _OnBus(_Window):
    target: str = Field(pattern=r"^[a-z][a-z0-9_-]{0,47}$")
    """A bus of the rig, or one device on a bus, by its id."""


class _Passing(_OnBus):
    direction: Literal["both", "request", "answer"] = "both"
    """request: from the host to the device; answer: back."""


class BusDelay(_Passing):
    """Each frame arrives later by this much."""

    kind: Literal["bus_delay"] = "bus_delay"
    delay_s: DurationS = Field(gt=0, le=60)


class BusJitter(_Passing):
    """Each frame arrives later by a random time up to this; frames keep their order."""

    kind: Literal["bus_jitter"] = "bus_jitter"
    delay_s: DurationS = Field(gt=0, le=60)


class BusDrop(_Passing):
    """Each frame is lost with a probability."""

    kind: Literal["bus_drop"] = "bus_drop"
    probability: Fraction = Field(1.0, gt=0, le=1)


class BusDuplicate(_Passing):
    """Each frame arrives twice with a probability."""

    kind: Literal["bus_duplicate"] = "bus_duplicate"
    probability: Fraction = Field(1.0, gt=0, le=1)


class BusCorrupt(_Passing):
    """One byte of a frame is changed with a probability."""

    kind: Literal["bus_corrupt"] = "bus_corrupt"
    part: Literal["any", "header"] = "any"
    """header: what tells frames apart (the first bytes, up to the function or command); any: values
    too. Modbus TCP has no check sum, so no client can notice a changed value within its range."""
    probability: Fraction = Field(1.0, gt=0, le=1)


class BusBadCrc(_Passing):
    """The check of a frame is wrong with a probability; not on Modbus TCP, which has none."""

    kind: Literal["bus_bad_crc"] = "bus_bad_crc"
    probability: Fraction = Field(1.0, gt=0, le=1)


class BusWrongTransaction(_OnBus):
    """Answers carry the transaction id of another request; Modbus TCP only."""

    kind: Literal["bus_wrong_transaction"] = "bus_wrong_transaction"
    probability: Fraction = Field(1.0, gt=0, le=1)


class BusException(_OnBus):
    """Requests are refused with a code; the device does not see them."""

    kind: Literal["bus_exception"] = "bus_exception"
    code: int = Field(4, ge=1, le=255)
    """Modbus exception code (6: busy); on ZNP the error of the refusal."""
    probability: Fraction = Field(1.0, gt=0, le=1)


class BusDisconnect(_OnBus):
    """Connections are closed, and new ones refused."""

    kind: Literal["bus_disconnect"] = "bus_disconnect"


class PortVanish(_OnBus):
    """The port is gone, as if its USB plug were pulled or its host were down."""

    kind: Literal["port_vanish"] = "port_vanish"


class DeviceReboot(_OnBus):
    """A device is silent, then starts as after power was cut: what was written to it is lost."""

    kind: Literal["device_reboot"] = "device_reboot"
    factory: bool = False
    """Whether it has also lost what it keeps without power: settings in flash, its network."""


class ValueStuck(_OnBus):
    """A device goes on answering with what one of its values was when the fault began."""

    kind: Literal["value_stuck"] = "value_stuck"
    quantity: str | None = None
    """Of the device, for instance `power_w`; null: all that it measures."""


class BusBabble(_OnBus):
    """A device sends bytes that nobody asked for."""

    kind: Literal["bus_babble"] = "bus_babble"
    period_s: DurationS = Field(0.05, ge=0.001, le=60)
    """Mean time between two bursts."""
    content: Literal["noise", "answers"] = "noise"
    """noise: random bytes; answers: earlier answers once more."""


class SlowClient(_OnBus):
    """Other clients hold connections to the bus and send a request a byte at a time."""

    kind: Literal["slow_client"] = "slow_client"
    connections: int = Field(8, ge=1, le=256)
    period_s: DurationS = Field(1.0, ge=0.001, le=60)
    """Time between two bytes."""


BusFault = (
    BusDelay
    | BusJitter
    | BusDrop
    | BusDuplicate
    | BusCorrupt
    | BusBadCrc
    | BusWrongTransaction
    | BusException
    | BusDisconnect
    | PortVanish
    | DeviceReboot
    | ValueStuck
    | BusBabble
    | SlowClient
)
"""Faults that need a rig with bytes."""

BUS_FAULTS: dict[str, type[BusFault]] = {
    str(model.model_fields["kind"].default): model for model in get_args(BusFault)
}


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
    | ClockStep
    | BusFault,
    Field(discriminator="kind"),
]


def slot(fault: FaultConfig) -> str:
    """Return what a fault occupies; two faults of one slot must not overlap in time.

    A load can be stuck or vanished, one of them at a time; a sample can be frozen or missing.
    Faults of a bus add up, each kind once on a target.
    """
    if isinstance(fault, LoadStuckOn | LoadStuckOff | LoadVanished):
        return f"load {fault.load}"
    if isinstance(fault, MeterFreeze | MeterMissing):
        return "the meter's samples"
    if isinstance(fault, BusFault):
        return f"{fault.kind} of {fault.target}"
    return fault.kind


def needs_bytes(faults: Iterable[FaultConfig]) -> list[BusFault]:
    """Return the faults that act on frames: rigs without bytes cannot have them."""
    return [fault for fault in faults if isinstance(fault, BusFault)]


def refusal_without_bytes(faults: Iterable[FaultConfig], rig: str) -> str | None:
    """Return why a rig without bytes cannot run a scenario's faults, None if it can."""
    kinds = sorted({fault.kind for fault in needs_bytes(faults)})
    if not kinds:
        return None
    return (
        f"rig '{rig}' has no bytes, but the scenario has faults that act on them "
        f"({', '.join(kinds)}); allowed: rig emulated or a rig file, or a scenario without them"
    )
