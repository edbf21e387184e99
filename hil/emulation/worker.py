"""The process that plays emulated devices: `python -m wattbench.hil.emulation.worker`.

It is told what to build in the first line of its standard input (JSON), and then answers one line
with one line; see `process` for the other end. It ends when its input does.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from ...sim import plant as plants
from ...sim.clock import WallClock
from ...sim.edge.config import EdgeConfig
from ...sim.export.plant import ExportPlant
from ..errors import RigError
from ..modbus.server import ServeError
from ..serialport import LineError
from ..wirefaults.targets import FaultTargetError
from .build import FOLDER, faults_from, setup_from
from .rig import EmulatedRig
from .sources import Site, rehearsed


class Worker:
    """The emulated devices of one run."""

    def __init__(self, content: dict[str, Any]) -> None:
        self._content = content
        kind = content["plant"]["kind"]
        config = plants.PLANTS[kind].config_model.model_validate(content["plant"])
        arrays = np.load(content["profiles"], allow_pickle=False)
        edge = EdgeConfig.model_validate(content["edge"])
        faults = faults_from(content["faults"])

        def make() -> ExportPlant:
            seed, duration_us = int(content["seed"]), int(content["duration_us"])
            plant = plants.build(kind, config, edge, arrays, faults, seed, duration_us)
            assert isinstance(plant, ExportPlant)
            return plant

        plant = rehearsed(make)
        self._plant = plant
        self._site = Site(plant)
        for load in content["real_loads"]:
            plant.follow(int(load))
        self._rig: EmulatedRig | None = None
        self._clock: WallClock | None = None
        self._end = asyncio.Event()

    def run(self) -> None:
        """Answer until the input ends."""
        _say({"built": True})
        first = json.loads(sys.stdin.readline() or "{}")
        if first.get("do") != "start":
            return
        clock = WallClock(float(first["factor"]), zero_ns=int(first["zero_ns"]))
        self._clock = clock
        with clock:
            clock.run(self._serve())

    async def _serve(self) -> None:
        assert self._clock is not None
        content = self._content
        rig = EmulatedRig(
            setup_from(content),
            self._clock,
            site=self._site,
            seed=int(content["seed"]),
            faults=faults_from(content["faults"]),
        )
        self._rig = rig
        endpoints = await rig.serve()
        _say({"endpoints": [endpoint.as_dict() for endpoint in endpoints]})
        loop = asyncio.get_running_loop()
        reader = _Lines(self._line, self._end.set)
        os.set_blocking(sys.stdin.fileno(), False)
        loop.add_reader(sys.stdin.fileno(), reader.readable)
        try:
            await self._end.wait()
        finally:
            loop.remove_reader(sys.stdin.fileno())
            await rig.close()

    def _line(self, line: bytes) -> None:
        """Answer one line."""
        message = json.loads(line)
        what = message.pop("do")
        try:
            answer = getattr(self, f"_do_{what}")(**message)
        except Exception as error:
            answer = {"error": f"{what}: {type(error).__name__}: {error}"}
        if answer is not None:
            _say(answer)

    def _now_us(self) -> int:
        assert self._clock is not None
        return max(self._clock.now_us, 0)

    def _do_restart(self, zero_ns: int) -> dict[str, Any]:
        assert self._clock is not None
        self._clock.restart_at(zero_ns)
        return {"restarted": True}

    def _do_measured(self, load: int, power_w: float) -> None:
        with contextlib.suppress(ValueError):
            self._plant.measured(self._now_us(), load, power_w)

    def _do_safe(self) -> dict[str, Any]:
        self._plant.advance(self._now_us())
        return {"safe": self._plant.within_safe_band()}

    def _do_effects(self) -> dict[str, Any]:
        return self._site.effects.as_plain()

    def _do_truth(self, path: str) -> dict[str, Any]:
        self._plant.advance(self._now_us())
        columns: dict[str, Any] = dict(self._plant.truth()[0])
        np.savez(path, **columns)
        return {"rows": len(next(iter(columns.values())))}

    def _do_units(self) -> dict[str, Any]:
        return {"units": self._plant.truth()[1]}


class _Lines:
    """Lines from a file that is read as bytes come."""

    def __init__(self, line: Callable[[bytes], None], end: Callable[[], None]) -> None:
        self._line, self._end, self._buffer = line, end, b""

    def readable(self) -> None:
        """Take what is there."""
        try:
            data = os.read(sys.stdin.fileno(), 1 << 16)
        except BlockingIOError:
            return
        if not data:
            self._end()
            return
        *lines, self._buffer = (self._buffer + data).split(b"\n")
        for line in lines:
            self._line(line)


def _say(content: dict[str, Any]) -> None:
    sys.stdout.write(json.dumps(content) + "\n")
    sys.stdout.flush()


def main() -> None:
    """Build, serve, end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder: Path | None = None
    try:
        content = json.loads(sys.stdin.readline())
        folder = Path(content["profiles"]).parent
        Worker(content).run()
    except BrokenPipeError:
        _forget(folder)
        os._exit(0)
    except (RigError, FaultTargetError, ServeError, LineError, OSError) as error:
        _say({"error": str(error)})
        sys.exit(5)
    except Exception as error:
        if os.environ.get("WATTBENCH_TRACEBACK"):
            raise
        _say({"error": f"{type(error).__name__}: {error}"})
        sys.exit(5)
    _forget(folder)


def _forget(folder: Path | None) -> None:
    """Remove the folder of a run that is over, or that was killed and cannot do it itself."""
    if folder is not None and folder.name.startswith(FOLDER):
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
