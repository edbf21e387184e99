"""Drives zigpy-znp, in its own interpreter: start, join, switch, dim, read, bind, report.

Arguments: what to do (``full`` or ``warm``), a folder for its database, the coordinator's address.
Prints one JSON line per event.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from zigpy_znp.zigbee.application import ControllerApplication

BEGUN = time.monotonic()


def tell(event, **more):
    print(json.dumps({"event": event, "s": round(time.monotonic() - BEGUN, 3), **more}), flush=True)


class Listener:
    """Tells of devices."""

    def __init__(self):
        self.ready = {}

    def device_joined(self, device):
        tell("joined", ieee=str(device.ieee))

    def device_initialized(self, device):
        self.ready[str(device.ieee)] = device
        tell("interviewed", ieee=str(device.ieee), model=device.model, maker=device.manufacturer)


async def until(condition, seconds):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("waited in vain")
        await asyncio.sleep(0.05)


async def switching(endpoint):
    times = []
    for turn in range(30):
        begun = time.perf_counter()
        answer = await (endpoint.on_off.on() if turn % 2 == 0 else endpoint.on_off.off())
        times.append((time.perf_counter() - begun) * 1e3)
        assert answer.status == 0, answer
    times.sort()
    tell("switched", p50_ms=round(times[14], 1), p95_ms=round(times[28], 1))


async def use(device):
    endpoint = device.endpoints[1]
    await switching(endpoint)
    answer = await endpoint.level.move_to_level_with_on_off(127, 2)
    tell("dimmed", status=int(answer.status))
    await asyncio.sleep(1)
    power = endpoint.electrical_measurement
    read, failed = await power.read_attributes(["active_power", "rms_voltage", "ac_power_divisor"])
    tell("read", values={str(name): int(value) for name, value in read.items()}, bad=len(failed))
    bound = await power.bind()
    configured = await power.configure_reporting("active_power", 1, 4, 1)
    tell("bound", status=int(bound[0]), reporting=[int(one) for one in configured.values()])
    seen = set()
    await endpoint.on_off.on()
    end = time.monotonic() + 15
    while len(seen) < 3 and time.monotonic() < end:
        seen.add(power.get("active_power"))
        await asyncio.sleep(0.1)
    tell("reported", different=len(seen))


async def main():
    mode, folder, address = sys.argv[1:]
    settings = {
        "device": {"path": address},
        "database_path": f"{folder}/zigpy.db",
        "ota": {"enabled": False},
    }
    app = await ControllerApplication.new(settings, auto_form=True)
    network = app.state.network_info
    tell("started", pan=int(network.pan_id), channel=int(network.channel))
    listener = Listener()
    app.add_listener(listener)
    try:
        if mode == "full":
            await app.permit(60)
            await until(lambda: len(listener.ready) == 3, 40)
            plug = next(one for one in listener.ready.values() if one.model == "Plug Dim")
            await use(plug)
            sensor = next(one for one in listener.ready.values() if one.model.endswith("Sensor"))
            cluster = sensor.endpoints[1].temperature
            read, _ = await cluster.read_attributes(["measured_value"])
            tell("sensed", raw=int(read["measured_value"]))
        else:
            plug = next(one for one in app.devices.values() if one.model == "Plug Dim")
            await switching(plug.endpoints[1])
            await app.remove(plug.ieee)
            await asyncio.sleep(1.5)
    finally:
        await app.shutdown()
    tell("stopped")


asyncio.run(main())
