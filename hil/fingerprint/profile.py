"""What a fingerprint and a device profile say of each other.

A profile's numbers in time are its *parameters*, each with a path such as ``timing.refresh_s`` or
``actuators.0.dead_time_s``. `blind` takes them out, `measured` puts measured ones in.
"""

from __future__ import annotations

import datetime as dt
from typing import Any, Final

from ..devices.model import Actuator, DeviceProfile, Measured, Timing, Watchdog
from .estimate import Estimate
from .limits import RESPONSES
from .plan import Findings

_TIMING: Final = (
    *("refresh_s", "answer_s", "answer_spread_s", "first_answer_s"),
    *("min_gap_s", "min_command_gap_s"),
)
_ACTUATOR: Final = ("resolution", "dead_time_s", "ramp_s")
_WATCHDOG: Final = {"watchdog_timeout_s": "timeout_s", "watchdog_slack_s": "slack_s"}
_DIGITS: Final = 2
"""Of an uncertainty; the value is rounded to the same place."""


def actuator_of(profile: DeviceProfile, readable: tuple[str, ...]) -> int | None:
    """Return the index of the actuator whose effect can be measured, None if there is none."""
    for index, actuator in enumerate(profile.actuators):
        if any(name in readable for name in RESPONSES.get(actuator.quantity, ())):
            return index
    return None


def blind(profile: DeviceProfile) -> DeviceProfile:
    """Return a profile without any parameter: what it serves, not how fast.

    What is left is the register map, ratings, ranges and safe bands. Names of registers that a
    watchdog is set with stay, too.
    """
    actuators = tuple(
        Actuator(
            quantity=actuator.quantity,
            low=actuator.low,
            high=actuator.high,
            default=actuator.default,
            safe=actuator.safe,
            danger=actuator.danger,
        )
        for actuator in profile.actuators
    )
    update = {"timing": Timing(), "actuators": actuators, "measured": None}
    return profile.model_copy(update=update)


def _timing(profile: DeviceProfile) -> tuple[str, ...]:
    """Return the parameters of `timing`.

    None behind a mesh: how fast that answers is not the device's doing, and its refresh says how
    often it looks for something to report.
    """
    return _TIMING if profile.bus == "modbus" else ()


def paths(profile: DeviceProfile, index: int | None) -> dict[str, str]:
    """Return the path of each parameter by the name of its estimate."""
    found = {name: f"timing.{name}" for name in _timing(profile)}
    if index is not None:
        found |= {name: f"actuators.{index}.{name}" for name in _ACTUATOR}
        found |= {key: f"actuators.{index}.watchdog.{name}" for key, name in _WATCHDOG.items()}
    return found


def parameters(profile: DeviceProfile, index: int | None) -> dict[str, float]:
    """Return the profile's own parameters by the names of their estimates.

    A watchdog whose time is set over the bus, or written with each command, is none of the
    profile's parameters.
    """
    found = {name: float(getattr(profile.timing, name)) for name in _timing(profile)}
    if index is None:
        return found
    actuator = profile.actuators[index]
    found |= {name: float(getattr(actuator, name)) for name in _ACTUATOR}
    dog = actuator.watchdog
    if dog is not None and dog.timeout_register is None and not dog.reversion and dog.timeout_s:
        found |= {key: float(getattr(dog, name)) for key, name in _WATCHDOG.items()}
    return found


def stated(estimate: Estimate) -> tuple[float, float]:
    """Return value and half-width of the 95 % interval as a profile states them, rounded.

    What may as well be nothing is stated as 0, up to the upper end.
    """
    value, half = estimate.value, estimate.uncertainty
    if estimate.low <= 0 and estimate.note:
        value, half = 0.0, estimate.high
    if half <= 0:
        return round(value, 6), 0.0
    return _rounded(value, half)


def _rounded(value: float, half: float) -> tuple[float, float]:
    import math

    place = _DIGITS - 1 - math.floor(math.log10(half))
    step = 10.0**-place
    # Rounding the value costs half a step; the interval must still hold what it held.
    shown = round(value, place)
    return shown, round(math.ceil((half + abs(shown - value)) / step) * step, place)


def measured(
    profile: DeviceProfile, found: Findings, index: int | None, date: dt.date
) -> DeviceProfile:
    """Return a profile with what was measured in the place of its parameters.

    What was not measured stays as it was, and is not among the uncertainties.
    """
    places = paths(profile, index)
    values = {name: stated(found.estimates[name]) for name in places if name in found.estimates}
    # A profile keeps standard uncertainties; an interval of 95 % is about twice as wide each way.
    uncertainty = {places[name]: half / 2 for name, (_, half) in values.items()}
    timing: dict[str, Any] = {name: values[name][0] for name in _timing(profile) if name in values}
    if "too_early" in found.facts and timing.get("min_gap_s"):
        timing["too_early"] = found.facts["too_early"]
    update: dict[str, Any] = {
        "timing": profile.timing.model_copy(update=timing),
        "measured": Measured(date=date, uncertainty=uncertainty),
    }
    if index is not None:
        actuators = list(profile.actuators)
        actuators[index] = _actuator(actuators[index], values, found)
        update["actuators"] = tuple(actuators)
    if found.identity:
        known = {"serial", "firmware"} & found.identity.keys()
        who = {name: found.identity[name] for name in known}
        update["identity"] = profile.identity.model_copy(update=who)
    # Once more through the model: what was measured must be a profile that can be read.
    return DeviceProfile.model_validate(profile.model_copy(update=update).model_dump())


def _actuator(
    actuator: Actuator, values: dict[str, tuple[float, float]], found: Findings
) -> Actuator:
    update: dict[str, Any] = {n: values[n][0] for n in _ACTUATOR if n in values}
    dog = actuator.watchdog
    set_by_client = dog is not None and (dog.reversion or dog.timeout_register is not None)
    if "watchdog_timeout_s" in values and not set_by_client:
        changes: dict[str, Any] = {
            name: values[key][0] for key, name in _WATCHDOG.items() if key in values
        }
        changes["rearmed_by"] = found.facts.get("rearmed_by", "write")
        if found.fallback is not None:
            changes["value"] = found.fallback
        base = Watchdog(timeout_s=0) if dog is None else dog
        update["watchdog"] = base.model_copy(update=changes)
    elif found.untold.get("watchdog_timeout_s", "").startswith("none") and not set_by_client:
        update["watchdog"] = None
    return actuator.model_copy(update=update)
