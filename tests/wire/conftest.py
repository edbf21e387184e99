"""Third-party clients: where they are, and an emulated Zigbee network for them to talk to.

The tools come from ``tests/wire/install.sh``, into ``.wire/``. A test whose tool is missing is
skipped, unless ``WATTBENCH_WIRE=1`` says that all must be there.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import shutil
import signal
from pathlib import Path

import pytest

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.radio import RadioMesh
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.hil.zigbee.znp.serving import PtyEndpoint, port_of, serve_tcp
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import WallClock
from wattbench.sim.edge.config import MeshConfig

HERE = Path(__file__).parent
WIRE = HERE.parents[1] / ".wire"
MODULES = WIRE / "node" / "node_modules"
PLUG, HEATER, SENSOR = 0x00124B0000000201, 0x00124B0000000202, 0x00124B0000000203
#: One hop of 22.5 ms, nothing lost: what a client does about losses is not the question here.
CLEAR = MeshConfig(hops=1, loss_good=0.0, loss_bad=0.0, route_repair_probability=0.0)


def need(path, name):
    """Return the path of a tool; skip, or fail if it was promised, when it is missing."""
    if path is not None and Path(path).exists():
        return Path(path)
    reason = f"{name} is missing: tests/wire/install.sh"
    if os.environ.get("WATTBENCH_WIRE") == "1":
        pytest.fail(reason)
    return pytest.skip(reason)


@pytest.fixture
def zigpy_python():
    """The interpreter that has zigpy-znp."""
    return need(WIRE / "zigpy" / "bin" / "python", "zigpy-znp")


@pytest.fixture
def node():
    """Node 24, as zigbee2mqtt wants it."""
    return need(next(MODULES.glob("node-linux-*/bin/node"), None), "node 24")


@pytest.fixture
def herdsman(node):
    """Node and zigbee-herdsman's folder."""
    return node, need(MODULES / "zigbee-herdsman", "zigbee-herdsman")


@pytest.fixture
def zigbee2mqtt(node):
    """Node and zigbee2mqtt's entry."""
    return node, need(MODULES / "zigbee2mqtt" / "index.js", "zigbee2mqtt")


@pytest.fixture
def mosquitto():
    """The broker."""
    return need(shutil.which("mosquitto") or "/usr/sbin/mosquitto", "mosquitto")


class Stage:
    """An emulated coordinator with a plug, a heater and a sensor, on real sockets and time."""

    def __init__(self, folder, *, mesh=CLEAR, nv_path=None):
        self.folder = folder
        self.clock = WallClock()
        names = {
            PLUG: "zigbee_plug",
            HEATER: "zigbee_heater",
            SENSOR: "zigbee_temperature_sensor",
        }
        self.devices = {}
        self.network = Network(self.clock, mesh=RadioMesh(mesh, seed=1), seed=1)
        for ieee, name in names.items():
            profile = load_device_profile(name)
            source = StandaloneSource(profile, seed=ieee & 0xFF)
            device = EndDevice.from_profile(profile, source, ieee, self.clock)
            self.devices[ieee] = device
            self.network.add(device)
        self.coordinator = ZnpCoordinator(self.clock, self.network, nv_path, seed=1)

    async def serve(self, kind):
        """Open a port or a pseudo-terminal; return (where, what closes it)."""
        if kind == "tcp":
            server = await serve_tcp(self.coordinator.protocol)
            return port_of(server), server.close
        pty = PtyEndpoint(self.coordinator.protocol())
        return pty.path, pty.close

    def drive(self, argv, kind="tcp", url="socket://127.0.0.1:{}", timeout_s=90.0, env=None):
        """Run a client against the coordinator; return the JSON lines that it printed, by event.

        `argv` gets the address of the coordinator appended. A client that fails fails the test,
        with what it said last.
        """
        return self.clock.run(self._drive(argv, kind, url, timeout_s, env or {}))

    async def _drive(self, argv, kind, url, timeout_s, env):
        where, close = await self.serve(kind)
        address = url.format(where) if kind == "tcp" else str(where)
        self.folder.mkdir(exist_ok=True)
        process = await asyncio.create_subprocess_exec(
            *map(str, argv),
            address,
            cwd=self.folder,
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **env},
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            async with asyncio.timeout(timeout_s):
                output, _ = await process.communicate()
        finally:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            close()
        text = output.decode(errors="replace")
        assert process.returncode == 0, text[-3000:]
        events = {}
        for line in text.splitlines():
            if line.startswith('{"event"'):
                event = json.loads(line)
                events.setdefault(event.pop("event"), []).append(event)
        return events

    def close(self):
        """Save the coordinator's memory and end the clock."""
        self.coordinator.save()
        self.clock.close()


@pytest.fixture
def stage(tmp_path):
    """Makes stages, one after the other or side by side."""
    made = []

    def make(**options):
        made.append(Stage(tmp_path / f"client{len(made)}", **options))
        return made[-1]

    yield make
    for one in made:
        one.close()
