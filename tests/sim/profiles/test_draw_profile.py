"""Hot-water draws: energies of EN 16147, jitter, clock changes."""

from datetime import UTC, datetime, timedelta

import numpy as np
import pytest

from wattbench.sim.export.config import Load, Tank
from wattbench.sim.profiles.draws import draw_power_w, tapping_power_w, tappings

ZONE = "Europe/Berlin"
#: Regulation (EU) 814/2013, Annex III: reference energy of a day in Wh.
DAILY_WH = {"S": 2100, "M": 5845, "L": 11_655, "XL": 19_070}


def load(cycle: str, name: str = "a1", scale: float = 1.0) -> Load:
    tank = Tank.model_validate({"draws": cycle, "draw_scale": scale})
    return Load(id=name, phase="a", rated_power_w=3000, tank=tank)


def local_day(name: str = "2025-06-21", offset_h: int = 2) -> datetime:
    return datetime.fromisoformat(f"{name}T00:00:00+0{offset_h}:00").astimezone(UTC)


@pytest.mark.parametrize("cycle", DAILY_WH)
def test_tables_sum_to_the_standards_energy(cycle: str) -> None:
    assert sum(energy for _, energy in tappings(cycle)) == DAILY_WH[cycle]


@pytest.mark.parametrize("cycle", DAILY_WH)
@pytest.mark.parametrize("seed", [1, 2])
def test_a_day_draws_exactly_that(cycle: str, seed: int) -> None:
    power_w = draw_power_w(load(cycle), local_day(), 86_400, ZONE, seed)
    assert power_w.sum() / 3600.0 == pytest.approx(DAILY_WH[cycle], rel=1e-9)


@pytest.mark.parametrize(
    ("day", "offset_h", "length_h"), [("2025-03-30", 1, 23), ("2025-10-26", 2, 25)]
)
def test_days_of_a_clock_change_keep_energy_and_wall_clock(
    day: str, offset_h: int, length_h: int
) -> None:
    start = local_day(day, offset_h)
    power_w = draw_power_w(load("L"), start, length_h * 3600, ZONE, 1)
    assert power_w.sum() / 3600.0 == pytest.approx(DAILY_WH["L"], rel=1e-9)
    first = int(np.argmax(power_w > 0))
    change_s = (24 - length_h) * 3600
    assert abs(first - (7 * 3600 - change_s)) < 15 * 60


def test_flows_are_between_3_and_10_litres_a_minute() -> None:
    for cycle in DAILY_WH:
        for _, energy_wh in tappings(cycle):
            power_w = tapping_power_w(energy_wh)
            assert 6000 < power_w < 21_000
            assert 55 < energy_wh * 3600 / power_w < 800


def test_times_are_jittered_by_tank_and_seed_but_only_by_minutes() -> None:
    start = local_day()
    first = [
        int(np.argmax(draw_power_w(load("S", name), start, 86_400, ZONE, seed) > 0))
        for name in ("a1", "b1", "c1")
        for seed in (1, 2)
    ]
    assert len(set(first)) == len(first)
    assert all(abs(second - 7 * 3600) < 15 * 60 for second in first)


def test_scale_and_none() -> None:
    start = local_day()
    double = draw_power_w(load("M", scale=2.0), start, 86_400, ZONE, 1)
    assert double.sum() / 3600.0 == pytest.approx(2 * DAILY_WH["M"], rel=1e-9)
    assert draw_power_w(load("none"), start, 3600, ZONE, 1).sum() == 0.0
    bare = Load(id="a1", phase="a", rated_power_w=3000, tank=None)
    assert draw_power_w(bare, start, 3600, ZONE, 1).sum() == 0.0


def test_a_part_of_a_day_sees_its_part() -> None:
    start = local_day()
    day = draw_power_w(load("XL"), start, 86_400, ZONE, 1)
    evening = draw_power_w(load("XL"), start + timedelta(hours=20), 3 * 3600, ZONE, 1)
    np.testing.assert_array_equal(evening, day[20 * 3600 : 23 * 3600 + 1])
