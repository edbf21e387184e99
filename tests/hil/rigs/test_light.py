"""What starts without a plant: a guardian must be there soon, `rig status` answer at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("numba", "wattbench.sim.plant", "scipy", "onnxruntime")


@pytest.mark.parametrize(
    "module",
    [
        "wattbench.hil.rigs.guardian",
        "wattbench.hil.rigs.making_safe",
        "wattbench.hil.rigs.driver_links",
        "wattbench.hil.rigs.lock",
        "wattbench.commands.rig",
        "wattbench.scenarios.rigs",
        "wattbench.scenarios.validate",
        "wattbench.hil.errors",
    ],
)
def test_no_plant_is_imported(module: str) -> None:
    code = f"import sys, {module}; print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-P", "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.strip() == "[]"
