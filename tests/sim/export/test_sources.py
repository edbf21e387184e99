"""PV, battery and chargers: limits, efficiencies, whole amperes, sessions."""

from __future__ import annotations

import numpy as np
import pytest

from wattbench.sim.export.config import (
    Battery,
    Connection,
    EvCharger,
    EvSession,
    Pv,
    VoltWatt,
)

# PV.


def test_inverter_clips_what_the_modules_could_give(lab) -> None:
    sun = np.array([0, 0.25, 0.5, 1, 1.25, 0.5])
    pv = Pv(peak_power_w=8000, inverter_power_w=6000)
    site = lab.Site(seconds=5, sun=sun, pv=pv).run(5)
    np.testing.assert_allclose(site["pv.available_power_w"], [0, 2000, 4000, 6000, 6000])
    np.testing.assert_allclose(site["pv.power_w"], site["pv.available_power_w"])
    np.testing.assert_allclose(site["grid.b.power_w"], -site["pv.power_w"] / 3)


@pytest.mark.parametrize("phase", ["a", "b", "c"])
def test_single_phase_inverter_feeds_its_phase(lab, phase: str) -> None:
    pv = Pv(peak_power_w=3000, phases=phase)
    site = lab.Site(seconds=5, sun=1.0, pv=pv).run(5)
    for other in "abc":
        expected = -3000 if other == phase else 0
        assert site[f"grid.{other}.power_w"][-1] == pytest.approx(expected)


def test_power_factor_draws_reactive_power(lab) -> None:
    pv = Pv(peak_power_w=3000, power_factor=0.8)
    site = lab.Site(seconds=5, sun=1.0, house_var=(100, 0, 0), pv=pv).run(5)
    # tan(acos 0.8) = 0.75
    assert site["grid.b.reactive_power_var"][-1] == pytest.approx(750)
    assert site["grid.a.reactive_power_var"][-1] == pytest.approx(850)


def test_curtailment_point_caps_the_inverter(lab) -> None:
    pv = Pv(peak_power_w=6000, inverter_power_w=6000, curtailable=True)
    site = lab.Site(seconds=20, sun=1.0, pv=pv)
    limit = site.plant.actuators[-1]
    assert (limit.id, limit.kind, limit.high_w, limit.safe_w) == ("pv", "pv_limit", 6000, 6000)
    site.act(5, 0, 2500)
    site.act(10, 0, 0)
    site.act(15, 0, 9999)
    site.run(20)
    expected = [6000] * 5 + [2500] * 5 + [0] * 5 + [6000] * 5
    np.testing.assert_allclose(site["pv.power_w"], expected, atol=1e-9)
    np.testing.assert_allclose(site["pv.available_power_w"], 6000)


def test_volt_watt_settles_on_its_curve(lab) -> None:
    """Where the network's line meets the inverter's, it comes to rest."""
    curve = VoltWatt(start_v=240, end_v=250, response_s=2)
    pv = Pv(peak_power_w=10_000, inverter_power_w=10_000, phases="a", volt_watt=curve)
    connection = Connection(
        line_resistance_ohm=0.4,
        line_reactance_ohm=0,
        neutral_resistance_ohm=0.2,
        neutral_reactance_ohm=0,
    )
    site = lab.Site(seconds=300, sun=1.0, pv=pv, connection=connection).run(300)
    power_w, volts = site["pv.power_w"], site["grid.a.voltage_v"]
    np.testing.assert_allclose(power_w[200:], power_w[-1], rtol=1e-9)
    assert volts[-1] == pytest.approx((230 + np.sqrt(230**2 + 4 * 0.6 * power_w[-1])) / 2)
    assert power_w[-1] == pytest.approx(10_000 * (250 - volts[-1]) / 10, rel=1e-9)
    assert 3000 < power_w[-1] < 6000


def test_volt_watt_does_nothing_below_its_start(lab) -> None:
    site = lab.Site(seconds=30, sun=1.0, pv=Pv(peak_power_w=6000, volt_watt=VoltWatt())).run(30)
    np.testing.assert_allclose(site["pv.power_w"], 6000)


def test_volt_watt_stops_all_power_at_its_end(lab) -> None:
    connection = lab.no_impedance.model_copy(update={"source_voltage_b_v": 260.0})
    pv = Pv(peak_power_w=6000, volt_watt=VoltWatt(response_s=1))
    site = lab.Site(seconds=30, sun=1.0, pv=pv, connection=connection).run(30)
    assert site["pv.power_w"][-1] == pytest.approx(0, abs=10)


# Battery.


def battery(**settings) -> Battery:
    defaults = {
        "capacity_wh": 1000,
        "max_charge_w": 2000,
        "max_discharge_w": 3000,
        "response_s": 1.0,
    }
    return Battery(**defaults | settings)


def test_local_battery_drives_the_net_power_to_zero(lab) -> None:
    house_w = np.zeros((61, 3))
    house_w[:, 0] = 600
    house_w[30:, 1] = 900
    site = lab.Site(seconds=60, house_w=house_w, battery=battery()).run(60)
    net_w = sum(site[f"grid.{phase}.power_w"] for phase in "abc")
    assert abs(net_w[29]) < 1
    assert abs(net_w[59]) < 1
    assert site["battery.power_w"][29] == pytest.approx(600, abs=1)
    assert site["battery.power_w"][59] == pytest.approx(1500, abs=1)
    # It nets over phases; each phase for itself is not zero.
    assert site["grid.a.power_w"][29] == pytest.approx(400, abs=1)


def test_local_battery_follows_with_its_time_constant(lab) -> None:
    site = lab.Site(seconds=30, house_w=(0, 300, 0), battery=battery(response_s=5)).run(30)
    # Each sub-step closes 0.2/5 of the gap; in the first there is no measurement yet.
    steps = np.concatenate([[0], 300 * (1 - (1 - 0.04) ** np.arange(1, 150))])
    np.testing.assert_allclose(
        site["battery.power_w"], steps.reshape(-1, 5).mean(axis=1), rtol=1e-9
    )


def test_local_battery_charges_from_surplus_within_its_limit(lab) -> None:
    pv = Pv(peak_power_w=3000, inverter_power_w=3000)
    site = lab.Site(seconds=60, sun=1.0, pv=pv, battery=battery()).run(60)
    assert site["battery.power_w"][-1] == pytest.approx(-2000)
    net_w = sum(site[f"grid.{phase}.power_w"][-1] for phase in "abc")
    assert net_w == pytest.approx(-1000)


def test_battery_loses_what_its_efficiencies_say_and_stops_at_its_bounds(lab) -> None:
    store = battery(
        charge_efficiency=0.8, discharge_efficiency=0.9, soc_min=0.2, soc_max=0.6, initial_soc=0.2
    )
    house_w = np.zeros((5001, 3))
    house_w[2500:, 0] = 1000
    sun = np.where(np.arange(5001) < 2500, 1.0, 0.0)
    pv = Pv(peak_power_w=1000, inverter_power_w=1000)
    site = lab.Site(seconds=5000, sun=sun, house_w=house_w, pv=pv, battery=store).run(5000)
    soc, power_w = site["battery.soc"], site["battery.power_w"]
    assert soc[2499] == pytest.approx(0.6, abs=1e-12)
    assert soc[-1] == pytest.approx(0.2, abs=1e-12)
    # 400 Wh between its bounds: more must go in, less comes out.
    assert -power_w[:2500].sum() / 3600 * 0.8 == pytest.approx(400, rel=1e-9)
    assert power_w[2500:].sum() / 3600 == pytest.approx(400 * 0.9, rel=1e-9)
    assert power_w[2498] == 0
    assert power_w[-1] == 0


def test_commanded_battery_follows_its_set_point(lab) -> None:
    store = battery(mode="commanded", response_s=0.2)
    site = lab.Site(seconds=30, house_w=(500, 0, 0), battery=store)
    point = site.plant.actuators[-1]
    assert (point.id, point.low_w, point.high_w, point.safe_w) == ("battery", -2000, 3000, 0)
    for second, power_w in ((5, 700), (10, -900), (15, 9999), (20, -9999), (25, 0)):
        site.act(second, 0, power_w)
    site.run(30)
    expected = np.repeat([0, 700, -900, 3000, -2000, 0], 5)
    np.testing.assert_allclose(site["battery.power_w"], expected, atol=1e-9)


def test_without_a_battery_no_column_pretends_there_is_one(lab) -> None:
    assert not [name for name in lab.Site().run(2).plant.truth()[0] if "battery" in name]


# Chargers.


def charging(lab, *stays, seconds: int = 60, **settings):
    charger = EvCharger(
        id="ev",
        sessions=tuple(
            EvSession(plug_in_s=start, unplug_s=end, energy_wh=energy)
            for start, end, energy in stays
        ),
        **{"min_on_s": 0, "min_off_s": 0, "ramp_s": 0, "max_current_a": 32} | settings,
    )
    return lab.Site(seconds=seconds, chargers=(charger,))


@pytest.mark.parametrize(
    ("phases", "asked_w", "amperes"),
    [
        ("abc", 3 * 230 * 6, 6),
        ("abc", 3 * 230 * 6 - 1, 0),
        ("abc", 3 * 230 * 10.99, 10),
        ("abc", 1e6, 32),
        ("b", 230 * 6, 6),
        ("b", 230 * 15.5, 15),
        ("b", 230 * 5.99, 0),
    ],
)
def test_whole_amperes_between_6_and_32(lab, phases: str, asked_w: float, amperes: int) -> None:
    site = charging(lab, (0, 60, 1e5), phases=phases)
    site.act(1, 0, asked_w)
    site.run(5)
    for phase in "abc":
        expected = amperes if phase in phases else 0
        assert site[f"grid.{phase}.current_a"][-1] == pytest.approx(expected)
    assert site["charger.ev.power_w"][-1] == pytest.approx(amperes * 230 * len(phases))


def test_current_not_power_is_what_a_charger_sets(lab) -> None:
    site = charging(lab, (0, 60, 1e5), phases="a")
    low = lab.Site(
        seconds=10,
        chargers=site.config.chargers,
        connection=lab.no_impedance.model_copy(update={"source_voltage_a_v": 207.0}),
    )
    low.act(1, 0, 2300)
    assert low.run(5)["charger.ev.power_w"][-1] == pytest.approx(10 * 207)


def test_it_charges_only_while_a_car_is_there(lab) -> None:
    site = charging(lab, (10, 20, 1e5), phases="a")
    site.act(1, 0, 2300)
    site.run(30)
    power_w = site["charger.ev.power_w"]
    np.testing.assert_allclose(power_w, [0] * 10 + [2300] * 10 + [0] * 10)
    assert site["charger.ev.plugged_in"].tolist() == [0] * 10 + [1] * 10 + [0] * 10
    charged_wh = 23_000 / 3600
    assert site["charger.ev.session_energy_wh"][19] == pytest.approx(charged_wh)
    assert site["charger.ev.session_energy_wh"][20] == 0
    assert not site["charger.ev.unserved_energy_wh"][:19].any()
    np.testing.assert_allclose(site["charger.ev.unserved_energy_wh"][19:], 1e5 - charged_wh)
    assert site["charger.ev.switchings"][-1] == 2


def test_it_stops_when_the_car_has_what_it_wanted(lab) -> None:
    site = charging(lab, (0, 50, 5), phases="a", min_on_s=3600)
    site.act(1, 0, 2300)
    site.run(60)
    power_w = site["charger.ev.power_w"]
    assert power_w.sum() / 3600 == pytest.approx(5, rel=1e-12)
    # 5 Wh at 2.3 kW take 7.8 s.
    assert (power_w > 0).tolist() == [1 <= second < 9 for second in range(60)]
    assert site["charger.ev.unserved_energy_wh"][-1] == pytest.approx(0, abs=1e-9)
    assert site["charger.ev.switchings"][-1] == 2


def test_cars_back_to_back_and_from_the_start(lab) -> None:
    site = charging(lab, (0, 10, 3), (10, 20, 4), (30, 40, 5), (40, 41, 6), phases="a")
    site.act(0.2, 0, 2300)
    site.run(60)
    plugged = [second < 20 or 30 <= second < 41 for second in range(60)]
    assert (site["charger.ev.plugged_in"] > 0).tolist() == plugged
    power_w = site["charger.ev.power_w"]
    for start, end, wanted in ((0, 10, 3), (10, 20, 4), (30, 40, 5)):
        assert power_w[start:end].sum() / 3600 == pytest.approx(wanted, rel=1e-9)
    missing = 6 - power_w[40:41].sum() / 3600
    assert missing == pytest.approx(6 - 2300 / 3600)
    assert site["charger.ev.unserved_energy_wh"][-1] == pytest.approx(missing)


def test_car_that_leaves_as_the_run_ends_is_booked(lab) -> None:
    site = charging(lab, (0, 60, 100), phases="a").run(60)
    assert site["charger.ev.unserved_energy_wh"][-1] == pytest.approx(100)


def test_minimum_times_of_a_charger(lab) -> None:
    site = charging(lab, (0, 60, 1e5), phases="a", min_on_s=10, min_off_s=20)
    site.act(2, 0, 2300)
    site.act(5, 0, 0)
    site.act(15, 0, 2300)
    site.run(60)
    expected = [0] * 2 + [2300] * 10 + [0] * 20 + [2300] * 28
    np.testing.assert_allclose(site["charger.ev.power_w"], expected)


def test_charger_kept_on_keeps_to_a_current_that_exists(lab) -> None:
    """Told to pause in the middle of its ramp, it must not hold 3.2 A for its minimum time."""
    site = charging(lab, (0, 60, 1e5), phases="a", min_on_s=20, ramp_s=10, max_current_a=16)
    site.act(1, 0, 230 * 8)
    site.act(3, 0, 0)
    site.run(60)
    np.testing.assert_allclose(site["grid.a.current_a"][10:21], 8)
    assert site["grid.a.current_a"][-1] == 0


def test_charger_ramps(lab) -> None:
    site = charging(lab, (0, 60, 1e5), phases="a", ramp_s=10, max_current_a=10)
    site.act(0.2, 0, 2300)
    site.act(20.2, 0, 1380)
    site.run(40)
    amperes = site["grid.a.current_a"]
    # 10 A in 10 s; the current of a second is its RMS.
    np.testing.assert_allclose(np.diff(amperes[1:10]), 1, rtol=0.02)
    assert amperes[11] == pytest.approx(10)
    assert amperes[30] == pytest.approx(6)
