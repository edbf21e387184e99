"""A device against its profile: which parameter is no longer what it was.

A parameter has drifted if what was measured lies outside of the profile's value ± (tolerance of
the profile + uncertainty of the measurement). The profile's tolerance is its own uncertainty
(95 %) where it was measured, else what a data sheet may be off by.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal

from ..devices.model import DeviceProfile
from .plan import Findings
from .profile import parameters, paths

Verdict = Literal["ok", "drifted", "not measured"]

DATA_SHEET_SHARE: Final = 0.05
"""Of a value that nobody measured."""
_LEAST: Final[Mapping[str, float]] = {
    "resolution": 0.0,
    "answer_s": 0.005,
    "answer_spread_s": 0.005,
}
_LEAST_S: Final = 0.02
"""Least tolerance of a time that nobody measured, s."""


@dataclass(frozen=True, slots=True)
class Row:
    """One parameter."""

    name: str
    path: str
    unit: str
    profile: float
    tolerance: float
    measured: float | None
    uncertainty: float | None
    verdict: Verdict
    note: str = ""

    def as_dict(self) -> dict[str, float | str | None]:
        """Return plain values."""
        return {
            "name": self.name,
            "path": self.path,
            "unit": self.unit,
            "profile": self.profile,
            "tolerance": self.tolerance,
            "measured": self.measured,
            "uncertainty": self.uncertainty,
            "verdict": self.verdict,
            "note": self.note,
        }


def doubtful(rows: list[Row]) -> list[str]:
    """Return a line for each parameter whose own uncertainty is larger than it: it cannot drift."""
    return [
        f"{row.path} is {row.profile:g} ± {row.tolerance:g} in the profile (95 %, twice its "
        "measured.uncertainty): hardly any drift of it would be told"
        for row in rows
        if row.profile > 0 and row.tolerance > row.profile > _LEAST_S
    ]


def compare(profile: DeviceProfile, found: Findings, index: int | None) -> list[Row]:
    """Return a row for each parameter of a profile.

    Args:
        profile: what the device should be.
        found: what it was measured to be.
        index: of the actuator that was measured; None: none was.
    """
    places = paths(profile, index)
    known = profile.measured.uncertainty if profile.measured is not None else {}
    rows = []
    for name, value in parameters(profile, index).items():
        path = places[name]
        if path in known:
            tolerance = 2.0 * known[path]
        else:
            tolerance = max(DATA_SHEET_SHARE * abs(value), _LEAST.get(name, _LEAST_S))
        estimate = found.estimates.get(name)
        if estimate is None:
            reason = found.untold.get(name, "not part of this measurement")
            unit = "s" if name.endswith("_s") else ""
            # A watchdog that is gone is the drift that matters most.
            gone = name == "watchdog_timeout_s" and reason.startswith("none")
            verdict: Verdict = "drifted" if gone else "not measured"
            rows.append(Row(name, path, unit, value, tolerance, None, None, verdict, reason))
            continue
        off = abs(estimate.value - value)
        within = off <= tolerance + estimate.uncertainty + 1e-9
        if name == "first_answer_s" and estimate.low <= 0:
            # It is no slower than others; a profile may say so by any smaller number.
            within = value <= estimate.high + tolerance
        rows.append(
            Row(
                name,
                path,
                estimate.unit,
                value,
                tolerance,
                estimate.value,
                estimate.uncertainty,
                "ok" if within else "drifted",
                estimate.note,
            )
        )
    return rows
