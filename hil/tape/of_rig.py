"""The header of the tape of a run on a rig."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping, Sequence
from typing import Any, Final, Literal

from ...sim.points import Actuator
from ..rigs.buses import Bus, ModbusRtuBus, ZnpBus
from ..rigs.concrete import RigSetup, concrete
from .model import TapeBus, TapeDevice, TapeHeader

_EPOCH: Final = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_MICROSECOND: Final = dt.timedelta(microseconds=1)


def header_of(
    setup: RigSetup,
    actuators: Sequence[Actuator],
    start_utc: dt.datetime,
    clock: Literal["virtual", "wall"],
    about: Mapping[str, Any],
) -> TapeHeader:
    """Return what a tape says of a rig.

    Args:
        setup: the rig and its profiles.
        actuators: of the scenario's plant; patterns of the rig stand for them.
        start_utc: UTC of simulated time 0.
        clock: of the run.
        about: what else is to be known: scenario, policy, seed. The rig goes there too, without
            passwords, so that the tape can take its place.
    """
    devices = tuple(
        TapeDevice(
            device.id,
            device.bus.id,
            device.entry.profile,
            unit=device.unit or None,
            ieee=device.ieee or None,
        )
        for device in concrete(setup, actuators)
    )
    used = {device.bus for device in devices}
    buses = tuple(
        TapeBus(bus.id, bus.kind, _place(bus)) for bus in setup.rig.buses if bus.id in used
    )
    plain = setup.rig.model_dump(mode="json")
    for bus in plain["buses"]:
        bus.pop("password", None)
    start_us = (start_utc - _EPOCH) // _MICROSECOND
    return TapeHeader(start_us, clock, buses, devices, {**about, "rig": plain})


def _place(bus: Bus) -> str:
    """Return where a bus is, empty for one whose address was not chosen."""
    path = getattr(bus, "path", None)
    if isinstance(bus, ModbusRtuBus):
        line = f"{bus.baud_rate} baud, parity {bus.parity}, {bus.stop_bits} stop bits"
        return line if path is None else f"{path}, {line}"
    if path is not None:
        return str(path)
    host, port = getattr(bus, "host", None), getattr(bus, "port", None)
    if isinstance(bus, ZnpBus) and host is None:
        return ""
    return f"{host}:{port}" if port else ""
