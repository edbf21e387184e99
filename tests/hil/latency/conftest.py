"""Measurements made up from random numbers, as a machine of a given speed would give them."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from wattbench.hil.latency.gates import Measured
from wattbench.hil.latency.measure import LatencyRun, Series
from wattbench.hil.latency.statistics import responses

MS = 1_000_000


def measured(seed: int, *, own: float = 1.0, machine: float = 1.0, wander: float = 1.0) -> Measured:
    """Return 200 ticks: what the loop costs, and how slow the machine is, as factors."""
    rng = np.random.default_rng(seed)
    speed = machine * np.geomspace(1.0, wander, 200)
    values = 1e-3 * own * speed * rng.lognormal(0, 0.15, 200)
    return Measured(values, 4e-4 * speed * rng.lognormal(0, 0.15, 200))


def run(
    seed: int = 1, *, own: float = 1.0, machine: float = 1.0, wander: float = 1.0
) -> LatencyRun:
    """Return a whole measurement of 200 ticks of a second."""
    made = measured(seed, own=own, machine=machine, wander=wander)
    values = np.round(made.values * 1e9).astype(np.int64)
    reference = np.round(made.reference * 1e9).astype(np.int64)
    found = LatencyRun("direct", "pi", "demo", 1.0, 1.0, 200.0)
    found.spans = {
        "step": Series(2 * values, reference),
        "answer_to_command": Series(values, reference),
        "infer": Series(values // 4, reference),
    }
    found.responses = responses(np.arange(200) * 1000 * MS, 2 * values, 1000 * MS)
    found.echo_ns, found.work_ns = reference // 2, reference - reference // 2
    found.steps = 200
    return found


@pytest.fixture
def made() -> SimpleNamespace:
    return SimpleNamespace(measured=measured, run=run)
