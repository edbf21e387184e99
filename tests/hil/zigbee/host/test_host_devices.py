"""Where the host finds devices, and what they send of themselves."""

from __future__ import annotations

import asyncio

import pytest

from wattbench.hil.zigbee import mt, zcl, zcl_types
from wattbench.hil.zigbee.binary import u8, u16, u64
from wattbench.hil.zigbee.host.sending import NoAnswerError
from wattbench.hil.zigbee.mt_messages import AfDataRequest, TcDeviceJoined

from .plug import NWK, commands, with_plug

S = 1_000_000


def test_the_stick_is_asked_where_a_device_is_before_the_network(run, znp) -> None:
    async def work(b):
        b.stick.devices[NWK] = znp.obedient
        b.stick.answers[0x2740] = lambda data: u16(NWK) if data == u64(znp.PLUG) else u16(0xFFFE)
        await b.host.request(znp.PLUG, zcl.ON_OFF, 0x01)
        assert mt.ZDO_NWK_ADDR_REQ not in commands(b)
        with pytest.raises(NoAnswerError):
            await b.host.request(znp.HEATER, zcl.ON_OFF, 0x01)
        assert mt.ZDO_NWK_ADDR_REQ in commands(b)

    run(work)


def test_a_stick_without_that_command_has_a_table(run, znp) -> None:
    empty = b"\x00\xff\xff\xff" + b"\xff" * 8
    entries = {0: empty, 1: b"\x03\xff" + u16(NWK) + u64(znp.PLUG)}

    async def work(b):
        b.stick.devices[NWK] = znp.obedient

        def refuse(data):
            b.stick.send(mt.RPC_ERROR, bytes((2, 0x27, 0x40)))

        def table(data):
            entry = entries.get(int.from_bytes(data[3:5], "little"))
            return b"\x09\x00" if entry is None else b"\x00\x0c" + entry

        b.stick.answers |= {0x2740: refuse, mt.SYS_NVX_READ: table}
        await b.host.request(znp.PLUG, zcl.ON_OFF, 0x01)
        await b.host.request(znp.PLUG, zcl.ON_OFF, 0x01)
        assert commands(b).count(mt.SYS_NVX_READ) == 3
        assert mt.ZDO_NWK_ADDR_REQ not in commands(b)

    run(work)


def test_a_device_that_moved_is_found_again(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        await b.host.request(plug, zcl.ON_OFF, 0x01)
        del b.stick.devices[NWK], b.stick.nodes[NWK]
        b.stick.nodes[0x7777] = plug
        b.stick.devices[0x7777] = znp.obedient
        with pytest.raises(NoAnswerError):
            await b.host.request(plug, zcl.ON_OFF, 0x01)
        await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert b.host.devices.get(plug).nwk == 0x7777
        # One that is gone is not looked for each time.
        del b.stick.devices[0x7777], b.stick.nodes[0x7777]
        before = commands(b).count(mt.ZDO_NWK_ADDR_REQ)
        for _ in range(3):
            with pytest.raises(NoAnswerError):
                await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert commands(b).count(mt.ZDO_NWK_ADDR_REQ) == before

    run(work)


def test_reports_reach_the_callback_and_are_answered_if_they_want_that(run, znp) -> None:
    reports = []

    async def work(b):
        plug = with_plug(b, znp)
        await b.host.network.find(plug)
        b.host.receiver.on_report.append(lambda *report: reports.append(report))
        values = [
            zcl.Attribute(0x050B, zcl_types.INT16, 321),
            zcl.Attribute(0x0505, zcl_types.UINT16, 0xFFFF),  # no value
        ]
        payload = zcl.encode_attributes(values)
        frame = zcl.ZclFrame(9, zcl.REPORT_ATTRIBUTES, payload, from_server=True)
        b.stick.incoming(NWK, zcl.ELECTRICAL_MEASUREMENT, frame.encode())
        sent_us = b.clock.now_us
        await asyncio.sleep(1)
        assert reports == [(plug, zcl.ELECTRICAL_MEASUREMENT, 0x050B, 321, sent_us + 1000)]
        assert b.host.receiver.counters.bad_values == 1
        answer = AfDataRequest.decode(b.stick.log[-1].data)
        assert zcl.ZclFrame.decode(answer.payload).payload == bytes((zcl.REPORT_ATTRIBUTES, 0))

    run(work)


def test_a_sender_that_nobody_knows_is_looked_up_once(run, znp) -> None:
    reports = []

    async def work(b):
        b.host.receiver.on_report.append(lambda *report: reports.append(report))
        payload = zcl.encode_attributes([zcl.Attribute(0, zcl_types.BOOLEAN, True)])
        frame = zcl.ZclFrame(
            9, zcl.REPORT_ATTRIBUTES, payload, from_server=True, no_default_response=True
        ).encode()
        for _ in range(5):
            b.stick.incoming(NWK, zcl.ON_OFF, frame)
        b.stick.nodes[NWK] = znp.PLUG
        await asyncio.sleep(1)
        assert reports == []
        assert commands(b).count(mt.ZDO_IEEE_ADDR_REQ) == 1
        b.stick.incoming(NWK, zcl.ON_OFF, frame)
        await asyncio.sleep(1)
        assert [report[0] for report in reports] == [znp.PLUG]

    run(work)


def test_joins_announces_and_leaves_move_devices(run, znp) -> None:
    events = []

    async def work(b):
        b.host.network.on_device.append(lambda event, device: events.append((event, device.nwk)))
        await b.host.network.permit_join(60)
        waiting = asyncio.ensure_future(b.host.network.wait_for_join(znp.PLUG, 10))
        await asyncio.sleep(0)
        b.stick.send(mt.ZDO_TC_DEV_IND, TcDeviceJoined(NWK, znp.PLUG, 0).encode())
        announce = u16(0x2222) + u16(0x2222) + u64(znp.PLUG) + u8(0x8E)
        b.stick.send(mt.ZDO_END_DEVICE_ANNCE_IND, announce)
        device = await waiting
        assert (device.ieee, device.nwk) == (znp.PLUG, 0x2222)
        assert b.host.devices.at(NWK) is None
        leave = u16(0x2222) + u64(znp.PLUG) + bytes(3)
        b.stick.send(mt.ZDO_LEAVE_IND, leave)
        await asyncio.sleep(1)
        assert not device.present
        assert events == [("joined", NWK), ("announced", 0x2222), ("left", 0x2222)]
        with pytest.raises(NoAnswerError, match="joined within 1 s"):
            await b.host.network.wait_for_join(None, 1.0)

    run(work)


def test_an_ota_query_is_told_that_there_is_no_image(run, znp) -> None:
    async def work(b):
        await b.host.network.find(with_plug(b, znp))
        query = zcl.ZclFrame(3, 0x01, bytes(9), cluster_command=True)
        b.stick.incoming(NWK, zcl.OTA, query.encode())
        await asyncio.sleep(1)
        answer = zcl.ZclFrame.decode(AfDataRequest.decode(b.stick.log[-1].data).payload)
        assert (answer.command, answer.from_server, answer.payload) == (2, True, b"\x98")

    run(work)
