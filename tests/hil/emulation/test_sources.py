"""What devices of a site measure is the plant's, and what they are told reaches it by wire."""

from __future__ import annotations

import math

import numpy as np
import pytest

from wattbench.hil.emulation.sources import METER_FIELDS, source_of
from wattbench.sim.edge import meter
from wattbench.sim.faults import MeterFreeze, MeterOffset

S = 1_000_000


def test_the_grid_meter_shows_the_plants_own_samples(bench) -> None:
    site, twin = bench.site(), bench.plant()
    source = source_of(site, "grid")
    assert source.measure("power_w", 0) is None, "before the first sample there is no value"
    for t_us in (3 * S, 3 * S + 400_000, 10 * S, 10 * S, 60 * S + 1):
        sample = twin.reading(t_us)
        assert sample is not None
        for quantity, field in METER_FIELDS.items():
            assert source.measure(quantity, t_us) == sample.values[field]


def test_what_the_meter_derives(bench) -> None:
    source = source_of(bench.site(), "grid")
    power_w = source.measure("power_w", 20 * S)
    apparent_va = source.measure("apparent_power_va", 20 * S)
    assert apparent_va == pytest.approx(abs(power_w), rel=0.02)
    assert source.measure("power_factor", 20 * S) == pytest.approx(-1.0, abs=0.02)
    assert source.measure("frequency_hz", 20 * S) == 50.0
    assert source.measure("temperature_c", 20 * S) is None


def test_the_witness_tells_the_truth_whatever_the_meter_shows(bench) -> None:
    faults = [
        MeterOffset(start_s=10, duration_s=500, offset_w=1000),
        MeterFreeze(start_s=30, duration_s=100),
    ]
    site = bench.site(faults=faults)
    grid, witness = source_of(site, "grid"), source_of(site, "witness")
    for second in (20, 40, 120):
        t_us = second * S
        shown = witness.measure("power_w", t_us)
        # 4 kW of sun, 900 W of house, nothing else; cables take a little.
        assert shown == pytest.approx(-3100.0, abs=60.0)
        assert grid.measure("power_w", t_us) == pytest.approx(shown + 3000.0, abs=60.0)
    truth, _ = site.plant.truth()
    for phase in "abc":
        power_w = witness.measure(f"power_{phase}_w", 120 * S)
        assert power_w == pytest.approx(truth[f"grid.{phase}.power_w"][119], rel=1e-3)
        volts = witness.measure(f"voltage_{phase}_v", 120 * S)
        assert witness.measure(f"current_{phase}_a", 120 * S) == pytest.approx(abs(power_w) / volts)
    assert witness.measure("export_energy_wh", 120 * S) == pytest.approx(
        truth["grid.net.export_energy_wh"][119]
    )
    assert witness.measure("import_energy_wh", 120 * S) == 0.0
    assert witness.measure("export_energy_a_wh", 120 * S) > 0.0


def test_the_inverter_measures_what_the_meter_sampled_and_takes_a_limit(bench) -> None:
    site = bench.site()
    source = source_of(site, "pv")
    assert source.measure("power_w", 0) is None
    assert source.measure("power_w", 20 * S) == pytest.approx(4000.0, abs=10.0)
    assert source.measure("power_limit_w", 20 * S) == 8000.0
    source.command("power_limit_w", 1500.0, 20 * S)
    assert source.measure("power_w", 40 * S) == pytest.approx(1500.0, abs=10.0)
    assert source.measure("power_limit_w", 40 * S) == 1500.0
    assert source.measure("energy_wh", 40 * S) == pytest.approx(
        site.plant.truth()[0]["pv.power_w"].sum() / 3600.0, rel=0.01
    )
    assert source.measure("voltage_a_v", 40 * S) == pytest.approx(230.0, abs=5.0)
    assert source.measure("power_a_w", 40 * S) is None, "the grid's phases are not its own"


def test_an_inverter_that_cannot_be_limited_ignores_limits(bench) -> None:
    pv = {"peak_power_w": 8000, "inverter_power_w": 8000}
    site = bench.site(pv=pv)
    source = source_of(site, "pv")
    source.command("power_limit_w", 100.0, 5 * S)
    assert source.measure("power_limit_w", 20 * S) is None
    assert source.measure("power_w", 20 * S) == pytest.approx(4000.0, abs=10.0)


def test_a_load_by_watts_by_switch_and_by_level(bench) -> None:
    site = bench.site()
    source = source_of(site, "load.a1")
    assert source.measure("max_power_w", 0) == 2000.0
    assert isinstance(source.measure("temperature_c", 0), float)
    for t_s, quantity, value, power_w in (
        (10, "on", 1.0, 2000.0),
        (40, "power_setpoint_w", 700.0, 700.0),
        (70, "level", 0.25, 500.0),
        (100, "on", 0.0, 0.0),
        (130, "on", 1.0, 500.0),
        (160, "power_setpoint_w", 0.0, 0.0),
        (190, "on", 1.0, 500.0),
    ):
        source.command(quantity, value, t_s * S)
        then_us = (t_s + 25) * S
        assert source.measure("power_w", then_us) == pytest.approx(power_w, rel=0.05, abs=1.0)
        assert source.measure("power_setpoint_w", then_us) == power_w
        assert source.measure("on", then_us) == float(power_w > 0)
        assert source.measure("level", then_us) == pytest.approx(power_w / 2000.0)
        volts = source.measure("voltage_a_v", then_us)
        assert source.measure("current_a_a", then_us) == pytest.approx(
            source.measure("power_w", then_us) / volts
        )


def test_a_load_without_a_tank_has_no_temperature(bench) -> None:
    assert source_of(bench.site(), "load.b1").measure("temperature_c", S) is None


def test_a_charger_its_car_and_its_switch(bench) -> None:
    site = bench.site()
    source = source_of(site, "charger.west")
    assert source.measure("car_state", 5 * S) == "idle"
    assert source.measure("car_state", 25 * S) == "waiting"
    source.command("current_setpoint_a", 10.0, 30 * S)
    assert source.measure("car_state", 120 * S) == "charging"
    power_w = source.measure("power_w", 120 * S)
    volts = sum(source.measure(f"voltage_{phase}_v", 120 * S) for phase in "abc")
    assert power_w == pytest.approx(10.0 * volts, rel=0.01)
    assert source.measure("current_b_a", 120 * S) == pytest.approx(10.0, abs=0.1)
    assert source.measure("energy_wh", 120 * S) > 0.0
    source.command("enabled", 0.0, 120 * S)
    assert source.measure("enabled", 200 * S) == 0.0
    assert source.measure("power_w", 200 * S) == 0.0
    assert source.measure("current_setpoint_a", 200 * S) == 10.0, "the switch leaves it"
    source.command("enabled", 1.0, 200 * S)
    assert source.measure("power_w", 300 * S) == pytest.approx(power_w, rel=0.01)
    assert source.measure("car_state", 520 * S) == "idle"


def test_a_commanded_battery(bench) -> None:
    site = bench.site()
    source = source_of(site, "battery")
    before = source.measure("soc", 1 * S)
    source.command("power_setpoint_w", -2000.0, 1 * S)
    assert source.measure("power_setpoint_w", 30 * S) == -2000.0
    assert source.measure("power_w", 60 * S) == pytest.approx(-2000.0, abs=5.0)
    assert source.measure("soc", 60 * S) > before
    assert source.measure("capacity_wh", 60 * S) == 10000.0
    soc = source.measure("soc", 60 * S)
    assert source.measure("available_energy_wh", 60 * S) == pytest.approx(soc * 10000.0)
    assert source.measure("voltage_c_v", 60 * S) == pytest.approx(230.0, abs=5.0)


def test_a_battery_that_controls_itself_takes_no_command(bench) -> None:
    battery = {
        "mode": "local", "capacity_wh": 10000, "max_charge_w": 5000, "max_discharge_w": 4000,
    }  # fmt: skip
    source = source_of(bench.site(battery=battery), "battery")
    source.command("power_setpoint_w", 4000.0, 1 * S)
    assert source.measure("power_setpoint_w", 60 * S) is None
    assert source.measure("power_w", 60 * S) < -2000.0, "it charges from the sun"


@pytest.mark.parametrize("served", ["load.c9", "charger.east", "moon", "load", "household"])
def test_what_the_plant_does_not_have(bench, served: str) -> None:
    with pytest.raises(KeyError):
        source_of(bench.site(), served)


def test_a_site_without_battery_serves_none(bench) -> None:
    with pytest.raises(KeyError):
        source_of(bench.site(battery=None), "battery")


def test_commands_by_wire_leave_their_effects(bench) -> None:
    site = bench.site()
    heater, charger = source_of(site, "load.b1"), source_of(site, "charger.west")
    heater.command("power_setpoint_w", 900.0, 10 * S)
    charger.command("current_setpoint_a", 8.0, 10 * S + 5)
    effects = site.effects
    b1, west = site.index("b1"), site.index("west")
    assert effects.of_wire(10 * S, b1) >= 10 * S
    assert effects.of_wire(10 * S, west) >= 10 * S
    assert effects.of_wire(10 * S, site.index("a1")) == -1
    site.plant.advance(100 * S)
    power_w = site.plant.truth()[0]["load.b1.power_w"]
    begins_s = int(np.flatnonzero(power_w > 1.0)[0])
    assert begins_s == effects.of_wire(10 * S, b1) // S


def test_times_before_the_run_count_as_its_start(bench) -> None:
    """A rig is opened while the clock still runs towards zero."""
    site = bench.site()
    source = source_of(site, "load.a1")
    assert source.measure("power_w", -20 * S) == 0.0
    source.command("power_setpoint_w", 500.0, -10 * S)
    assert site.plant.now_us <= 0
    assert source.measure("power_w", 30 * S) == pytest.approx(500.0, rel=0.05)


def test_unknown_commands_do_nothing(bench) -> None:
    site = bench.site()
    for served in ("grid", "witness", "pv", "load.a1", "charger.west", "battery"):
        source_of(site, served).command("moon_phase", 1.0, S)
    assert not site.effects.wired


def test_a_value_that_is_no_number_is_refused(bench) -> None:
    with pytest.raises(ValueError, match="finite"):
        source_of(bench.site(), "load.a1").command("power_setpoint_w", math.nan, S)


def test_fields_of_the_meter_are_each_once() -> None:
    assert len(set(METER_FIELDS.values())) == len(METER_FIELDS)
    assert METER_FIELDS["power_w"] == meter.POWER_TOTAL
