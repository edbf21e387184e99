"""How much is measured, and what was found."""

from __future__ import annotations

from dataclasses import dataclass, field

from .estimate import Estimate


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is measured; times in s of the clock."""

    seed: int = 1
    """Of the random set-points and pauses."""
    answers: int = 120
    """Requests that the answer times are taken from."""
    idle_s: float = 65.0
    """Pause before what may be a slow first answer."""
    first_answers: int = 2
    longest_gap_s: float = 4.0
    moves: int = 16
    """Set-points that are commanded."""
    still_s: float = 3.0
    """Without a change for this long, what was commanded has happened."""
    patience_s: float = 60.0
    """How long a first effect is waited for."""
    expiries: int = 10
    """Of the watchdog, that are waited for."""
    watchdog_limit_s: float = 180.0
    """A watchdog that has not expired by then is taken for none; 0: it is not measured."""


@dataclass(slots=True)
class Findings:
    """What was measured."""

    estimates: dict[str, Estimate] = field(default_factory=dict)
    """By name: ``refresh_s``, ``dead_time_s`` …"""
    facts: dict[str, str] = field(default_factory=dict)
    """What is no number: ``too_early``, ``rearmed_by``."""
    fallback: float | None = None
    """What the commanded quantity becomes when the watchdog expires."""
    untold: dict[str, str] = field(default_factory=dict)
    """Why a parameter could not be estimated, by name."""
    identity: dict[str, str] = field(default_factory=dict)
    answers_s: list[float] = field(default_factory=list)
    safe: bool | None = None
    """Whether the device was measured in its safe band at the end; None: it was never left."""
    safe_note: str = ""
    complete: bool = False
