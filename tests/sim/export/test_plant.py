"""The bench's view of a site: action points, columns, the end of the run, the safe band."""

from __future__ import annotations

import numpy as np
import pytest

from wattbench.sim.export.config import Battery, EvCharger, EvSession, Load, Pv, Tank
from wattbench.sim.faults import LoadStuckOn

S = 1_000_000


def full_site(lab, **more):
    loads = [
        Load(id="a1", phase="a", rated_power_w=2000, min_on_s=5, min_off_s=7),
        lab.resistor("b1", 1500, resolution_w=1500),
    ]
    return lab.Site(
        *loads,
        battery=Battery(
            capacity_wh=2000, max_charge_w=700, max_discharge_w=900, mode="commanded", phases="c"
        ),
        pv=Pv(curtailable=True, phases="b"),
        chargers=(
            EvCharger(
                id="ev",
                phases="a",
                sessions=(EvSession(plug_in_s=0, unplug_s=50, energy_wh=100),),
            ),
        ),
        **more,
    )


def test_action_points_in_their_order_with_their_limits(lab) -> None:
    site = full_site(lab, edge=lab.exact_edge(device={"safe_power_w": 100}))
    points = site.plant.actuators
    assert [point.id for point in points] == ["a1", "b1", "ev", "battery", "pv"]
    assert [point.kind for point in points] == ["load", "load", "charger", "battery", "pv_limit"]
    assert [point.low_w for point in points] == [0, 0, 0, -700, 0]
    assert [point.high_w for point in points] == [2000, 1500, 16 * 230, 900, 8000]
    assert [point.safe_w for point in points] == [100, 100, 0, 0, 8000]
    assert [point.min_on_w for point in points] == [0, 0, 6 * 230, 0, 0]
    assert [point.resolution_w for point in points] == [10, 1500, 230, 1, 1]
    assert [point.phase_shares for point in points] == [
        (1, 0, 0),
        (0, 1, 0),
        (1, 0, 0),
        (0, 0, 1),
        (0, 1, 0),
    ]
    assert (points[0].min_on_s, points[0].min_off_s) == (5, 7)
    assert all(point.danger for point in points)


def test_local_battery_and_fixed_inverter_are_no_action_points(lab) -> None:
    battery = Battery(capacity_wh=2000, max_charge_w=700, max_discharge_w=900)
    assert [point.id for point in lab.Site(battery=battery).plant.actuators] == ["a1"]


def test_truth_has_the_columns_of_the_contract_with_their_units(lab) -> None:
    truth, units = full_site(lab).run(10).plant.truth()
    phases = [f"grid.{phase}." for phase in "abc"]
    expected = {
        "t_sim_us": "us",
        "grid.neutral.current_a": "A",
        "grid.net.import_energy_wh": "Wh",
        "grid.net.export_energy_wh": "Wh",
        "pv.power_w": "W",
        "pv.available_power_w": "W",
        "battery.power_w": "W",
        "battery.soc": "1",
        "battery.stored_energy_wh": "Wh",
        **{f"household.{phase}.power_w": "W" for phase in "abc"},
    }
    for phase in phases:
        expected |= {
            f"{phase}power_w": "W",
            f"{phase}reactive_power_var": "var",
            f"{phase}voltage_v": "V",
            f"{phase}current_a": "A",
            f"{phase}import_energy_wh": "Wh",
            f"{phase}export_energy_wh": "Wh",
        }
    for load in ("load.a1.", "load.b1."):
        expected |= {
            f"{load}power_w": "W",
            f"{load}setpoint_w": "W",
            f"{load}temperature_c": "°C",
            f"{load}stored_energy_wh": "Wh",
            f"{load}unserved_energy_wh": "Wh",
            f"{load}delivered_energy_wh": "Wh",
            f"{load}switchings": "1",
            f"{load}flags": "1",
        }
    expected |= {
        "charger.ev.power_w": "W",
        "charger.ev.setpoint_w": "W",
        "charger.ev.session_energy_wh": "Wh",
        "charger.ev.unserved_energy_wh": "Wh",
        "charger.ev.plugged_in": "1",
        "charger.ev.switchings": "1",
    }
    assert units == expected
    assert next(iter(truth)) == "t_sim_us"
    assert truth["t_sim_us"].dtype == np.int64
    assert truth["t_sim_us"].tolist() == [(second + 1) * S for second in range(10)]
    assert {len(column) for column in truth.values()} == {10}


def test_truth_can_be_looked_at_while_the_run_goes_on(lab) -> None:
    house_w = np.arange(61 * 3).reshape(61, 3)
    looked, alone = (lab.Site(house_w=house_w) for _ in range(2))
    for second in (0, 1, 7, 7.4, 30):
        looked.run(second)
        assert len(looked["t_sim_us"]) == int(second)
        np.testing.assert_array_equal(looked["household.b.power_w"], house_w[: int(second), 1])
    assert looked.run(60).truth_bytes() == alone.run(60).truth_bytes()


def test_long_runs_keep_every_second(lab) -> None:
    house_w = np.arange(5001 * 3).reshape(5001, 3) % 1009
    site = lab.Site(seconds=5000, house_w=house_w)
    for second in (3, 700, 1024, 1030, 5000):
        site.run(second)
        np.testing.assert_array_equal(site["household.c.power_w"], house_w[:second, 2])
    np.testing.assert_allclose(site["grid.c.power_w"], house_w[:5000, 2], atol=1e-6)


def test_second_n_follows_row_n_of_the_profile(lab) -> None:
    """From the first to the last row that the run uses; the row after it is for its end."""
    house_w = np.zeros((61, 3))
    house_w[:, 0] = np.arange(61) * 10
    site = lab.Site(house_w=house_w).run(60)
    np.testing.assert_allclose(site["grid.a.power_w"], np.arange(60) * 10, atol=1e-9)


def test_after_the_run_time_goes_on_without_a_trace(lab) -> None:
    house_w = np.zeros((61, 3))
    house_w[60] = 777
    site = lab.Site(house_w=house_w, edge=lab.exact_edge())
    site.act(50, 1000)
    site.run(59.8)
    site.run(75.4)
    assert site.plant.now_us == 75_400_000
    assert len(site["t_sim_us"]) == 60
    # The meter goes on, with the profile's last row.
    assert site.plant.reading(75 * S + 400_000).values[0] == pytest.approx(1777)
    assert site.plant.batch.get("setpoint_w")[0, 0] == 1000
    site.act(78, 0)
    site.run(80)
    assert site.plant.batch.get("setpoint_w")[0, 0] == 0
    assert len(site["t_sim_us"]) == 60


def test_time_never_runs_backwards(lab) -> None:
    site = lab.Site().run(10)
    site.run(5)
    assert site.plant.now_us == 10 * S
    site.plant.advance(10 * S + 199_999)
    assert site.plant.now_us == 10 * S
    site.plant.advance(10 * S + 200_000)
    assert site.plant.now_us == 10 * S + 200_000


def test_a_run_that_ends_within_a_second_is_traced_to_the_last_whole_one(lab) -> None:
    site = lab.Site()
    plant = type(site.plant)(site.config, lab.exact_edge(), lab.profile(4, 1), [], 1, 3_600_000)
    plant.advance(3_600_000)
    assert len(plant.truth()[0]["t_sim_us"]) == 3
    assert plant.now_us == 3_600_000


def test_meta_says_what_judging_needs(lab) -> None:
    tank = Tank(volume_l=100, initial_c=50, initial_spread_k=0, cold_water_c=10)
    load = Load(id="a1", phase="a", rated_power_w=2000, tank=tank)
    site = lab.Site(
        load,
        lab.resistor("b1"),
        battery=Battery(capacity_wh=1000, max_charge_w=1, max_discharge_w=1, initial_soc=0.5),
    )
    meta = site.plant.meta()
    assert meta["main_fuse_a"] == 63
    assert meta["stored_energy_initial_wh"] == pytest.approx(100 * 4186 * 40 / 3600 + 500)
    assert meta["loads"][0]["cut_out_c"] == 88
    assert meta["loads"][1]["comfort_c"] is None
    assert meta["battery"] is True
    stored_wh = site.run(1)["load.a1.stored_energy_wh"][-1]
    assert stored_wh == pytest.approx(100 * 4186 * 40 / 3600, rel=1e-3)


def test_safe_band_is_what_the_loads_do_not_what_they_were_told(lab) -> None:
    site = lab.Site(lab.resistor("a1", ramp_s=5), edge=lab.exact_edge(device={"dead_time_s": 1}))
    assert site.plant.within_safe_band()
    site.send(1.1, 2000)
    site.run(10)
    assert not site.plant.within_safe_band()
    site.send(10.1, 0)
    site.run(12)
    assert not site.plant.within_safe_band()  # still on its ramp
    site.run(17)
    assert site.plant.within_safe_band()


def test_safe_band_lies_at_the_safe_power(lab) -> None:
    edge = lab.exact_edge(device={"safe_power_w": 500})
    site = lab.Site(edge=edge).run(5)
    assert site["load.a1.power_w"][-1] == pytest.approx(500)
    assert site.plant.within_safe_band()
    site.act(6, 510)
    site.run(8)
    assert not site.plant.within_safe_band()


def test_load_that_is_stuck_on_is_not_safe(lab) -> None:
    site = lab.Site(faults=[LoadStuckOn(load="a1", start_s=5, duration_s=10)])
    assert not site.run(7).plant.within_safe_band()
    assert site.run(16).plant.within_safe_band()


def test_charging_car_is_not_safe(lab) -> None:
    site = full_site(lab)
    site.act(1, 0, 0, 3000, 0, 8000)
    assert not site.run(10).plant.within_safe_band()
    assert site.run(55).plant.within_safe_band()
