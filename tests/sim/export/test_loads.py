"""Controllable loads: voltage, resolution, ramp, minimum times; and what a tank refuses."""

from __future__ import annotations

import numpy as np
import pytest

from wattbench.sim.export.config import Connection, Load, Tank
from wattbench.sim.faults import LoadStuckOff, LoadStuckOn, LoadVanished

THERMOSTAT, CUT_OUT, HEATING, STUCK_ON, STUCK_OFF, VANISHED = 1, 2, 4, 8, 16, 32


def flag(site, bit: int, name: str = "a1") -> np.ndarray:
    return site[f"load.{name}.flags"].astype(int) & bit > 0


def volts(source_v: float) -> Connection:
    return Connection(
        source_voltage_a_v=source_v,
        line_resistance_ohm=0,
        line_reactance_ohm=0,
        neutral_resistance_ohm=0,
        neutral_reactance_ohm=0,
    )


@pytest.mark.parametrize("source_v", [207.0, 230.0, 253.0])
def test_power_follows_the_square_of_the_voltage(lab, source_v: float) -> None:
    site = lab.Site(lab.resistor("a1", 2000), connection=volts(source_v))
    site.act(2, 1500)
    power_w = site.run(4)["load.a1.power_w"]
    assert power_w[:2].tolist() == [0, 0]
    assert power_w[3] == pytest.approx(1500 * (source_v / 230) ** 2, rel=1e-12)


@pytest.mark.parametrize(
    ("resolution_w", "asked_w", "taken_w"),
    [
        (10, 1234.5, 1230),
        (100, 1299.9, 1200),
        (100, 1300, 1300),
        (0.1, 0.3, 0.3),
        (2000, 1999, 0),
        (2000, 2000, 2000),
        (300, 2000, 1800),
        (10, 9999, 2000),
        (10, -500, 0),
        (10, 9.99, 0),
    ],
)
def test_setpoint_is_limited_and_rounded_down(lab, resolution_w, asked_w, taken_w) -> None:
    site = lab.Site(lab.resistor("a1", 2000, resolution_w=resolution_w))
    site.act(1, asked_w)
    site.run(3)
    assert site["load.a1.setpoint_w"][-1] == pytest.approx(taken_w, rel=1e-12)
    assert site["load.a1.power_w"][-1] == pytest.approx(taken_w, rel=1e-9)


def test_each_load_acts_on_its_own_phase(lab) -> None:
    site = lab.Site(*(lab.resistor(f"{phase}1") for phase in "cab"))
    site.act(1, 300, 100, 200)
    site.run(3)
    grid_w = [site[f"grid.{phase}.power_w"][-1] for phase in "abc"]
    assert grid_w == pytest.approx([100, 200, 300], rel=1e-12)


def test_ramp_is_linear_and_takes_its_time_for_the_whole_range(lab) -> None:
    site = lab.Site(lab.resistor("a1", 2000, ramp_s=5.0))
    site.act(1, 2000)
    site.act(8, 1000)
    site.run(14)
    # Five equal sub-steps a second, each at the value it ends with.
    steps = np.repeat(np.concatenate([[0], np.ones(5) * 0.2]), 5).cumsum() / 5
    expected = steps.reshape(-1, 5).mean(axis=1)[1:6] * 2000
    assert site["load.a1.power_w"][1:6] == pytest.approx(expected, rel=1e-12)
    assert site["load.a1.power_w"][6] == pytest.approx(2000, rel=1e-12)
    # Half the range takes half the time.
    assert site["load.a1.power_w"][8:12] == pytest.approx([1760, 1360, 1032, 1000], rel=1e-12)


def test_minimum_on_time_keeps_a_load_on(lab) -> None:
    site = lab.Site(lab.resistor("a1", 2000, min_on_s=10))
    site.act(3, 2000)
    site.act(5, 0)
    site.run(20)
    power_w = site["load.a1.power_w"]
    np.testing.assert_allclose(power_w, [0] * 3 + [2000] * 10 + [0] * 7)
    assert site["load.a1.setpoint_w"][5] == 0
    assert site["load.a1.switchings"][-1] == 2


def test_minimum_off_time_keeps_a_load_off(lab) -> None:
    site = lab.Site(lab.resistor("a1", 2000, min_off_s=10))
    site.act(1, 2000)
    site.act(5, 0)
    site.act(7, 2000)
    site.run(20)
    np.testing.assert_allclose(site["load.a1.power_w"], [0] + [2000] * 4 + [0] * 10 + [2000] * 5)
    assert site["load.a1.switchings"][-1] == 3


def test_first_command_needs_no_waiting(lab) -> None:
    """Before the run the load has been off for long enough."""
    site = lab.Site(lab.resistor("a1", 2000, min_on_s=3600, min_off_s=3600))
    site.act(0.2, 2000)
    site.run(2)
    assert site["load.a1.power_w"][1] == pytest.approx(2000)


def test_power_may_change_freely_within_minimum_on_time(lab) -> None:
    site = lab.Site(lab.resistor("a1", 2000, min_on_s=30))
    for second, power_w in ((1, 2000), (3, 500), (5, 1500)):
        site.act(second, power_w)
    site.run(8)
    np.testing.assert_allclose(site["load.a1.power_w"], [0, 2000, 2000, 500, 500, 1500, 1500, 1500])
    assert site["load.a1.switchings"][-1] == 1


def test_load_kept_on_stays_at_what_it_was_told_before(lab) -> None:
    """Told to stop in the middle of its ramp, it must not stay half way for good."""
    site = lab.Site(lab.resistor("a1", 2000, ramp_s=5, min_on_s=20, resolution_w=500))
    site.act(1, 1500)
    site.act(2, 0)
    site.run(30)
    power_w = site["load.a1.power_w"]
    np.testing.assert_allclose(power_w[10:21], 1500)
    assert power_w[26:].tolist() == [0] * 4


def test_a_set_point_that_was_short_lived_still_counts_as_switching(lab) -> None:
    site = lab.Site(lab.resistor("a1", 2000))
    site.act(1.0, 2000)
    site.act(1.2, 0)
    site.run(3)
    np.testing.assert_allclose(site["load.a1.power_w"], [0, 400, 0])
    assert site["load.a1.switchings"][-1] == 2


# Tanks.


def heater(rated_power_w: float = 2000.0, **tank) -> Load:
    settings = {
        "volume_l": 100,
        "standing_loss_w_per_k": 0,
        "initial_c": 50,
        "initial_spread_k": 0,
        "draws": "none",
    }
    settings |= {key: tank.pop(key) for key in list(tank) if key in Tank.model_fields}
    return Load(
        id="a1",
        phase="a",
        rated_power_w=rated_power_w,
        tank=Tank(**settings),
        **{"ramp_s": 0, "resolution_w": 1} | tank,
    )


KELVIN_PER_J = 1 / (100 * 4186)


def test_heat_warms_the_tank_and_loss_cools_it(lab) -> None:
    site = lab.Site(heater(standing_loss_w_per_k=10, ambient_c=20), seconds=3600)
    site.run(3600)
    # Newton's law of cooling; explicit Euler with 1 s errs by about k²·t/2 of the difference.
    k = 10 * KELVIN_PER_J
    exact_c = 20 + 30 * np.exp(-k * np.arange(1, 3601))
    error = 30 * k**2 * 3600 / 2
    temperature = site["load.a1.temperature_c"]
    assert np.abs(temperature - exact_c).max() <= 1.1 * error
    assert exact_c[-1] < 48


def test_tank_in_balance_stays_where_it_is(lab) -> None:
    site = lab.Site(heater(standing_loss_w_per_k=10, ambient_c=20), seconds=600)
    site.act(0.2, 300)
    site.run(600)
    drift = site["load.a1.temperature_c"] - 50
    # The first 0.2 s went without heat.
    np.testing.assert_allclose(drift, -60 * KELVIN_PER_J, rtol=0.02)


def test_thermostat_cycles_between_its_two_temperatures(lab) -> None:
    tank = {"initial_c": 69, "thermostat_c": 70, "hysteresis_k": 2, "comfort_c": 40}
    load = heater(20_000, standing_loss_w_per_k=200, ambient_c=18, **tank)
    site = lab.Site(load, seconds=3000)
    site.act(0.2, 20_000)
    temperature = site.run(3000)["load.a1.temperature_c"]
    hot, power_w = flag(site, THERMOSTAT), site["load.a1.power_w"]
    change = np.diff(hot.astype(int))
    step_k = 20_000 * KELVIN_PER_J
    opens, closes = np.flatnonzero(change > 0), np.flatnonzero(change < 0)
    assert len(opens) > 3
    assert ((temperature[opens] >= 70) & (temperature[opens] < 70 + step_k)).all()
    assert ((temperature[closes] <= 68) & (temperature[closes] > 68 - step_k)).all()
    assert (power_w[hot] == 0).all()
    np.testing.assert_allclose(power_w[~hot][1:], 20_000)
    assert site["load.a1.switchings"][-1] == 1 + len(change[change != 0])


def test_thermostat_does_not_wait_for_the_minimum_on_time(lab) -> None:
    tank = {"initial_c": 69.9, "thermostat_c": 70, "comfort_c": 40}
    site = lab.Site(heater(20_000, min_on_s=3600, **tank), seconds=60)
    site.act(1, 20_000)
    site.run(60)
    hot = flag(site, THERMOSTAT)
    assert hot.any()
    assert (site["load.a1.power_w"][hot] == 0).all()


def test_hot_tank_refuses_power_from_the_start(lab) -> None:
    site = lab.Site(heater(initial_c=75, thermostat_c=70), seconds=20)
    site.act(1, 2000)
    site.run(20)
    assert not site["load.a1.power_w"].any()
    assert flag(site, THERMOSTAT).all()
    assert site["load.a1.switchings"][-1] == 0


def test_cut_out_latches_for_the_rest_of_the_run(lab) -> None:
    """A heater so strong that within one second it passes thermostat and cut-out."""
    tank = {"volume_l": 2, "initial_c": 54.9, "thermostat_c": 55, "cut_out_c": 56}
    load = heater(20_000, standing_loss_w_per_k=20, hysteresis_k=1, comfort_c=40, **tank)
    site = lab.Site(load, seconds=900)
    site.act(1, 20_000)
    site.run(900)
    tripped = flag(site, CUT_OUT)
    assert not tripped[:2].any()
    assert tripped[2:].all()
    assert site["load.a1.temperature_c"][-1] < 40
    assert not flag(site, THERMOSTAT)[-1]
    assert (site["load.a1.power_w"] > 0).tolist() == [second == 1 for second in range(900)]


def test_draw_is_served_in_full_above_comfort_and_in_part_below(lab) -> None:
    tank = {"initial_c": 60, "comfort_c": 45, "cold_water_c": 12}
    site = lab.Site(heater(**tank), seconds=1200, draw_w=30_000)
    site.run(1200)
    after = site["load.a1.temperature_c"]
    before = np.concatenate([[60], after[:-1]])
    served = np.diff(site["load.a1.delivered_energy_wh"], prepend=0.0) * 3600
    unserved = np.diff(site["load.a1.unserved_energy_wh"], prepend=0.0) * 3600
    share = np.clip((before - 12) / (45 - 12), 0, 1)
    np.testing.assert_allclose(served, 30_000 * share, rtol=1e-6, atol=1e-3)
    np.testing.assert_allclose(unserved, 30_000 * (1 - share), rtol=1e-6, atol=1e-3)
    assert (served[before >= 45] > 29_999).all()
    assert after.min() >= 12
    assert after[-1] < 25


def test_tank_as_cold_as_the_mains_serves_nothing(lab) -> None:
    site = lab.Site(heater(initial_c=12, cold_water_c=12), draw_w=5000).run(60)
    assert not site["load.a1.delivered_energy_wh"].any()
    assert site["load.a1.unserved_energy_wh"][-1] == pytest.approx(5000 * 60 / 3600)
    assert site["load.a1.temperature_c"][-1] == 12


def test_draw_takes_no_more_than_the_tank_holds(lab) -> None:
    """A litre at 60 °C over 12 °C holds 201 kJ; what is asked beyond is unserved."""
    load = heater(volume_l=1, initial_c=60, cold_water_c=12)
    site = lab.Site(load, draw_w=[[300_000.0]] * 2 + [[0.0]] * 59).run(60)
    held_wh = 4186 * 48 / 3600
    assert site["load.a1.temperature_c"][0] == pytest.approx(12)
    assert site["load.a1.delivered_energy_wh"][-1] == pytest.approx(held_wh)
    assert site["load.a1.unserved_energy_wh"][-1] == pytest.approx(600_000 / 3600 - held_wh)


def test_autonomous_heating_holds_comfort_uncommanded(lab) -> None:
    tank = {"initial_c": 44, "comfort_c": 45, "hysteresis_k": 2, "thermostat_c": 70}
    load = heater(20_000, standing_loss_w_per_k=200, autonomous_heating=True, **tank)
    site = lab.Site(load, seconds=2000).run(2000)
    temperature = site["load.a1.temperature_c"]
    heating, power_w = flag(site, HEATING), site["load.a1.power_w"]
    np.testing.assert_allclose(power_w[heating], 20_000)
    assert not power_w[~heating].any()
    change = np.diff(heating.astype(int))
    ends, starts = np.flatnonzero(change < 0), np.flatnonzero(change > 0)
    assert len(ends) > 1
    assert len(starts) > 1
    step_k = 20_000 * KELVIN_PER_J
    assert ((temperature[ends] >= 47) & (temperature[ends] < 47 + step_k)).all()
    assert ((temperature[starts] < 45) & (temperature[starts] > 45 - step_k)).all()


def test_without_autonomous_heating_a_cold_tank_stays_cold(lab) -> None:
    site = lab.Site(heater(initial_c=30, comfort_c=45)).run(60)
    assert not site["load.a1.power_w"].any()
    assert not flag(site, HEATING).any()


def test_initial_temperatures_spread_evenly_over_seeds(lab) -> None:
    load = heater(initial_c=50, initial_spread_k=5)
    first = [lab.Site(load, seed=seed).state("temperature_c")[0] for seed in range(60)]
    assert 45 <= min(first) < 46.5
    assert 53.5 < max(first) <= 55
    assert np.mean(first) == pytest.approx(50, abs=1.5)


# Faults of loads.


def test_stuck_on_draws_full_power_whatever_it_is_told(lab) -> None:
    fault = LoadStuckOn(load="a1", start_s=5, duration_s=10)
    site = lab.Site(lab.resistor("a1", 2000), lab.resistor("a2", 1000), faults=[fault])
    site.act(1, 500, 500)
    site.act(8, 0, 0)
    site.run(20)
    expected = [0] + [500] * 4 + [2000] * 10 + [0] * 5
    np.testing.assert_allclose(site["load.a1.power_w"], expected)
    np.testing.assert_allclose(site["load.a2.power_w"], [0] + [500] * 7 + [0] * 12)
    assert flag(site, STUCK_ON).tolist() == [5 <= s < 15 for s in range(20)]
    assert not flag(site, STUCK_ON, "a2").any()


def test_thermostat_still_acts_on_a_load_that_is_stuck_on(lab) -> None:
    load = heater(20_000, initial_c=69.5, thermostat_c=70)
    site = lab.Site(load, faults=[LoadStuckOn(load="a1", start_s=0, duration_s=60)]).run(60)
    hot = flag(site, THERMOSTAT)
    assert site["load.a1.power_w"][0] == pytest.approx(20_000)
    assert hot.any()
    assert not site["load.a1.power_w"][hot].any()


def test_stuck_off_draws_nothing_but_acknowledges(lab) -> None:
    fault = LoadStuckOff(load="a1", start_s=5, duration_s=5)
    site = lab.Site(lab.resistor("a1", 2000, min_on_s=60), faults=[fault])
    site.act(1, 500)
    seq, _ = site.act(7, 1500)
    site.run(12)
    np.testing.assert_allclose(site["load.a1.power_w"], [0] + [500] * 4 + [0] * 5 + [1500] * 2)
    assert site.plant.acked_us(seq)[0] > 0
    assert flag(site, STUCK_OFF).tolist() == [5 <= s < 10 for s in range(12)]


def test_vanished_load_draws_nothing_and_hears_nothing(lab) -> None:
    fault = LoadVanished(load="a1", start_s=5, duration_s=5)
    site = lab.Site(lab.resistor("a1", 2000), lab.resistor("b1", 2000), faults=[fault])
    site.act(1, 500, 500)
    seq, status = site.act(7, 1500, 1500)
    site.run(12)
    # It comes back with the set-point that it had before.
    np.testing.assert_allclose(site["load.a1.power_w"], [0] + [500] * 4 + [0] * 5 + [500] * 2)
    np.testing.assert_allclose(site["load.b1.power_w"], [0] + [500] * 6 + [1500] * 5)
    assert status == 0
    assert (site.plant.acked_us(seq) >= 0).tolist() == [False, True]
    assert (site.plant.effective_us(seq) >= 0).tolist() == [False, True]
    assert flag(site, VANISHED).tolist() == [5 <= s < 10 for s in range(12)]


def test_cut_out_and_thermostat_cut_power_at_once_however_slow_the_ramp(lab) -> None:
    """A ramp belongs to the set-point; a contact that opens knows none."""
    load = heater(20_000, initial_c=69.5, thermostat_c=70, ramp_s=600)
    site = lab.Site(load, seconds=400)
    site.act(0.2, 20_000)
    site.run(400)
    hot = flag(site, THERMOSTAT)
    assert hot.any()
    assert not site["load.a1.power_w"][hot].any()


def test_faults_of_loads_begin_and_end_at_whole_seconds(lab) -> None:
    """The second during which a fault's window opens is still undisturbed."""
    fault = LoadStuckOn(load="a1", start_s=5.3, duration_s=3)
    site = lab.Site(faults=[fault]).run(12)
    expected = [2000 if 6 <= second < 9 else 0 for second in range(12)]
    np.testing.assert_allclose(site["load.a1.power_w"], expected)


@pytest.mark.parametrize("at_s", [0, 57])
def test_faults_at_the_edges_of_the_run(lab, at_s: int) -> None:
    site = lab.Site(faults=[LoadStuckOn(load="a1", start_s=at_s, duration_s=3)]).run(60)
    expected = [2000 if at_s <= second < at_s + 3 else 0 for second in range(60)]
    np.testing.assert_allclose(site["load.a1.power_w"], expected)
