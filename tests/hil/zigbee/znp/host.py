"""The host's end of a serial line for tests: sends requests, keeps what comes in, on any clock."""

from __future__ import annotations

import asyncio

from wattbench.hil.memory import connect
from wattbench.hil.zigbee import mt, zcl, zdo
from wattbench.hil.zigbee.mt import MtFrame, MtParser
from wattbench.hil.zigbee.mt_messages import AfDataConfirm, AfDataRequest, AfIncoming
from wattbench.hil.zigbee.zcl import ZclFrame


class Host(asyncio.Protocol):
    """Speaks MT by hand."""

    def __init__(self, coordinator, one_way_us=100):
        self.coordinator = coordinator
        self.clock = coordinator.clock
        self.one_way_us = one_way_us
        self.frames = []
        self.closed = False
        self._parser = MtParser()
        self._sequence = 0

    def open(self):
        self._transport = connect(
            self.clock, self, self.coordinator.protocol(), one_way_us=self.one_way_us
        )
        return self

    def data_received(self, data):
        self.frames += [(self.clock.now_us, frame) for frame in self._parser.feed(data)]

    def connection_lost(self, exc):
        self.closed = True

    def write(self, data):
        self._transport.write(data)

    async def wait(self, match, timeout_s=20.0):
        """Return the next frame that matches, and take it out of what came in."""
        end_us = self.clock.now_us + round(timeout_s * 1e6)
        while True:
            for index, (_, frame) in enumerate(self.frames):
                if match(frame):
                    return self.frames.pop(index)[1]
            assert self.clock.now_us < end_us, "nothing came that matches"
            await asyncio.sleep(0.001)

    async def request(self, command, data=b""):
        """Send a request and return the data of its response (or the RPC error frame's)."""
        self.write(MtFrame(command, data).encode())
        frame = await self.wait(lambda f: f.kind == mt.SRSP)
        assert frame.command in {mt.response_to(command), mt.RPC_ERROR}
        return frame.data if frame.command != mt.RPC_ERROR else frame

    async def indication(self, command, timeout_s=20.0):
        return (await self.wait(lambda f: f.command == command, timeout_s)).data

    async def form(self):
        """Form a network with everything that a host needs; return the state changes seen."""
        await self.request(mt.ZDO_MSG_CB_REGISTER, b"\xff\xff")
        await self.request(mt.SYS_NV_WRITE_EXT, bytes.fromhex("8f000000010001"))
        await self.request(mt.APP_CNF_BDB_SET_CHANNEL, bytes.fromhex("0100800000"))
        await self.request(mt.APP_CNF_BDB_START_COMMISSIONING, b"\x04")
        states = [await self.indication(mt.ZDO_STATE_CHANGE_IND) for _ in range(2)]
        await self.request(mt.AF_REGISTER, bytes.fromhex("01040105000000" + "00" + "00"))
        return states

    async def permit(self, seconds=60):
        await self.request(mt.ZDO_MGMT_PERMIT_JOIN_REQ, bytes((0x0F, 0xFC, 0xFF, seconds, 1)))
        return await self.indication(mt.ZDO_MGMT_PERMIT_JOIN_RSP)

    async def join(self):
        """Open the network and return the next device that announces itself: (nwk, ieee)."""
        await self.permit()
        data = await self.indication(mt.ZDO_END_DEVICE_ANNCE_IND)
        announce = zdo.DeviceAnnounce.decode(data[2:])
        return announce.nwk, announce.ieee

    async def send(self, nwk, cluster, payload, endpoint=1, source=1, options=0x10):
        """Send a message and return (status of the confirm, µs from the response to it)."""
        self._sequence = (self._sequence + 1) & 0xFF
        one = AfDataRequest(nwk, endpoint, source, cluster, self._sequence, payload, options)
        status = await self.request(mt.AF_DATA_REQUEST, one.encode())
        assert status == b"\x00"
        begun_us = self.clock.now_us
        data = await self.indication(mt.AF_DATA_CONFIRM)
        confirm = AfDataConfirm.decode(data)
        assert confirm.transaction == self._sequence
        return confirm.status, self.clock.now_us - begun_us

    async def incoming(self, match=lambda message, frame: True, timeout_s=20.0):
        """Return the next ZCL frame that matches, with its message."""

        def fits(mt_frame):
            if mt_frame.command != mt.AF_INCOMING_MSG:
                return False
            message = AfIncoming.decode(mt_frame.data)
            return match(message, ZclFrame.decode(message.payload))

        message = AfIncoming.decode((await self.wait(fits, timeout_s)).data)
        return message, ZclFrame.decode(message.payload)

    async def ask(self, nwk, cluster, frame, timeout_s=20.0):
        """Send a ZCL frame and return the answer with its sequence number."""
        status, _ = await self.send(nwk, cluster, frame.encode())
        assert status == 0
        _, answer = await self.incoming(
            lambda m, f: f.sequence == frame.sequence and m.cluster == cluster, timeout_s
        )
        return answer

    async def read(self, nwk, cluster, *attributes, manufacturer=None):
        """Read attributes; return the records."""
        self._sequence = (self._sequence + 1) & 0xFF
        frame = ZclFrame(
            self._sequence,
            zcl.READ_ATTRIBUTES,
            zcl.encode_attribute_ids(attributes),
            manufacturer=manufacturer,
        )
        answer = await self.ask(nwk, cluster, frame)
        assert answer.command == zcl.READ_ATTRIBUTES_RESPONSE
        return zcl.decode_read_records(answer.payload)


def command(sequence, number, payload=b"", **more):
    return ZclFrame(sequence, number, payload, cluster_command=True, **more)


async def joined(host):
    await host.form()
    nwk, _ = await host.join()
    return nwk


async def bind(host, one, nwk, ieee, cluster):
    binding = zdo.Binding(ieee, 1, cluster, one.coordinator.ieee, 1)
    data = nwk.to_bytes(2, "little") + binding.encode()
    assert await host.request(mt.ZDO_BIND_REQ, data) == b"\x00"
    assert (await host.indication(mt.ZDO_BIND_RSP))[2:] == b"\x00"
