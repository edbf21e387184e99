"""A stochastic clear-sky index: what clouds leave of the irradiance of a clear sky.

A frozen field of cloud thickness drifts over the site with the wind. The field is a sum of
Gaussian fields of several lengths (so that clouds have structure at every scale); a soft threshold
turns thickness into cover, and irradiance rises above that of the clear sky beside a cloud's edge.
Parameters of `partly_cloudy` are fitted to one-second measurements of a pyranometer network
(RMS steps of the index 0.020–0.024 at 1 s, 0.13 at 10 s, 0.25 at 60 s).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import cast

import numpy as np
from numpy.typing import NDArray

from ..random import generator
from .config import Sky
from .days import LONGEST_DAY_S

#: Length of a day's field: above 25 h, so that its periodic ends never meet; quick to transform.
_FIELD_S = 98_304
#: Crosswind distance between the lines along which a wide array is sampled.
_LANE_SPACING_M = 60.0
_MOST_LANES = 8
#: Spells of a mixed sky: shortest and longest, and how long one fades into the next.
_SPELL_S = (1200.0, 7200.0)
_FADE_S = 600


@dataclass(frozen=True, slots=True)
class _CloudField:
    """Shape of one kind of sky."""

    lengths_m: tuple[float, ...]
    amplitudes: tuple[float, ...]
    softness: float
    """Width of the threshold from gap to cloud, in standard deviations of thickness."""
    gap_index: float
    cloud_index: float
    texture: float
    """Standard deviation of the index under cloud."""
    texture_m: float
    enhancement: float
    """Gain of the index just beside an edge."""
    threshold: tuple[float, float]
    """Range of the day's threshold on thickness; below it is gap."""
    wind_m_per_s: tuple[float, float]
    """Range of the day's wind at cloud height."""


_FIELDS: dict[str, _CloudField] = {
    "clear": _CloudField(
        (2000, 10_000), (0.4, 1.0), 1.5, 1.015, 0.975, 0.0, 500, 0.0, (-0.3, 0.3), (6.0, 12.0)
    ),
    "partly_cloudy": _CloudField(
        (130, 600, 2000, 16_000), (0.3, 0.5, 0.8, 1.0), 0.045, 1.03, 0.48, 0.06, 250, 0.12,
        (-0.25, 0.25), (9.0, 11.0),
    ),
    "overcast": _CloudField(
        (400, 3000, 20_000), (0.15, 0.5, 1.0), 0.8, 0.5, 0.14, 0.008, 400, 0.0,
        (-0.4, 0.2), (6.0, 12.0),
    ),
    "cloud_edges": _CloudField(
        (100, 350, 1200), (0.3, 0.7, 1.0), 0.08, 1.08, 0.22, 0.04, 150, 0.18,
        (-0.15, 0.15), (14.0, 18.0),
    ),
}  # fmt: skip


def clear_sky_index(sky: Sky, area_m2: float, seed: int, day: str) -> NDArray[np.float64]:
    """Return a local day's clear-sky index over an array, one value a second of the day.

    Args:
        sky: kind of sky.
        area_m2: area of the (square) array, over which the field is averaged; 0 for a point.
        seed: of the run.
        day: ISO date, names the random generators.

    Returns:
        90 000 values (25 h) of GHI over clear-sky GHI, about 0.05 … 1.4.
    """
    if sky != "mixed":
        return _array_index(sky, area_m2, seed, day)
    weights = _spells(seed, day)
    kinds: tuple[Sky, ...] = ("clear", "partly_cloudy", "overcast")
    return cast(
        NDArray[np.float64],
        sum(w * _array_index(k, area_m2, seed, day) for w, k in zip(weights, kinds, strict=True)),
    )


def index_at(
    sky: Sky, seed: int, day: str, along_m: NDArray[np.float64], across_m: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the clear-sky index at points, ``[point, second]``: what a network of sensors sees.

    Args:
        sky: kind of sky; not ``mixed``.
        seed: of the run.
        day: ISO date.
        along_m: positions downwind; the field reaches a point at x after x / wind.
        across_m: positions crosswind, of the same length.
    """
    lines, of_point = np.unique(across_m, return_inverse=True)
    lanes, wind = _lanes(sky, seed, day, lines)
    seconds = np.arange(_FIELD_S, dtype=np.float64)
    return np.stack(
        [
            np.interp(seconds[:LONGEST_DAY_S] - x / wind, seconds, lanes[line], period=_FIELD_S)
            for x, line in zip(along_m, of_point, strict=True)
        ]
    )


def _array_index(sky: Sky, area_m2: float, seed: int, day: str) -> NDArray[np.float64]:
    side_m = math.sqrt(area_m2)
    count = min(_MOST_LANES, max(1, math.ceil(side_m / _LANE_SPACING_M)))
    across_m = (np.arange(count) + 0.5) * side_m / count
    lanes, wind = _lanes(sky, seed, day, across_m)
    return _moving_mean(lanes.mean(axis=0), side_m / wind)[:LONGEST_DAY_S]


def _lanes(
    sky: Sky, seed: int, day: str, across_m: NDArray[np.float64]
) -> tuple[NDArray[np.float64], float]:
    """Return the index along lines of wind, ``[line, second]``, and the wind in m/s."""
    field = _FIELDS[sky]
    random = generator(seed, "pv", sky, day)
    wind = random.uniform(*field.wind_m_per_s)
    threshold = random.uniform(*field.threshold)
    norm = math.hypot(*field.amplitudes)
    spectrum = np.zeros((len(across_m), _FIELD_S // 2 + 1), dtype=np.complex128)
    for scale, (length_m, amplitude) in enumerate(
        zip(field.lengths_m, field.amplitudes, strict=True)
    ):
        part = _spectrum(generator(seed, "pv", sky, day, str(scale)), length_m, wind, across_m)
        spectrum[:, : part.shape[1]] += amplitude / norm * part
    thickness = np.fft.irfft(spectrum, _FIELD_S) - threshold
    edge = thickness / field.softness
    cover = 0.5 + 0.5 * np.tanh(0.5 * edge)
    index = field.gap_index + (field.cloud_index - field.gap_index) * cover
    if field.enhancement:
        # The bump lies wholly in the gap, three softnesses from the middle of the edge.
        index += field.enhancement * np.exp(-((edge + 4.0) ** 2) / 6.0)
    if field.texture:
        part = _spectrum(
            generator(seed, "pv", sky, day, "texture"), field.texture_m, wind, across_m
        )
        spectrum[:] = 0.0
        spectrum[:, : part.shape[1]] = part
        index += field.texture * cover * np.fft.irfft(spectrum, _FIELD_S)
    return np.maximum(index, 0.03), float(wind)


def _spectrum(
    random: np.random.Generator, length_m: float, wind: float, across_m: NDArray[np.float64]
) -> NDArray[np.complex128]:
    """Return the low end of the spectra of unit Gaussian fields, ``[line, frequency]``.

    Autocorrelation is exp(−(lag·wind/length)²) along a line and exp(−(distance/length)²) between
    lines. The lines' draws follow one another, so that the first does not depend on their number.
    """
    tau_s = length_m / wind
    bins = min(_FIELD_S // 2 + 1, int(1.5 * _FIELD_S / tau_s) + 2)
    frequency = np.arange(bins) / _FIELD_S
    power = np.exp(-((np.pi * frequency * tau_s) ** 2))
    power[0] = 0.0
    amplitude = np.sqrt(power / power.sum()) * _FIELD_S / 2.0
    draws = random.standard_normal((len(across_m), 2, bins))
    spectra: NDArray[np.complex128] = (draws[:, 0] + 1j * draws[:, 1]) * amplitude
    if len(across_m) == 1:
        return spectra
    distance = (across_m[:, None] - across_m[None, :]) / length_m
    covariance = np.exp(-(distance**2)) + 1e-9 * np.eye(len(across_m))
    mixed: NDArray[np.complex128] = np.linalg.cholesky(covariance) @ spectra
    return mixed


def _moving_mean(series: NDArray[np.float64], width_s: float) -> NDArray[np.float64]:
    """Return the mean over a window of any width in seconds, centred; periodic at the ends."""
    if width_s <= 1.0:
        return series
    half = math.ceil(width_s / 2.0) + 1
    padded = np.concatenate((series[-half:], series, series[:half]))
    total = np.concatenate(([0.0], np.cumsum(padded)))
    middle = np.arange(len(series)) + half + 0.5
    grid = np.arange(len(total), dtype=np.float64)
    upper = np.interp(middle + width_s / 2.0, grid, total)
    lower = np.interp(middle - width_s / 2.0, grid, total)
    mean: NDArray[np.float64] = (upper - lower) / width_s
    return mean


def _spells(seed: int, day: str) -> NDArray[np.float64]:
    """Return the weights of clear, partly cloudy and overcast sky over a day, ``[3, second]``."""
    random = generator(seed, "pv", "mixed", day)
    weights = np.zeros((3, LONGEST_DAY_S))
    state = int(random.integers(3))
    second = 0.0
    while second < LONGEST_DAY_S:
        end = second + random.uniform(*_SPELL_S)
        weights[state, int(second) : int(end)] = 1.0
        second = end
        # Skies change by way of the partly cloudy one more often than not.
        chances = ((0.0, 0.8, 0.2), (0.55, 0.0, 0.45), (0.3, 0.7, 0.0))[state]
        state = int(random.choice(3, p=chances))
    return np.stack([_moving_mean(row, _FADE_S) for row in weights])
