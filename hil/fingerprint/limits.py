"""What may be commanded during the experiments, and what the device is left at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from ..devices.model import Actuator, DeviceProfile, SafeBand
from .probe import ProbeError

#: What answers to a commanded quantity, best first.
RESPONSES: Final[dict[str, tuple[str, ...]]] = {
    "power_setpoint_w": ("power_w",),
    "power_limit_w": ("power_w",),
    "current_setpoint_a": ("current_a_a", "current_a", "power_w"),
    "level": ("power_w",),
    "on": ("power_w",),
}
#: Those that are commanded and measured in one unit, 1 : 1.
_SAME_UNIT: Final = {
    ("power_setpoint_w", "power_w"),
    ("power_limit_w", "power_w"),
    ("current_setpoint_a", "current_a_a"),
}
_LEAST_SHARE: Final = 0.2
"""Experiments stay inside a safe band that is at least this part of the range."""
_MOST_VOLTAGE_V: Final = 253.0
"""Highest voltage of the supply (EN 50160): a current takes no more power than with this."""
_ENABLE: Final = "enabled"
_LEAST_CURRENT_A: Final = 6.0
"""A charger charges with no less (IEC 61851-1)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """The range of set-points, and the safe one."""

    quantity: str
    response: str
    """Quantity that is read to see what the device does."""
    low: float
    """Least set-point that the experiments command, besides the safe one."""
    high: float
    span: float
    """The actuator's whole range, to which its ramp refers."""
    rest: float
    """Set-point that is commanded first, and from which moves begin."""
    enable: str | None
    """Quantity that has to be 1 for set-points to have an effect; None: there is none."""
    safe_quantity: str
    safe_value: float
    """What is commanded in the end, and how it is commanded: the set-point, or `enable` = 0."""
    band: SafeBand | None
    """What must be measured then; None: nothing is known of it."""
    danger: str
    leaves_band: bool
    """Whether set-points of the experiments lie outside of the safe band."""

    @property
    def same_unit(self) -> bool:
        """Whether a settled response is the set-point itself."""
        return (self.quantity, self.response) in _SAME_UNIT

    @property
    def unit(self) -> str:
        """Unit of the set-point."""
        ending = self.quantity.rpartition("_")[2]
        return {"w": "W", "a": "A"}.get(ending, "")


def limits_of(
    profile: DeviceProfile, actuator: Actuator, readable: tuple[str, ...], highest_w: float | None
) -> Limits:
    """Return what may be commanded to an actuator.

    Args:
        profile: of the device.
        actuator: of which only range, default and safe band are looked at.
        readable: quantities that can be read.
        highest_w: no set-point above this power, W; None: the actuator's own upper end.

    Raises:
        ProbeError: nothing shows what it does, or nothing is left to command.
    """
    candidates = RESPONSES.get(actuator.quantity, ())
    response = next((name for name in candidates if name in readable), None)
    if response is None:
        raise ProbeError(f"{profile.name}: no quantity shows what {actuator.quantity} does")
    high = actuator.high
    if highest_w is not None:
        high = min(high, _setpoint_of(profile, actuator, highest_w))
    low = max(actuator.low, 0.0) if actuator.quantity != "power_setpoint_w" else actuator.low
    if actuator.quantity == "current_setpoint_a":
        low = max(low, _LEAST_CURRENT_A)
    band = actuator.safe if actuator.safe and actuator.safe.quantity in readable else None
    rest, leaves = actuator.default, band is not None
    same = (actuator.quantity, response) in _SAME_UNIT
    if band is not None and band.quantity == response and same:
        rest = min(max(rest, band.low), band.high)
        wide = min(high, band.high) - max(low, band.low)
        if wide >= _LEAST_SHARE * (actuator.high - actuator.low):
            low, high, leaves = max(low, band.low), min(high, band.high), False
    elif band is not None:
        rest = low
    enable = _ENABLE if profile.actuator(_ENABLE) is not None else None
    if high - low < 0.05 * (actuator.high - actuator.low):
        raise ProbeError(
            f"{profile.name}: {low:g} … {high:g} is too narrow a range for {actuator.quantity}; "
            "allow more power"
        )
    span = actuator.high - actuator.low
    return Limits(
        quantity=actuator.quantity,
        response=response,
        low=low,
        high=high,
        span=span,
        rest=rest,
        enable=enable,
        safe_quantity=actuator.quantity if enable is None else enable,
        safe_value=rest if enable is None else 0.0,
        band=band,
        danger=actuator.danger,
        leaves_band=leaves,
    )


def _setpoint_of(profile: DeviceProfile, actuator: Actuator, power_w: float) -> float:
    """Return the set-point that makes a power at most, as far as that is known."""
    rated_w = profile.ratings.power_w
    if actuator.quantity.endswith("_a"):
        return power_w / (_MOST_VOLTAGE_V * profile.ratings.phases)
    if actuator.quantity in {"level", "on"}:
        # Nothing is known of the load behind it but its rating.
        return power_w / rated_w if rated_w > 0 and actuator.quantity == "level" else 0.0
    return power_w
