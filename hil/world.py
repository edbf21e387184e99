"""Where a run takes place: its clock, and the process of its emulated devices if there is one.

========== ==================== ===================================================================
clock      rig                  what there is
========== ==================== ===================================================================
either     `direct`             a plant in this process, reached by function calls
virtual    all emulated         plant and devices in this process; bytes pass in memory
wall       some emulated        a process with the plant and the devices, on sockets and terminals
wall       all real             a plant in this process that follows what is measured
========== ==================== ===================================================================

With devices a run is preceded by a while in which they are opened: its clock begins before zero.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from ..sim.clock import VirtualClock, WallClock, build_clock, to_us
from ..sim.profiles.build import SiteProfiles
from .emulation.build import plain_faults, plain_setup
from .emulation.process import EmulatorProcess
from .errors import RigError
from .rigs.concrete import RigSetup

VIRTUAL_LEAD_S: Final = 30.0
WALL_LEAD_S: Final = 60.0
"""What opening a rig may take; on the wall clock the run begins as soon as it is open."""
_START_S: Final = 0.2
"""From an open rig to the first tick."""
MOST_FACTOR: Final = 20.0
"""Time-outs of clients are in simulated seconds; faster than this, devices would miss them."""


@dataclass(frozen=True, slots=True)
class World:
    """A clock, and what plays the devices if they are in a process of their own."""

    clock: VirtualClock | WallClock
    process: EmulatorProcess | None = None

    def begin(self) -> None:
        """Let the run begin now that its rig is open: what is left of the lead is skipped."""
        clock = self.clock
        if isinstance(clock, WallClock) and clock.now_us < -to_us(_START_S):
            zero_ns = time.monotonic_ns() + round(_START_S * 1e9 / clock.factor)
            clock.restart_at(zero_ns)
            if self.process is not None:
                self.process.ask("restart", zero_ns=zero_ns)


@contextmanager
def open_world(
    experiment: Any, setup: RigSetup | None, seed: int, profiles: SiteProfiles
) -> Iterator[World]:
    """Yield the world of one run.

    Raises:
        RigError: the rig cannot be used under this clock, or its emulator does not start.
    """
    mode, factor = experiment.clock.mode, experiment.clock.factor
    if setup is None:
        with build_clock(mode, factor) as clock:
            yield World(clock)
    elif mode == "virtual":
        if setup.real:
            raise RigError(
                f"rig '{setup.rig.name}' has real devices, which keep no virtual time; give "
                "--clock wall"
            )
        with build_clock(mode, factor, -to_us(VIRTUAL_LEAD_S)) as clock:
            yield World(clock)
    elif all(not device.emulated for device in setup.rig.devices):
        with build_clock(mode, 1.0, -to_us(WALL_LEAD_S)) as clock:
            yield World(clock)
    elif factor > MOST_FACTOR:
        raise RigError(
            f"rig '{setup.rig.name}' cannot keep up with --factor {factor:g}; allowed: at most "
            f"{MOST_FACTOR:g}"
        )
    else:
        with EmulatorProcess(_content(experiment, setup, seed), profiles.values) as process:
            process.built()
            zero_ns = process.start(WALL_LEAD_S * factor, factor)
            with WallClock(factor, zero_ns=zero_ns) as clock:
                yield World(clock, process)


def _content(experiment: Any, setup: RigSetup, seed: int) -> dict[str, Any]:
    """Return what the process of the emulated devices has to know."""
    loads = [load.id for load in experiment.plant.loads]
    real = [
        loads.index(name.partition(".")[2])
        for device in setup.rig.devices
        if not device.emulated
        for name in device.serves
        if name.startswith("load.") and name.partition(".")[2] in loads
    ]
    return {
        **plain_setup(setup),
        "plant": experiment.plant.model_dump(mode="json"),
        "edge": experiment.edge.model_dump(mode="json"),
        "faults": plain_faults(experiment.faults),
        "seed": seed,
        "duration_us": to_us(experiment.clock.duration_s),
        "real_loads": real,
    }
