"""What `wattbench emulate` does: the emulated devices of a rig alone, until it is stopped.

One JSON line an endpoint goes to stdout, flushed, before anything else; a live table follows where
stdout is a terminal. Everything else goes to stderr.
"""

from __future__ import annotations

import asyncio
import json
import signal
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from .problems import say

if TYPE_CHECKING:
    from ..hil.emulation.rig import EmulatedRig, Endpoint
    from ..hil.emulation.sources import Site
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.model import Scenario
    from ..sim.clock import WallClock
    from ..sim.faults import FaultConfig

EXIT_PASS, EXIT_USAGE, EXIT_ERROR, EXIT_RIG = 0, 2, 5, 6
_TABLE_PERIOD_S: Final = 1.0
_PATIENCE_S: Final = 2.0
"""A start that takes longer is told of."""


@dataclass(frozen=True, slots=True)
class EmulateOptions:
    """What `wattbench emulate` was told."""

    rig: str
    scenario: str | None = None
    seed: int = 1
    memory: Path | None = None


class _UsageError(Exception):
    """The command cannot be carried out as it was given; one line says why."""


def emulate(options: EmulateOptions) -> int:
    """Serve a rig's emulated devices until SIGINT or SIGTERM; return the exit code."""
    from ..hil.errors import RigError
    from ..hil.modbus.server import ServeError
    from ..hil.serialport import LineError
    from ..hil.wirefaults.control import ControlError
    from ..hil.wirefaults.targets import FaultTargetError
    from ..scenarios.errors import ScenarioErrors
    from ..scenarios.library import UnknownScenarioError
    from ..scenarios.rigs import UnknownRigError
    from ..sim.clock import WallClock
    from ..sim.profiles.findings import ProfileError

    starting = _starting()
    named = (UnknownScenarioError, UnknownRigError, FaultTargetError)
    usage = (ScenarioErrors, ProfileError, _UsageError)
    try:
        setup = _setup(options)
        scenario = _scenario(options)
        site = None if scenario is None else _site(scenario, options.seed)
        faults = () if scenario is None else scenario.faults
        with WallClock() as clock:
            clock.run(_serve(options, setup, site, faults, clock, starting))
    except (*named, *usage) as problem:
        return _say(problem, EXIT_USAGE)
    except (RigError, ServeError, LineError, ControlError) as problem:
        return _say(problem, EXIT_RIG)
    finally:
        starting.cancel()
    return EXIT_PASS


def _starting() -> threading.Timer:
    """Say on stderr that it is starting if that takes long; until cancelled.

    A thread's timer: what takes long (kernels that are loaded or compiled) keeps the loop.
    """
    timer = threading.Timer(
        _PATIENCE_S, lambda: print("wattbench: starting …", file=sys.stderr, flush=True)
    )
    timer.daemon = True
    timer.start()
    return timer


def _say(problem: Exception, code: int) -> int:
    say(problem)
    return code


def _setup(options: EmulateOptions) -> RigSetup:
    from ..hil.rigs.concrete import RigSetup
    from ..scenarios.rigs import load_profiles, load_rig

    rig = load_rig(options.rig)
    if not any(device.emulated for device in rig.devices):
        raise _UsageError(
            f"rig '{rig.name}' has no emulated device; allowed: emulated: true at some of them"
        )
    return RigSetup(rig, load_profiles(rig))


def _scenario(options: EmulateOptions) -> Scenario | None:
    """Load the scenario whose plant and faults there are to be, if any is named."""
    from ..scenarios.library import locate
    from ..scenarios.load import load_scenario

    return None if options.scenario is None else load_scenario(locate(options.scenario))


def _site(scenario: Scenario, seed: int) -> Site:
    """Build the plant of a scenario, which then stands behind the devices."""
    from ..hil.emulation.sources import Site, rehearsed
    from ..sim.clock import US_PER_S, to_us
    from ..sim.export.plant import ExportPlant
    from ..sim.faults import BusFault
    from ..sim.profiles.build import build as build_profiles

    duration_us = to_us(scenario.clock.duration_s)
    profiles = build_profiles(
        scenario.profiles,
        scenario.plant,
        scenario.start_utc(),
        -(-duration_us // US_PER_S),
        seed,
    )
    own = [fault for fault in scenario.faults if not isinstance(fault, BusFault)]

    def make() -> ExportPlant:
        return ExportPlant(scenario.plant, scenario.edge, profiles.values, own, seed, duration_us)

    return Site(rehearsed(make))


async def _serve(
    options: EmulateOptions,
    setup: RigSetup,
    site: Site | None,
    faults: Sequence[FaultConfig],
    clock: WallClock,
    starting: threading.Timer,
) -> None:
    from ..hil.emulation.rig import EmulatedRig
    from ..hil.wirefaults.control import ControlServer

    rig = EmulatedRig(
        setup,
        clock,
        site=site,
        seed=options.seed,
        faults=faults,
        with_faults=True,
        memory=options.memory,
    )
    assert rig.targets is not None
    control = ControlServer(setup.rig.name, rig.targets)
    stop = asyncio.Event()
    with _stopping(stop):
        try:
            endpoints = await rig.serve()
            await control.start()
            starting.cancel()
            for endpoint in endpoints:
                print(json.dumps(endpoint.as_dict()), flush=True)
            await _until(stop, rig, endpoints)
        finally:
            await control.close()
            await rig.close()


@contextmanager
def _stopping(stop: asyncio.Event) -> Iterator[None]:
    """Within, SIGINT, SIGTERM and SIGHUP set an event."""
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    for number in numbers:
        loop.add_signal_handler(number, stop.set)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def _until(stop: asyncio.Event, rig: EmulatedRig, endpoints: list[Endpoint]) -> None:
    """Wait for the end; on a terminal show meanwhile what the devices do."""
    if not sys.stdout.isatty():
        await stop.wait()
        return
    from rich.live import Live

    with Live(_table(rig, endpoints), auto_refresh=False, screen=False) as live:
        while not stop.is_set():
            with suppress(TimeoutError):
                async with asyncio.timeout(_TABLE_PERIOD_S):
                    await stop.wait()
            live.update(_table(rig, endpoints), refresh=True)


def _table(rig: EmulatedRig, endpoints: list[Endpoint]) -> Any:
    """Return the live table: a row a device."""
    from rich.table import Table

    table = Table(title=f"{rig.name} · {rig.clock.now_us / 1e6:.0f} s · Ctrl-C stops")
    for name in ("device", "profile", "at"):
        table.add_column(name)
    for name in ("requests", "exceptions", "power"):
        table.add_column(name, justify="right")
    table.add_column("faults")
    for endpoint in endpoints:
        table.add_row(*_row(rig, endpoint))
    return table


def _row(rig: EmulatedRig, endpoint: Endpoint) -> tuple[str, ...]:
    seen = rig.seen(endpoint.device)
    place = endpoint.path or f"{endpoint.host}:{endpoint.port}"
    own = f" unit {endpoint.unit}" if endpoint.unit else f" {endpoint.ieee}"
    power = "" if seen.power_w is None else f"{seen.power_w:.0f} W"
    return (
        endpoint.device,
        endpoint.profile,
        place + own,
        str(seen.requests),
        str(seen.exceptions),
        power,
        ", ".join(seen.faults),
    )
