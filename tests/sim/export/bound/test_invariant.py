"""No run goes below the bound: random sites, faults, weather, clever and senseless commands."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, assume, given, note, settings
from hypothesis import strategies as st

from wattbench.sim.edge.config import DeviceConfig, EdgeConfig, MeshConfig
from wattbench.sim.export.bound.clairvoyant import clairvoyant_bound
from wattbench.sim.export.bound.model import BoundError, Weights
from wattbench.sim.export.bound.possible import possible
from wattbench.sim.faults import LoadStuckOff, LoadStuckOn, LoadVanished

from ..test_balance import SECONDS, sites
from .cases import first_tick, objective_wh, played, scheduled, timing


def weather(rng: np.random.Generator, config: Any) -> np.ndarray:
    rows = np.zeros((SECONDS + 1, 7 + len(config.loads)), dtype=np.float32)
    rows[:, 0] = np.abs(np.cumsum(rng.normal(0, 0.1, SECONDS + 1))) % 1.2
    if rng.random() < 0.5:
        rows[:, 0] = rng.random() * 1.2
    household = rng.uniform(0, 3000, 3) * (rng.random((SECONDS + 1, 3)) < 0.5)
    rows[:, 1:4] = household * (rng.random() < 0.7)
    rows[:, 4:7] = rng.uniform(-500, 1500, 3)
    for column, load in enumerate(config.loads, start=7):
        if load.tank is not None:
            rows[:, column] = rng.uniform(0, 20_000) * (rng.random(SECONDS + 1) < 0.2)
    return rows


def clever(config: Any, edge: Any, rows: np.ndarray, actuators: Any) -> Any:
    """At each tick, what will be left over when the command acts, spread by rating."""
    most_w = sum(a.high_w for a in actuators if a.kind in {"load", "charger"})
    for tick in range(first_tick(edge), SECONDS):
        row = rows[min(tick + 1, SECONDS)].astype(float)
        sun_w = min(config.pv.peak_power_w * row[0], config.pv.inverter_power_w)
        surplus_w = sun_w - row[1:4].sum()
        part = min(max(surplus_w / most_w, 0.0), 1.0)
        kinds = {"load": part, "charger": part, "pv_limit": 1.0}
        yield (
            tick,
            np.array(
                [
                    kinds[a.kind] * a.high_w
                    if a.kind in kinds
                    else min(max(-surplus_w, a.low_w), a.high_w)
                    for a in actuators
                ]
            ),
        )


def senseless(rng: np.random.Generator, edge: Any, actuators: Any) -> Any:
    low = np.array([a.low_w for a in actuators])
    high = np.array([a.high_w for a in actuators])
    for tick in range(first_tick(edge), SECONDS):
        if rng.random() < 0.3:
            part = rng.random(len(low)) * (rng.random(len(low)) < 0.8)
            yield tick, low + part * (high - low)


def bound_or_none(run: Any, weights: Weights, budget: int) -> Any:
    """None where the connection is too weak for a proof."""
    try:
        return clairvoyant_bound(*run, timing(SECONDS), weights, budget)
    except BoundError:
        return None


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    sites(),
    st.integers(0, 10**6),
    st.sampled_from([0.0, 0.5, 1.0, 3.0]),
    st.sampled_from([0.0, 0.3, 2.0, 10.0]),
    st.sampled_from([0.0, 0.0, 300.0]),
)
def test_no_run_goes_below_the_bound(
    config: Any, seed: int, import_weight: float, unserved_weight: float, safe_w: float
) -> None:
    assume(config.weakness() is None)
    rng = np.random.default_rng(seed)
    rows = weather(rng, config)
    kinds = [LoadStuckOn, LoadStuckOff, LoadVanished]
    faults = tuple(
        kinds[rng.integers(3)](
            start_s=rng.uniform(0, SECONDS), duration_s=rng.uniform(1, 200), load=load.id
        )
        for load in config.loads
        if rng.random() < 0.3
    )
    edge = EdgeConfig(
        mesh=MeshConfig(loss_good=float(rng.choice([0.0, 0.05]))),
        device=DeviceConfig(safe_power_w=safe_w, dead_time_s=float(rng.choice([0.0, 1.0]))),
    )
    weights, budget = Weights(import_weight, unserved_weight), 10
    run = config, edge, rows, faults, seed
    bound = bound_or_none(run, weights, budget)
    assume(bound is not None)
    can = possible(*run, timing(SECONDS))
    actuators = played(*run, SECONDS, ()).actuators
    for commands in (
        (),
        clever(config, edge, rows, actuators),
        senseless(rng, edge, actuators),
        scheduled(bound, edge),
    ):
        plant = played(*run, SECONDS, commands)
        reached = objective_wh(plant, weights)
        note(f"bound {bound.objective_wh}, reached {reached}")
        assert bound.objective_wh <= reached + 1e-9
        truth, _ = plant.truth()
        for a, load in enumerate(config.loads):
            power_w = truth[f"load.{load.id}.power_w"]
            assert (power_w <= can.load_w[a] * (1 + 1e-9) + 1e-9).all(), load.id
            volts = truth[f"grid.{load.phase}.voltage_v"]
            assert (volts**2 >= can.scale[0] * 230**2 * (1 - 1e-9)).all()
            assert (volts**2 <= can.scale[1] * 230**2 * (1 + 1e-9)).all()
    assert bound.with_budget_wh is not None
    assert bound.objective_wh <= bound.with_budget_wh <= reached + 1e-9  # of the plan, the last


def test_a_supply_without_a_limit_of_its_voltage_is_refused(lab: Any) -> None:
    config = lab.Site(lab.resistor("a1", 3000.0)).config
    weak = config.connection.model_copy(
        update={"line_resistance_ohm": 1.0, "neutral_resistance_ohm": 1.0}
    )
    rows = lab.profile(60, 1, house_w=9000.0)
    with pytest.raises(BoundError, match="weak"):
        clairvoyant_bound(
            config.model_copy(update={"connection": weak}),
            EdgeConfig(),
            rows,
            (),
            1,
            timing(60),
            Weights(0.5, 2.0),
            10,
        )
