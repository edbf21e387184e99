"""A user's own log as what `wattbench replay` shows to a policy."""

from __future__ import annotations

import dataclasses
import datetime as dt
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from .counterfactual_source import ReplayError, Source

if TYPE_CHECKING:
    from ..agents.policy import SiteInfo
    from ..sim.profiles.site_format import SiteLogFormat
    from ..sim.profiles.site_log import SiteLog


def of_log(places: Sequence[Path], site_name: str, form: Path | None) -> Source:
    """Return a log aligned to control steps, with the site of a scenario.

    Raises:
        ReplayError: a file or folder is not there.
        ProfileError: the log cannot be used.
        ScenarioErrors: the scenario, or the format's file, is not valid.
        UnknownScenarioError: there is no such scenario.
    """
    from ..hil.assembly import site_info
    from ..hil.logged import aligned, first_step_us, not_in_log
    from ..scenarios.library import locate
    from ..scenarios.load import load_scenario
    from ..sim import plant as plants
    from ..sim.profiles.site_log import read_site_log

    scenario = load_scenario(locate(site_name))
    zone = scenario.profiles.site.time_zone
    written = _format(form)
    for place in places:
        if not place.exists():
            raise ReplayError(f"--log {place}: no such file or folder")
    log = read_site_log(places, written, zone)
    actuators = plants.PLANTS[scenario.plant.kind].actuators(scenario.plant, scenario.edge)
    start = dt.datetime.fromtimestamp(first_step_us(log) / 1e6, dt.UTC)
    site = site_info(scenario, actuators)
    site = dataclasses.replace(site, start=start.astimezone(ZoneInfo(zone)))
    notes = list(log.notes)
    site = _with_reference(site, log, notes)
    observed, recorded = aligned(log, site)
    if not log.commands:
        notes.append("no commands: what was decided then is not known, so nothing is compared")
    elif not_in_log(site):
        names = ", ".join(not_in_log(site))
        notes.append(f"not in logged commands, taken as at their safe values: {names}")
    return Source(
        ", ".join(str(place) for place in places),
        "the logged controller",
        site,
        start.isoformat(),
        scenario.seeds[0],
        observed,
        recorded,
        (*scenario.policies, *scenario.baselines),
        observed.stale,
        notes,
    )


def _format(path: Path | None) -> SiteLogFormat:
    from ..scenarios.devices import load_model
    from ..sim.profiles.site_format import SiteLogFormat

    return SiteLogFormat() if path is None else load_model(path, SiteLogFormat)


def _with_reference(site: SiteInfo, log: SiteLog, notes: list[str]) -> SiteInfo:
    """Return the site with the set-point that the logged controller had."""
    import numpy as np

    if not len(log.reference_w):
        return site
    setpoint_w = float(np.median(log.reference_w))
    if np.ptp(log.reference_w) > 0:
        low, high = float(log.reference_w.min()), float(log.reference_w.max())
        notes.append(
            f"the controller's set-point moved between {low:g} and {high:g} W; policies are told "
            f"its median, {setpoint_w:g} W"
        )
    else:
        notes.append(f"set-point of grid power, as logged: {setpoint_w:g} W")
    return dataclasses.replace(site, setpoint_w=setpoint_w)
