"""zigbee2mqtt, unmodified, on Debian's mosquitto, against the emulated coordinator.

It starts, forms a network, opens it, lets three devices join, interviews and configures them
(bindings, reporting); then the plug is switched, dimmed and read, and its reports arrive. Driven
with nothing but MQTT messages.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import socket
import statistics
import time

import pytest

pytestmark = pytest.mark.slow

aiomqtt = pytest.importorskip("aiomqtt")

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
frontend: {{enabled: false}}
homeassistant: {{enabled: false}}
"""


def free_port():
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Process:
    """A process of its own group, with its output in a file; killed at the end."""

    def __init__(self, folder, *argv, env=None):
        self.folder, self.argv, self.env = folder, argv, env or {}

    async def __aenter__(self):
        with (self.folder / "output.txt").open("wb") as output:
            self.process = await asyncio.create_subprocess_exec(
                *map(str, self.argv),
                cwd=self.folder,
                env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **self.env},
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                start_new_session=True,
            )
        return self

    async def __aexit__(self, *_):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        await self.process.wait()


class Messages:
    """What was published, newest by topic, and all of it in order."""

    def __init__(self, client):
        self.client = client
        self.all = []
        self._changed = asyncio.Event()

    async def collect(self):
        await self.client.subscribe("zigbee2mqtt/#")
        async for message in self.client.messages:
            with contextlib.suppress(ValueError):
                payload = json.loads(message.payload)
                self.all.append((str(message.topic), payload, bool(message.retain)))
                self._changed.set()

    async def wait(self, topic, match=lambda payload: True, since=0, timeout_s=40.0):
        async with asyncio.timeout(timeout_s):
            while True:
                for name, payload, _ in self.all[since:]:
                    if name == f"zigbee2mqtt/{topic}" and match(payload):
                        return payload
                self._changed.clear()
                await self._changed.wait()

    async def publish(self, topic, payload):
        await self.client.publish(f"zigbee2mqtt/{topic}", json.dumps(payload))
        return len(self.all)


async def connected(port):
    for _ in range(100):
        try:
            return await aiomqtt.Client("127.0.0.1", port).__aenter__()
        except aiomqtt.MqttError:
            await asyncio.sleep(0.1)
    raise TimeoutError("no broker")


async def use(messages, stage):
    begun = time.monotonic()
    await messages.wait("bridge/state", lambda payload: payload.get("state") == "online")
    started_s = time.monotonic() - begun
    # It says "online" before it listens to requests.
    for _ in range(20):
        since = await messages.publish("bridge/request/permit_join", {"time": 120})
        with contextlib.suppress(TimeoutError):
            topic = "bridge/response/permit_join"
            await messages.wait(topic, lambda payload: payload["status"] == "ok", since, 2.0)
            break
    names = [f"0x{ieee:016x}" for ieee in stage.devices]

    def interviewed(payload, name):
        data = payload.get("data", {})
        known = payload.get("type") == "device_interview" and data.get("status") == "successful"
        return known and data.get("ieee_address") == name

    for name in names:
        await messages.wait("bridge/event", lambda payload, name=name: interviewed(payload, name))
    plug, heater, sensor = names
    await messages.wait(heater, lambda payload: payload.get("power", -1) >= 0)
    await messages.wait(sensor, lambda payload: 0 < payload.get("temperature", -99) < 40)
    await messages.wait(plug, lambda payload: "energy" in payload)
    await asyncio.sleep(3)  # it goes on configuring
    times_ms = []
    for turn in range(20):
        state = "OFF" if turn % 2 == 0 else "ON"
        since, begun = await messages.publish(f"{plug}/set", {"state": state}), time.perf_counter()
        await messages.wait(plug, lambda payload, s=state: payload.get("state") == s, since, 10)
        times_ms.append((time.perf_counter() - begun) * 1e3)
    since = await messages.publish(f"{plug}/set", {"brightness": 100, "transition": 0.2})
    await messages.wait(plug, lambda payload: payload.get("brightness") == 100, since)
    since = await messages.publish(f"{plug}/get", {"state": "", "power": ""})
    await messages.wait(plug, lambda payload: payload.get("power", -1) > 0, since)
    # Reports: bound, every 10 s at most, when 5 W have changed.
    since = await messages.publish(f"{plug}/set", {"state": "OFF"})
    await messages.wait(plug, lambda payload: payload.get("power") == 0, since, 30)
    times_ms.sort()
    return started_s, statistics.median(times_ms), times_ms[18]


def test_zigbee2mqtt(zigbee2mqtt, mosquitto, stage, tmp_path, record_property):
    node, entry = zigbee2mqtt
    bench = stage()

    async def work():
        stick, close = await bench.serve("tcp")
        port, data, broker = free_port(), tmp_path / "data", tmp_path / "broker"
        data.mkdir()
        broker.mkdir()
        text = CONFIGURATION.format(broker=port, stick=stick)
        (data / "configuration.yaml").write_text(text)
        rules = broker / "mosquitto.conf"
        rules.write_text(f"listener {port} 127.0.0.1\nallow_anonymous true\n")
        env = {"ZIGBEE2MQTT_DATA": str(data), "Z2M_ONBOARD_NO_SERVER": "1"}
        try:
            async with Process(broker, mosquitto, "-c", rules), Process(data, node, entry, env=env):
                client = await connected(port)
                messages = Messages(client)
                collecting = asyncio.create_task(messages.collect())
                try:
                    return await use(messages, bench)
                finally:
                    collecting.cancel()
                    await client.__aexit__(None, None, None)
        except TimeoutError:
            pytest.fail((data / "output.txt").read_text(errors="replace")[-3000:])
        finally:
            close()

    started_s, p50_ms, p95_ms = bench.clock.run(work())
    plug = next(iter(bench.devices.values()))
    assert {binding.cluster for binding in plug.bindings} >= {0x0702, 0x0B04}
    record_property("cold_start_s", started_s)
    record_property("set_to_state_p50_ms", p50_ms)
    record_property("set_to_state_p95_ms", p95_ms)
    print(f"start {started_s:.1f} s, set to state p50 {p50_ms:.0f} ms, p95 {p95_ms:.0f} ms")
