"""A user's own log as a control loop would have met it: aligned to control steps, causally.

The steps begin at the first whole second from the meter's first row on. At each one the newest
sample is the last row *at or before* it, with its age; nothing is ever taken from a later row. A
command belongs to the step in which it left. What an actuator was told before the first logged
command nobody knows, so those steps are not compared.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from ..agents.policy import SiteInfo
from ..sim.clock import US_PER_S
from ..sim.profiles.site_log import Command, SiteLog
from .counterfactual import Decisions, Observed, Sends

_PHASES = "abc"


def first_step_us(log: SiteLog) -> int:
    """Return the time of the first step, µs since 1970."""
    return -(-int(log.at_us[0]) // US_PER_S) * US_PER_S


def aligned(log: SiteLog, site: SiteInfo) -> tuple[Observed, Decisions]:
    """Return what a loop would have met and what was commanded.

    Decisions before the guard are NaN: a log does not have them.

    Raises:
        ProfileError: a command does not fit the site's loads.
    """
    origin_us = first_step_us(log)
    period_us = round(site.control_period_s * US_PER_S)
    count = max((int(log.at_us[-1]) - origin_us) // period_us + 1, 1)
    t_us = np.arange(count, dtype=np.int64) * period_us
    newest = np.searchsorted(log.at_us, origin_us + t_us, side="right") - 1
    sampled_us = log.at_us[newest]
    sends = _sends(log, site, origin_us, period_us, count)
    observed = Observed(
        t_us,
        log.values[newest],
        sampled_us - log.at_us[0],
        np.ones(count, dtype=bool),
        (origin_us + t_us - sampled_us) / US_PER_S,
        None,
        sends,
    )
    standing = np.searchsorted(sends.after_step, np.arange(count), side="right") - 1
    guarded_w = np.full((count, len(site.actuators)), np.nan)
    known = standing >= 0
    guarded_w[known] = sends.power_w[standing[known]]
    unknown = np.full_like(guarded_w, np.nan)
    return observed, Decisions(unknown, guarded_w, known)


def not_in_log(site: SiteInfo) -> list[str]:
    """Return the actuators that a logged command has no place for: those not on one phase."""
    placed = {k for places in _places(site) for k in places}
    return [actuator.id for k, actuator in enumerate(site.actuators) if k not in placed]


def _sends(log: SiteLog, site: SiteInfo, origin_us: int, period_us: int, steps: int) -> Sends:
    """Return the commands that left before the last step's end, in set-points of all actuators."""
    places = _places(site)
    safe_w = np.array([actuator.safe_w for actuator in site.actuators], dtype=np.float64)
    after, sent_us, power_w = [], [], []
    for command in log.commands:
        t_us = command.at_us - origin_us
        step = t_us // period_us
        if step >= steps:
            break
        after.append(step)
        sent_us.append(t_us)
        power_w.append(_set_points(command, places, safe_w))
    return Sends(
        np.array(after, dtype=np.int64),
        np.array(sent_us, dtype=np.int64),
        np.array(power_w, dtype=np.float64).reshape(-1, len(safe_w)),
    )


def _places(site: SiteInfo) -> list[list[int]]:
    """Return the places of each phase's actuators, in their order."""
    return [
        [
            k
            for k, actuator in enumerate(site.actuators)
            if actuator.kind in {"load", "charger"} and actuator.phase_shares[phase] == 1.0
        ]
        for phase in range(3)
    ]


def _set_points(
    command: Command, places: list[list[int]], safe_w: NDArray[np.float64]
) -> NDArray[np.float64]:
    set_points = safe_w.copy()
    for phase, powers, own in zip(_PHASES, command.power_w, places, strict=True):
        if len(powers) != len(own):
            raise command.error(
                f"the command has {len(powers)} loads on phase {phase}, the site {len(own)}",
                "give the scenario whose plant has the loads of this log (--site)",
            )
        set_points[own] = powers
    return set_points
