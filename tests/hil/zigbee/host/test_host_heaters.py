"""Set-points by broadcast, acks by slot, power reports: what the control loop uses."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.rig import RigError
from wattbench.hil.zigbee import heater, mt, zcl, zcl_types
from wattbench.hil.zigbee.host.heaters import HeaterSlots
from wattbench.hil.zigbee.slots import Replies, parse_ieee
from wattbench.sim.clock import VirtualClock

S = 1_000_000
NODES = {0x1000 + slot: slot for slot in range(9)}


def ieee_of(nwk: int) -> int:
    return 0x00124B0000000000 + nwk


def heaters_on(bench) -> HeaterSlots:
    """Return slots whose heaters are known to the host already."""
    for nwk in NODES:
        bench.host.devices.place(ieee_of(nwk), nwk)
        bench.stick.nodes[nwk] = ieee_of(nwk)
    slots = {slot: ieee_of(nwk) for nwk, slot in NODES.items()}
    return HeaterSlots(bench.host, slots, dict.fromkeys(slots, 2000.0))


def ack_frame(sequence: int, slot: int, power_w: float = 100.0, **more) -> bytes:
    fields = {
        "cluster_command": True,
        "from_server": True,
        "manufacturer": heater.MANUFACTURER,
        "no_default_response": True,
    } | more
    return zcl.ZclFrame(
        1, heater.ACK, heater.Ack(sequence, slot, power_w).encode(), **fields
    ).encode()


def test_one_broadcast_sets_nine_and_each_ack_has_its_time(run, znp) -> None:
    async def work(b):
        slots = heaters_on(b)
        znp.acknowledge(b.stick, NODES)
        before_us = b.clock.now_us
        seq, status = await slots.set_power({slot: 100.0 * slot + 0.01 for slot in range(9)})
        assert (seq, status) == (0, 0)
        assert slots.acked_us(seq) == {}
        await asyncio.sleep(1)
        # 1 ms there, an ack every 50 ms, 1 ms back.
        assert slots.acked_us(seq) == {
            slot: before_us + 1000 + 50_000 * (slot + 1) + 1000 for slot in range(9)
        }
        assert slots.accepted_w[3] == 300.01
        message = b.stick.broadcasts[0]
        assert (message.destination, message.cluster) == (0xFFFD, heater.CLUSTER)
        assert len(message.payload) <= 68
        frame = zcl.ZclFrame.decode(message.payload)
        assert (frame.manufacturer, frame.command) == (heater.MANUFACTURER, heater.SET_POWER)
        assert heater.SetPower.decode(frame.payload).powers_w[2] == (2, 200.01)

    run(work)


def test_sequence_numbers_go_on_when_the_byte_begins_anew(run, znp) -> None:
    async def work(b):
        slots = heaters_on(b)
        znp.acknowledge(b.stick, {0x1000: 0}, delay_us=1000)
        for number in range(300):
            assert await slots.set_power({0: 5.0}) == (number, 0)
            await asyncio.sleep(0.1)
        assert all(set(slots.acked_us(number)) == {0} for number in range(300))
        assert slots.replies.ignored == 0

    run(work)


@pytest.mark.parametrize(("stick_status", "status"), [(0x11, 1), (0x10, 1), (0x01, 2)])
def test_a_refused_command_has_no_number_and_takes_no_acks(run, stick_status, status) -> None:
    async def work(b):
        slots = heaters_on(b)
        b.stick.broadcast_status = stick_status
        assert await slots.set_power({0: 1.0}) == (-1, status)
        b.stick.incoming(0x1000, heater.CLUSTER, ack_frame(0, 0))
        await asyncio.sleep(1)
        assert slots.acked_us(0) == {}
        assert slots.acked_us(-1) == {}
        b.stick.broadcast_status = 0
        assert await slots.set_power({0: 1.0}) == (1, 0)

    run(work)


@pytest.mark.parametrize(
    "wrong",
    [
        ack_frame(1, 0),  # another command
        ack_frame(0, 1),  # another heater's slot
        ack_frame(0, 77),
        ack_frame(0, 0, from_server=False),
        ack_frame(0, 0, manufacturer=0x1234),
        ack_frame(0, 0, cluster_command=False),
        ack_frame(0, 0)[:-1],
        ack_frame(0, 0) + b"\0",
    ],
)
def test_a_wrong_ack_counts_for_nothing(run, wrong) -> None:
    async def work(b):
        slots = heaters_on(b)
        seq, _ = await slots.set_power({0: 1.0, 1: 1.0})
        b.stick.incoming(0x1000, heater.CLUSTER, wrong)
        await asyncio.sleep(1)
        assert slots.acked_us(seq) == {}
        b.stick.incoming(0x1000, heater.CLUSTER, ack_frame(0, 0))
        b.stick.incoming(0x1000, heater.CLUSTER, ack_frame(0, 0))
        await asyncio.sleep(1)
        assert set(slots.acked_us(seq)) == {0}

    run(work)


def test_an_ack_from_nobody_known_is_dropped_and_the_sender_looked_up(run) -> None:
    async def work(b):
        slots = heaters_on(b)
        seq, _ = await slots.set_power({0: 1.0})
        b.stick.incoming(0x7777, heater.CLUSTER, ack_frame(0, 0))
        await asyncio.sleep(1)
        assert slots.acked_us(seq) == {}
        assert mt.ZDO_IEEE_ADDR_REQ in [frame.command for frame in b.stick.log]

    run(work)


def test_more_than_twelve_loads_go_out_in_several_broadcasts(run) -> None:
    async def work(b):
        slots = heaters_on(b)
        assert await slots.set_power(dict.fromkeys(range(30), 1.0)) == (0, 0)
        counts = [
            len(heater.SetPower.decode(zcl.ZclFrame.decode(m.payload).payload).powers_w)
            for m in b.stick.broadcasts
        ]
        assert counts == [12, 12, 6]

    run(work)


@pytest.mark.parametrize("power_w", [-1.0, 5e7, float("nan"), float("inf")])
def test_a_power_that_fits_no_command_is_the_callers_error(run, power_w) -> None:
    async def work(b):
        slots = heaters_on(b)
        with pytest.raises(ValueError):  # noqa: PT011
            await slots.set_power({0: power_w})
        assert b.stick.broadcasts == []

    run(work)


def test_power_reports_are_kept_unless_they_cannot_be(run) -> None:
    async def work(b):
        slots = heaters_on(b)

        async def report(value, kind=zcl_types.INT16):
            payload = zcl.encode_attributes([zcl.Attribute(0x050B, kind, value)])
            frame = zcl.ZclFrame(
                1, zcl.REPORT_ATTRIBUTES, payload, from_server=True, no_default_response=True
            )
            b.stick.incoming(0x1004, zcl.ELECTRICAL_MEASUREMENT, frame.encode())
            await asyncio.sleep(1)

        await report(1234)
        assert slots.power_reports[4].value == 1234.0
        seen_us = slots.power_reports[4].received_us
        for wrong in (-32768, 20_000, -500):
            await report(wrong)
        await report(7, zcl_types.UINT16)
        assert slots.power_reports[4] == (1234.0, seen_us)

    run(work)


def test_one_heater_cannot_have_two_slots(run) -> None:
    async def work(b):
        with pytest.raises(RigError, match="two slots"):
            HeaterSlots(b.host, {0: 5, 1: 5})

    run(work)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.tuples(st.sampled_from(sorted(NODES)), st.binary(max_size=24)), max_size=20))
def test_no_bytes_make_an_ack_out_of_nothing(znp, messages) -> None:
    with VirtualClock() as clock:
        b = znp.Bench(clock)

        async def main():
            await b.host.open(b.connect)
            slots = heaters_on(b)
            await slots.set_power({0: 1.0})
            for nwk, payload in messages:
                b.stick.incoming(nwk, heater.CLUSTER, payload)
            await asyncio.sleep(1)
            for slot in slots.acked_us(0):
                assert (0x1000 + slot, ack_frame(0, slot)[:4]) in [(n, p[:4]) for n, p in messages]
            await b.host.close()

        clock.run(main())


@given(
    st.lists(
        st.tuples(st.integers(0, 255), st.integers(0, 3), st.integers(0, 100 * S)), max_size=50
    )
)
def test_a_reply_is_counted_once_for_the_youngest_command_with_its_byte(replies) -> None:
    book = Replies()
    sent = [book.begin(k * S // 4, frozenset((0, 1))) for k in range(400)]
    for byte, slot, t_us in replies:
        book.reply(byte, slot, t_us)
    for seq in sent:
        for slot, t_us in book.acked_us(seq).items():
            assert seq >= 400 - 256
            assert slot in {0, 1}
            assert t_us - seq * S // 4 <= book.WINDOW_US
            assert (seq & 0xFF, slot, t_us) in replies


@pytest.mark.parametrize(
    "text", ["0x00124b0000000001", "00:12:4B:00:00:00:00:01", "00124b0000000001"]
)
def test_every_way_to_write_an_address_means_the_same(text) -> None:
    assert parse_ieee(text) == 0x00124B0000000001


@pytest.mark.parametrize("text", ["", "0x1", "00:12:4b:00:00:00:00", "00124b000000000g", "0x"])
def test_what_is_no_address_is_said(text) -> None:
    with pytest.raises(ValueError, match="is no IEEE address"):
        parse_ieee(text)
