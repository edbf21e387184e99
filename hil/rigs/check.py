"""Whether a rig can realise a scenario: what stands in the way, a line each."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator, Sequence
from typing import Any, Protocol

from ...sim.faults import FaultConfig
from ...sim.profiles.config import ProfilesConfig
from ..devices.model import quantities, readable
from .actuators import Profiles, actuating, arming_problems, plans
from .fault_check import bus_fault_problems
from .model import Rig, RigDevice

_METER_FAULTS = frozenset(
    {"meter_freeze", "meter_missing", "meter_offset", "meter_wrong_sign", "clock_step"}
)
_MESH_FAULTS = frozenset({"broadcast_loss", "extra_delay", "coordinator_restart"})
_LOAD_FAULTS = frozenset({"load_stuck_on", "load_stuck_off", "load_vanished"})
_METER_NEEDS = "power_w"
_TOLERANCE = 1e-6


class CheckedClock(Protocol):
    """A scenario's clock as the check needs it."""

    @property
    def mode(self) -> str:
        """Virtual or wall."""

    @property
    def factor(self) -> float:
        """Simulated seconds a second."""

    @property
    def refresh_s(self) -> float:
        """After this an unchanged command is sent again."""


class CheckedScenario(Protocol):
    """A scenario as the check needs it."""

    @property
    def plant(self) -> Any:
        """Configuration of the plant."""

    @property
    def profiles(self) -> ProfilesConfig:
        """What comes to the plant from outside."""

    @property
    def clock(self) -> CheckedClock:
        """When, how long, how often."""

    @property
    def faults(self) -> Sequence[FaultConfig]:
        """What goes wrong, and when."""


def unpaired(rig: Rig) -> bool:
    """Return whether anything of the rig is uncontrolled.

    No two runs are alike then, and limits that compare runs are INCONCLUSIVE.
    """
    return rig.unpaired


def problems(rig: Rig, profiles: Profiles, scenario: CheckedScenario | None = None) -> list[str]:
    """Return why a rig cannot be used, or cannot realise a scenario; empty if it can.

    Args:
        rig: the rig.
        profiles: device profiles by the name under which its devices have them.
        scenario: overrides of the command line are already in it; None: the rig alone.
    """
    found = [*_addresses(rig, profiles), *_points(rig, profiles), *arming_problems(rig, profiles)]
    if scenario is not None:
        found += _clock(rig, scenario.clock)
        found += _watchdogs(rig, profiles, scenario.clock)
        found += _meter(rig, profiles)
        found += _loads(rig, profiles, scenario.plant)
        found += _sources(rig, profiles, scenario.plant)
        found += _driven(rig, scenario.profiles)
        found += _faults(rig, scenario.faults)
        found += bus_fault_problems(rig, profiles, scenario.plant, scenario.faults, readable)
    return list(dict.fromkeys(found))


def warnings(
    rig: Rig,
    profiles: Profiles,
    today: dt.date,
    scenario: CheckedScenario | None = None,
) -> list[str]:
    """Return what a person should know before a run; goes into the record too."""
    found = []
    for device in rig.devices:
        for item in device.calibration:
            if item.expired(today):
                found.append(
                    f"device '{device.id}': calibration of {item.point} expired on {item.expires}"
                )
    for device, _ in actuating(rig, profiles):
        if device.serial is None and "serial" in readable(profiles[device.profile]):
            found.append(
                f"device '{device.id}' is commanded, and no serial number is expected: another "
                "one at its address would not be noticed"
            )
    for device in rig.devices:
        for name in device.serves:
            # Loads, chargers and the meter of a real site are what they are: told once.
            declared = {name, name.partition(".")[0] + ".*"} & rig.quantities.keys()
            if not device.emulated and name != "witness" and not declared:
                found.append(
                    f"'{name}' is served by the real device '{device.id}' and not declared in "
                    "quantities: taken as uncontrolled, so that runs are not compared"
                )
    for device, actuator in actuating(rig, profiles):
        # Behind a coordinator set-points are broadcast, and nobody asks for them again.
        shown = quantities(profiles[device.profile].modbus, None)
        if actuator is not None and actuator.quantity not in shown:
            found.append(
                f"device '{device.id}': its {actuator.quantity} cannot be read back, so that "
                "somebody else's writes to it would not be noticed"
            )
    for plan in plans(rig, profiles):
        if plan.waived is not None and not plan.guarded:
            found.append(
                f"device '{plan.device}' has no watchdog and no interlock; waived by "
                f"{plan.waived.name}: {plan.waived.reason}"
            )
    if scenario is not None:
        known = {f"load.{load.id}" for load in scenario.plant.loads}
        known |= {f"charger.{charger.id}" for charger in scenario.plant.chargers}
        for device in rig.devices:
            for name in device.serves:
                kind, _, which = name.partition(".")
                if kind in {"load", "charger"} and which != "*" and name not in known:
                    found.append(f"device '{device.id}' serves {name}, which the scenario lacks")
    return list(dict.fromkeys(found))


def _addresses(rig: Rig, profiles: Profiles) -> Iterator[str]:
    """Two devices at one address answer for one another."""
    seen: dict[tuple[str, object], str] = {}
    for device in rig.devices:
        modbus = profiles[device.profile].modbus
        where: object = device.ieee
        if modbus is not None:
            where = modbus.unit if device.unit is None else device.unit
        if where is None:
            continue
        other = seen.setdefault((device.bus, where), device.id)
        if other != device.id:
            yield (
                f"devices '{other}' and '{device.id}' are both at {where} on bus '{device.bus}'; "
                "allowed: one each"
            )


def _points(rig: Rig, profiles: Profiles) -> Iterator[str]:
    """Whatever the rig reads or writes by name is in the device's profile."""
    for path, device, point in rig.named_points():
        if point not in readable(profiles[device.profile]):
            yield _lacks(device, point, ".".join(step for step in path if isinstance(step, str)))
    for device in rig.devices:
        known = readable(profiles[device.profile])
        if device.serial is not None and not device.emulated and "serial" not in known:
            yield (
                f"device '{device.id}': serial number {device.serial} cannot be verified, its "
                f"profile '{device.profile}' has none to read; allowed: no serial"
            )
    for plan in plans(rig, profiles):
        by = rig.device(plan.measured_by)
        if plan.measured_point not in readable(profiles[by.profile]):
            yield (
                f"device '{plan.device}': nothing measures whether it is safe, profile "
                f"'{by.profile}' has no {plan.measured_point}; allowed: safe.measured_by, a meter"
            )
    for outlet in rig.outlets:
        device = rig.device(outlet.device)
        if profiles[device.profile].actuator(outlet.point) is None:
            yield _lacks(device, outlet.point, "outlet")


def _lacks(device: RigDevice, point: str, what: str) -> str:
    return f"{what}: profile '{device.profile}' of device '{device.id}' has no point {point}"


def _clock(rig: Rig, clock: CheckedClock) -> Iterator[str]:
    if not rig.real:
        return
    if clock.mode != "wall":
        yield "the clock is virtual, and the rig has real devices; allowed: --clock wall"
    elif clock.factor != 1:
        yield f"the clock runs at {clock.factor:g} ×, and real devices do not; allowed: factor 1"


def _watchdogs(rig: Rig, profiles: Profiles, clock: CheckedClock) -> Iterator[str]:
    for plan in plans(rig, profiles):
        if plan.watchdog_s is not None and 0 < plan.watchdog_s <= clock.refresh_s:
            yield (
                f"device '{plan.device}': its watchdog expires after {plan.watchdog_s:g} s, and "
                f"commands are repeated every {clock.refresh_s:g} s; allowed: a shorter "
                "clock.refresh_s"
            )


def _meter(rig: Rig, profiles: Profiles) -> Iterator[str]:
    meter = rig.serving("grid")
    if meter is None:
        yield "the rig has no grid meter; allowed: a device with serves: [grid]"
    for device in (meter, rig.witness):
        if device is not None and _METER_NEEDS not in readable(profiles[device.profile]):
            yield _lacks(device, _METER_NEEDS, "meter")


def _loads(rig: Rig, profiles: Profiles, plant: Any) -> Iterator[str]:
    for load in plant.loads:
        device = rig.serving(f"load.{load.id}")
        if device is None:
            yield (
                f"nothing in the rig serves load '{load.id}'; allowed: a device with serves: "
                f"[load.{load.id}], or an emulated one with [load.*]"
            )
        elif not device.emulated:
            ratings = profiles[device.profile].ratings
            most_w = device.rated_power_w or ratings.power_w
            if most_w and most_w < load.rated_power_w * (1 - _TOLERANCE):
                yield (
                    f"load '{load.id}' has {load.rated_power_w:g} W in the scenario, and device "
                    f"'{device.id}' {most_w:g} W; allowed: at least as much"
                )
    for charger in plant.chargers:
        device = rig.serving(f"charger.{charger.id}")
        if device is None:
            yield (
                f"nothing in the rig serves charger '{charger.id}'; allowed: a device with "
                f"serves: [charger.{charger.id}], or an emulated one with [charger.*]"
            )
        elif not device.emulated:
            most_a = profiles[device.profile].ratings.current_a
            if most_a and most_a < charger.max_current_a * (1 - _TOLERANCE):
                yield (
                    f"charger '{charger.id}' has {charger.max_current_a:g} A in the scenario, and "
                    f"device '{device.id}' {most_a:g} A; allowed: at least as much"
                )


def _sources(rig: Rig, profiles: Profiles, plant: Any) -> Iterator[str]:
    battery = plant.battery
    if battery is not None and battery.mode == "commanded":
        device = rig.serving("battery")
        if device is None or profiles[device.profile].actuator("power_setpoint_w") is None:
            yield (
                "the scenario commands a battery, and nothing in the rig serves one that takes "
                "power set-points; allowed: a device with serves: [battery] and such a profile"
            )
        elif not device.emulated:
            most_w = device.rated_power_w or profiles[device.profile].ratings.power_w
            wanted_w = max(battery.max_charge_w, battery.max_discharge_w)
            if most_w and most_w < wanted_w * (1 - _TOLERANCE):
                yield (
                    f"the battery has {wanted_w:g} W in the scenario, and device '{device.id}' "
                    f"{most_w:g} W; allowed: at least as much"
                )
    if plant.pv.curtailable:
        device = rig.serving("pv")
        if device is None or profiles[device.profile].actuator("power_limit_w") is None:
            yield (
                "the scenario curtails the PV, and nothing in the rig serves pv with a power "
                "limit; allowed: a device with serves: [pv] and such a profile"
            )


def _driven(rig: Rig, profiles: ProfilesConfig) -> Iterator[str]:
    """What a scenario says about the sun or the house must be in the rig's hands."""
    for name in ("pv", "household"):
        if name in profiles.model_fields_set and rig.origin(name) == "uncontrolled":
            yield (
                f"the scenario says what {name} does (profiles.{name}), and it is uncontrolled in "
                f"this rig; allowed: a scenario without it, or quantities: {{{name}: played}}"
            )


def _faults(rig: Rig, faults: Sequence[FaultConfig]) -> Iterator[str]:
    for index, fault in enumerate(faults):
        place = f"fault {index} ({fault.kind})"
        if fault.kind in _METER_FAULTS:
            yield from _needs_emulated(rig, place, "grid")
        elif fault.kind in _MESH_FAULTS:
            for device in rig.devices:
                if not device.emulated and device.commanded:
                    yield (
                        f"{place} is of the emulated mesh, and device '{device.id}' is a real one"
                    )
        elif fault.kind in _LOAD_FAULTS:
            yield from _needs_emulated(rig, place, f"load.{getattr(fault, 'load', '')}")


def _needs_emulated(rig: Rig, place: str, what: str) -> Iterator[str]:
    device = rig.serving(what)
    if device is not None and not device.emulated:
        yield (f"{place} needs an emulated device, and {what} is served by the real '{device.id}'")
