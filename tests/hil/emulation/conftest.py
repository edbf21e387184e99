"""A site small enough to say what its devices must measure."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattbench.hil.emulation.sources import Site
from wattbench.hil.rigs.concrete import RigSetup
from wattbench.hil.rigs.model import Rig
from wattbench.scenarios.rigs import load_profiles
from wattbench.sim.edge.config import EdgeConfig
from wattbench.sim.export.config import ExportPlantConfig
from wattbench.sim.export.plant import ExportPlant

S = 1_000_000
SECONDS = 600

PLANT: dict[str, Any] = {
    "loads": [
        {"id": "a1", "phase": "a", "rated_power_w": 2000},
        {"id": "b1", "phase": "b", "rated_power_w": 3000, "tank": None},
    ],
    "chargers": [
        {
            "id": "west",
            "phases": "abc",
            "sessions": [{"plug_in_s": 20, "unplug_s": 500, "energy_wh": 20000}],
        }
    ],
    "pv": {"peak_power_w": 8000, "inverter_power_w": 8000, "curtailable": True},
    "battery": {
        "mode": "commanded",
        "capacity_wh": 10000,
        "max_charge_w": 5000,
        "max_discharge_w": 4000,
    },
}


def make_plant(faults: Any = (), edge: EdgeConfig | None = None, **changes: Any) -> ExportPlant:
    """Return a plant under a steady sun (half its peak) and a house of 300 W a phase."""
    config = ExportPlantConfig.model_validate(PLANT | changes)
    rows = np.zeros((SECONDS + 1, 7 + len(config.loads)), np.float32)
    rows[:, 0], rows[:, 1:4] = 0.5, 300.0
    return ExportPlant(config, edge or EdgeConfig(), rows, list(faults), 1, SECONDS * S)


def make_setup(buses: list[Any], devices: list[Any], **more: Any) -> RigSetup:
    """Return a rig of emulated devices with their profiles."""
    devices = [{"emulated": True} | device for device in devices]
    rig = Rig.model_validate({"name": "small", "buses": buses, "devices": devices, **more})
    return RigSetup(rig, load_profiles(rig))


@pytest.fixture(scope="session")
def bench() -> SimpleNamespace:
    return SimpleNamespace(
        S=S, plant=make_plant, site=lambda **m: Site(make_plant(**m)), setup=make_setup
    )
