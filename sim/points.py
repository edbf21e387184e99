"""Points: the named quantities at a plant's edge, and the actuators behind its action points."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

ActuatorKind = Literal["load", "charger", "battery", "pv_limit"]


@dataclass(frozen=True, slots=True)
class Point:
    """A named quantity with its unit and range; ``path`` is also its column in a trace."""

    path: str
    unit: str
    low: float = float("-inf")
    high: float = float("inf")


@dataclass(frozen=True, slots=True)
class Actuator:
    """Something that takes a power set-point.

    Signs: loads and chargers consume (≥ 0), a battery discharges with + and charges with −,
    ``pv_limit`` is the cap on PV power (≥ 0).
    """

    id: str
    kind: ActuatorKind
    phase_shares: tuple[float, float, float]
    """Share of its power on phases a, b, c; sums to 1."""
    low_w: float
    """Smallest admissible set-point: 0 for loads, −max_charge_w for a battery."""
    high_w: float
    min_on_w: float
    """Smallest set-point above zero that does anything (a charger's 6 A); 0 if none."""
    resolution_w: float
    min_on_s: float
    min_off_s: float
    safe_w: float
    """Set-point that is safe when nobody is in control."""
    danger: str
    """What happens outside the safe band, in words."""
