"""Household load: calibration to published figures, scaling, events, phases."""

from datetime import UTC, datetime

import numpy as np
import pytest

from wattbench.sim.profiles.appliances import KINDS
from wattbench.sim.profiles.config import GeneratedHousehold
from wattbench.sim.profiles.household import home_segments, household_power, render
from wattbench.sim.random import generator

ZONE = "Europe/Berlin"
#: A Wednesday from local midnight (the measured day was one of early April, too).
MIDNIGHT = datetime(2025, 4, 1, 22, tzinfo=UTC)
NOON = datetime(2025, 6, 21, 10, tzinfo=UTC)


@pytest.fixture(scope="module")
def populations() -> list[np.ndarray]:
    """Three populations of 100 homes, kW by minute over one day."""
    config = GeneratedHousehold(homes=100)
    groups = []
    for seed in (1, 2, 3):
        homes = []
        for home in range(100):
            segments = home_segments(config, home, MIDNIGHT, 86_400, ZONE, seed)
            power_w, _ = render(segments, 86_400)
            homes.append(power_w.sum(axis=0).reshape(1440, 60).mean(axis=1) / 1000.0)
        groups.append(np.array(homes))
    return groups


def coincidence(homes: np.ndarray, size: int) -> float:
    random = np.random.default_rng(0)
    groups = [random.permutation(len(homes))[:size] for _ in range(200)]
    return float(np.mean([homes[g].sum(0).max() / homes[g].max(1).sum() for g in groups]))


# UMass Smart* microgrid data, 357 homes at 1 min, one day of April: median 24 kWh a day, 99th
# percentile of the 1-min step 1.0–1.4 kW, coincidence 0.48–0.50 (10 homes), 0.30–0.33 (100 homes).
def test_median_home_uses_24_kwh_a_day(populations: list[np.ndarray]) -> None:
    energies = np.concatenate([homes.mean(axis=1) * 24.0 for homes in populations])
    assert np.median(energies) == pytest.approx(24.0, rel=0.1)
    assert 12.0 < np.quantile(energies, 0.25) < 18.0  # measured 14
    assert 34.0 < np.quantile(energies, 0.75) < 50.0  # measured 42


def test_steps_of_a_minute_match(populations: list[np.ndarray]) -> None:
    steps = [np.quantile(np.abs(np.diff(homes)), 0.99, axis=1) for homes in populations]
    assert 1.0 < np.median(np.concatenate(steps)) < 1.4


def test_coincidence_of_ten_and_a_hundred_homes(populations: list[np.ndarray]) -> None:
    assert 0.43 < np.mean([coincidence(homes, 10) for homes in populations]) < 0.55
    assert 0.27 < np.mean([coincidence(homes, 100) for homes in populations]) < 0.36


@pytest.mark.parametrize("name", sorted(KINDS))
def test_mean_energy_of_a_use_is_as_stated(name: str) -> None:
    kind = KINDS[name]
    random = generator(1, "uses", name)
    uses = [kind.use(random) for _ in range(1500)]
    energies = [float(np.sum(use.duration_s * use.power_w)) / 3600.0 for use in uses]
    assert np.mean(energies) == pytest.approx(kind.mean_use_wh, rel=0.05)
    assert all((use.start_s >= 0).all() and (use.duration_s >= 0).all() for use in uses)


@pytest.mark.parametrize("daily_wh", [4000.0, 10_000.0, 40_000.0])
def test_energy_scales_to_what_is_asked(daily_wh: float) -> None:
    config = GeneratedHousehold(daily_energy_wh=daily_wh)
    days = [household_power(config, MIDNIGHT, 86_400, ZONE, s)[0].sum() / 3600 for s in range(16)]
    assert np.mean(days) == pytest.approx(daily_wh, rel=0.15)


def test_a_european_home_without_heat_pump_reaches_its_energy() -> None:
    names = ("fridge", "lighting", "electronics", "kettle", "oven", "hob", "washing_machine")
    config = GeneratedHousehold(daily_energy_wh=10_000, appliances=names)
    days = [household_power(config, MIDNIGHT, 86_400, ZONE, s)[0].sum() / 3600 for s in range(16)]
    assert np.mean(days) == pytest.approx(10_000, rel=0.15)


def test_power_is_never_negative_and_reactive_follows_active() -> None:
    active_w, reactive_var = household_power(GeneratedHousehold(), MIDNIGHT, 86_400, ZONE, 1)
    assert active_w.shape == reactive_var.shape == (3, 86_401)
    assert active_w.min() >= 0.0
    assert reactive_var.min() >= 0.0
    assert 0.1 < reactive_var.sum() / active_w.sum() < 0.5


def test_forced_events_add_to_the_same_evening() -> None:
    plain = GeneratedHousehold()
    events = [
        {"appliance": "oven", "start_s": 600, "phase": "b"},
        {"appliance": "kettle", "start_s": "20 min", "phase": "c"},
    ]
    forced = GeneratedHousehold.model_validate({"events": events})
    before, _ = household_power(plain, NOON, 3600, ZONE, 1)
    after, _ = household_power(forced, NOON, 3600, ZONE, 1)
    more = after - before
    np.testing.assert_allclose(more[0], 0.0, atol=1e-6)
    np.testing.assert_allclose(more[:, :600], 0.0, atol=1e-6)
    assert more[1, 610] > 2000.0
    assert more[2, 1199] == pytest.approx(0.0, abs=1e-6)
    assert 1700.0 < more[2, 1205] < 2300.0


def test_oven_cycles_on_its_thermostat() -> None:
    config = GeneratedHousehold.model_validate(
        {"appliances": [], "events": [{"appliance": "oven", "start_s": 0, "phase": "a"}]}
    )
    active_w, _ = household_power(config, NOON, 3600, ZONE, 2)
    on = active_w[0] > 1500.0
    starts = np.flatnonzero(np.diff(on.astype(int)) == 1)
    assert on[:400].all()
    assert 4 <= len(starts) <= 14


def test_all_on_one_phase_when_told() -> None:
    active_w, reactive_var = household_power(GeneratedHousehold(phases="c"), NOON, 3600, ZONE, 1)
    assert active_w[2].sum() > 0
    assert active_w[:2].sum() == reactive_var[:2].sum() == 0.0


def test_an_empty_house_only_idles() -> None:
    away, home = (
        household_power(GeneratedHousehold(occupancy=mode), MIDNIGHT, 86_400, ZONE, 5)[0].sum(0)
        for mode in ("away", "home")
    )
    assert away.sum() < 0.7 * home.sum()
    assert away.max() < 2500.0


def test_nobody_cooks_at_noon_on_a_working_day() -> None:
    config = GeneratedHousehold(
        occupancy="working", daily_energy_wh=10_000, appliances=("hob", "kettle", "oven")
    )
    share = []
    for seed in range(20):
        total = household_power(config, MIDNIGHT, 86_400, ZONE, seed)[0].sum(axis=0)
        share.append((total[11 * 3600 : 14 * 3600] > 1500).mean())
    assert np.median(share) == 0.0


def test_an_hour_is_the_same_whenever_the_run_begins() -> None:
    config = GeneratedHousehold()
    day, _ = household_power(config, MIDNIGHT, 86_400, ZONE, 1)
    hour, _ = household_power(config, NOON.replace(month=4, day=2), 3600, ZONE, 1)
    np.testing.assert_allclose(hour, day[:, 43_200 : 43_200 + 3601], atol=1e-6)
