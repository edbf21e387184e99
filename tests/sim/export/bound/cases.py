"""Runs of one site by hand: commands at chosen times, and J of what came of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.bound.model import Bound, Timing, Weights
from wattbench.sim.export.config import ExportPlantConfig
from wattbench.sim.export.plant import ExportPlant

S = 1_000_000
DELAY_US = 20_000


def timing(seconds: int) -> Timing:
    """Return the times of a loop that decides every second."""
    return Timing(seconds, 1.0, DELAY_US * 1e-6, 30.0)


def objective_wh(plant: ExportPlant, weights: Weights) -> float:
    """Return J as the metric defines it, from the plant's truth."""
    truth, _ = plant.truth()

    def last(ending: str) -> float:
        return float(sum(truth[name][-1] for name in truth if name.endswith(ending)))

    start_wh = float(plant.meta()["stored_energy_initial_wh"])
    lacking_wh = max(0.0, start_wh - last("stored_energy_wh"))
    curtailed_wh = (truth["pv.available_power_w"] - truth["pv.power_w"]).sum() / 3600
    return float(
        truth["grid.net.export_energy_wh"][-1]
        + curtailed_wh
        + weights.import_weight * (truth["grid.net.import_energy_wh"][-1] + lacking_wh)
        + weights.unserved_weight * last("unserved_energy_wh")
    )


def played(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    rows: np.ndarray,
    faults: Sequence[Any],
    seed: int,
    seconds: int,
    commands: Iterable[tuple[int, np.ndarray]],
) -> ExportPlant:
    """Send commands at control ticks, in s, as a loop does; return the plant at the end."""
    plant = ExportPlant(config, edge, rows, list(faults), seed, seconds * S)
    for tick, power_w in commands:
        plant.send(tick * S + DELAY_US, np.array(power_w, dtype=float))
    plant.advance(seconds * S)
    return plant


def first_tick(edge: EdgeConfig) -> int:
    """Return the first second at which a loop has a reading and may decide."""
    return int(np.ceil(edge.meter.period_s + edge.meter.delay_s - 1e-9))


def scheduled(bound: Bound, edge: EdgeConfig) -> list[tuple[int, np.ndarray]]:
    """Return the bound's plan as commands; what comes too early is sent at the first tick."""
    first = first_tick(edge)
    by_tick = {
        max(int(time) // S, first): row
        for time, row in zip(bound.schedule.times_us, bound.schedule.setpoint_w, strict=True)
    }
    return sorted(by_tick.items())
