"""PV: the clear sky, the cloud field's published statistics, determinism."""

from datetime import UTC, datetime

import numpy as np
import pytest

from wattbench.sim.profiles.clouds import clear_sky_index, index_at
from wattbench.sim.profiles.config import GeneratedPv, Site
from wattbench.sim.profiles.pv import clear_sky, power_per_peak

MUNICH = Site(latitude_deg=48.1, longitude_deg=11.6, altitude_m=520)
DAY = slice(6 * 3600, 20 * 3600)
SEEDS = range(6)


def rms_step(series: np.ndarray, lag_s: int) -> float:
    step = series[..., lag_s:] - series[..., :-lag_s]
    return float(np.sqrt(np.mean(step**2)))


def day_of(pv: GeneratedPv, month: int = 6, seed: int = 1) -> np.ndarray:
    return power_per_peak(
        MUNICH, pv, 9000.0, datetime(2025, month, 20, 22, tzinfo=UTC), 86_400, seed
    )


# HOPE-Melpitz pyranometers at 1 s, a partly cloudy hour (Macke et al. 2017, doi:10.5194/
# acp-17-4887-2017): RMS steps of the clear-sky index 0.0205 (other half of the sensors 0.024) at
# 1 s, 0.133 at 10 s, 0.25 at 60 s.
@pytest.mark.parametrize(
    ("lag_s", "low", "high"),
    [
        (1, 0.020 * 0.75, 0.024 * 1.25),
        (10, 0.13 * 0.75, 0.13 * 1.25),
        (60, 0.25 * 0.75, 0.25 * 1.25),
    ],
)
def test_partly_cloudy_steps_match_measurements(lag_s: int, low: float, high: float) -> None:
    days = [clear_sky_index("partly_cloudy", 0.0, seed, "2025-06-21")[DAY] for seed in SEEDS]
    assert low < np.sqrt(np.mean([rms_step(day, lag_s) ** 2 for day in days])) < high


def test_averaging_25_sensors_cuts_the_second_step_to_a_third() -> None:
    """Same source: 0.0069 against 0.0205. Geometry here: 5 × 5 sensors, 60 m apart."""
    along, across = (grid.ravel() for grid in np.meshgrid(np.arange(5) * 60.0, np.arange(5) * 60.0))
    ratios = []
    for seed in (1, 2, 3):
        sensors = index_at("partly_cloudy", seed, "2025-06-21", along, across)[:, DAY]
        ratios.append(rms_step(sensors.mean(axis=0), 1) / rms_step(sensors, 1))
    assert 0.33 * 0.75 < np.mean(ratios) < 0.33 * 1.25


def test_a_larger_array_is_smoother() -> None:
    steps = [
        rms_step(clear_sky_index("partly_cloudy", area, 1, "2025-06-21"), 1)
        for area in (10.0, 1e4, 1e5, 1e6)
    ]
    assert steps[0] > 1.2 * steps[1] > 1.5 * steps[2] > 2 * steps[3]


def test_the_sky_at_one_place_does_not_depend_on_the_arrays_reach() -> None:
    here = np.zeros(1)
    alone = index_at("partly_cloudy", 1, "2025-06-21", here, here)
    beside = index_at("partly_cloudy", 1, "2025-06-21", np.zeros(2), np.array([0.0, 500.0]))
    np.testing.assert_allclose(beside[0], alone[0], atol=1e-6)


def test_skies_differ_as_their_names_say() -> None:
    skies = ("clear", "partly_cloudy", "overcast", "cloud_edges", "mixed")
    index = {sky: clear_sky_index(sky, 45.0, 3, "2025-06-21")[DAY] for sky in skies}
    assert index["clear"].mean() == pytest.approx(1.0, abs=0.02)
    assert rms_step(index["clear"], 1) < 1e-4
    assert 0.15 < index["overcast"].mean() < 0.45
    assert rms_step(index["overcast"], 60) < 0.05
    assert rms_step(index["cloud_edges"], 1) > 2 * rms_step(index["partly_cloudy"], 1)
    assert index["cloud_edges"].max() > 1.15
    assert index["cloud_edges"].min() < 0.25
    assert index["overcast"].mean() < index["mixed"].mean() < index["clear"].mean()
    for series in index.values():
        assert series.min() > 0.0
        assert series.max() < 1.5


def test_clear_summer_and_winter_days_yield_what_is_usual_in_munich() -> None:
    """About 6–7 kWh/kWp on a cloudless June day, 2–3.5 in December (south, 35°)."""
    summer, winter = (day_of(GeneratedPv(sky="clear"), month) for month in (6, 12))
    assert 5.5 < summer.sum() / 3600 < 7.2
    assert 1.8 < winter.sum() / 3600 < 3.6
    assert 0.65 < summer.max() < 1.0
    assert summer[3600] == 0.0  # 01:00 local


def test_orientation_moves_the_peak() -> None:
    east, south, west = (
        int(np.argmax(day_of(GeneratedPv(sky="clear", azimuth_deg=azimuth))))
        for azimuth in (90, 180, 270)
    )
    assert east < south - 3600
    assert west > south + 3600


def test_clear_sky_obeys_turbidity_and_the_grid_of_the_run() -> None:
    start = datetime(2025, 6, 21, 10, 0, 17, tzinfo=UTC)
    clean = clear_sky(MUNICH, GeneratedPv(linke_turbidity=2), start, 600)
    hazy = clear_sky(MUNICH, GeneratedPv(linke_turbidity=5), start, 600)
    assert (clean.global_horizontal > hazy.global_horizontal).all()
    later = clear_sky(MUNICH, GeneratedPv(linke_turbidity=2), start.replace(second=47), 570)
    np.testing.assert_allclose(later.global_horizontal, clean.global_horizontal[30:], rtol=1e-12)


def test_edges_can_exceed_the_clear_sky() -> None:
    clear, brutal = day_of(GeneratedPv(sky="clear")), day_of(GeneratedPv(sky="cloud_edges"))
    assert brutal.max() > 1.03 * clear.max()
    assert brutal.max() < 1.3


def test_southern_and_polar_places_work() -> None:
    sydney = Site(
        latitude_deg=-33.9, longitude_deg=151.2, altitude_m=20, time_zone="Australia/Sydney"
    )
    pole = Site(latitude_deg=-89.9, longitude_deg=0, altitude_m=2800, time_zone="UTC")
    start = datetime(2025, 6, 20, 14, tzinfo=UTC)
    pv = GeneratedPv(sky="partly_cloudy", azimuth_deg=0)
    assert power_per_peak(sydney, pv, 9000.0, start, 86_400, 1).max() > 0.3
    assert power_per_peak(pole, pv, 9000.0, start, 3600, 1).max() == 0.0
