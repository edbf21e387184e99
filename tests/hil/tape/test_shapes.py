"""Commands with other values than then: what they are apart from them, what answers them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.modbus.framing import rtu_frame, tcp_frame
from wattbench.hil.tape.model import TapeBus, TapeHeader
from wattbench.hil.tape.reader import TapeReader
from wattbench.hil.tape.replay import Replay
from wattbench.hil.tape.shapes import shape, with_values
from wattbench.hil.tape.writer import Tape
from wattbench.hil.zigbee import mt, zcl
from wattbench.hil.zigbee.mt_messages import AfDataRequest
from wattbench.sim.clock import VirtualClock

S = 1_000_000
KINDS = ("modbus-tcp", "modbus-rtu", "modbus-tls", "znp", "other")


def one(value: int, address: int = 7) -> bytes:
    return bytes((6, 0, address)) + value.to_bytes(2, "big")


def several(*values: int, address: int = 7) -> bytes:
    data = b"".join(value.to_bytes(2, "big") for value in values)
    return bytes((16, 0, address, 0, len(values), len(data))) + data


@pytest.mark.parametrize("make", [lambda pdu: tcp_frame(5, 1, pdu), lambda pdu: rtu_frame(1, pdu)])
def test_writes_are_alike_but_for_their_values(make: Any) -> None:
    kind = "modbus-tcp" if len(make(b"\x06")) > 5 else "modbus-rtu"
    assert shape(kind, make(one(1))) == shape(kind, make(one(2))) is not None
    assert shape(kind, make(one(1))) != shape(kind, make(one(1, address=8)))
    assert shape(kind, make(several(1, 2))) == shape(kind, make(several(3, 4))) is not None
    assert shape(kind, make(several(1, 2))) != shape(kind, make(several(1)))
    assert shape(kind, make(several(1, 2))) != shape(kind, make(several(1, 2, address=8)))
    assert shape(kind, make(bytes((3, 0, 0, 0, 2)))) is None, "a read carries no value"


def test_messages_are_alike_but_for_what_they_carry() -> None:
    def frame(payload: bytes, command: int = 0, sequence: int = 1) -> bytes:
        message = bytes((zcl.CLUSTER_COMMAND, sequence, command)) + payload
        request = AfDataRequest(0x1234, 1, 1, 0xFC57, sequence, message)
        return mt.MtFrame(mt.AF_DATA_REQUEST, request.encode()).encode()

    assert shape("znp", frame(b"\x01")) == shape("znp", frame(b"\x02\x03", sequence=9)) is not None
    assert shape("znp", frame(b"\x01")) != shape("znp", frame(b"\x01", command=2))
    assert shape("znp", mt.MtFrame(mt.SYS_PING, b"").encode()) is None


@given(kind=st.sampled_from(KINDS), then=st.binary(), now=st.binary(), answer=st.binary())
def test_any_bytes_have_a_shape_or_none(kind: str, then: bytes, now: bytes, answer: bytes) -> None:
    found = shape(kind, then)
    assert found is None or isinstance(found, bytes)
    # An answer of then, that request itself, or the one under the other's head: nothing is made up.
    assert with_values(kind, then, now, answer) in (answer, now, answer[:6] + now[6:])


@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu"])
def test_a_write_with_another_value_is_confirmed_and_told(kind: str, tmp_path: Path) -> None:
    """An echo says the value of now; refusals and confirmations without values are as they were."""

    def make(pdu: bytes, number: int = 1) -> bytes:
        return tcp_frame(number, 1, pdu) if kind == "modbus-tcp" else rtu_frame(1, pdu)

    confirmed = bytes((16, 0, 7, 0, 2))
    path = tmp_path / "tape.pcapng"
    with Tape(path, TapeHeader(0, "virtual", (TapeBus("bus", kind),))) as tape:
        for second, (asked, answered) in enumerate(
            [(one(10), one(10)), (several(1, 2), confirmed), (one(20), b"\x86\x06")]
        ):
            tape.frame("bus", "request", second * S, make(asked))
            tape.frame("bus", "answer", second * S + 1000, make(answered))
    told: list[str] = []
    with VirtualClock() as clock:
        bus = Replay(TapeReader(path), clock, loose=True).buses["bus"]
        bus.on_altered = told.append
        assert bus.request(make(one(11), 9)) == [(1000, make(one(11), 9))]
        assert bus.request(make(several(1, 2), 9)) == [(1000, make(confirmed, 9))]
        assert len(told) == 1
        assert bus.request(make(several(5, 6), 9)) == [(1000, make(confirmed, 9))], "once more"
        assert bus.request(make(one(20), 9)) == [(1000, make(b"\x86\x06", 9))]
        assert bus.request(make(one(20, address=9), 9)) == []
    assert len(bus.altered) == 2
    assert len(bus.missed) == 1
