"""From a rig file to single devices: patterns resolved, unit ids and Zigbee addresses given."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from ...sim.points import Actuator
from ..devices.model import DeviceProfile
from .model import Bus, Rig, RigDevice

_MAKER: Final = "00:12:4b"
"""First bytes of made-up Zigbee addresses; the bench's devices stand for TI's radios."""


@dataclass(frozen=True, slots=True)
class RigSetup:
    """A rig and the profiles of its devices."""

    rig: Rig
    profiles: Mapping[str, DeviceProfile]
    """By the name under which its devices have them (`RigDevice.profile`)."""


@dataclass(frozen=True, slots=True)
class ConcreteDevice:
    """One device at one address."""

    id: str
    profile: DeviceProfile
    bus: Bus
    unit: int
    """Modbus unit id; 0 for a Zigbee device."""
    ieee: str
    """Zigbee address, empty for a Modbus device."""
    slot: int
    """Number in set-power broadcasts: the actuator's; −1: none."""
    serves: tuple[str, ...]
    entry: RigDevice
    """What the rig file says of it."""

    @property
    def emulated(self) -> bool:
        """Whether wattbench plays it."""
        return self.entry.emulated

    def identity(self) -> dict[str, str]:
        """Return what the record says about it before it has been asked."""
        identity = self.profile.identity
        return {
            "device": self.id,
            "profile": self.profile.name,
            "serves": ", ".join(self.serves),
            "kind": "emulated" if self.emulated else "real",
            "model": f"{identity.manufacturer} {identity.model}",
            "serial": self.entry.serial or "",
            "firmware": self.entry.firmware or "",
        }


def concrete(setup: RigSetup, actuators: Sequence[Actuator] = ()) -> tuple[ConcreteDevice, ...]:
    """Return every device of a rig, `load.*` and `charger.*` as one device each.

    With `actuators`, those of a scenario: patterns stand for its loads and chargers, and devices
    whose actuators it lacks are left out. Without them a pattern stands for one device of its own.
    """
    found: list[ConcreteDevice] = []
    places = {actuator.id: k for k, actuator in enumerate(actuators)}
    taken: Counter[str] = Counter()
    for entry in setup.rig.devices:
        profile, bus = setup.profiles[entry.profile], setup.rig.bus(entry.bus)
        for name, serves in _instances(entry, actuators):
            if entry.emulated and actuators and serves and not _wanted(serves, places):
                continue
            is_modbus = profile.modbus is not None
            unit = 0
            if profile.modbus is not None:
                unit = (entry.unit or profile.modbus.unit) + taken[entry.id]
            load = next((s.partition(".")[2] for s in serves if s.startswith("load.")), "")
            found.append(
                ConcreteDevice(
                    id=name,
                    profile=profile,
                    bus=bus,
                    unit=unit,
                    ieee="" if is_modbus else (entry.ieee or made_up_ieee(name)),
                    slot=places.get(load, -1) if not is_modbus else -1,
                    serves=serves,
                    entry=entry,
                )
            )
            taken[entry.id] += 1
    return tuple(found)


def made_up_ieee(name: str) -> str:
    """Return the Zigbee address of an emulated device that the rig file gives none."""
    digest = hashlib.sha256(name.encode()).digest()[:5]
    return ":".join([_MAKER, *(f"{byte:02x}" for byte in digest)])


def _wanted(serves: Sequence[str], places: Mapping[str, int]) -> bool:
    """Return whether a site with these actuators has anything that a device serves."""
    for name in serves:
        kind, _, own = name.partition(".")
        if kind not in {"load", "charger", "battery"} or (own or kind) in places:
            return True
    return False


def _instances(
    entry: RigDevice, actuators: Sequence[Actuator]
) -> Iterator[tuple[str, tuple[str, ...]]]:
    """Yield (id, what it serves) of the devices that an entry stands for."""
    pattern = next((name for name in entry.serves if name.endswith(".*")), None)
    if pattern is None:
        yield entry.id, entry.serves
        return
    kind = pattern.partition(".")[0]
    own = [name for name in entry.serves if name != pattern]
    if not actuators:
        yield entry.id, ()
        return
    for actuator in actuators:
        if actuator.kind == kind:
            yield f"{entry.id}-{actuator.id}", (f"{kind}.{actuator.id}", *own)
