"""Building a site's profiles: everything that reaches the plant from outside, row by second."""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from ..export.config import ExportPlantConfig
from .config import (
    ConstantHousehold,
    FileHousehold,
    FilePv,
    GeneratedHousehold,
    ProfilesConfig,
)
from .draws import draw_power_w
from .findings import FileReport

#: Channels before those of the loads: PV per watt-peak, household W and var by phase.
PV_CHANNEL = 0
HOUSEHOLD_CHANNEL = 1
REACTIVE_CHANNEL = 4
DRAW_CHANNEL = 7


@dataclass(frozen=True, slots=True)
class SiteProfiles:
    """A site's profiles over a run; row t describes the second [t, t + 1) after its start."""

    values: NDArray[np.float32]
    """``[T + 1, C]``, C-contiguous."""
    channels: tuple[str, ...]
    """Names of the C columns, units at their ends."""
    reports: tuple[FileReport, ...] = ()
    """What was found in the user's logs, if any were read."""

    def hash(self) -> str:
        """Return a SHA-256 of channels and values, as hex digits."""
        digest = hashlib.sha256("\n".join(self.channels).encode())
        digest.update(np.ascontiguousarray(self.values, dtype="<f4").tobytes())
        return digest.hexdigest()


def build(
    config: ProfilesConfig,
    plant: ExportPlantConfig,
    start_utc: datetime,
    duration_s: int,
    seed: int,
    folder: Path = Path(),
) -> SiteProfiles:
    """Build the profiles of a run; the same arguments give the same bytes.

    Generated days depend on seed and calendar date only: a later start or a longer run sees the
    same day.

    Args:
        config: site, PV and household.
        plant: its PV rating and phases, and the tanks of its loads.
        start_utc: start of the run, time-zone aware; a fraction of a second is dropped.
        duration_s: length of the run T in seconds.
        seed: of the run.
        folder: what relative paths of logs are relative to (the scenario's folder).

    Returns:
        T + 1 rows of ``pv.power_per_peak`` (AC W per Wp before the inverter's limit),
        ``household.{a,b,c}.power_w``, ``household.{a,b,c}.reactive_power_var`` and, for each load
        in the plant's order, ``load.<id>.draw_w`` (thermal power asked of its tank).

    Raises:
        ProfileError: a user's log cannot be used.
        ValueError: the start has no time zone, or the duration is not positive.
    """
    if start_utc.utcoffset() is None:
        raise ValueError("start_utc must carry a time zone")
    if duration_s < 1:
        raise ValueError("duration_s must be at least 1")
    start_utc = start_utc.replace(microsecond=0)

    values = np.zeros((duration_s + 1, DRAW_CHANNEL + len(plant.loads)), dtype=np.float32)
    reports: list[FileReport] = []
    values[:, PV_CHANNEL] = _pv(config, plant, start_utc, duration_s, seed, folder, reports)
    active_w, reactive_var = _household(config, plant, start_utc, duration_s, seed, folder, reports)
    values[:, HOUSEHOLD_CHANNEL : HOUSEHOLD_CHANNEL + 3] = active_w.T
    values[:, REACTIVE_CHANNEL : REACTIVE_CHANNEL + 3] = reactive_var.T
    for column, load in enumerate(plant.loads, start=DRAW_CHANNEL):
        values[:, column] = draw_power_w(load, start_utc, duration_s, config.site.time_zone, seed)
    return SiteProfiles(values, channel_names(plant), tuple(reports))


def channel_names(plant: ExportPlantConfig) -> tuple[str, ...]:
    """Return the names of the channels of a plant's profiles, in order."""
    return (
        "pv.power_per_peak",
        *(f"household.{phase}.power_w" for phase in "abc"),
        *(f"household.{phase}.reactive_power_var" for phase in "abc"),
        *(f"load.{load.id}.draw_w" for load in plant.loads),
    )


def _pv(
    config: ProfilesConfig,
    plant: ExportPlantConfig,
    start_utc: datetime,
    duration_s: int,
    seed: int,
    folder: Path,
    reports: list[FileReport],
) -> NDArray[np.float64]:
    peak_w = plant.pv.peak_power_w
    if isinstance(config.pv, FilePv):
        from .files import pv_per_peak

        power, report = pv_per_peak(
            config.pv, peak_w, start_utc, duration_s, config.site.time_zone, folder
        )
        reports.append(report)
        return power
    if peak_w == 0.0:
        return np.zeros(duration_s + 1)
    from .pv import power_per_peak

    return power_per_peak(config.site, config.pv, peak_w, start_utc, duration_s, seed)


def _household(
    config: ProfilesConfig,
    plant: ExportPlantConfig,
    start_utc: datetime,
    duration_s: int,
    seed: int,
    folder: Path,
    reports: list[FileReport],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    household = config.household
    zone = config.site.time_zone
    if isinstance(household, GeneratedHousehold):
        from . import household as generated

        return generated.household_power(household, start_utc, duration_s, zone, seed)
    if isinstance(household, FileHousehold):
        from . import files

        shares = [
            1.0 / len(plant.pv.phases) if phase in plant.pv.phases else 0.0 for phase in "abc"
        ]
        active_w, report = files.household_power(
            household, shares, start_utc, duration_s, zone, folder
        )
        reports.append(report)
    else:
        active_w = _constant(household, duration_s)
    return active_w, active_w * math.tan(math.acos(household.power_factor))


def _constant(household: ConstantHousehold, duration_s: int) -> NDArray[np.float64]:
    powers = [household.power_a_w, household.power_b_w, household.power_c_w]
    return np.repeat(np.array(powers)[:, None], duration_s + 1, axis=1)
