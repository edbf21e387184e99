"""A stick that does as a script says, to try the host with what no good emulator would do."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace

import pytest

from wattbench.hil.memory import connect
from wattbench.hil.zigbee import heater, mt, zcl, zcl_types, zdo
from wattbench.hil.zigbee.binary import u8, u16, u32, u64
from wattbench.hil.zigbee.host.host import HostSettings, ZigbeeHost
from wattbench.hil.zigbee.host.link import LinkDownError
from wattbench.hil.zigbee.mt_messages import (
    AfDataRequest,
    AfDataRequestExt,
    AfIncoming,
    ExtNetworkInfo,
)
from wattbench.sim.clock import VirtualClock

STICK = 0x00124B00AA000001
HEATER = 0x00124B0000000010
PLUG = 0x00124B0000000020


class Stick(asyncio.Protocol):
    """Answers at once and completely, unless `answers` or `meddle` say otherwise."""

    def __init__(self, clock: VirtualClock, network: bool = True) -> None:
        self.clock = clock
        self.transport: asyncio.Transport | None = None
        self.parser = mt.MtParser()
        self.log: list[mt.MtFrame] = []
        self.ieee = STICK
        self.nv: dict[int, bytes] = {0x8F: b"\x01"}
        self.pan = 0x1A62
        if network:
            self.nv[0x21] = bytes(36) + u16(self.pan) + bytes(78)
        self.state = 0
        self.product = 1
        self.answers: dict[int, Callable[[bytes], bytes | None]] = {}
        """Replaces the answer to a command; None: no answer."""
        self.meddle: Callable[[bytes], list[tuple[int, bytes]]] = lambda frame: [(0, frame)]
        """What becomes of an outgoing frame: (delay in µs, bytes)."""
        self.confirm_status = mt.SUCCESS
        self.devices: dict[int, Callable[[AfDataRequest], list[bytes]]] = {}
        """By short address: the frames that a device sends on a message for it."""
        self.nodes: dict[int, int] = {}
        """Short address → IEEE."""
        self.broadcasts: list[AfDataRequestExt] = []
        self.on_broadcast: Callable[[AfDataRequestExt], None] = lambda message: None
        self.broadcast_status = mt.SUCCESS

    def connection_made(self, transport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        for frame in self.parser.feed(data):
            self.log.append(frame)
            if frame.command == mt.SYS_RESET_REQ:
                self.reset()
            elif frame.kind == mt.SREQ:
                answer = self.answers.get(frame.command, lambda d, c=frame.command: self.do(c, d))
                content = answer(frame.data)
                if content is not None:
                    self.send(mt.response_to(frame.command), content)
                    if frame.command != mt.AF_DATA_REQUEST or content == b"\0":
                        self.after(frame.command, frame.data)

    def reset(self, after_us: int = 100_000) -> None:
        self.state = 0
        if self.nv.get(0x03, b"\0")[0] & 2:
            self.nv.pop(0x21, None)
            self.nv[0x03] = b"\0"
        due_us = self.clock.now_us + after_us
        self.clock.schedule(due_us, lambda: self.send(mt.SYS_RESET_IND, bytes((0, 2, 1, 2, 7, 1))))

    def send(self, command: int, data: bytes) -> None:
        for delay_us, out in self.meddle(mt.MtFrame(command, data).encode()):
            self.clock.schedule(self.clock.now_us + delay_us, lambda o=out: self.raw(o))

    def raw(self, data: bytes) -> None:
        if self.transport is not None:
            self.transport.write(data)

    def incoming(self, nwk: int, cluster: int, payload: bytes, **more) -> None:
        message = AfIncoming(nwk, 1, 1, cluster, payload, **more)
        self.send(mt.AF_INCOMING_MSG, message.encode())

    def do(self, command: int, data: bytes) -> bytes:
        if command == mt.SYS_PING:
            return b"\x59\x06"
        if command == mt.SYS_VERSION:
            return bytes((2, self.product, 2, 7, 1)) + u32(20240710)
        if command == mt.SYS_GET_EXT_ADDR:
            return u64(self.ieee)
        if command == mt.UTIL_GET_DEVICE_INFO:
            return b"\0" + u64(self.ieee) + u16(0) + u8(7) + u8(self.state) + u8(0)
        if command == mt.ZDO_EXT_NWK_INFO:
            return ExtNetworkInfo(0, self.state, self.pan, 0, 77, 0, 15).encode()
        if command == mt.SYS_NV_LENGTH:
            return u16(len(self.nv.get(int.from_bytes(data[:2], "little"), b"")))
        if command == mt.SYS_NV_READ_EXT:
            value = self.nv[int.from_bytes(data[:2], "little")][
                int.from_bytes(data[2:4], "little") :
            ]
            return b"\0" + u8(len(value)) + value
        if command == mt.SYS_NV_ITEM_INIT:
            item = int.from_bytes(data[:2], "little")
            if item in self.nv:
                return b"\0"
            self.nv[item] = data[5:]
            return b"\x09"
        if command == mt.SYS_NV_WRITE_EXT:
            self.nv[int.from_bytes(data[:2], "little")] = data[6:]
            return b"\0"
        if command == mt.AF_DATA_REQUEST_EXT:
            return u8(self.broadcast_status)
        return b"\0"

    def after(self, command: int, data: bytes) -> None:
        """Send what follows an answer."""
        if command == mt.ZDO_STARTUP_FROM_APP:
            self.state = 9
            self.send(mt.ZDO_STATE_CHANGE_IND, b"\x09")
        elif command == mt.APP_CNF_BDB_START_COMMISSIONING:
            self.state = 9
            self.pan = int.from_bytes(self.nv[0x83], "little")
            self.nv[0x21] = bytes(36) + u16(self.pan) + bytes(78)
            self.send(mt.ZDO_STATE_CHANGE_IND, b"\x08")
            self.send(mt.ZDO_STATE_CHANGE_IND, b"\x09")
        elif command == mt.AF_DATA_REQUEST:
            self.unicast(AfDataRequest.decode(data))
        elif command == mt.AF_DATA_REQUEST_EXT and self.broadcast_status == mt.SUCCESS:
            message = AfDataRequestExt.decode(data)
            self.broadcasts.append(message)
            self.send(mt.AF_DATA_CONFIRM, bytes((0, 1, message.transaction)))
            self.on_broadcast(message)
        elif command == mt.ZDO_NWK_ADDR_REQ:
            ieee = int.from_bytes(data[:8], "little")
            for nwk, known in self.nodes.items():
                if known == ieee:
                    self.send(mt.ZDO_NWK_ADDR_RSP, b"\0" + u64(ieee) + u16(nwk) + b"\0\0")
        elif command == mt.ZDO_IEEE_ADDR_REQ:
            nwk = int.from_bytes(data[:2], "little")
            if nwk in self.nodes:
                answer = b"\0" + u64(self.nodes[nwk]) + u16(nwk) + b"\0\0"
                self.send(mt.ZDO_IEEE_ADDR_RSP, answer)

    def unicast(self, message: AfDataRequest) -> None:
        confirm = bytes((self.confirm_status, message.source_endpoint, message.transaction))
        self.send(mt.AF_DATA_CONFIRM, confirm)
        if self.confirm_status == mt.SUCCESS and message.destination in self.devices:
            for frame in self.devices[message.destination](message):
                self.incoming(message.destination, message.cluster, frame)


def obedient(message: AfDataRequest) -> list[bytes]:
    """Answer every command with success, every read with a number."""
    frame = zcl.ZclFrame.decode(message.payload)
    if not frame.cluster_command and frame.command == zcl.READ_ATTRIBUTES:
        asked = zcl.decode_attribute_ids(frame.payload)
        values = [zcl.ReadRecord(one, 0, zcl_types.UINT16, 7) for one in asked]
        payload = zcl.encode_read_records(values)
        return [frame.response(zcl.READ_ATTRIBUTES_RESPONSE, payload).encode()]
    return [] if frame.no_default_response else [frame.default_response(0).encode()]


def acknowledge(stick: Stick, nodes: dict[int, int], delay_us: int = 50_000) -> None:
    """Make heaters (short address → slot) acknowledge each broadcast."""

    def answer(message: AfDataRequestExt) -> None:
        frame = zcl.ZclFrame.decode(message.payload)
        command = heater.SetPower.decode(frame.payload)
        powers = dict(command.powers_w)
        for k, (nwk, slot) in enumerate(nodes.items()):
            ack = heater.Ack(command.sequence, slot, powers[slot])
            out = zcl.ZclFrame(
                k, heater.ACK, ack.encode(), True, True, heater.MANUFACTURER, True
            ).encode()
            due_us = stick.clock.now_us + delay_us * (k + 1)
            stick.clock.schedule(due_us, lambda n=nwk, o=out: stick.incoming(n, heater.CLUSTER, o))

    stick.on_broadcast = answer


class Bench:
    """A host and a scripted stick, joined in memory."""

    def __init__(self, clock: VirtualClock, has_network: bool = True, **settings) -> None:
        self.clock = clock
        self.stick = Stick(clock, has_network)
        self.plugged = True
        self.connects = 0
        self.host = ZigbeeHost(clock, settings=HostSettings(**settings))

    async def connect(self, protocol):
        self.connects += 1
        if not self.plugged:
            raise LinkDownError("no such port")
        self.stick.parser.reset()
        return connect(self.clock, protocol, self.stick, 1000)

    def unplug(self) -> None:
        self.plugged = False
        self.stick.transport.close()


@pytest.fixture(scope="session")
def znp() -> SimpleNamespace:
    return SimpleNamespace(
        Bench=Bench,
        Stick=Stick,
        STICK=STICK,
        HEATER=HEATER,
        PLUG=PLUG,
        obedient=obedient,
        acknowledge=acknowledge,
        zdo=zdo,
    )


@pytest.fixture
def run(znp):
    """Open a host on a scripted stick, do some work with it, and close it."""

    def go(work, has_network: bool = True, opened: bool = True, **settings):
        with VirtualClock() as clock:
            bench = znp.Bench(clock, has_network, **settings)

            async def main():
                if opened:
                    await bench.host.open(bench.connect)
                try:
                    return await work(bench)
                finally:
                    await bench.host.close()

            return clock.run(main())

    return go
