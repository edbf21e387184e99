"""Speed of the batched environment: control steps a second, all sites together."""

from __future__ import annotations

import datetime as dt

import numpy as np
import pytest

from wattbench.agents.env import EnvConfig, ExportVectorEnv
from wattbench.agents.policy import ActionKind
from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.config import ExportPlantConfig

SITES = 4096
STEPS = 24
START = dt.datetime(2025, 6, 21, 10, tzinfo=dt.UTC)


def _environment(action: ActionKind, sites: int) -> ExportVectorEnv:
    """Nine loads with tanks, over an hour of sun."""
    loads = [
        {"id": f"{phase}{j}", "phase": phase, "rated_power_w": 1500}
        for phase in "abc"
        for j in range(3)
    ]
    plant = ExportPlantConfig.model_validate({"loads": loads})
    rng = np.random.default_rng(1)
    profiles = np.zeros((16, 3601, 7 + len(loads)), dtype=np.float32)
    profiles[..., 0] = 0.5 + 0.3 * rng.random((16, 3601))
    profiles[..., 1:4] = 400 * rng.random((16, 3601, 3))
    config = EnvConfig(episode_s=1800, action=action)
    return ExportVectorEnv(sites, plant, EdgeConfig(), profiles, [START] * 16, config)


@pytest.mark.parametrize("action", ["phase_targets", "actuator_power"])
@pytest.mark.parametrize("hold_steps", [1, 6])
def test_environment(benchmark, action: ActionKind, hold_steps: int):
    """Features, allocator, guard, mesh, plant and meter; every site's action changes at random.

    A policy that changes its command at every step is the worst case for allocator and mesh; every
    sixth step is as often as ten changes a minute allow.
    """
    env = _environment(action, SITES)
    env.reset(seed=1)
    env.action_space.seed(1)
    actions = [env.action_space.sample() for _ in range(4)]

    def run():
        for step in range(STEPS):
            env.step(actions[step // hold_steps % 4])

    benchmark.pedantic(run, rounds=8, warmup_rounds=1)
    rate = STEPS * SITES
    benchmark.extra_info["control_steps_per_s_median"] = rate / benchmark.stats["median"]
    benchmark.extra_info["control_steps_per_s_best"] = rate / benchmark.stats["min"]


def test_reset(benchmark):
    """A new episode for all sites: seeds, tanks, memory."""
    env = _environment("phase_targets", SITES)
    benchmark.pedantic(env.reset, rounds=3, warmup_rounds=1)
