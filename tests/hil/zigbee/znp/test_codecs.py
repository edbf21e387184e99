"""Codecs: known frames, inverse of each other, and nothing that a byte can break."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.zigbee import heater, mt, zcl, zdo
from wattbench.hil.zigbee import mt_messages as messages
from wattbench.hil.zigbee import zcl_types as types
from wattbench.hil.zigbee.binary import CodecError, Reader
from wattbench.hil.zigbee.mt import MtFrame, MtParser
from wattbench.hil.zigbee.zcl import ZclFrame

U8, U16, U64 = (st.integers(0, (1 << bits) - 1) for bits in (8, 16, 64))
FRAMES = st.builds(MtFrame, U16, st.binary(max_size=250))


@pytest.mark.parametrize(
    ("frame", "raw"),
    [
        # SWRA198: SYS_PING and its answer; SYS_RESET_REQ, soft; SYS_OSAL_NV_READ of item 1.
        (MtFrame(mt.SYS_PING), "fe00210120"),
        (MtFrame(0x6101, bytes.fromhex("5906")), "fe02610159063d"),
        (MtFrame(mt.SYS_RESET_REQ, b"\x01"), "fe0141000141"),
        (MtFrame(mt.SYS_NV_READ, bytes.fromhex("010000")), "fe032108010000" + "2b"),
        (MtFrame(mt.AF_DATA_CONFIRM, bytes.fromhex("000105")), "fe034480000105c3"),
    ],
)
def test_known_frames(frame, raw):
    assert frame.encode() == bytes.fromhex(raw)
    assert MtParser().feed(bytes.fromhex(raw)) == [frame]


def test_response_codes():
    assert mt.response_to(mt.SYS_PING) == 0x6101
    assert mt.response_to(mt.APP_CNF_BDB_SET_CHANNEL) == 0x6F08
    assert MtFrame(mt.ZDO_MSG_CB_INCOMING).subsystem == mt.ZDO


def test_a_frame_that_is_too_long_is_refused():
    with pytest.raises(ValueError, match="250"):
        MtFrame(mt.SYS_PING, bytes(251)).encode()


@given(st.lists(FRAMES, max_size=4), st.lists(st.integers(1, 40), min_size=1))
def test_frames_survive_any_cutting(frames, cuts):
    stream = b"".join(frame.encode() for frame in frames)
    parser, got, at, turn = MtParser(), [], 0, 0
    while at < len(stream):
        size = cuts[turn % len(cuts)]
        got += parser.feed(stream[at : at + size])
        at, turn = at + size, turn + 1
    assert got == frames
    assert parser.skipped_bytes == parser.bad_frames == 0


@given(st.binary(max_size=600), FRAMES)
def test_a_parser_finds_its_way_back_after_garbage(garbage, frame):
    parser = MtParser()
    parser.feed(garbage)
    # What a false start byte may still wait for; then a whole frame must come through.
    parser.feed(bytes(255))
    assert parser.feed(frame.encode())[-1:] == [frame]
    assert len(parser._buffer) < 255


@given(FRAMES, st.integers(0, 254), st.integers(1, 255))
def test_a_flipped_bit_never_gives_another_frame_of_that_length(frame, where, flip):
    raw = bytearray(frame.encode())
    raw[where % len(raw)] ^= flip
    for got in MtParser().feed(bytes(raw)):
        # A part of the data may look like a frame; the damaged one must not pass.
        assert len(got.data) < len(frame.data)


MESSAGES = [
    st.builds(
        messages.AfRegister,
        U8, U16, U16, U8, U8,
        inputs=st.lists(U16, max_size=8).map(tuple),
        outputs=st.lists(U16, max_size=8).map(tuple),
    ),
    st.builds(messages.AfDataRequest, U16, U8, U8, U16, U8, st.binary(max_size=200), U8, U8),
    st.builds(messages.AfDataConfirm, U8, U8, U8),
    st.builds(messages.AfIncoming, U16, U8, U8, U16, st.binary(max_size=200), mac_source=U16),
    st.builds(messages.ZdoIncoming, U16, U16, st.binary(max_size=200), st.booleans()),
    st.builds(messages.TcDeviceJoined, U16, U64, U16),
    st.builds(messages.LeaveIndication, U16, U64, st.booleans(), st.booleans(), st.booleans()),
    st.builds(messages.ExtNetworkInfo, U16, U8, U16, U16, U64, U64, U8),
    st.builds(zdo.DeviceAnnounce, U16, U64, U8),
    st.builds(zdo.NodeDescriptor, st.integers(0, 2), U8, U16),
    st.builds(zdo.SimpleDescriptor, U8, U16, U16, st.integers(0, 15),
              inputs=st.lists(U16, max_size=8).map(tuple),
              outputs=st.lists(U16, max_size=8).map(tuple)),
    st.builds(zdo.Binding, U64, U8, U16, U64, U8),
    st.builds(zdo.Binding, U64, U8, U16, U16, st.none()),
    st.builds(zdo.ActiveEndpointsResponse, U8, U16, st.lists(U8, max_size=9).map(tuple)),
    st.builds(ZclFrame, U8, U8, st.binary(max_size=80), st.booleans(), st.booleans(),
              st.none() | U16, st.booleans()),
]  # fmt: skip


@pytest.mark.parametrize("strategy", MESSAGES, ids=lambda one: repr(one)[7:40])
def test_messages_come_back_as_they_went(strategy):
    @given(strategy, st.data())
    def check(message, data):
        raw = message.encode()
        kind = type(message)
        assert kind.decode(raw) == message
        with contextlib.suppress(CodecError):
            kind.decode(raw[: data.draw(st.integers(0, len(raw)))])

    check()


def test_extended_requests_name_groups_devices_and_everybody():
    for mode, destination in ((1, 0x1234), (2, 0x4321), (3, 0x00124B0012345678), (15, 0xFFFD)):
        one = messages.AfDataRequestExt(mode, destination, 1, 1, 6, 9, b"\x01\x02\x03", length=3)
        assert messages.AfDataRequestExt.decode(one.encode()) == one


INTEGERS = list(range(0x20, 0x30))


@pytest.mark.parametrize("kind", INTEGERS)
def test_integers_know_their_range(kind):
    low, high = types.limits(kind)
    for value in (low, 0, high, types.no_value(kind)):
        raw = types.encode_value(kind, value)
        assert types.decode_value(kind, Reader(raw)) == value
    with pytest.raises(CodecError, match="no value of the ZCL type"):
        types.encode_value(kind, high + 2)


@given(st.sampled_from([types.STRING, types.LONG_STRING]), st.none() | st.text(max_size=60))
def test_texts(kind, text):
    raw = types.encode_value(kind, text)
    assert types.decode_value(kind, Reader(raw)) == text


@given(st.integers(0, 255), st.binary(max_size=64))
def test_any_bytes_of_any_type_give_a_value_or_a_typed_error(kind, data):
    with contextlib.suppress(CodecError):
        types.decode_value(kind, Reader(data))


RECORDS = st.lists(
    st.builds(zcl.Attribute, U16, st.just(types.INT16), st.integers(-32768, 32767))
    | st.builds(zcl.Attribute, U16, st.just(types.UINT48), st.integers(0, (1 << 48) - 1))
    | st.builds(zcl.Attribute, U16, st.just(types.BOOLEAN), st.booleans()),
    max_size=6,
)


@given(RECORDS)
def test_attribute_lists(records):
    assert zcl.decode_attributes(zcl.encode_attributes(records)) == records


@given(st.lists(st.builds(zcl.ReadRecord, U16, st.just(0), st.just(0x29), st.integers(-9, 9))
                | st.builds(zcl.ReadRecord, U16, st.just(0x86)), max_size=6))  # fmt: skip
def test_read_records(records):
    assert zcl.decode_read_records(zcl.encode_read_records(records)) == records


@given(
    st.lists(
        st.builds(zcl.ReportingRecord, U16, st.just(0x29), U16, U16, st.integers(0, 9))
        | st.builds(zcl.ReportingRecord, U16, st.just(0x10), U16, U16)
        | st.builds(zcl.ReportingRecord, U16, incoming=st.just(True), timeout_s=U16),
        max_size=6,
    )
)
def test_reporting_records(records):
    assert zcl.decode_reporting(zcl.encode_reporting(records)) == records
    answer = zcl.encode_reporting_configurations(records)
    assert zcl.decode_reporting_configurations(answer) == records


@given(st.binary(max_size=100))
def test_no_payload_breaks_a_decoder(data):
    for decode in (
        zcl.decode_attributes,
        zcl.decode_read_records,
        zcl.decode_reporting,
        zcl.decode_reporting_configurations,
        zcl.decode_write_statuses,
        zcl.decode_reporting_statuses,
        zcl.decode_read_reporting,
        zcl.decode_attribute_ids,
        ZclFrame.decode,
        heater.SetPower.decode,
        heater.Ack.decode,
        zdo.Binding.decode,
        zdo.NeighbourTable.decode,
        zdo.NodeDescriptorResponse.decode,
        zdo.SimpleDescriptorResponse.decode,
        zdo.ActiveEndpointsResponse.decode,
        zdo.AddressResponse.decode,
        messages.AfIncoming.decode,
        messages.AfDataRequestExt.decode,
    ):
        with contextlib.suppress(CodecError):
            decode(data)


def test_the_answers_direction_is_the_inverse():
    read = ZclFrame(7, zcl.READ_ATTRIBUTES, from_server=True, manufacturer=0x1257)
    answer = read.response(zcl.READ_ATTRIBUTES_RESPONSE)
    assert (answer.from_server, answer.sequence, answer.manufacturer) == (False, 7, 0x1257)
    default = ZclFrame(9, 0x01, cluster_command=True).default_response(0x81)
    assert default.is_default_response
    assert default.payload == b"\x01\x81"
    # Frame control of a default response to a client's command: from server, wants no answer.
    assert default.encode() == bytes.fromhex("18090b0181")


POWERS = st.floats(0, 40_000_000).map(lambda watts: round(watts * 100) / 100)


@given(U8, st.lists(st.tuples(U8, st.none() | POWERS), max_size=12), st.booleans())
def test_set_power(sequence, powers, ack):
    one = heater.SetPower(sequence, tuple(powers), ack)
    assert heater.SetPower.decode(one.encode()) == one


def test_twelve_loads_fill_a_broadcast_and_thirteen_are_refused():
    twelve = heater.SetPower(1, tuple((slot, 3500.0) for slot in range(12)))
    frame = ZclFrame(1, 0, twelve.encode(), cluster_command=True, manufacturer=0x1257)
    assert len(frame.encode()) == 68
    with pytest.raises(CodecError, match="12"):
        heater.SetPower(1, tuple((slot, 1.0) for slot in range(13))).encode()
