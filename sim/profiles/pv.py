"""PV power per watt-peak: pvlib's clear sky on the modules' plane, times the clear-sky index."""

from __future__ import annotations

import hashlib
import warnings
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from .clouds import clear_sky_index
from .config import GeneratedPv, Site
from .days import local_days
from .sky_store import stored

#: Clear-sky irradiance is computed on whole multiples of this in UTC and interpolated between.
_NODE_S = 60
_NODES_A_DAY = 86400 // _NODE_S
#: Area of modules a kWp, when the scenario does not say.
_AREA_M2_PER_W = 5.0 / 1000.0
_ALBEDO = 0.2
#: Below this index the sun's disc is hidden; from here to 1 the beam grows linearly.
_BEAM_FROM_INDEX = 0.4
#: Warming of a cell above the air, K per W/m², and its loss of power, 1/K.
_CELL_K_M2_PER_W = 0.028
_POWER_LOSS_PER_K = 0.0038


@dataclass(frozen=True, slots=True)
class ClearSky:
    """Irradiance of a cloudless sky, W/m², one value a second (T + 1 rows)."""

    global_horizontal: NDArray[np.float64]
    beam_horizontal: NDArray[np.float64]
    beam_on_plane: NDArray[np.float64]


def clear_sky(site: Site, pv: GeneratedPv, start_utc: datetime, duration_s: int) -> ClearSky:
    """Return the clear sky over a run: Ineichen's model with the sun's place from pvlib.

    Args:
        site: latitude, longitude and altitude.
        pv: orientation of the modules, and turbidity.
        start_utc: start of the run, time-zone aware, whole seconds.
        duration_s: length of the run; T + 1 rows come back.
    """
    start = start_utc.astimezone(UTC)
    lead_s = int(start.timestamp()) % _NODE_S
    nodes = (lead_s + duration_s) // _NODE_S + 2
    first = start - timedelta(seconds=lead_s)
    depends_on = {
        "source": hashlib.sha256(Path(__file__).read_bytes()).hexdigest(),
        "pvlib": version("pvlib"),
        "place": [site.latitude_deg, site.longitude_deg, site.altitude_m],
        "modules": [pv.azimuth_deg, pv.tilt_deg],
        "linke_turbidity": pv.linke_turbidity,
        "first": first.isoformat(),
    }
    # Whole days: runs of any length that begin together share one stored sky.
    whole = -(-nodes // _NODES_A_DAY) * _NODES_A_DAY
    depends_on["nodes"] = whole
    rows = stored(depends_on, (3, whole), lambda: _at_nodes(site, pv, first, whole))[:, :nodes]
    at = (np.arange(duration_s + 1) + lead_s) / _NODE_S
    node = np.arange(nodes, dtype=np.float64)
    return ClearSky(*(np.interp(at, node, row) for row in rows))


def _at_nodes(site: Site, pv: GeneratedPv, first: datetime, nodes: int) -> NDArray[np.float64]:
    """Compute the rows of :class:`ClearSky` at every node."""
    import pandas as pd

    times = pd.date_range(first, periods=nodes, freq=f"{_NODE_S}s", tz="UTC")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # pvlib's way with the newest pandas
        sun, sky = _irradiance(site, pv, times)
    zenith_rad = np.radians(sun["apparent_zenith"].to_numpy())
    cos_zenith = np.maximum(np.cos(zenith_rad), 0.0)
    facing = np.cos(np.radians(sun["azimuth"].to_numpy() - pv.azimuth_deg))
    tilt = np.radians(pv.tilt_deg)
    cos_incidence = np.cos(tilt) * np.cos(zenith_rad) + np.sin(tilt) * np.sin(zenith_rad) * facing
    dni = np.nan_to_num(sky["dni"].to_numpy()) * (cos_zenith > 0.0)
    ghi = np.nan_to_num(sky["ghi"].to_numpy()) * (cos_zenith > 0.0)
    beam = np.minimum(dni * cos_zenith, ghi)
    return np.stack([ghi, beam, dni * np.maximum(cos_incidence, 0.0)])


def _irradiance(site: Site, pv: GeneratedPv, times: Any) -> tuple[Any, Any]:
    """Return pvlib's frames of the sun's position and of the clear sky's ghi and dni."""
    import pvlib

    sun = pvlib.solarposition.get_solarposition(
        times, site.latitude_deg, site.longitude_deg, altitude=site.altitude_m
    )
    zenith = sun["apparent_zenith"]
    pressure = pvlib.atmosphere.alt2pres(site.altitude_m)
    airmass = pvlib.atmosphere.get_absolute_airmass(
        pvlib.atmosphere.get_relative_airmass(zenith), pressure
    )
    turbidity = pv.linke_turbidity
    if turbidity is None:
        turbidity = pvlib.clearsky.lookup_linke_turbidity(
            times, site.latitude_deg, site.longitude_deg
        )
    sky = pvlib.clearsky.ineichen(
        zenith,
        airmass,
        turbidity,
        altitude=site.altitude_m,
        dni_extra=pvlib.irradiance.get_extra_radiation(times),
    )
    return sun, sky


def power_per_peak(
    site: Site,
    pv: GeneratedPv,
    peak_power_w: float,
    start_utc: datetime,
    duration_s: int,
    seed: int,
) -> NDArray[np.float64]:
    """Return PV power per watt-peak before the inverter's limit, T + 1 rows, 0 … about 1.3.

    Clouds take the beam first: it falls linearly from index 1 to 0.4 and is gone below; the rest
    of the irradiance is diffuse (so is what cloud edges add), isotropic over the sky.

    Args:
        site: place and time zone.
        pv: sky, orientation and losses.
        peak_power_w: the plant's rating, from which the array's area follows if none is given.
        start_utc: start of the run, time-zone aware, whole seconds.
        duration_s: length of the run.
        seed: of the run.
    """
    sky = clear_sky(site, pv, start_utc, duration_s)
    area_m2 = pv.array_area_m2
    if area_m2 is None:
        area_m2 = peak_power_w * _AREA_M2_PER_W
    index = np.ones(duration_s + 1)
    for day in local_days(start_utc, duration_s, site.time_zone):
        first, last = max(day.start_s, 0), min(day.start_s + day.length_s, duration_s + 1)
        part = slice(first - day.start_s, last - day.start_s)
        if sky.global_horizontal[first:last].any():
            index[first:last] = clear_sky_index(pv.sky, area_m2, seed, day.name)[part]
    return _dc_model(sky, index, pv)


def _dc_model(sky: ClearSky, index: NDArray[np.float64], pv: GeneratedPv) -> NDArray[np.float64]:
    beam_share = np.clip((index - _BEAM_FROM_INDEX) / (1.0 - _BEAM_FROM_INDEX), 0.0, 1.0)
    ground_view = (1.0 - np.cos(np.radians(pv.tilt_deg))) / 2.0
    total = index * sky.global_horizontal
    diffuse = total - np.minimum(beam_share * sky.beam_horizontal, total)
    on_plane = (
        beam_share * sky.beam_on_plane
        + diffuse * (1.0 - ground_view)
        + _ALBEDO * total * ground_view
    )
    cell_c = pv.ambient_c + _CELL_K_M2_PER_W * on_plane
    efficiency = 1.0 - _POWER_LOSS_PER_K * (cell_c - 25.0)
    power: NDArray[np.float64] = on_plane / 1000.0 * efficiency * (1.0 - pv.system_loss)
    return power
