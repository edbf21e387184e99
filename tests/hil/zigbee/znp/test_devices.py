"""End devices as a host sees them: joining, commands, reports, sleep, leaving; virtual clock."""

from __future__ import annotations

import asyncio
import importlib.util
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.zigbee import heater, mt, zcl, zdo
from wattbench.hil.zigbee.devices.end_device import EndDevice
from wattbench.hil.zigbee.mt_messages import (
    AfDataRequestExt,
    AfIncoming,
    TcDeviceJoined,
    ZdoIncoming,
)
from wattbench.hil.zigbee.radio import RadioMessage
from wattbench.hil.zigbee.zcl import ReportingRecord, ZclFrame
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.edge.config import MeshConfig

_SPEC = importlib.util.spec_from_file_location(
    "zigbee_bench", Path(__file__).parent / "conftest.py"
)
conftest = importlib.util.module_from_spec(_SPEC)
_SPEC.loader.exec_module(conftest)

EM = zcl.ELECTRICAL_MEASUREMENT


def command(sequence, number, payload=b"", **more):
    return ZclFrame(sequence, number, payload, cluster_command=True, **more)


async def joined(host):
    await host.form()
    nwk, _ = await host.join()
    return nwk


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


def test_measurements_and_their_limits(bench):
    one = bench()
    one.add("plug")
    one.add("heater", 0x102)
    host = one.start()

    async def work():
        await host.form()
        nwks = dict([reversed(await host.join()), reversed(await host.join())])
        values = one.values["plug"].values
        values["power_w"], values["energy_wh"] = 123.44, 4321.6
        records = await host.read(nwks[0x101], EM, 0x050B, 0x0505, 0x0508, 0x0605)
        assert [record.value for record in records] == [1234, 2301, 1250, 10]
        assert (await host.read(nwks[0x101], zcl.METERING, 0))[0].value == 4322
        # 16 bits with a divisor of 10 end at 3276.7 W; a heater has a divisor of 1.
        values["power_w"] = one.values["heater"].values["power_w"] = 3500.0
        assert (await host.read(nwks[0x101], EM, 0x050B))[0].value == 32767
        assert (await host.read(nwks[0x102], EM, 0x050B))[0].value == 3500
        values["power_w"] = None
        assert (await host.read(nwks[0x101], EM, 0x050B))[0].value == -32768

    one.run(work())


async def bind(host, one, nwk, ieee, cluster):
    binding = zdo.Binding(ieee, 1, cluster, one.coordinator.ieee, 1)
    data = nwk.to_bytes(2, "little") + binding.encode()
    assert await host.request(mt.ZDO_BIND_REQ, data) == b"\x00"
    assert (await host.indication(mt.ZDO_BIND_RSP))[2:] == b"\x00"


async def configure(host, nwk, cluster, *records):
    frame = ZclFrame(99, zcl.CONFIGURE_REPORTING, zcl.encode_reporting(records))
    answer = await host.ask(nwk, cluster, frame)
    return zcl.decode_reporting_statuses(answer.payload)


async def report(host, timeout_s):
    _, frame = await host.incoming(
        lambda _, frame: frame.command == zcl.REPORT_ATTRIBUTES and not frame.cluster_command,
        timeout_s,
    )
    return zcl.decode_attributes(frame.payload)[0].value


def test_reports_compare_with_the_last_reported_value(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        power = ReportingRecord(0x050B, 0x29, 10, 60, 50)
        assert await configure(host, nwk, EM, power) == []
        values = one.values["plug"].values
        values["power_w"] = 100.0
        await asyncio.sleep(30)
        arrived = [f for _, f in host.frames if f.command == mt.AF_INCOMING_MSG]
        clusters = [AfIncoming.decode(frame.data).cluster for frame in arrived]
        assert EM not in clusters  # nothing is bound yet
        await bind(host, one, nwk, 0x101, EM)
        assert await report(host, 5) == 1000
        begun_us = one.clock.now_us
        values["power_w"] = 104.9
        assert await report(host, 80) == 1049  # the maximum interval
        assert 59e6 < one.clock.now_us - begun_us < 62e6
        begun_us = one.clock.now_us
        values["power_w"] = 200.0
        assert await report(host, 30) == 2000  # a change, after the minimum interval
        assert 9e6 < one.clock.now_us - begun_us < 12e6
        # A pulse that is over before the minimum interval is never reported.
        values["power_w"] = 2000.0
        await asyncio.sleep(5)
        values["power_w"] = 200.0
        begun_us = one.clock.now_us
        assert await report(host, 80) == 2000
        assert one.clock.now_us - begun_us > 50e6

    one.run(work())


def test_configuration_of_reporting_is_checked_and_can_be_read(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        failed = await configure(
            host,
            nwk,
            EM,
            ReportingRecord(0x050B, 0x29, 1, 300, 5),
            ReportingRecord(0x0777, 0x29, 1, 300, 5),
            ReportingRecord(0x0505, 0x29, 1, 300, 5),
            ReportingRecord(0x0508, 0x21, 300, 10, 5),
        )
        statuses = {record.attribute: record.status for record in failed}
        assert statuses == {
            0x0777: zcl.UNSUPPORTED_ATTRIBUTE,
            0x0505: zcl.INVALID_DATA_TYPE,
            0x0508: zcl.INVALID_VALUE,
        }
        asked = zcl.encode_read_reporting([0x050B, 0x0505])
        answer = await host.ask(nwk, EM, ZclFrame(98, zcl.READ_REPORTING, asked))
        told = zcl.decode_reporting_configurations(answer.payload)
        assert told[0] == ReportingRecord(0x050B, 0x29, 1, 300, 5)
        assert told[1].status == zcl.NOT_FOUND

    one.run(work())


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


class _Fault:
    """Drops every answer, or bends requests."""

    def __init__(self):
        self.dropping = False
        self.closed = None

    def requests(self, bus, t_us, frame):
        from wattbench.hil.wire import Delivery

        if frame[2:4] == b"\x21\x02":
            return [Delivery(0, b"\x00\xfe"), Delivery(50_000, frame)]
        return [Delivery(0, frame)]

    def answers(self, bus, t_us, frame):
        from wattbench.hil.wire import Delivery

        return [] if self.dropping else [Delivery(0, frame)]

    def accepts(self, bus, t_us):
        return True

    def attach(self, bus, send, close):
        self.send, self.close = send, close
        return lambda: setattr(self, "closed", bus)


class _Tap:
    def __init__(self):
        self.frames = []

    def frame(self, bus, direction, t_us, data):
        self.frames.append((bus, direction, t_us, data))


def test_faults_and_tape(bench):
    fault, tap = _Fault(), _Tap()
    one = bench(faults=fault, tap=tap, bus="stick")
    host = one.start()

    async def work():
        await host.request(mt.SYS_PING)
        assert [frame[:2] for frame in tap.frames] == [("stick", "request"), ("stick", "answer")]
        begun_us = one.clock.now_us
        await host.request(mt.SYS_VERSION)
        assert one.clock.now_us - begun_us > 50_000
        fault.send(b"\x01\x02babble")
        await host.request(mt.SYS_PING)
        fault.dropping = True
        host.write(mt.MtFrame(mt.SYS_PING).encode())
        await asyncio.sleep(1)
        assert host.frames == []
        fault.close()
        await asyncio.sleep(1)
        assert host.closed
        assert fault.closed == "stick"

    one.run(work())


CLUSTERS = [0, 1, 3, 4, 5, 6, 8, 0x19, 0x0402, 0x0405, 0x0702, 0x0B04, 0xFC57, 0x0300]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["plug", "heater", "sensor"]),
            st.sampled_from(CLUSTERS),
            st.one_of(
                st.binary(max_size=80),
                st.builds(
                    lambda command, payload, general, server, maker: ZclFrame(
                        1, command, payload, not general, server, maker
                    ).encode(),
                    st.integers(0, 0x44),
                    st.binary(max_size=40),
                    st.booleans(),
                    st.booleans(),
                    st.sampled_from([None, 0x1257, 0x1037]),
                ),
            ),
            st.sampled_from([0, 1, 7, 255]),
            st.sampled_from([1, 0xFFFD]),
        ),
        max_size=8,
    )
)
def test_no_message_breaks_a_device(messages):
    one = conftest.Bench()
    with one.clock:
        made = {kind: one.add(kind, 0x100 + n) for n, kind in enumerate(one.values)}
        one.network.identity = "network"
        for number, device in enumerate(made.values()):
            device.joined("network", number + 1)
        one.start()

        async def work():
            for kind, cluster, payload, endpoint, destination in messages:
                message = RadioMessage(destination, cluster, payload, 1, endpoint)
                made[kind].receive(message)
            await asyncio.sleep(2)

        one.run(work())
        for device in made.values():
            device.restore(json.loads(json.dumps(device.state())))


@given(st.integers(0, 0x40), st.binary(max_size=40), st.booleans())
def test_no_zdo_message_breaks_a_device(cluster, payload, broadcast):
    one = conftest.Bench()
    with one.clock:
        device = one.add("plug")
        one.network.identity = "network"
        device.joined("network", 1)
        destination = 0xFFFD if broadcast else 1
        message = RadioMessage(destination, cluster, payload, 0, 0, zdo.PROFILE)

        async def work():
            device.receive(message)
            await asyncio.sleep(3)

        one.run(work())
