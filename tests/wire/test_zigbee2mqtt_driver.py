"""The zigbee2mqtt driver against the real zigbee2mqtt, run as a process of its own.

Broker: amqtt, in this process on a free port. Coordinator and devices: the emulated ones over TCP.
zigbee2mqtt is GPL-3.0: it is run, never imported. It lies in `.wire/node`; without it the test is
skipped.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import socket
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.rigs.actuators import plans
from wattbench.hil.rigs.driver_links import DriverLinks
from wattbench.hil.rigs.making_safe import SafeOutcome, make_safe
from wattbench.hil.rigs.model import Rig
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.mqtt.bridge import Bridge, BridgeSettings
from wattbench.hil.zigbee.mqtt.driver import DeviceSettings, Zigbee2MqttDriver
from wattbench.hil.zigbee.mqtt.power import MqttPower, PowerSlot
from wattbench.hil.zigbee.mqtt.session import BrokerSettings, connector
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.hil.zigbee.znp.serving import port_of, serve_tcp
from wattbench.scenarios.devices import load_device_profile
from wattbench.scenarios.rigs import load_profiles
from wattbench.sim.clock import WallClock

amqtt = pytest.importorskip("amqtt.broker")

MODULES = Path(__file__).resolve().parents[2] / ".wire" / "node" / "node_modules"
Z2M = MODULES / "zigbee2mqtt" / "index.js"
NODES = [*MODULES.glob("node-linux-*/bin/node"), *MODULES.glob("node/bin/node")]
PLUG = 0x00124B0000000200

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def _tool() -> None:
    if not Z2M.exists() or not NODES:
        reason = "zigbee2mqtt is missing: make wire"
        if os.environ.get("WATTBENCH_WIRE") == "1":
            pytest.fail(reason)
        pytest.skip(reason)


CONFIGURATION = """
version: 5
mqtt: {{base_topic: zigbee2mqtt, server: "mqtt://127.0.0.1:{broker}"}}
serial: {{port: "tcp://127.0.0.1:{stick}", adapter: zstack}}
advanced:
  channel: 15
  pan_id: 6754
  ext_pan_id: [1, 2, 3, 4, 5, 6, 7, 8]
  network_key: [1, 3, 5, 7, 9, 11, 13, 15, 0, 2, 4, 6, 8, 10, 12, 13]
  log_output: [console]
  log_level: info
availability: {{enabled: false}}
frontend: {{enabled: false}}
homeassistant: {{enabled: false}}
"""


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


@contextlib.asynccontextmanager
async def broker(port: int) -> AsyncIterator[None]:
    for name in ("amqtt", "transitions"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    plugin = "amqtt.plugins.authentication.AnonymousAuthPlugin"
    server = amqtt.Broker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"127.0.0.1:{port}"}},
            "plugins": {plugin: {"allow_anonymous": True}},
        }
    )
    await server.start()
    try:
        yield
    finally:
        await server.shutdown()


class Zigbee2Mqtt:
    """The process, with its output in a file."""

    def __init__(self, folder: Path, broker_port: int, stick_port: int) -> None:
        self.folder = folder
        folder.mkdir()
        text = CONFIGURATION.format(broker=broker_port, stick=stick_port)
        (folder / "configuration.yaml").write_text(text)
        self.output = folder / "output.txt"

    async def start(self) -> None:
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.folder),
            "ZIGBEE2MQTT_DATA": str(self.folder),
            "Z2M_ONBOARD_NO_SERVER": "1",
        }
        with self.output.open("ab") as output:
            self.process = await asyncio.create_subprocess_exec(
                str(NODES[0]),
                str(Z2M),
                cwd=self.folder,
                env=environment,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )

    async def stop(self, how: int = signal.SIGTERM) -> None:
        if self.process.returncode is None:
            os.killpg(self.process.pid, how)
            try:
                async with asyncio.timeout(10):
                    await self.process.wait()
            except TimeoutError:
                os.killpg(self.process.pid, signal.SIGKILL)
                await self.process.wait()


def driver_for(clock: WallClock, port: int, **devices: str) -> Zigbee2MqttDriver:
    bridge = Bridge(
        clock,
        connector(BrokerSettings(port=port)),
        BridgeSettings(online_timeout_s=60.0, give_up_s=20.0),
    )
    settings = {name: DeviceSettings(ieee) for name, ieee in devices.items()}
    return Zigbee2MqttDriver(clock, bridge, settings)


async def joined(driver: Zigbee2MqttDriver, plug: EndDevice) -> None:
    """Let the plug join and wait until zigbee2mqtt has interviewed it."""
    await driver.permit_join(120)
    wanted = f"0x{plug.ieee:016x}"
    async with asyncio.timeout(60):
        while True:
            for entry in driver.bridge.devices.values():
                if entry.get("ieee_address") == wanted and (
                    entry.get("interview_state") == "SUCCESSFUL"
                ):
                    return
            await asyncio.sleep(0.2)


async def story(clock: WallClock, folder: Path) -> dict[str, object]:
    profile = load_device_profile("zigbee_plug")
    plug = EndDevice.from_profile(profile, StandaloneSource(profile, 7), PLUG, clock)
    network = Network(clock, [plug], seed=1)
    coordinator = ZnpCoordinator(clock, network, formation_s=0.1)
    stick = await serve_tcp(coordinator.protocol)
    port = free_port()
    seen: dict[str, object] = {}
    async with broker(port):
        z2m = Zigbee2Mqtt(folder / "z2m", port, port_of(stick))
        await z2m.start()
        try:
            pairing = driver_for(clock, port)
            await pairing.open()
            await joined(pairing, plug)
            await pairing.close()

            driver = driver_for(clock, port, plug=f"0x{PLUG:016x}")
            await driver.open()
            seen["identity"] = driver.identity()
            sent_us = clock.now_us
            at_us = await driver.write("plug", "on", 0.0)
            seen["on_ms"] = (at_us - sent_us) / 1000
            await asyncio.sleep(0.3)
            seen["off"] = plug.source.measure("on", clock.now_us)
            await driver.write("plug", "on", 1.0)
            values = await driver.poll("plug", timeout_s=15.0)
            seen["values"] = {name: value.value for name, value in values.items()}

            power = MqttPower(clock, driver, {4: PowerSlot("plug", 2000.0)})
            power.start()
            seen["means"] = power.means[4]
            seq, seen["status"] = await power.set_power({4: 1000.0})
            await asyncio.sleep(2)
            seen["acked"] = set(power.acked_us(seq))
            seen["level"] = plug.source.measure("level", clock.now_us)

            seen["safe"] = await made_safe(clock, port)
            seen["off again"] = plug.source.measure("on", clock.now_us)

            plug.vanish()
            with pytest.raises(ReadingError):
                await driver.write("plug", "on", 0.0)
            plug.reappear()

            await z2m.stop(signal.SIGKILL)
            with pytest.raises(ReadingError):
                await driver.write("plug", "on", 0.0)
            await z2m.start()
            await retried(driver)
            await driver.close()
        finally:
            await z2m.stop()
            stick.close()
    return seen


async def made_safe(clock: WallClock, port: int) -> SafeOutcome:
    """Make the plug safe as a guardian does: over a connection of its own, and measured."""
    plug = {
        "id": "plug",
        "profile": "zigbee_plug",
        "bus": "mesh",
        "ieee": PLUG.to_bytes(8, "big").hex(":"),
        "serves": ["load.a1"],
        "safe": {"low_w": 0.0, "high_w": 20.0, "danger": "it stays on"},
    }
    mesh = {"id": "mesh", "kind": "zigbee2mqtt", "port": port}
    rig = Rig.model_validate({"name": "lab", "buses": [mesh], "devices": [plug]})
    profiles = load_profiles(rig)
    return await make_safe(plans(rig, profiles), DriverLinks(rig, profiles, clock).reach, "test")


async def retried(driver: Zigbee2MqttDriver) -> None:
    """Switch until it works again after a restart of zigbee2mqtt."""
    async with asyncio.timeout(60):
        while True:
            try:
                await driver.write("plug", "on", 1.0)
                return
            except ReadingError:
                await asyncio.sleep(0.5)


def test_a_plug_behind_the_real_zigbee2mqtt(tmp_path: Path) -> None:
    with WallClock() as clock:

        async def main() -> dict[str, object]:
            async with asyncio.timeout(180):
                return await story(clock, tmp_path)

        try:
            seen = clock.run(main())
        except (TimeoutError, RigError, ReadingError) as error:
            output = tmp_path / "z2m" / "output.txt"
            tail = output.read_text()[-4000:] if output.exists() else ""
            raise AssertionError(f"{error}\n{tail}") from error
    identity = seen["identity"]
    assert identity["version"].startswith("2.")
    assert identity["devices"]["plug"]["model"] == "Plug Dim"
    assert seen["off"] == 0
    assert seen["on_ms"] < 5000
    assert 180 < seen["values"]["voltage_a_v"] < 260
    assert seen["values"]["on"] == 1.0
    assert (seen["means"], seen["status"], seen["acked"]) == ("level", 0, {4})
    assert seen["level"] == pytest.approx(0.5, abs=0.01)
    safe = seen["safe"]
    assert safe.confirmed, safe.note
    (one,) = safe.actuators
    assert one.writes >= 1
    assert one.measured_w is not None
    assert 0.0 <= one.measured_w <= 20.0
    assert seen["off again"] == 0
