"""End devices that join, are interviewed, vanish, move and leave."""

from __future__ import annotations

import asyncio

from wattbench.hil.zigbee import mt, zcl, zdo
from wattbench.hil.zigbee.mt_messages import AfDataRequestExt, TcDeviceJoined, ZdoIncoming

from .host import bind, command, joined

EM = zcl.ELECTRICAL_MEASUREMENT


def test_join_and_interview(bench):
    one = bench()
    plug = one.add("plug", 0x00124B0000000101)
    host = one.start()

    async def work():
        await host.form()
        nwk, ieee = await host.join()
        assert (ieee, nwk) == (plug.ieee, plug.nwk)
        told = [frame for _, frame in host.frames if frame.command == mt.ZDO_TC_DEV_IND]
        assert TcDeviceJoined.decode(told[0].data) == TcDeviceJoined(nwk, ieee, 0)
        both = [frame for _, frame in host.frames if frame.command == mt.ZDO_MSG_CB_INCOMING]
        announce = [ZdoIncoming.decode(frame.data) for frame in both]
        assert zdo.DEVICE_ANNCE in {message.cluster for message in announce}
        address = nwk.to_bytes(2, "little")
        assert await host.request(mt.ZDO_NODE_DESC_REQ, address * 2) == b"\x00"
        data = await host.indication(mt.ZDO_NODE_DESC_RSP)
        answer = zdo.NodeDescriptorResponse.decode(data[2:])
        assert answer.descriptor.logical_type == zdo.ROUTER
        assert answer.descriptor.manufacturer == 0x1257
        await host.request(mt.ZDO_ACTIVE_EP_REQ, address * 2)
        data = await host.indication(mt.ZDO_ACTIVE_EP_RSP)
        assert zdo.ActiveEndpointsResponse.decode(data[2:]).endpoints == (1,)
        await host.request(mt.ZDO_SIMPLE_DESC_REQ, address * 2 + b"\x01")
        data = await host.indication(mt.ZDO_SIMPLE_DESC_RSP)
        descriptor = zdo.SimpleDescriptorResponse.decode(data[2:]).descriptor
        assert EM in descriptor.inputs
        assert descriptor.outputs == (zcl.OTA,)
        await host.request(mt.ZDO_SIMPLE_DESC_REQ, address * 2 + b"\x07")
        data = await host.indication(mt.ZDO_SIMPLE_DESC_RSP)
        assert zdo.SimpleDescriptorResponse.decode(data[2:]).status == zdo.NOT_ACTIVE
        basics = await host.read(nwk, zcl.BASIC, 4, 5, 0x7777)
        assert [one.value for one in basics[:2]] == ["wattbench", "WB-Plug"]
        assert basics[2].status == zcl.UNSUPPORTED_ATTRIBUTE

    one.run(work())


def test_raw_zdo_and_zdo_of_the_coordinator_itself(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        for target in (nwk, 0):
            host.frames.clear()
            payload = b"\x2a" + target.to_bytes(2, "little")
            raw = AfDataRequestExt(2, target, 0, 0, zdo.ACTIVE_EP_REQ, 1, payload).encode()
            assert await host.request(mt.AF_DATA_REQUEST_EXT, raw) == b"\x00"
            assert (await host.indication(mt.AF_DATA_CONFIRM))[0] == 0
            message = ZdoIncoming.decode(await host.indication(mt.ZDO_MSG_CB_INCOMING))
            assert (message.source, message.sequence) == (target, 0x2A)
            answer = zdo.ActiveEndpointsResponse.decode(message.payload)
            assert answer.endpoints == (1,)

    one.run(work())


def test_nobody_joins_a_closed_network(bench):
    one = bench()
    plug = one.add("plug")
    host = one.start()

    async def work():
        await host.form()
        await asyncio.sleep(30)
        assert plug.identity is None
        await host.permit(5)
        await host.permit(0)
        await asyncio.sleep(30)
        assert plug.identity is None
        assert not one.network.join(plug)

    one.run(work())


def test_vanished_and_back(bench):
    one = bench()
    plug = one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        plug.vanish()
        status, took_us = await host.send(nwk, 6, command(1, 1).encode())
        assert status == mt.MAC_NO_ACK
        assert 70_000 < took_us < 90_000
        plug.reappear()
        data = await host.indication(mt.ZDO_END_DEVICE_ANNCE_IND)
        assert zdo.DeviceAnnounce.decode(data[2:]).nwk == nwk
        await host.ask(nwk, 6, command(2, 1))
        one.network.rejoin(plug, new_address=True)
        data = await host.indication(mt.ZDO_END_DEVICE_ANNCE_IND)
        moved = zdo.DeviceAnnounce.decode(data[2:]).nwk
        assert moved != nwk
        assert (await host.send(nwk, 6, command(3, 1).encode()))[0] == mt.NWK_NO_ROUTE
        # Who asks for the address of the device finds it.
        await host.request(mt.ZDO_NWK_ADDR_REQ, plug.ieee.to_bytes(8, "little") + b"\x00\x00")
        data = await host.indication(mt.ZDO_NWK_ADDR_RSP)
        assert data[:11] == b"\x00" + plug.ieee.to_bytes(8, "little") + moved.to_bytes(2, "little")

    one.run(work())


def test_leaving(bench):
    one = bench()
    plug = one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        await bind(host, one, nwk, 0x101, EM)
        data = nwk.to_bytes(2, "little") + plug.ieee.to_bytes(8, "little")
        await host.request(mt.ZDO_MGMT_LEAVE_REQ, data + b"\x80")  # and rejoin
        await host.indication(mt.ZDO_MGMT_LEAVE_RSP)
        left = await host.indication(mt.ZDO_LEAVE_IND)
        assert left[-1] == 1
        await host.indication(mt.ZDO_END_DEVICE_ANNCE_IND)
        assert plug.bindings
        await host.permit(0)
        await host.request(mt.ZDO_MGMT_LEAVE_REQ, data + b"\x00")
        left = await host.indication(mt.ZDO_LEAVE_IND)
        assert (left[:2], left[-1]) == (nwk.to_bytes(2, "little"), 0)
        assert plug.identity is None
        assert not plug.bindings
        assert (await host.send(nwk, 6, command(3, 1).encode()))[0] == mt.NWK_NO_ROUTE
        again, _ = await host.join()
        assert again == plug.nwk

    one.run(work())
