"""The delay budget as a policy meets it, on both rigs: from a command to the meter's answer.

One heater is commanded from nothing to its rated power, on a site without sun, household and
impedance; what the loop reads once a second tells how much of it has come. The site that the
package is modelled on shows nothing for 1–2 s, a first effect at about 3 s and all of it at about
5 s. Through bytes the command leaves some milliseconds later, once the meter and the inverter have
answered, so that what lies close to a tick may be read one tick later.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest

from wattbench.agents.policy import POLICIES, Observation, Policy, PolicyConfig, register
from wattbench.commands.setup import setup_of
from wattbench.evaluation.record import read_record
from wattbench.hil.bench import Bench
from wattbench.scenarios.load import load_scenario

S = 1_000_000
SEEDS = 100
RATED_W = 2000.0
DECIDED_S = 20
LATER_S = 12
SITE = f"""
plant:
  kind: export
  connection:
    line_resistance_ohm: 0
    line_reactance_ohm: 0
    neutral_resistance_ohm: 0
    neutral_reactance_ohm: 0
  loads: [{{id: a1, phase: a, rated_power_w: {RATED_W:g}}}]
profiles:
  pv: {{kind: generated, sky: overcast}}
  household: {{kind: constant}}
clock: {{start: 2025-06-21T00:30:00, duration_s: {DECIDED_S + LATER_S + 1}}}
policies: [{{kind: pi}}]
limits: [{{metric: export_energy, max: 100 kWh}}]
"""


class StepConfig(PolicyConfig):
    """A policy of this test: nothing, then everything."""

    kind: Literal["step"] = "step"


class Step(Policy):
    """Commands the heater's rated power from one tick on."""

    action = "actuator_power"

    def __init__(self, config: StepConfig, site: Any) -> None:
        pass

    def reset(self, seed: int) -> None:
        pass

    def decide(self, observation: Observation) -> np.ndarray:
        return np.array([RATED_W if observation.t_us >= DECIDED_S * S else 0.0])


@pytest.fixture(scope="module")
def step() -> Iterator[StepConfig]:
    register(StepConfig, Step)
    yield StepConfig()
    del POLICIES["step"]


@pytest.fixture(scope="module", params=["direct", "emulated"])
def responses(request: Any, step: StepConfig, tmp_path_factory: Any) -> np.ndarray:
    """Share of the whole effect that the loop reads k seconds after the decision [seed, k]."""
    folder: Path = tmp_path_factory.mktemp(request.param)
    path = folder / "site.yaml"
    path.write_text(SITE)
    changes = {"policies": (step,), "seeds": tuple(range(1, SEEDS + 1)), "rig": request.param}
    scenario = load_scenario(path).model_copy(update=changes)
    rig = setup_of(request.param, scenario)
    results = Bench(scenario, folder, measure=lambda record: {}, rig=rig).run()
    found = []
    for result in results:
        assert result.outcome.cause == ""
        record = read_record(result.folder)
        commands = record.stream("commands")
        sent = np.flatnonzero(commands["guarded.a1_w"] > 0)[0]
        assert commands["t_sim_us"][sent] == DECIDED_S * S
        assert commands["status"][sent] == 0
        found.append(record.stream("readings")["meter.total.power_w"][DECIDED_S:] / RATED_W)
    shares = np.array(found)[:, :LATER_S]
    print(f"\n{request.param}, {SEEDS} seeds: tick after the decision: how many")
    for name, least in (("first effect (5 %)", 0.05), ("95 %", 0.95)):
        print(f"{name:<18} {_histogram(shares >= least)}")
    return shares


def _histogram(reached: np.ndarray) -> dict[str, int]:
    """Return how many seeds reached something at which tick, −1: never."""
    first = np.where(reached.any(axis=1), reached.argmax(axis=1), -1)
    return {f"{k} s": n for k, n in sorted(Counter(first.tolist()).items())}


pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:Pydantic serializer warnings"),
]


def test_nothing_happens_for_two_seconds(responses: np.ndarray) -> None:
    # Less than 1 % is the meter's noise of 3 W.
    assert np.abs(responses[:, :3]).max() < 0.01


def test_first_effect_at_three_seconds(responses: np.ndarray) -> None:
    assert (responses[:, 3] > 0.05).mean() > 0.95
    assert np.median(responses[:, 3]) < 0.5


def test_whole_effect_at_five_seconds_and_not_before(responses: np.ndarray) -> None:
    assert (responses[:, 5] >= 0.95).mean() > 0.95
    assert (responses[:, 4] < 0.95).mean() > 0.95


def test_what_is_later_is_a_repaired_route_or_a_lost_message(responses: np.ndarray) -> None:
    lost = responses[:, 11] < 0.5
    assert lost.mean() < 0.05
    assert (responses[~lost, 8] >= 0.95).all()
