"""Compile the kernels of a bench run ahead, so that the first run need not wait for it.

``python -m wattbench.commands.precompile`` compiles what advances the plant in this process, and
the agents' kernels, sending and the bound in another beside it; with the name of one half, only
that one. It lands in the compile cache (see ``sim/compiled.py``), where every later process finds
it.
"""

from __future__ import annotations

import datetime as dt
import subprocess
import sys

import numpy as np

from ..agents.agent import Agent
from ..agents.policy import POLICIES, SiteInfo
from ..sim.edge.config import EdgeConfig
from ..sim.export.config import ExportPlantConfig
from ..sim.export.plant import ExportPlant

_SECOND_US = 1_000_000
_CONFIG = {"loads": [{"id": "a1", "phase": "a", "rated_power_w": 1500}]}


def _plant() -> ExportPlant:
    config = ExportPlantConfig.model_validate(_CONFIG)
    profiles = np.zeros((3, 8), dtype=np.float32)
    return ExportPlant(config, EdgeConfig(), profiles, [], 1, 2 * _SECOND_US)


def compile_plant() -> None:
    """Compile what advances and reads one site."""
    plant = _plant()
    plant.reading(0)
    plant.advance(_SECOND_US)


def compile_agents() -> None:
    """Compile features, allocator and sending for one site."""
    from ..sim.export.compilation import actuators

    edge = EdgeConfig()
    config = ExportPlantConfig.model_validate(_CONFIG)
    start = dt.datetime(2025, 6, 21, tzinfo=dt.UTC)
    site = SiteInfo.of(actuators(config, edge), edge, start=start)
    agent = Agent(POLICIES["pi"].config(), site)
    agent.guard(agent.decide(agent.observe(0, None, float("inf"), np.zeros(1))))
    agent.sent(0, np.zeros(1))
    _plant().send(0, np.zeros(1))
    compile_bound()


def compile_bound() -> None:
    """Compile what the clairvoyant bound counts with: on the smallest run that has one."""
    from ..sim.export.bound.clairvoyant import clairvoyant_bound
    from ..sim.export.bound.model import Timing, Weights

    config = ExportPlantConfig.model_validate(_CONFIG)
    seconds = 10
    profiles = np.zeros((seconds + 1, 8), dtype=np.float32)
    timing, weights = Timing(seconds, 1.0, 0.02, 30.0), Weights(0.5, 2.0)
    clairvoyant_bound(config, EdgeConfig(), profiles, (), 1, timing, weights, 10)


def main() -> None:
    """Compile both halves side by side, or the one that is named."""
    halves = {"plant": compile_plant, "agents": compile_agents}
    if len(sys.argv) > 1:
        halves[sys.argv[1]]()
        return
    with subprocess.Popen(
        [sys.executable, "-m", "wattbench.commands.precompile", "agents"]
    ) as beside:
        compile_plant()
    if beside.returncode:
        raise SystemExit(beside.returncode)


if __name__ == "__main__":
    main()
