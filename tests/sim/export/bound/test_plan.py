"""What a plan keeps: the budget in any sliding minute, resolution, range, minimum times."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest

from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.bound.clairvoyant import clairvoyant_bound
from wattbench.sim.export.bound.model import Bound, Weights
from wattbench.sim.export.compilation import actuators
from wattbench.sim.export.config import (
    Battery,
    EvCharger,
    EvSession,
    ExportPlantConfig,
    Load,
    Pv,
)

from .cases import objective_wh, played, scheduled, timing

SECONDS, BUDGET = 900, 6


@pytest.fixture(scope="module")
def case(lab: Any) -> tuple[ExportPlantConfig, np.ndarray, Bound]:
    config = ExportPlantConfig(
        connection=lab.no_impedance,
        pv=Pv(peak_power_w=8000, inverter_power_w=8000, curtailable=True),
        loads=(
            Load(id="a1", phase="a", rated_power_w=2000),
            Load(id="b1", phase="b", rated_power_w=2000),
            Load(id="c1", phase="c", rated_power_w=1000, resolution_w=1000, min_on_s=60),
        ),
        chargers=(
            EvCharger(id="car", sessions=(EvSession(plug_in_s=100, unplug_s=800, energy_wh=800),)),
        ),
        battery=Battery(
            capacity_wh=2000, max_charge_w=1000, max_discharge_w=1000, mode="commanded"
        ),
    )
    rng = np.random.default_rng(4)
    rows = lab.profile(SECONDS, 3, house_w=100.0)
    rows[:, 0] = np.repeat(rng.random(SECONDS // 10 + 1), 10)[: SECONDS + 1].clip(0.1, 1)
    bound = clairvoyant_bound(
        config, EdgeConfig(), rows, (), 3, timing(SECONDS), Weights(0.5, 2.0), BUDGET
    )
    return config, rows, bound


def test_the_budget_holds_in_any_minute(case: Any) -> None:
    _, _, bound = case
    times = bound.schedule.times_us
    assert len(times) > 20
    assert (np.diff(times) > 0).all()
    in_minute = np.searchsorted(times, times, side="right") - np.searchsorted(
        times, times - 60_000_000, side="right"
    )
    assert in_minute.max() == BUDGET


def test_set_points_are_such_as_devices_take(case: Any) -> None:
    config, _, bound = case
    for unit, column in zip(
        actuators(config, EdgeConfig()), bound.schedule.setpoint_w.T, strict=True
    ):
        assert column.min() >= unit.low_w
        assert column.max() <= unit.high_w
        steps = column / unit.resolution_w
        assert steps == pytest.approx(np.round(steps), abs=1e-6)
        assert not ((column > 0) & (column < unit.min_on_w)).any()


def test_minimum_times_are_kept(case: Any) -> None:
    _, _, bound = case
    on = bound.schedule.setpoint_w[:, 2] > 0
    edges = bound.schedule.times_us[np.flatnonzero(np.diff(on.astype(int))) + 1] / 1e6
    assert len(edges) > 1
    starts_on = not on[0]
    for number, (begin, end) in enumerate(itertools.pairwise(edges)):
        if (number % 2 == 0) == starts_on:
            assert end - begin >= 60


def test_it_comes_near_the_bound(case: Any) -> None:
    config, rows, bound = case
    weights = Weights(0.5, 2.0)
    run = config, EdgeConfig(), rows, (), 3, SECONDS
    idle = objective_wh(played(*run, ()), weights)
    reached = objective_wh(played(*run, scheduled(bound, EdgeConfig())), weights)
    assert bound.objective_wh <= reached
    assert idle - reached > 0.7 * (idle - bound.objective_wh)
