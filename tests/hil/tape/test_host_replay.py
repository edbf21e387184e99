"""A run of the ZNP host against an emulated coordinator is taped, and played back to the host."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import numpy as np

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.memory import connect
from wattbench.hil.rig import ReadingError
from wattbench.hil.tape.model import TapeBus, TapeHeader
from wattbench.hil.tape.reader import TapeReader
from wattbench.hil.tape.replay import Replay
from wattbench.hil.tape.writer import Tape
from wattbench.hil.zigbee import zcl
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.host.attributes import read
from wattbench.hil.zigbee.host.heaters import HeaterSlots
from wattbench.hil.zigbee.host.host import ZigbeeHost
from wattbench.hil.zigbee.network import Network
from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
from wattbench.hil.zigbee.znp.formation import form_network
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import VirtualClock

S = 1_000_000
HEATER = 0x00124B0000000001


async def used(clock: VirtualClock, make: Any, tap: Any) -> list[Any]:
    """Return what half a minute of reading and commanding brought."""

    async def line(protocol: asyncio.Protocol) -> asyncio.Transport:
        return connect(clock, protocol, make(), 0)

    host = ZigbeeHost(clock, name="mesh", tap=tap)
    await host.open(line)
    slots = HeaterSlots(host, {1: HEATER})
    await slots.start()
    rows: list[Any] = []
    for second in range(2, 30):
        await clock.sleep_until(second * S)
        try:
            rows.append(await read(host, HEATER, zcl.ELECTRICAL_MEASUREMENT, (0x0505, 0x050B)))
        except ReadingError as error:
            rows.append(str(error))
        if second % 5 == 0:
            rows.append(await slots.set_power({1: 10.0 * second}))
            rows.append(dict(slots.accepted_w))
    await host.close()
    return rows


def test_the_host_sees_the_same_values_again(tmp_path: Path) -> None:
    path = tmp_path / "tape.pcapng"
    profile = load_device_profile("zigbee_heater")
    header = TapeHeader(0, "virtual", (TapeBus("mesh", "znp"),))
    with VirtualClock() as clock, Tape(path, header) as tape:
        heater = EndDevice(profile, StandaloneSource(profile, 1), HEATER, clock)
        network = Network(clock, [heater], seed=4)
        coordinator = ZnpCoordinator(clock, network, bus="mesh", seed=4)
        info = form_network(coordinator.nv, 1 << 15, np.random.default_rng(4))
        heater.joined(info.identity, 0x1001)
        coordinator.nv.remember_device(heater.ieee, heater.nwk)
        first = clock.run(used(clock, coordinator.protocol, tape))
    assert sum(isinstance(row, dict) for row in first) > 25
    with VirtualClock() as clock:
        replay = Replay(TapeReader(path), clock)
        again = clock.run(used(clock, lambda: replay.protocol("mesh"), None))
    assert again == first
    assert replay.buses["mesh"].missed == {}
    assert replay.buses["mesh"].left == 0
