"""Everything at once: wild hosts, units and faults; then peace, and the next request counts."""

import asyncio
import random
import struct

import pytest

from wattbench.hil import memory
from wattbench.hil.modbus.framing import rtu_frame, tcp_frame
from wattbench.hil.modbus.line import LineSettings
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.unit import ModbusRefusal
from wattbench.hil.wire import Delivery
from wattbench.sim.clock import VirtualClock

SEEDS = 100
READ, ANSWER = struct.pack(">BHH", 4, 9, 2), bytes((4, 4, 0, 0, 0, 0))


def wild_unit(kit, rng, state):
    """Holds, stays silent, refuses, fails or says too little, as long as `state.wild`."""

    class Wild(kit.Bank):
        def hold_us(self, t_us, function):
            choices = [0, 0, 0, -5, None, rng.randrange(200_000)]
            return rng.choice(choices) if state["wild"] else 0

        def read_registers(self, *asked):
            chance = rng.random() if state["wild"] else 1.0
            if chance < 0.03:
                raise ModbusRefusal(6)
            if chance < 0.06:
                raise KeyError("something")
            return b"" if chance < 0.08 else super().read_registers(*asked)

    return Wild()


class WildFaults:
    def __init__(self, rng, state) -> None:
        self.rng, self.state = rng, state
        self.links = []

    def _bent(self, frame, request):
        rng = self.rng
        if not self.state["wild"] or rng.random() < 0.4:
            return [Delivery(0, frame)]
        out = []
        for _ in range(rng.randrange(4)):
            data = bytearray(frame)
            if data and rng.random() < 0.4:
                data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
            if rng.random() < 0.1:
                data = data[: rng.randrange(len(data) + 1)]
            delay_us = rng.choice([0, 0, rng.randrange(300_000)])
            out.append(Delivery(delay_us, bytes(data), request and rng.random() < 0.1))
        return out

    def requests(self, bus, t_us, frame):
        return self._bent(frame, True)

    def answers(self, bus, t_us, frame):
        return self._bent(frame, False)

    def accepts(self, bus, t_us):
        return not self.state["wild"] or self.rng.random() < 0.95

    def attach(self, bus, send, close):
        self.links.append((send, close))
        return lambda: self.links.remove((send, close))


def any_pdu(rng) -> bytes:
    chance = rng.random()
    if chance < 0.5:
        address, count = rng.choice([0, 5, 65535]), rng.choice([0, 1, 2, 125, 126, 65280])
        return struct.pack(">BHH", rng.randint(1, 6), address, count)
    if chance < 0.7:
        count = rng.randrange(124)
        data = rng.randbytes(max(0, 2 * count + rng.choice([0, 0, 0, 1, -1])))
        return struct.pack(">BHHB", 16, rng.randrange(65536), count, 2 * count) + data
    if chance < 0.8:
        return bytes((43, 14, rng.randrange(6), rng.randrange(256)))
    return rng.randbytes(rng.randint(1, 253))


def any_bytes(rng, frame) -> bytes:
    """Return some requests, perhaps broken, or noise."""
    if rng.random() < 0.1:
        return rng.randbytes(rng.randrange(700))
    data = bytearray().join(
        frame(rng.choice([0, 1, 2, 7, 9]), any_pdu(rng)) for _ in range(rng.randint(1, 4))
    )
    if rng.random() < 0.3:
        data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data)


async def turmoil(kit, clock, server, rng, frame, faults):
    """Connect, write in pieces, close, babble; return the transports of all connections."""
    ends = []
    for _ in range(rng.randint(1, 40)):
        if not ends or rng.random() < 0.1:
            client = kit.Collector(clock)
            delay_us = rng.choice([0, 1000])
            ends.append((client, memory.connect(clock, client, server.protocol(), delay_us)))
        _, transport = rng.choice(ends)
        data = any_bytes(rng, frame)
        while data:
            size = rng.randint(1, len(data)) if rng.random() < 0.5 else len(data)
            transport.write(data[:size])
            data = data[size:]
            if rng.random() < 0.3:
                await asyncio.sleep(rng.choice([0, 0.001, 0.03, 0.6, 6]))
        if rng.random() < 0.05:
            transport.close()
        if faults is not None and faults.links and rng.random() < 0.1:
            send, close = rng.choice(faults.links)
            rng.choice([lambda send=send: send(b"xyz"), close])()
    return ends


@pytest.mark.parametrize("framing", ["tcp", "rtu"])
def test_after_any_turmoil_the_next_request_is_answered(kit, framing) -> None:
    for seed in range(SEEDS):
        rng, state, errors = random.Random(seed), {"wild": True}, []
        rtu = framing == "rtu"
        line = rng.choice([None, LineSettings(9600), LineSettings(115200, "E")]) if rtu else None
        faults = WildFaults(rng, state) if rng.random() < 0.6 else None
        frame = rtu_frame if rtu else lambda unit, pdu: tcp_frame(77, unit, pdu)

        async def main(rng=rng, state=state, errors=errors, line=line, faults=faults, frame=frame):
            loop = asyncio.get_running_loop()
            loop.set_exception_handler(lambda _, context: errors.append(context))
            units = {unit: wild_unit(kit, rng, state) for unit in (1, 2, 7)}
            server = ModbusServer(
                units, clock, framing=framing, line=line, faults=faults, max_connections=3
            )
            ends = await turmoil(kit, clock, server, rng, frame, faults)
            state["wild"] = False
            await asyncio.sleep(120)
            last = kit.Collector(clock)
            ends.append((last, memory.connect(clock, last, server.protocol(), 0)))
            for client, transport in ends:
                before = len(client.data)
                transport.write(frame(1, READ))
                await asyncio.sleep(2)
                assert client.lost or client.data[before:] == frame(1, ANSWER)
            assert not last.lost
            await server.close()

        with VirtualClock() as clock:
            clock.run(main())
        assert errors == [], seed
