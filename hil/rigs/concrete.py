"""From a rig file to single devices: patterns resolved, unit ids and Zigbee addresses given."""

from __future__ import annotations

import hashlib
import math
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final, Protocol

from ...sim.edge.config import EdgeConfig
from ...sim.export.config import ExportPlantConfig
from ...sim.points import Actuator
from ..devices.model import Attribute, DeviceProfile
from .model import Bus, Rig, RigDevice

_SET_POINTS: Final = frozenset({"power_setpoint_w", "power_limit_w", "current_setpoint_a"})
NOMINAL_V: Final = 230.0
_INT16: Final = 32767
_POWER_FACTORS: Final = frozenset({"W_SF", "VA_SF", "DCW_SF", "WRtg_SF", "VARtg_SF"})
_VOLTAGES: Final = frozenset({"PhVphA", "PhVphB", "PhVphC", "WH"})
_WATCHDOG: Final = (0xFC57, 0x0003)
"""Cluster and attribute of a power-controlled heater's own watchdog."""
_MAKER: Final = "00:12:4b"
"""First bytes of made-up Zigbee addresses; the bench's devices stand for TI's radios."""


class SitePlant(Protocol):
    """What is asked of the plant that devices stand for."""

    actuators: tuple[Actuator, ...]
    edge: EdgeConfig
    config: ExportPlantConfig


@dataclass(frozen=True, slots=True)
class RigSetup:
    """A rig and the profiles of its devices."""

    rig: Rig
    profiles: Mapping[str, DeviceProfile]
    """By the name under which its devices have them (`RigDevice.profile`)."""
    tape: Path | None = None
    """A tape that plays all its devices; None: they are there themselves."""

    @property
    def real(self) -> bool:
        """Whether real devices take part: only then are there locks and guardians."""
        return self.tape is None and self.rig.real


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


def concrete_for(setup: RigSetup, plant: SitePlant) -> tuple[ConcreteDevice, ...]:
    """Return the devices of a rig at a site, emulated ones as large as what they stand for."""
    by_name = {actuator.id: actuator for actuator in plant.actuators}
    report_s = plant.edge.device.report_period_s
    found = []
    for device in concrete(setup, plant.actuators):
        if device.emulated and device.serves:
            kind, _, name = device.serves[0].partition(".")
            actuator = by_name.get(name or kind)
            profile = _heater(device.profile, report_s) if kind == "load" else device.profile
            if actuator is not None:
                profile = _fitted(profile, actuator)
            if kind == "pv":
                profile = _as_large(profile, plant.config.pv.inverter_power_w)
            found.append(replace(device, profile=profile))
        else:
            found.append(device)
    return tuple(found)


def _fitted(profile: DeviceProfile, actuator: Actuator) -> DeviceProfile:
    """Return a profile with the ratings of an actuator of the plant."""
    ratings: dict[str, float | int] = {"power_w": actuator.high_w}
    low, high = actuator.low_w, actuator.high_w
    if actuator.kind == "charger":
        phases = sum(share > 0 for share in actuator.phase_shares)
        high = actuator.high_w / (NOMINAL_V * phases)
        ratings |= {"current_a": high, "phases": 3 if phases == 3 else 1}
    if actuator.kind == "battery":
        ratings["charge_power_w"] = -actuator.low_w
    actuators = tuple(
        item.model_copy(
            update={
                "low": min(item.low, low),
                "high": high,
                "default": min(max(item.default, min(item.low, low)), high),
            }
        )
        if item.quantity in _SET_POINTS
        else item
        for item in profile.actuators
    )
    fitted = profile.ratings.model_copy(update=ratings)
    return profile.model_copy(update={"ratings": fitted, "actuators": actuators})


def _as_large(profile: DeviceProfile, power_w: float) -> DeviceProfile:
    """Return a SunSpec inverter's profile that can say `power_w`.

    Its powers are 16 bits with a common power of ten, and what a driver takes for valid ends a
    little above the rating.
    """
    rated_w = profile.ratings.power_w
    chain = profile.modbus.sunspec if profile.modbus is not None else None
    if power_w <= rated_w or rated_w <= 0 or profile.modbus is None or chain is None:
        return profile
    ratio = power_w / rated_w
    exponent = max(math.ceil(math.log10(1.2 * power_w / _INT16)), 0)
    models = []
    for model in chain.models:
        points = {
            name: point.model_copy(update={"high": point.high * ratio})
            if point.high is not None and name[:1] in "WAV" and name not in _VOLTAGES
            else point
            for name, point in model.points.items()
        }
        values = {
            name: exponent if name in _POWER_FACTORS else value
            for name, value in model.values.items()
        }
        models.append(model.model_copy(update={"points": points, "values": values}))
    sunspec = chain.model_copy(update={"models": tuple(models)})
    modbus = profile.modbus.model_copy(update={"sunspec": sunspec})
    ratings = profile.ratings.model_copy(update={"power_w": power_w})
    return profile.model_copy(update={"modbus": modbus, "ratings": ratings})


def _heater(profile: DeviceProfile, report_s: float | None) -> DeviceProfile:
    """Return a Zigbee profile that reports every `report_s`, or never for None.

    Its watchdog is the plant's, which every load of the site has.
    """
    if profile.zigbee is None:
        return profile
    often = {} if report_s is None else {"min_s": report_s, "max_s": report_s, "change": 0.0}

    def changed(item: Attribute) -> Attribute:
        if (item.cluster, item.id) == _WATCHDOG:
            return item.model_copy(update={"value": 0})
        if item.reporting is None:
            return item
        reporting = None if report_s is None else item.reporting.model_copy(update=often)
        return item.model_copy(update={"reporting": reporting})

    attributes = tuple(changed(item) for item in profile.zigbee.attributes)
    zigbee = profile.zigbee.model_copy(update={"attributes": attributes})
    return profile.model_copy(update={"zigbee": zigbee})


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
