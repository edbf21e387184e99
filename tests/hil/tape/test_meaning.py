"""What frames say, in words that are known beforehand; any bytes are told somehow."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.modbus import framing
from wattbench.hil.tape import znp_meaning
from wattbench.hil.tape.decode import Decoder
from wattbench.hil.tape.modbus_meaning import ModbusMeaning
from wattbench.hil.tape.model import TapeBus, TapeDevice, TapeFrame, TapeHeader
from wattbench.hil.zigbee import heater, mt, zcl
from wattbench.hil.zigbee.mt_messages import AfDataConfirm, AfDataRequestExt, AfIncoming


def tcp(pdu: bytes, number: int = 5, unit: int = 1) -> bytes:
    return framing.tcp_frame(number, unit, pdu)


READ = bytes((4, 0, 12, 0, 2))


@pytest.mark.parametrize(
    ("request_pdu", "answer_pdu", "asked", "answered"),
    [
        (READ, bytes((4, 4, 1, 2, 3, 4)), "read input registers 12…13",
         "read input registers 12…13 = 0102 0304"),
        (bytes((3, 0, 7, 0, 1)), bytes((3, 2, 0, 9)), "read holding registers 7",
         "read holding registers 7 = 0009"),
        (bytes((1, 0, 0, 0, 9)), bytes((1, 2, 255, 1)), "read coils 0…8",
         "read coils 0…8 = ff 01"),
        (bytes((6, 1, 0, 0, 5)), bytes((6, 1, 0, 0, 5)), "write register 256 = 0005",
         "write register 256: done"),
        (bytes((16, 1, 0, 0, 2, 4, 0, 1, 0, 2)), bytes((16, 1, 0, 0, 2)),
         "write registers 256…257 = 0001 0002", "write registers 256…257: done"),
        (READ, bytes((0x84, 2)), "read input registers 12…13",
         "read input registers 12…13: refused, 2 (illegal address)"),
        (READ, bytes((4, 2, 1, 2)), "read input registers 12…13",
         "read input registers 12…13 = 0102; 1 registers instead of 2"),
        (bytes((43, 14, 1, 0)), bytes((43, 14, 1, 1, 0, 0, 0)), "read device identification",
         "read device identification: done"),
        (bytes((99,)), bytes((0x80 | 99, 1)), "function 99",
         "function 99: refused, 1 (illegal function)"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("kind", ["modbus-tcp", "modbus-rtu"])
def test_modbus_in_words(
    request_pdu: bytes, answer_pdu: bytes, asked: str, answered: str, kind: str
) -> None:
    reader = ModbusMeaning(kind, {})
    frame = framing.rtu_frame if kind == "modbus-rtu" else lambda unit, pdu: tcp(pdu, 5, unit)
    assert reader.read("request", frame(1, request_pdu)).line() == f"unit 1: {asked}"
    assert reader.read("answer", frame(1, answer_pdu)).line() == f"unit 1: {answered}"


def test_what_is_wrong_with_a_frame_is_told() -> None:
    reader = ModbusMeaning("modbus-tcp", {})
    assert reader.read("answer", tcp(READ, 9)).problem == "nobody asked for it"
    assert reader.read("request", tcp(READ)[:-1]).problem == "length 6, but 5 bytes follow it"
    assert reader.read("request", b"\0\5\0\7" + tcp(READ)[4:]).problem == "protocol id 7"
    assert reader.read("request", b"\0").problem == "too short for a frame"
    reader.read("request", tcp(READ, 3))
    other = reader.read("answer", tcp(bytes((3, 2, 0, 1)), 3, unit=4))
    assert other.problem == "the answer to another request (unit 1, function 4)"
    line = ModbusMeaning("modbus-rtu", {})
    assert line.read("request", framing.rtu_frame(1, READ)[:-1] + b"\xff").problem == "wrong CRC"


def test_values_by_the_profile() -> None:
    profile = DeviceProfile.model_validate(
        {
            "name": "made_up",
            "title": "made up",
            "kind": "meter",
            "identity": {"manufacturer": "nobody", "model": "none"},
            "modbus": {
                "points": [
                    {"quantity": "power_w", "table": "input", "address": 12, "type": "float32"},
                    {"quantity": "voltage_a_v", "table": "input", "address": 14, "scale": 0.1,
                     "scale_register": None},
                    {"quantity": "power_limit_w", "address": 100, "type": "int16", "scale": 10,
                     "access": "rw"},
                    {"quantity": "current_a_a", "table": "input", "address": 20,
                     "scale_register": "sf"},
                ],
                "registers": [
                    {"name": "sf", "table": "input", "address": 21, "type": "sunssf", "value": -2}
                ],
            },
        }
    )  # fmt: skip
    header = TapeHeader(
        0, "virtual", (TapeBus("lan", "modbus-tcp"),), (TapeDevice("m", "lan", "made_up", 1),)
    )
    decoder = Decoder(header, {"made_up": profile})

    def line(direction: str, pdu: bytes) -> str:
        frame = TapeFrame(1, 0, "lan", "modbus-tcp", direction, tcp(pdu))  # type: ignore[arg-type]
        return decoder.meaning(frame).line()

    line("request", bytes((4, 0, 12, 0, 3)))
    answer = bytes((4, 6)) + struct.pack(">fH", 1234.5, 2301)
    assert line("answer", answer).endswith("; power_w=1234.5 voltage_a_v=230.1")
    written = line("request", bytes((6, 0, 100)) + struct.pack(">h", -25))
    assert written == "unit 1: write register 100 = ffe7; power_limit_w=-250"
    line("request", bytes((4, 0, 20, 0, 1)))
    assert line("answer", bytes((4, 2, 0, 250))).endswith("; current_a_a=none")
    line("request", bytes((4, 0, 20, 0, 2)))
    assert line("answer", bytes((4, 4, 0, 250, 0xFF, 0xFE))).endswith("; current_a_a=2.5")


def znp(command: int, data: bytes) -> str:
    return znp_meaning.read(mt.MtFrame(command, data).encode()).line()


def test_zigbee_in_words() -> None:
    assert znp(mt.SYS_PING, b"") == "SYS_PING"
    assert znp(mt.response_to(mt.SYS_PING), b"\x59\x06") == "SYS_PING response: 59 06"
    assert znp(mt.response_to(mt.AF_REGISTER), b"\0") == "AF_REGISTER response: status 0x00"
    assert znp(mt.RPC_ERROR, b"\2\x21\x77") == "RPC_ERROR: error 2 for 21 77"
    assert znp(0x2177, b"") == "0x2177"
    confirm = AfDataConfirm(0xE9, 1, 7).encode()
    assert znp(mt.AF_DATA_CONFIRM, confirm) == "AF_DATA_CONFIRM: transaction 7, status 0xE9"
    order = heater.SetPower(3, ((1, 500.0), (2, None))).encode()
    payload = zcl.ZclFrame(9, heater.SET_POWER, order, cluster_command=True).encode()
    sent = AfDataRequestExt(2, 0xFFFD, 255, 1, heater.CLUSTER, 4, payload).encode()
    assert znp(mt.AF_DATA_REQUEST_EXT, sent) == (
        "AF_DATA_REQUEST_EXT to 0xFFFD: Heater set power #3: 1=500 2=none"
    )
    report = zcl.ZclFrame(
        1, zcl.REPORT_ATTRIBUTES, zcl.encode_attributes([zcl.Attribute(0x050B, 0x29, -12)])
    )
    came = AfIncoming(0x1234, 1, 1, zcl.ELECTRICAL_MEASUREMENT, report.encode()).encode()
    assert znp(mt.AF_INCOMING_MSG, came) == (
        "AF_INCOMING_MSG from 0x1234: ElectricalMeasurement report 0x050B=-12"
    )


def test_broken_zigbee_frames_are_told() -> None:
    ping = mt.MtFrame(mt.SYS_PING).encode()
    assert znp_meaning.read(ping[:-1] + b"\0").problem == "wrong check byte"
    assert znp_meaning.read(ping + ping).problem == "cut, or several frames"
    assert znp_meaning.read(b"noise").problem == "not a frame"
    assert znp_meaning.read(mt.MtFrame(mt.AF_INCOMING_MSG, b"\0").encode()).problem


@given(st.lists(st.tuples(st.booleans(), st.binary(max_size=60)), max_size=10))
def test_any_bytes_are_told_somehow(frames: list[tuple[bool, bytes]]) -> None:
    readers = [ModbusMeaning(kind, {}) for kind in ("modbus-tcp", "modbus-rtu")]
    for asked, data in frames:
        for reader in readers:
            assert reader.read("request" if asked else "answer", data).line()
            assert reader.read("request" if asked else "answer", tcp(data) if data else b"").line()
        assert znp_meaning.read(data).line()
        if len(data) >= 2:
            command = int.from_bytes(data[:2], "big")
            assert znp_meaning.read(mt.MtFrame(command, data[2:]).encode()).line()


@given(st.sampled_from(sorted(znp_meaning.COMMANDS)), st.binary(max_size=60))
def test_any_content_of_a_known_command_is_told(command: int, data: bytes) -> None:
    assert znp_meaning.read(mt.MtFrame(command, data).encode()).line()
