"""Cases small enough to work out by hand, or to try everything in."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from wattbench.sim.export.bound.clairvoyant import clairvoyant_bound
from wattbench.sim.export.bound.model import Bound, Weights
from wattbench.sim.export.bound.possible import first_effect_us
from wattbench.sim.export.config import Battery, EvCharger, EvSession, Pv, Tank
from wattbench.sim.faults import LoadStuckOff, MeterFreeze

from .cases import first_tick, objective_wh, played, timing

WEIGHTS = Weights(0.5, 2.0)


def bound_of(site: Any, edge: Any, rows: np.ndarray, seconds: int, *faults: Any) -> Bound:
    return clairvoyant_bound(site.config, edge, rows, faults, 1, timing(seconds), WEIGHTS, 10)


def one_kilowatt_of_sun(lab: Any, seconds: int, *loads: Any, **more: Any) -> tuple[Any, Any, Any]:
    pv = {"pv": Pv(peak_power_w=1000, inverter_power_w=1000)}
    site = lab.Site(*loads, seconds=seconds, sun=1.0, **(pv | more))
    rows = lab.profile(seconds, len(site.config.loads), sun=1.0)
    return site, lab.exact_edge(), rows


def test_export_of_the_time_before_anything_acts(lab: Any) -> None:
    """1 kW of sun, 1 kW of load: what is exported until a command can act cannot be helped."""
    site, edge, rows = one_kilowatt_of_sun(lab, 60, lab.resistor("a1", 1000.0))
    # The first sample is there at 1 s; sent 20 ms later it acts at the next sub-step.
    assert first_effect_us(edge, timing(60)) == 1_200_000
    bound = bound_of(site, edge, rows, 60)
    assert bound.objective_wh == pytest.approx(1000 * 1.2 / 3600, rel=1e-6)


def test_what_loads_cannot_take_is_exported(lab: Any) -> None:
    site, edge, rows = one_kilowatt_of_sun(lab, 100, lab.resistor("a1", 400.0))
    bound = bound_of(site, edge, rows, 100)
    assert bound.objective_wh == pytest.approx((1000 * 1.2 + 600 * 98.8) / 3600, rel=1e-6)


def test_a_load_that_is_stuck_off_takes_nothing(lab: Any) -> None:
    site, edge, rows = one_kilowatt_of_sun(lab, 100, lab.resistor("a1", 1000.0))
    fault = LoadStuckOff(start_s=20, duration_s=30, load="a1")
    bound = bound_of(site, edge, rows, 100, fault)
    assert bound.objective_wh == pytest.approx(1000 * (1.2 + 30) / 3600, rel=1e-6)


def test_a_full_tank_takes_what_it_loses(lab: Any) -> None:
    """Up to its thermostat 1 K of 10 L: 11.6 Wh; the rest of 50 Wh is exported."""
    tank = Tank(
        volume_l=10, standing_loss_w_per_k=0, initial_c=69, initial_spread_k=0, draws="none"
    )
    site, edge, rows = one_kilowatt_of_sun(lab, 180, lab.resistor("a1", tank=tank))
    bound = bound_of(site, edge, rows, 180)
    room_wh = 10 * 4186 / 3600
    one_second_wh = 2000 / 3600  # a thermostat opens at the second that follows
    expected_wh = 50 - room_wh - one_second_wh
    assert bound.objective_wh == pytest.approx(expected_wh, rel=1e-3)


def test_a_draw_from_a_cold_tank_is_served_or_missing(lab: Any) -> None:
    """No sun: heat for a draw is bought at λ₁, or missing at λ₂; stored heat is worth λ₁."""
    tank = Tank(
        volume_l=100, standing_loss_w_per_k=0, initial_c=28.5, initial_spread_k=0, draws="none"
    )
    seconds = 120
    site = lab.Site(lab.resistor("a1", tank=tank), seconds=seconds, pv=lab.no_pv)
    rows = lab.profile(seconds, 1)
    rows[100:110, 7] = 3600.0
    bound = bound_of(site, lab.exact_edge(), rows, seconds)
    # Half of the way to comfort: half of 10 Wh is served at least, and lacking in the end.
    at_rest_wh = WEIGHTS.unserved_weight * 5 + WEIGHTS.import_weight * 5
    assert bound.objective_wh <= at_rest_wh
    # Heating by full power for 98.8 s lifts it by 0.47 K: that much more of the draw is served.
    most_k = 2000 * 98.8 / 418_600
    served = (16.5 + most_k) / 33.0
    least_wh = WEIGHTS.unserved_weight * 10 * (1 - served)
    assert bound.objective_wh >= least_wh


def test_a_battery_saves_what_its_losses_leave(lab: Any) -> None:
    """A minute of 1 kW of sun, then a minute of 1 kW of household."""
    battery = Battery(
        capacity_wh=1000,
        max_charge_w=5000,
        max_discharge_w=5000,
        charge_efficiency=0.8,
        discharge_efficiency=0.5,
        soc_min=0,
        initial_soc=0,
    )
    seconds = 120
    pv = Pv(peak_power_w=1000, inverter_power_w=1000)
    site = lab.Site(lab.resistor("a1", 1e-3 * 1000), seconds=seconds, pv=pv, battery=battery)
    rows = lab.profile(seconds, 1)
    rows[:60, 0] = 1.0
    rows[60:, 1] = 1000.0
    bound = bound_of(site, lab.exact_edge(), rows, seconds)
    stored_wh = 1000 * 60 / 3600 * 0.8
    missing_wh = 1000 * 60 / 3600 - stored_wh * 0.5
    assert bound.objective_wh == pytest.approx(0.5 * missing_wh, rel=5e-3)


def test_a_car_that_leaves_early_lacks_the_rest(lab: Any) -> None:
    charger = EvCharger(
        id="car",
        phases="a",
        max_current_a=10,
        ramp_s=0,
        sessions=(EvSession(plug_in_s=10, unplug_s=40, energy_wh=100),),
    )
    seconds = 60
    site = lab.Site(lab.resistor("a1", 1.0), seconds=seconds, pv=lab.no_pv, chargers=(charger,))
    bound = bound_of(site, lab.exact_edge(), lab.profile(seconds, 1), seconds)
    most_wh = 2300 * 30 / 3600
    expected_wh = 2.0 * (100 - most_wh) + 0.5 * most_wh
    assert bound.objective_wh == pytest.approx(expected_wh, rel=1e-6)


def test_below_everything_that_can_be_commanded(lab: Any) -> None:
    """Every sequence of three levels over six ticks through the kernel: the best is the bound."""
    seconds = 8
    site = lab.Site(
        lab.resistor("a1", 1000.0),
        seconds=seconds,
        pv=Pv(peak_power_w=1000, inverter_power_w=1000),
    )
    edge = lab.exact_edge()
    rows = lab.profile(seconds, 1)
    rows[:, 0] = [0.5, 1.0, 1.0, 0.0, 0.5, 0.5, 1.0, 0.0, 0.0]
    ticks = range(first_tick(edge), seconds)
    best = min(
        objective_wh(
            played(
                site.config,
                edge,
                rows,
                (),
                1,
                seconds,
                zip(ticks, np.array([levels]).T, strict=True),
            ),
            WEIGHTS,
        )
        for levels in itertools.product((0.0, 500.0, 1000.0), repeat=len(ticks))
    )
    bound = bound_of(site, edge, rows, seconds)
    assert bound.objective_wh <= best
    # What is left between them: a level holds from the first sub-step after the tick, 0.2 s late.
    late_wh = 0.2 * (500 + 500 * 0.5 + 1000 * 0.5 + 500 + 500 * 0.5 + 500) / 3600
    assert best <= bound.objective_wh + late_wh


def test_where_readings_go_stale_there_is_no_bound_within_the_budget(lab: Any) -> None:
    site, edge, rows = one_kilowatt_of_sun(lab, 60, lab.resistor("a1"))
    bound = bound_of(site, edge, rows, 60, MeterFreeze(start_s=5, duration_s=20))
    assert bound.with_budget_wh is None
    assert "stale" in bound.no_budget_reason


def test_a_budget_costs_something(lab: Any) -> None:
    """A sun that comes and goes every three seconds; one change a minute follows it badly."""
    seconds = 120
    site = lab.Site(
        lab.resistor("a1", 3000.0),
        seconds=seconds,
        pv=Pv(peak_power_w=3000, inverter_power_w=3000),
    )
    rows = lab.profile(seconds, 1)
    rows[:, 0] = (np.arange(seconds + 1) // 3) % 2
    edge = lab.exact_edge()
    found = {
        changes: clairvoyant_bound(
            site.config, edge, rows, (), 1, timing(seconds), WEIGHTS, changes
        )
        for changes in (1, 5, 60)
    }
    values = [found[changes].with_budget_wh for changes in (60, 5, 1)]
    assert all(value is not None for value in values)
    assert values[0] == pytest.approx(found[60].objective_wh, rel=1e-6)
    assert values[0] < values[1] < values[2]
    # Always on and always off, bought or thrown away half of the time, is all that is left.
    assert values[2] <= 0.5 * 3000 * 60 / 3600
