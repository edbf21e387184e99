"""Nothing comes from nowhere: energy balances and bounds for random sites under random commands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, note, settings
from hypothesis import strategies as st

from wattbench.sim.edge.config import EdgeConfig, MeshConfig
from wattbench.sim.export.config import (
    Battery,
    Connection,
    EvCharger,
    EvSession,
    ExportPlantConfig,
    Load,
    Pv,
    Tank,
    VoltWatt,
)
from wattbench.sim.export.plant import ExportPlant
from wattbench.sim.faults import LoadStuckOff, LoadStuckOn, LoadVanished

S = 1_000_000
SECONDS = 400


def between(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


phases = st.sampled_from(["a", "b", "c", "abc"])


@st.composite
def tanks(draw: Any) -> Tank:
    cold_c = draw(between(0, 19))
    comfort_c = draw(between(20, 60))
    thermostat_c = draw(between(comfort_c + 1, 80))
    cut_out_c = draw(between(max(thermostat_c + 1, 30), 99))
    spread_k = draw(between(0, 10))
    return Tank(
        volume_l=draw(between(5, 500)),
        standing_loss_w_per_k=draw(between(0, 50)),
        ambient_c=draw(between(-30, 50)),
        cold_water_c=cold_c,
        initial_c=draw(between(5, min(cut_out_c - spread_k - 1, 95))),
        initial_spread_k=spread_k,
        thermostat_c=thermostat_c,
        hysteresis_k=draw(between(0.1, 10)),
        cut_out_c=cut_out_c,
        comfort_c=comfort_c,
        autonomous_heating=draw(st.booleans()),
    )


@st.composite
def batteries(draw: Any) -> Battery:
    low, high = sorted([draw(between(0, 1)), draw(between(0, 1))])
    return Battery(
        capacity_wh=draw(between(20, 20_000)),
        max_charge_w=draw(between(10, 8000)),
        max_discharge_w=draw(between(10, 8000)),
        charge_efficiency=draw(between(0.5, 1)),
        discharge_efficiency=draw(between(0.5, 1)),
        soc_min=low,
        soc_max=high,
        initial_soc=draw(between(low, high)),
        phases=draw(phases),
        mode=draw(st.sampled_from(["local", "commanded"])),
        response_s=draw(between(0.1, 20)),
    )


@st.composite
def chargers(draw: Any, name: str) -> EvCharger:
    cuts = sorted(draw(st.lists(st.integers(0, SECONDS + 20), min_size=2, max_size=8, unique=True)))
    return EvCharger(
        id=name,
        phases=draw(phases),
        max_current_a=draw(st.integers(6, 32)),
        min_on_s=draw(between(0, 90)),
        min_off_s=draw(between(0, 90)),
        ramp_s=draw(between(0, 20)),
        sessions=tuple(
            EvSession(plug_in_s=start, unplug_s=end, energy_wh=draw(between(1, 2000)))
            for start, end in zip(cuts[::2], cuts[1::2], strict=False)
        ),
    )


@st.composite
def sites(draw: Any) -> ExportPlantConfig:
    ohms = between(0, 0.15)
    return ExportPlantConfig(
        connection=Connection(
            line_resistance_ohm=draw(ohms),
            line_reactance_ohm=draw(ohms),
            neutral_resistance_ohm=draw(ohms),
            neutral_reactance_ohm=draw(ohms),
            source_voltage_a_v=draw(between(220, 250)),
        ),
        pv=Pv(
            peak_power_w=draw(between(0, 10_000)),
            inverter_power_w=draw(between(500, 8000)),
            phases=draw(phases),
            power_factor=draw(between(0.8, 1)),
            volt_watt=draw(st.none() | st.just(VoltWatt(start_v=240, end_v=250))),
            curtailable=draw(st.booleans()),
        ),
        loads=tuple(
            Load(
                id=f"{phase}{number}",
                phase=phase,
                rated_power_w=draw(between(100, 3000)),
                resolution_w=draw(between(1, 100)),
                min_on_s=draw(between(0, 60)),
                min_off_s=draw(between(0, 60)),
                ramp_s=draw(between(0, 30)),
                tank=draw(st.none() | tanks()),
            )
            for phase in "abc"
            for number in range(draw(st.integers(1, 3)))
        ),
        battery=draw(st.none() | batteries()),
        chargers=tuple(draw(chargers(f"ev{number}")) for number in range(draw(st.integers(0, 2)))),
    )


def random_run(config: ExportPlantConfig, seed: int) -> tuple[ExportPlant, dict[str, Any]]:
    """Run a site under random weather, draws, faults and commands; return it and its start."""
    rng = np.random.default_rng(seed)
    rows = np.zeros((SECONDS + 1, 7 + len(config.loads)), dtype=np.float32)
    rows[:, 0] = np.abs(np.cumsum(rng.normal(0, 0.1, SECONDS + 1))) % 1.2
    rows[:, 1:4] = rng.uniform(0, 3000, 3) * (rng.random((SECONDS + 1, 3)) < 0.5)
    rows[:, 4:7] = rng.uniform(-500, 1500, 3)
    for column, load in enumerate(config.loads, start=7):
        if load.tank is not None:
            rows[:, column] = rng.uniform(0, 20_000) * (rng.random(SECONDS + 1) < 0.2)
    kinds = [LoadStuckOn, LoadStuckOff, LoadVanished]
    faults = [
        kinds[rng.integers(3)](
            start_s=rng.uniform(0, SECONDS), duration_s=rng.uniform(1, 200), load=load.id
        )
        for load in config.loads
        if rng.random() < 0.3
    ]
    edge = EdgeConfig(mesh=MeshConfig(loss_good=0.1))
    plant = ExportPlant(config, edge, rows, faults, seed, SECONDS * S)
    start = {name: plant.batch.get(name)[:, 0] for name in ("temperature_c", "battery_j")}
    start["rows"] = rows
    low = np.array([a.low_w for a in plant.actuators])
    high = np.array([a.high_w for a in plant.actuators])
    t_us = 0
    while t_us < SECONDS * S:
        plant.advance(t_us)
        setpoints = np.where(
            rng.random(len(low)) < 0.2, 0.0, low + rng.random(len(low)) * (high - low) * 1.1
        )
        plant.send(t_us, setpoints)
        t_us += int(rng.uniform(0.5, 20) * S)
    plant.advance(SECONDS * S)
    return plant, start


def check_grid(plant: ExportPlant, truth: dict[str, np.ndarray]) -> None:
    """Each second and phase, and the net over the run, by both rules."""
    config = plant.config
    share = {p: np.array([p == q for q in "abc"]) * 1.0 for p in "abc"} | {"abc": np.ones(3) / 3}
    given_w, taken_w = np.zeros((2, SECONDS, 3))
    given_w += np.outer(truth["pv.power_w"], share[config.pv.phases])
    if config.battery is not None:
        taken_w -= np.outer(truth["battery.power_w"], share[config.battery.phases])
    for load in config.loads:
        taken_w += np.outer(truth[f"load.{load.id}.power_w"], share[load.phase])
    # A three-phase charger takes the same current on each phase, not the same power.
    free = np.zeros(SECONDS)
    for charger in config.chargers:
        power = truth[f"charger.{charger.id}.power_w"]
        if charger.phases == "abc":
            free += power
        else:
            taken_w += np.outer(power, share[charger.phases])
    for index, phase in enumerate("abc"):
        taken_w[:, index] += truth[f"household.{phase}.power_w"]
    grid_w = np.stack([truth[f"grid.{phase}.power_w"] for phase in "abc"], axis=1)
    scale_w = np.abs(taken_w).sum() + np.abs(given_w).sum() + free.sum() + 1.0
    if not free.any():
        np.testing.assert_allclose(grid_w, taken_w - given_w, rtol=0, atol=1e-9 * scale_w)
    used_wh = (taken_w.sum() + free.sum() - given_w.sum()) / 3600
    for rule in (
        truth["grid.net.import_energy_wh"][-1] - truth["grid.net.export_energy_wh"][-1],
        sum(truth[f"grid.{p}.import_energy_wh"][-1] for p in "abc")
        - sum(truth[f"grid.{p}.export_energy_wh"][-1] for p in "abc"),
    ):
        assert abs(rule - used_wh) <= 1e-9 * scale_w / 3600
    for direction in ("import", "export"):
        per_phase = sum(truth[f"grid.{p}.{direction}_energy_wh"] for p in "abc")
        net = truth[f"grid.net.{direction}_energy_wh"]
        assert (np.diff(net, prepend=0.0) >= 0).all()
        assert (net <= per_phase * (1 + 1e-12) + 1e-12).all()


def check_tanks(plant: ExportPlant, truth: dict[str, np.ndarray], start: dict[str, Any]) -> None:
    for index, load in enumerate(plant.config.loads):
        heat_w = truth[f"load.{load.id}.power_w"]
        delivered_wh = truth[f"load.{load.id}.delivered_energy_wh"]
        unserved_wh = truth[f"load.{load.id}.unserved_energy_wh"]
        stored_wh = truth[f"load.{load.id}.stored_energy_wh"]
        tank = load.tank
        if tank is None:
            assert not delivered_wh.any()
            assert not stored_wh.any()
            assert np.isnan(truth[f"load.{load.id}.temperature_c"]).all()
            continue
        after_c = truth[f"load.{load.id}.temperature_c"]
        before_c = np.concatenate([[start["temperature_c"][index]], after_c[:-1]])
        lost_wh = (tank.standing_loss_w_per_k * (before_c - tank.ambient_c)).sum() / 3600
        capacity_wh_per_k = tank.volume_l * 4186 / 3600
        rise_wh = (after_c[-1] - before_c[0]) * capacity_wh_per_k
        assert stored_wh == pytest.approx((after_c - tank.cold_water_c) * capacity_wh_per_k)
        turnover_wh = heat_w.sum() / 3600 + abs(lost_wh) + delivered_wh[-1]
        balance = heat_w.sum() / 3600 - lost_wh - delivered_wh[-1]
        assert abs(rise_wh - balance) <= 1e-9 * (turnover_wh + 100 * capacity_wh_per_k)
        asked_wh = start["rows"][:SECONDS, 7 + index].astype(float).sum() / 3600
        assert delivered_wh[-1] + unserved_wh[-1] == pytest.approx(asked_wh, rel=1e-9, abs=1e-9)
        assert (np.diff(unserved_wh, prepend=0.0) >= 0).all()
        assert (np.diff(delivered_wh, prepend=0.0) >= 0).all()
        # Beyond the thermostat only by what ramp and minimum time let in: less than a second full.
        one_second_k = load.rated_power_w * (260 / 230) ** 2 / (capacity_wh_per_k * 3600)
        ramp_k = one_second_k * (load.ramp_s + 2)
        highest = max(before_c[0], tank.thermostat_c, tank.ambient_c)
        assert after_c.max() <= highest + ramp_k
        coldest = min(before_c[0], tank.cold_water_c, tank.ambient_c)
        loss_k = tank.standing_loss_w_per_k * 130 / (capacity_wh_per_k * 3600)
        assert after_c.min() >= coldest - loss_k


def check_stores(plant: ExportPlant, truth: dict[str, np.ndarray], start: dict[str, Any]) -> None:
    field = plant.batch.get
    battery = plant.config.battery
    if battery is not None:
        given_j, taken_j = field("battery_discharge_j")[0, 0], field("battery_charge_j")[0, 0]
        expected_j = taken_j * battery.charge_efficiency - given_j / battery.discharge_efficiency
        change_j = truth["battery.stored_energy_wh"][-1] * 3600 - start["battery_j"][0]
        capacity_j = battery.capacity_wh * 3600
        assert abs(change_j - expected_j) <= 1e-9 * (given_j + taken_j + capacity_j)
        soc = truth["battery.soc"]
        assert soc.min() >= battery.soc_min - 1e-9
        assert soc.max() <= battery.soc_max + 1e-9
        power_w = truth["battery.power_w"]
        assert power_w.min() >= -battery.max_charge_w * (1 + 1e-9)
        assert power_w.max() <= battery.max_discharge_w * (1 + 1e-9)
    for index, charger in enumerate(plant.config.chargers):
        power_w = truth[f"charger.{charger.id}.power_w"]
        unserved_wh = truth[f"charger.{charger.id}.unserved_energy_wh"][-1]
        finished = [stay for stay in charger.sessions if stay.unplug_s <= SECONDS]
        wanted_wh = sum(stay.energy_wh for stay in finished)
        still_there = any(stay.plug_in_s < SECONDS < stay.unplug_s for stay in charger.sessions)
        open_wh = field("session_j")[index, 0] / 3600 if still_there else 0.0
        charged_wh = power_w.sum() / 3600
        note(f"{charger.id}: charged {charged_wh}, unserved {unserved_wh}, wanted {wanted_wh}")
        assert charged_wh - open_wh + unserved_wh == pytest.approx(wanted_wh, rel=1e-9, abs=1e-9)
        lines = len(charger.phases)
        assert power_w.min() >= 0.0
        assert power_w.max() <= charger.max_current_a * 260 * lines


def check_bounds(plant: ExportPlant, truth: dict[str, np.ndarray]) -> None:
    for name, column in truth.items():
        if not name.endswith("temperature_c"):
            assert np.isfinite(column).all(), name
    duty = plant.batch.get("duty")
    assert duty.min() >= 0.0
    assert duty.max() <= 1.0
    for load in plant.config.loads:
        power_w = truth[f"load.{load.id}.power_w"]
        highest_v = truth[f"grid.{load.phase}.voltage_v"].max() + 5
        assert power_w.min() >= 0.0
        assert power_w.max() <= load.rated_power_w * (highest_v / 230) ** 2 * (1 + 1e-9)
    pv = plant.config.pv
    assert truth["pv.power_w"].min() >= 0.0
    assert (truth["pv.power_w"] <= truth["pv.available_power_w"] * (1 + 1e-9) + 1e-6).all()
    assert truth["pv.available_power_w"].max() <= pv.inverter_power_w * (1 + 1e-9)


# What was delivered once sank by a rounding error: it was what was asked less what was missing.
COLD_TANK = ExportPlantConfig.model_validate(
    {
        "connection": {
            "source_voltage_a_v": 220,
            "line_resistance_ohm": 0,
            "line_reactance_ohm": 0,
            "neutral_resistance_ohm": 0,
            "neutral_reactance_ohm": 0,
        },
        "pv": {"peak_power_w": 0, "inverter_power_w": 500, "phases": "a"},
        "loads": [
            *(
                {"id": i, "phase": i[0], "rated_power_w": 100, "ramp_s": 0}
                for i in ("a0", "a1", "b0")
            ),
            {
                "id": "b1",
                "phase": "b",
                "rated_power_w": 100,
                "ramp_s": 0,
                "tank": {
                    "volume_l": 5,
                    "standing_loss_w_per_k": 2,
                    "ambient_c": 1,
                    "cold_water_c": 17,
                    "initial_c": 21,
                    "initial_spread_k": 0,
                    "thermostat_c": 22,
                    "hysteresis_k": 1,
                    "cut_out_c": 30,
                    "comfort_c": 20,
                    "draws": "S",
                },
            },
            *({"id": i, "phase": i[0], "rated_power_w": 100, "ramp_s": 0} for i in ["b2", "c0"]),
        ],
    }
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(sites(), st.integers(0, 2**31))
@example(COLD_TANK, 0)
def test_energy_is_conserved_and_everything_stays_in_bounds(
    config: ExportPlantConfig, seed: int
) -> None:
    plant, start = random_run(config, seed)
    truth, _ = plant.truth()
    check_grid(plant, truth)
    check_tanks(plant, truth, start)
    check_stores(plant, truth, start)
    check_bounds(plant, truth)
