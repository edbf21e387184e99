"""The host's requests: answers, silence, refusals, what is sent again."""

from __future__ import annotations

import asyncio

import pytest

from wattbench.hil.zigbee import mt, zcl, zcl_types
from wattbench.hil.zigbee.host import attributes
from wattbench.hil.zigbee.host.sending import (
    DeliveryError,
    NoAnswerError,
    RefusedError,
    RetryPolicy,
)
from wattbench.hil.zigbee.mt_messages import AfDataRequest

from .plug import NWK, commands, with_plug

S = 1_000_000


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


def test_retry_policy_is_what_the_documentation_says() -> None:
    policy = RetryPolicy()
    assert (policy.attempts, policy.pause_s, policy.timeout_s) == (3, 0.25, 5.0)
