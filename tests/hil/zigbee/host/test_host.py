"""The host on a scripted stick: start, requests, failures, coming back."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.zigbee import mt, zcl, zcl_types
from wattbench.hil.zigbee.binary import u8, u16, u64
from wattbench.hil.zigbee.host import attributes
from wattbench.hil.zigbee.host.link import LinkDownError
from wattbench.hil.zigbee.host.sending import (
    DeliveryError,
    NoAnswerError,
    RefusedError,
    RetryPolicy,
)
from wattbench.hil.zigbee.host.start import NetworkSettings
from wattbench.hil.zigbee.mt_messages import AfDataRequest, TcDeviceJoined
from wattbench.sim.clock import VirtualClock

S = 1_000_000
NWK = 0x1234


def with_plug(bench, znp, behaviour=None):
    bench.stick.nodes[NWK] = znp.PLUG
    bench.stick.devices[NWK] = behaviour or znp.obedient
    return znp.PLUG


def commands(bench) -> list[int]:
    return [frame.command for frame in bench.stick.log]


# Starting


def test_a_stick_with_a_network_is_resumed_and_nothing_is_wiped(run) -> None:
    async def work(b):
        assert b.host.coordinator.pan_id == 0x1A62
        assert not b.host.coordinator.formed
        assert b.host.identity()["coordinator"]["firmware"] == "Z-Stack 3.x.0 2.7.1, 20240710"
        sent = commands(b)
        assert mt.ZDO_STARTUP_FROM_APP in sent
        assert mt.AF_REGISTER in sent
        assert mt.SYS_NV_WRITE_EXT not in sent
        assert mt.SYS_RESET_REQ not in sent
        assert mt.APP_CNF_BDB_START_COMMISSIONING not in sent

    run(work)


def test_an_empty_stick_forms_the_network_that_is_asked_for(run) -> None:
    async def work(b):
        assert b.host.coordinator.formed
        assert b.host.coordinator.pan_id == 0xBEEF
        assert b.stick.nv[0x62] == bytes(range(16))
        assert b.stick.nv[0x84] == (1 << 20).to_bytes(4, "little")
        assert b.stick.nv[0x60] == b"\x55"
        assert b.stick.nv[0x03] == b"\x00"

    wanted = NetworkSettings(channel=20, pan_id=0xBEEF, key=bytes(range(16)))
    run(work, has_network=False, network=wanted)


def test_a_drawn_key_is_never_written_down(run) -> None:
    drawn = iter([b"\x34\x12", bytes(8), b"K" * 16])

    tape = []

    class Tape:
        def frame(self, bus, direction, t_us, data) -> None:
            tape.append(data)

    async def work(b):
        b.stick.nv[0x62] = bytes(16)  # so that it is written, not only created
        b.host._tap = Tape()
        await b.host.open(b.connect)
        assert b.stick.nv[0x62] == b"K" * 16
        assert "4b4b4b" not in str(b.host.identity())
        assert len(tape) > 40
        assert not any(b"KKKK" in frame for frame in tape)

    wanted = NetworkSettings(random=lambda count: next(drawn))
    assert "K" not in repr(NetworkSettings(key=b"K" * 16))
    run(work, has_network=False, opened=False, network=wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (NetworkSettings(pan_id=0x0001), "runs another network: PAN id 0x1a62, not 0x1"),
        (NetworkSettings(extended_pan_id=5), "another network"),
    ],
)
def test_another_network_on_the_stick_is_for_a_person_to_resolve(run, settings, message) -> None:
    async def work(b):
        with pytest.raises(RigError, match=message):
            await b.host.open(b.connect)
        assert mt.SYS_NV_WRITE_EXT not in commands(b)

    run(work, opened=False, network=settings)


def test_no_network_and_none_may_be_formed(run) -> None:
    async def work(b):
        with pytest.raises(RigError, match="has no network"):
            await b.host.open(b.connect)
        assert mt.SYS_RESET_REQ not in commands(b)

    run(work, has_network=False, opened=False, network=NetworkSettings(form="never"))


def test_old_firmware_is_refused(run) -> None:
    async def work(b):
        b.stick.product = 0
        with pytest.raises(RigError, match="not Z-Stack 3"):
            await b.host.open(b.connect)

    run(work, opened=False)


def test_no_port_is_an_error_of_the_rig_after_a_few_attempts(run) -> None:
    async def work(b):
        b.plugged = False
        with pytest.raises(RigError, match="no such port"):
            await b.host.open(b.connect)
        assert b.connects == 3
        assert b.clock.now_us < 2 * S

    run(work, opened=False)


def test_a_stick_that_waits_in_its_boot_loader_is_told_to_go_on(run) -> None:
    async def work(b):
        b.stick.answers[mt.SYS_PING] = lambda data: (
            None if b.clock.now_us < S else b.stick.do(mt.SYS_PING, data)
        )
        await b.host.open(b.connect)
        assert b.stick.parser.skipped_bytes == 1  # EF

    run(work, opened=False)


# Requests to devices


def test_a_command_is_answered_by_the_default_response(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        answer = await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert answer.payload == b"\x01\x00"
        last = AfDataRequest.decode(b.stick.log[-1].data)
        assert (last.destination, last.cluster, last.payload[0]) == (NWK, zcl.ON_OFF, 0x01)

    run(work)


def test_attributes_are_read_and_scaled_ones_checked(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        found = await attributes.read(b.host, plug, zcl.ELECTRICAL_MEASUREMENT, [0x0604, 0x0605])
        assert found == {0x0604: 7, 0x0605: 7}
        assert attributes.scaling(found, 0x0604, 0x0605) == 1.0
        # The attribute is an int16 by the book; a uint16 is no reading.
        assert await attributes.read(b.host, plug, zcl.ELECTRICAL_MEASUREMENT, [0x050B]) == {}

    run(work)


@pytest.mark.parametrize(
    ("status", "retried"),
    [
        *((status, True) for status in (0xE9, 0xCD, 0xF0, 0xE1, 0x11, 0xB7)),
        (0x02, False),
    ],
)
def test_what_did_not_arrive_is_sent_again_but_not_for_ever(run, znp, status, retried) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        b.stick.confirm_status = status
        with pytest.raises(DeliveryError) as caught:
            await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert caught.value.status == status
        sent = [f for f in b.stick.log if f.command == mt.AF_DATA_REQUEST]
        assert len(sent) == (3 if retried else 1)
        sequences = {AfDataRequest.decode(f.data).payload[1] for f in sent}
        assert len(sequences) == 1
        assert (mt.ZDO_EXT_ROUTE_DISC in commands(b)) == (status == 0xCD)
        b.stick.confirm_status = 0
        await b.host.request(plug, zcl.ON_OFF, 0x01)

    run(work)


def test_no_room_in_the_coordinator_is_tried_again_after_a_pause(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        full = iter([b"\x11", b"\x11"])
        b.stick.answers[mt.AF_DATA_REQUEST] = lambda data: next(full, b"\x00")
        refused_us = b.clock.now_us
        await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert b.host.sender.retries == 2
        assert b.clock.now_us - refused_us > 750_000

    run(work)


def test_a_silent_device_costs_its_time_and_is_named(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp, lambda message: [])
        await b.host.network.find(plug)
        before_us = b.clock.now_us
        with pytest.raises(NoAnswerError, match=r"0x00124b0000000020 took the message, but"):
            await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert b.clock.now_us - before_us == 5 * S
        # It was delivered, so it was not sent again.
        assert commands(b).count(mt.AF_DATA_REQUEST) == 1

    run(work)


def test_a_read_is_asked_again_when_the_answer_was_lost(run, znp) -> None:
    answered = iter([False, False, True])

    async def work(b):
        plug = with_plug(b, znp, lambda m: znp.obedient(m) if next(answered) else [])
        await b.host.network.find(plug)
        before_us = b.clock.now_us
        assert await attributes.read(b.host, plug, zcl.ON_OFF, [0x4001]) == {0x4001: 7}
        assert 3 * S < b.clock.now_us - before_us < 3.1 * S
        sent = [f for f in b.stick.log if f.command == mt.AF_DATA_REQUEST]
        assert len({AfDataRequest.decode(f.data).payload[1] for f in sent}) == 1

    run(work)


def test_a_refusal_is_an_error_with_its_status(run, znp) -> None:
    def refuse(message):
        frame = zcl.ZclFrame.decode(message.payload)
        return [frame.default_response(zcl.UNSUPPORTED_CLUSTER_COMMAND).encode()]

    async def work(b):
        plug = with_plug(b, znp, refuse)
        with pytest.raises(RefusedError, match="status 0x81") as caught:
            await b.host.request(plug, zcl.ON_OFF, 0x77)
        assert caught.value.status == 0x81
        with pytest.raises(RefusedError):
            await attributes.read(b.host, plug, zcl.ON_OFF, [0])

    run(work)


def wrong_answers(frame: zcl.ZclFrame) -> list[bytes]:
    right = frame.response(
        zcl.READ_ATTRIBUTES_RESPONSE,
        zcl.encode_read_records([zcl.ReadRecord(0, 0, zcl_types.BOOLEAN, True)]),
    )
    return [
        zcl.ZclFrame(frame.sequence ^ 1, 1, right.payload, from_server=True).encode(),
        zcl.ZclFrame(frame.sequence, 1, right.payload, from_server=False).encode(),
        zcl.ZclFrame(frame.sequence, 1, right.payload, True, True).encode(),
        zcl.ZclFrame(frame.sequence, 1, right.payload, False, True, 0x1234).encode(),
        zcl.ZclFrame(frame.sequence, 4, right.payload, from_server=True).encode(),
        zcl.ZclFrame(frame.sequence, zcl.DEFAULT_RESPONSE, b"\x00\x00", from_server=True).encode(),
        zcl.ZclFrame(frame.sequence, zcl.DEFAULT_RESPONSE, b"", from_server=True).encode(),
        b"\x08",
        b"",
    ]


@pytest.mark.parametrize("which", range(9))
def test_an_answer_to_something_else_is_not_taken(run, znp, which) -> None:
    async def work(b):
        plug = with_plug(b, znp, lambda m: [wrong_answers(zcl.ZclFrame.decode(m.payload))[which]])
        with pytest.raises(NoAnswerError):
            await attributes.read(b.host, plug, zcl.ON_OFF, [0])

    run(work)


def test_answers_from_another_device_endpoint_or_cluster_are_not_taken(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp, lambda m: [])
        b.stick.nodes[0x4321] = znp.HEATER
        await b.host.network.find(znp.HEATER)
        await b.host.network.find(plug)
        asked = asyncio.ensure_future(attributes.read(b.host, plug, zcl.ON_OFF, [0]))
        await asyncio.sleep(0.5)
        frame = zcl.ZclFrame.decode(AfDataRequest.decode(b.stick.log[-1].data).payload)
        record = zcl.encode_read_records([zcl.ReadRecord(0, 0, zcl_types.BOOLEAN, True)])
        answer = frame.response(zcl.READ_ATTRIBUTES_RESPONSE, record).encode()
        b.stick.incoming(0x4321, zcl.ON_OFF, answer)
        b.stick.incoming(NWK, zcl.LEVEL_CONTROL, answer)
        await asyncio.sleep(0.5)
        assert not asked.done()
        b.stick.incoming(NWK, zcl.ON_OFF, answer)
        assert await asked == {0: True}
        # A second copy finds nobody.
        b.stick.incoming(NWK, zcl.ON_OFF, answer)
        await asyncio.sleep(0.1)
        assert b.host.receiver.counters.late_answers >= 1

    run(work)


# Where devices are


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


# What devices send


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


# Coming back


def test_an_unplugged_stick_fails_requests_at_once_and_comes_back(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp, lambda message: [])
        await b.host.network.find(plug)
        asked = asyncio.ensure_future(b.host.request(plug, zcl.ON_OFF, 0x01))
        await asyncio.sleep(0.5)
        b.unplug()
        with pytest.raises(LinkDownError):
            await asked
        assert b.clock.now_us < 2 * S
        with pytest.raises(ReadingError, match="the coordinator is down"):
            await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert (await b.host.broadcast(zcl.ON_OFF, 0x00))[1] == 2
        b.plugged = True
        b.stick.state = 9
        await asyncio.sleep(10)
        b.stick.devices[NWK] = znp.obedient
        await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert b.host.counters.reconnects == 1

    run(work)


def test_a_stick_that_stays_away_is_given_up(run, znp) -> None:
    async def work(b):
        b.unplug()
        await asyncio.sleep(120)
        assert b.host.state == "given up"
        assert b.connects < 20
        for _ in range(2):
            with pytest.raises(RigError, match="gave up the coordinator"):
                await b.host.request(znp.PLUG, zcl.ON_OFF, 0x01)
            with pytest.raises(RigError):
                await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


def test_what_nobody_foresaw_gives_the_coordinator_up(run) -> None:
    async def work(b):
        async def broken(protocol):
            raise ZeroDivisionError

        b.host._connect = broken
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        b.unplug()
        await asyncio.sleep(2)
        with pytest.raises(RigError, match="ZeroDivisionError"):
            await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


def test_another_stick_on_the_same_port_is_not_used(run, znp) -> None:
    async def work(b):
        b.unplug()
        await asyncio.sleep(0.1)
        b.plugged = True
        b.stick.ieee += 1
        await asyncio.sleep(5)
        with pytest.raises(RigError, match="another coordinator is on the port"):
            await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


def test_after_a_reset_the_endpoint_is_registered_again(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        b.stick.reset()
        await asyncio.sleep(0.15)
        assert b.host.state == "down"
        _, status = await b.host.broadcast(zcl.ON_OFF, 0x00)
        assert status == 2
        await asyncio.sleep(3)
        assert commands(b).count(mt.AF_REGISTER) == 2
        assert b.host.counters.resets == 1
        await b.host.request(plug, zcl.ON_OFF, 0x01)

    run(work)


def test_a_stick_that_lost_its_network_is_not_used(run) -> None:
    async def work(b):
        del b.stick.nv[0x21]
        b.stick.reset()
        await asyncio.sleep(5)
        with pytest.raises(RigError, match="has no network"):
            await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


@pytest.mark.parametrize(("stick_status", "status"), [(0x00, 0), (0x11, 1), (0x10, 1), (0x02, 2)])
def test_a_refused_broadcast_has_the_status_of_the_direct_rig(run, stick_status, status) -> None:
    async def work(b):
        b.stick.broadcast_status = stick_status
        assert (await b.host.broadcast(zcl.ON_OFF, 0x00))[1] == status

    run(work)


def test_a_broadcast_that_nobody_answers_is_not_sent(run) -> None:
    async def work(b):
        b.stick.answers[mt.AF_DATA_REQUEST_EXT] = lambda data: None
        assert (await b.host.broadcast(zcl.ON_OFF, 0x00))[1] == 2

    run(work)


indications = st.tuples(
    st.sampled_from(
        [
            *(mt.AF_INCOMING_MSG, mt.AF_DATA_CONFIRM, mt.ZDO_TC_DEV_IND, mt.ZDO_LEAVE_IND),
            *(mt.ZDO_END_DEVICE_ANNCE_IND, mt.ZDO_NWK_ADDR_RSP, mt.ZDO_STATE_CHANGE_IND),
            *(mt.ZDO_MSG_CB_INCOMING, mt.ZDO_NODE_DESC_RSP, mt.RPC_ERROR, 0x6401, 0x4FFF),
        ]
    ),
    st.binary(max_size=60),
)
zcl_frames = st.builds(
    zcl.ZclFrame,
    sequence=st.integers(0, 255),
    command=st.integers(0, 16) | st.integers(0, 255),
    payload=st.binary(max_size=24),
    cluster_command=st.booleans(),
    from_server=st.booleans(),
    manufacturer=st.none() | st.integers(0, 0xFFFF),
    no_default_response=st.booleans(),
).map(zcl.ZclFrame.encode)
zcl_payloads = st.tuples(
    st.sampled_from([zcl.ON_OFF, zcl.ELECTRICAL_MEASUREMENT, zcl.OTA, 0xFC57, 0xFFFF]),
    st.binary(max_size=40) | zcl_frames,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(indications, max_size=12), st.lists(zcl_payloads, max_size=12))
def test_whatever_comes_the_host_lives_and_its_requests_end(znp, frames, payloads) -> None:
    reports = []
    with VirtualClock() as clock:
        b = znp.Bench(clock)

        async def main():
            await b.host.open(b.connect)
            plug = with_plug(b, znp)
            await b.host.network.find(plug)
            b.host.receiver.on_report.append(lambda *report: reports.append(report))
            for command, data in frames:
                b.stick.send(command, data)
            for cluster, payload in payloads:
                b.stick.incoming(NWK, cluster, payload)
            await asyncio.sleep(2)
            # A frame may have said that the plug moved or left; then it is found again.
            b.host.devices.place(plug, NWK)
            try:
                answer = await b.host.request(plug, zcl.ON_OFF, 0x01)
                assert answer.payload == b"\x01\x00"
            except ReadingError:
                pass
            await b.host.close()

        clock.run(main())
        assert clock.now_us < 30 * S
    for _, cluster, attribute, value, _ in reports:
        assert value is not None
        if (cluster, attribute) == (zcl.ELECTRICAL_MEASUREMENT, 0x050B):
            assert -32767 <= value <= 32767


def test_retry_policy_is_what_the_documentation_says() -> None:
    policy = RetryPolicy()
    assert (policy.attempts, policy.pause_s, policy.timeout_s) == (3, 0.25, 5.0)
