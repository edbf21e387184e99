"""What of a rig takes set-points, what is safe for it, and who would make it safe if nobody did."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Final

from ...sim.config import Model
from ..devices.model import Actuator, DeviceProfile
from .model import Rig, RigDevice
from .safety import Safe, Waiver

Profiles = Mapping[str, DeviceProfile]
"""Device profiles by the name under which a rig's devices have them."""

_PREFERRED: Final = (
    "enabled",
    "power_setpoint_w",
    "power_limit_w",
    "current_setpoint_a",
    "on",
    "level",
)
"""Which of a device's actuators is taken to make it safe, first come first."""


_SETTLE_S: Final = 1.5
"""Longest that is waited for what a device may still have in hand."""


class SafePlan(Model):
    """An actuator of a rig and how it is made safe, complete."""

    device: str
    serial: str | None
    point: str
    """What is written."""
    value: float
    """The safe value, in the unit of the point."""
    low_w: float
    high_w: float
    danger: str
    measured_by: str
    measured_point: str
    device_s: float
    """What the device itself takes from a command to its whole effect."""
    settle_s: float
    """A command that was under way may still act for this long after the safe value was written,
    and the device's values may be as old: only then does being inside the band count."""
    watchdog_s: float | None
    """After which the device reverts by itself; None: it does not."""
    interlock: str | None
    waived: Waiver | None

    @property
    def guarded(self) -> bool:
        """Whether something makes it safe though no process of ours runs any more."""
        return self.watchdog_s is not None or self.interlock is not None


def actuating(rig: Rig, profiles: Profiles) -> Iterator[tuple[RigDevice, Actuator | None]]:
    """Yield the real devices that a run writes to, and what of their profile makes them safe."""
    for device in rig.devices:
        if device.emulated:
            continue
        profile = profiles[device.profile]
        limited = "pv" in device.serves and profile.actuator("power_limit_w") is not None
        if device.commanded or device.safe is not None or limited:
            yield device, _preferred(profile, device.safe)


def plans(rig: Rig, profiles: Profiles) -> list[SafePlan]:
    """Return how each actuator of a rig is made safe; those that cannot be are left out."""
    return [
        plan
        for device, actuator in actuating(rig, profiles)
        if actuator is not None and (plan := _plan(device, actuator, profiles)) is not None
    ]


def arming_problems(rig: Rig, profiles: Profiles) -> list[str]:
    """Return why a rig cannot be armed, a line for each actuator; empty if it can."""
    problems = []
    for device, actuator in actuating(rig, profiles):
        if actuator is None:
            problems.append(
                f"device '{device.id}': profile '{device.profile}' has nothing to command it by; "
                "allowed: a profile with an actuator"
            )
            continue
        plan = _plan(device, actuator, profiles)
        if plan is None:
            problems.append(
                f"device '{device.id}' has no safe band; allowed: safe with low_w, high_w and "
                "danger, or one in its profile"
            )
        elif not plan.danger:
            problems.append(
                f"device '{device.id}': nobody says what its danger is; allowed: safe.danger"
            )
        elif not plan.guarded and plan.waived is None:
            problems.append(
                f"device '{device.id}' has neither a watchdog nor an interlock relay, so that "
                f"nothing keeps it from '{plan.danger}' when wattbench is gone; allowed: "
                "safe.interlock, or safe.waived with name and reason"
            )
    return problems


def waivers(rig: Rig, profiles: Profiles) -> list[dict[str, str]]:
    """Return for the record who waived what."""
    return [
        {"device": plan.device, "name": plan.waived.name, "reason": plan.waived.reason}
        for plan in plans(rig, profiles)
        if plan.waived is not None and not plan.guarded
    ]


def _preferred(profile: DeviceProfile, safe: Safe | None) -> Actuator | None:
    if safe is not None and safe.point is not None:
        return profile.actuator(safe.point)
    found = {actuator.quantity: actuator for actuator in profile.actuators}
    return next((found[name] for name in _PREFERRED if name in found), None)


def _banded(profile: DeviceProfile, chosen: Actuator) -> Actuator:
    """Return the actuator with the device's safe band of power: the chosen one, or another."""
    for actuator in (chosen, *profile.actuators):
        if actuator.safe is not None and actuator.safe.quantity.endswith("_w"):
            return actuator
    return chosen


def _plan(device: RigDevice, actuator: Actuator, profiles: Profiles) -> SafePlan | None:
    """Return how a device is made safe, None if neither rig nor profile has a band for it."""
    safe = device.safe or Safe()
    banded = _banded(profiles[device.profile], actuator)
    band = banded.safe if banded.safe and banded.safe.quantity.endswith("_w") else None
    low_w = band.low if safe.low_w is None and band is not None else safe.low_w
    high_w = band.high if safe.high_w is None and band is not None else safe.high_w
    if low_w is None or high_w is None:
        return None
    dog = (banded.watchdog or actuator.watchdog) if safe.watchdog else None
    nearest = min(max(0.0, actuator.low), actuator.high)
    value = actuator.watchdog.value if actuator.watchdog is not None else nearest
    # A watchdog whose time is a register counts: the driver sets it.
    watched = dog is not None and (dog.timeout_s > 0 or dog.timeout_register is not None)
    return SafePlan(
        device=device.id,
        serial=device.serial,
        point=actuator.quantity,
        value=value if safe.value is None else safe.value,
        low_w=low_w,
        high_w=high_w,
        danger=safe.danger or banded.danger or actuator.danger,
        measured_by=safe.measured_by or device.id,
        measured_point=safe.measured_point if safe.measured_by or band is None else band.quantity,
        device_s=safe.within_s or max(one.dead_time_s + one.ramp_s for one in (actuator, banded)),
        settle_s=min(actuator.dead_time_s + profiles[device.profile].timing.refresh_s, _SETTLE_S),
        watchdog_s=dog.timeout_s if dog is not None and watched else None,
        interlock=safe.interlock,
        waived=safe.waived,
    )
