"""What end devices do on commands: switch, dim, heat, groups, firmware updates."""

from __future__ import annotations

import asyncio

import pytest

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.zigbee import heater, mt, zcl
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.mt_messages import AfDataRequestExt
from wattbench.hil.zigbee.zcl import ZclFrame
from wattbench.scenarios.devices import load_device_profile

from .host import command, joined


def test_switch_and_default_response(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        for number, on in ((1, True), (0, False), (2, True)):
            answer = await host.ask(nwk, zcl.ON_OFF, command(10 + number, number))
            assert answer == command(10 + number, number).default_response(zcl.SUCCESS)
            assert one.values["plug"].commands[-1][1:] == ("on", float(on))
            record = (await host.read(nwk, zcl.ON_OFF, 0))[0]
            assert record.value is on
        # Nothing comes back for a success that wants no response; a failure is told.
        await host.send(nwk, 6, command(20, 0, no_default_response=True).encode())
        await asyncio.sleep(2)
        assert one.values["plug"].values["on"] == 0.0
        answer = await host.ask(nwk, 6, command(21, 0x55, no_default_response=True))
        assert answer.payload == bytes((0x55, zcl.UNSUPPORTED_CLUSTER_COMMAND))
        answer = await host.ask(nwk, zcl.LEVEL_CONTROL, command(22, 0))
        assert answer.payload == bytes((0, zcl.MALFORMED_COMMAND))
        answer = await host.ask(nwk, 0x0300, command(23, 0))
        assert answer.payload == bytes((0, zcl.UNSUPPORTED_CLUSTER))
        assert not [f for _, f in host.frames if f.command == mt.AF_INCOMING_MSG]

    one.run(work())


def test_dim_over_a_transition_time(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        values = one.values["plug"]
        begun_us = one.clock.now_us
        await host.ask(nwk, zcl.LEVEL_CONTROL, command(1, 4, bytes((54, 10, 0))))
        await asyncio.sleep(2)
        moves = [(t, value) for t, quantity, value in values.commands if quantity == "level"]
        assert moves[-1][1] == pytest.approx(54 / 254)
        assert 1.0e6 < moves[-1][0] - begun_us < 1.2e6
        assert [value for _, value in moves] == sorted((v for _, v in moves), reverse=True)
        assert values.values["on"] == 1.0
        assert (await host.read(nwk, zcl.LEVEL_CONTROL, 0))[0].value == 54

    one.run(work())


def test_a_heater_takes_its_watts_and_acknowledges(bench):
    one = bench()
    one.add("heater", slot=3)
    host = one.start()

    async def work():
        nwk = await joined(host)
        values = one.values["heater"]
        powers = ((2, 50.0), (3, 1234.56), (4, None))
        payload = heater.SetPower(7, powers).encode()
        frame = command(5, heater.SET_POWER, payload, manufacturer=heater.MANUFACTURER)
        raw = AfDataRequestExt(15, 0xFFFD, 255, 1, heater.CLUSTER, 1, frame.encode()).encode()
        await host.request(mt.AF_DATA_REQUEST_EXT, raw)
        assert (await host.indication(mt.AF_DATA_CONFIRM))[0] == 0
        message, answer = await host.incoming()
        assert (message.source, message.cluster) == (nwk, heater.CLUSTER)
        assert (answer.command, answer.manufacturer) == (heater.ACK, heater.MANUFACTURER)
        assert heater.Ack.decode(answer.payload) == heater.Ack(7, 3, 1234.56)
        assert values.values["power_setpoint_w"] == 1234.56
        # More than it is rated for is cut; "unchanged" acknowledges what holds.
        for asked, accepted in ((9000.0, 3500.0), (None, 3500.0)):
            payload = heater.SetPower(8, ((3, asked),)).encode()
            unicast = command(6, 0, payload, manufacturer=heater.MANUFACTURER)
            await host.send(nwk, heater.CLUSTER, unicast.encode())
            ack = await host.incoming(lambda _, f: f.command == heater.ACK and f.cluster_command)
            assert heater.Ack.decode(ack[1].payload).accepted_w == accepted
        slot = await host.read(nwk, heater.CLUSTER, 0, manufacturer=heater.MANUFACTURER)
        assert slot[0].value == 3

    one.run(work())


def test_a_heaters_watchdog(bench):
    one = bench()
    one.add("heater", watchdog_s=60)
    host = one.start()

    async def work():
        nwk = await joined(host)
        payload = heater.SetPower(1, ((1, 500.0),), ack=False).encode()
        frame = command(5, 0, payload, manufacturer=heater.MANUFACTURER)
        await host.ask(nwk, heater.CLUSTER, frame)
        values = one.values["heater"].values
        await asyncio.sleep(59)
        assert values["power_setpoint_w"] == 500.0
        await asyncio.sleep(2)
        assert values["power_setpoint_w"] == 0.0

    one.run(work())


def test_a_heater_that_is_switched_on_does_not_heat_for_ever(bench):
    """With the shipped profile and power of its own: On is rated power, until the watchdog."""
    one = bench()
    profile = load_device_profile("zigbee_heater")
    source = StandaloneSource(profile, 1)
    one.network.add(EndDevice.from_profile(profile, source, 0x11, one.clock))
    host = one.start()

    async def work():
        nwk = await joined(host)
        await asyncio.sleep(100)  # its watchdog has expired once
        for number, on in ((1, True), (0, False), (1, True)):
            answer = await host.ask(nwk, zcl.ON_OFF, command(10 + number, number))
            assert answer == command(10 + number, number).default_response(zcl.SUCCESS)
            assert (await host.read(nwk, zcl.ON_OFF, 0))[0].value == on
            await asyncio.sleep(10)
            assert source.measure("power_w", one.clock.now_us) == 3500.0 * on
        await asyncio.sleep(60)
        assert source.measure("power_w", one.clock.now_us) == 0.0
        assert not (await host.read(nwk, zcl.ON_OFF, 0))[0].value

    one.run(work())


def test_groups(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        answer = await host.ask(nwk, zcl.GROUPS, command(1, 0, bytes.fromhex("340000")))
        assert (answer.command, answer.payload) == (0, bytes.fromhex("003400"))
        for group, expected in ((0x35, False), (0x34, True)):
            raw = AfDataRequestExt(1, group, 255, 1, 6, 1, command(2, 1).encode()).encode()
            await host.request(mt.AF_DATA_REQUEST_EXT, raw)
            assert (await host.indication(mt.AF_DATA_CONFIRM))[0] == 0
            await asyncio.sleep(1)
            assert one.values["plug"].values["on"] == expected
        # Nobody answers a groupcast.
        assert not [f for _, f in host.frames if f.command == mt.AF_INCOMING_MSG]

    one.run(work())


def test_firmware_update_client(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        # The attribute is the client's: it is read in the other direction.
        read = ZclFrame(1, zcl.READ_ATTRIBUTES, b"\x02\x00", from_server=True)
        answer = await host.ask(nwk, zcl.OTA, read)
        assert not answer.from_server
        assert zcl.decode_read_records(answer.payload)[0].value == 1
        message, query = await host.incoming(lambda m, _: m.cluster == zcl.OTA, timeout_s=40)
        assert query.command == 1
        assert query.payload == bytes.fromhex("00571201000100" + "0000")
        refusal = ZclFrame(query.sequence, 2, bytes((0x98,)), True, True)
        await host.send(nwk, zcl.OTA, refusal.encode())
        await asyncio.sleep(1)
        behaviour = one.network.devices[0x101]._behaviours[1, zcl.OTA, True]
        assert behaviour.last_status == zcl.NO_IMAGE_AVAILABLE
        assert message.source == nwk

    one.run(work())
