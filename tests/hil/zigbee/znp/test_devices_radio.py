"""The way to end devices: broadcasts, sleep, losses by seed."""

from __future__ import annotations

import asyncio

from wattbench.hil.zigbee import heater, mt, zcl
from wattbench.hil.zigbee.mt_messages import AfDataRequestExt
from wattbench.sim.edge.config import MeshConfig

from .host import command, joined


def test_the_broadcast_table_holds_eight_for_nine_seconds(bench):
    one = bench()
    one.add("heater")
    host = one.start()

    async def broadcast(sequence):
        payload = heater.SetPower(sequence, ((1, 100.0 + sequence),), ack=False).encode()
        frame = command(sequence, 0, payload, manufacturer=heater.MANUFACTURER)
        raw = AfDataRequestExt(15, 0xFFFD, 255, 1, heater.CLUSTER, sequence, frame.encode())
        assert await host.request(mt.AF_DATA_REQUEST_EXT, raw.encode()) == b"\x00"
        return (await host.indication(mt.AF_DATA_CONFIRM))[0]

    async def work():
        await joined(host)
        await asyncio.sleep(10)  # opening the network was a broadcast too
        statuses = [await broadcast(number) for number in range(10)]
        assert statuses == [0] * 8 + [mt.BUFFER_FULL] * 2
        await asyncio.sleep(0.5)
        assert one.values["heater"].values["power_setpoint_w"] == 107.0
        await asyncio.sleep(8.6)
        assert await broadcast(20) == 0
        one.coordinator.buffer_full = True
        assert await broadcast(21) == mt.BUFFER_FULL

    one.run(work())


def test_a_sleepy_device_answers_at_its_poll(bench):
    one = bench()
    one.add("sensor")
    host = one.start()

    async def work():
        nwk = await joined(host)
        begun_us = one.clock.now_us
        assert (await host.read(nwk, zcl.TEMPERATURE, 0))[0].value == 2137
        assert one.clock.now_us - begun_us < 0.6e6  # fresh in the network it polls fast
        waits = []
        for _ in range(4):
            await asyncio.sleep(61)
            begun_us = one.clock.now_us
            assert (await host.read(nwk, zcl.HUMIDITY, 0))[0].value == 4510
            waits.append((one.clock.now_us - begun_us) / 1e6)
        assert all(0 < wait < 7.7 for wait in waits)
        assert max(waits) > 0.5
        assert (await host.read(nwk, zcl.POWER_CONFIGURATION, 0x21))[0].value == 180
        # Broadcasts to those that listen do not reach it; asleep for ever, messages expire.
        one.network.devices[0x101].vanish()
        status, took_us = await host.send(nwk, zcl.BASIC, b"\x00\x01\x00\x05\x00")
        assert status == mt.MAC_TRANSACTION_EXPIRED
        assert 7.6e6 < took_us < 7.8e6

    one.run(work())


def test_the_same_seed_gives_the_same_radio(bench):
    times = []
    for _ in range(2):
        one = bench(mesh=MeshConfig(loss_good=0.2))
        one.add("plug")
        host = one.start()

        async def work(host=host):
            nwk = await joined(host)
            return [await host.send(nwk, 6, command(n, n % 2).encode()) for n in range(20)]

        times.append(one.run(work()))
    assert times[0] == times[1]
    statuses = {status for status, _ in times[0]}
    assert statuses == {mt.SUCCESS, mt.MAC_NO_ACK}
    assert {took for status, took in times[0] if status} == {78_000}
