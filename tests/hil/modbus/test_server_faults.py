"""The server over TCP with faults on its wire, and what its tape sees."""

import asyncio

from wattbench.hil import memory
from wattbench.hil.modbus.framing import tcp_frame
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.wire import Delivery
from wattbench.sim.clock import US_PER_S, VirtualClock

from .tcp_exchange import answer, read, split, talk


class Faults:
    """Does with requests and answers what it is told."""

    def __init__(self, requests=None, answers=None) -> None:
        self._requests = requests or (lambda frame: [Delivery(0, frame)])
        self._answers = answers or (lambda frame: [Delivery(0, frame)])
        self.on = True
        self.attached = []

    def requests(self, bus, t_us, frame):
        return self._requests(frame)

    def answers(self, bus, t_us, frame):
        return self._answers(frame)

    def accepts(self, bus, t_us):
        return self.on

    def attach(self, bus, send, close):
        self.attached.append((send, close))
        return lambda: self.attached.remove((send, close))


class Tape:
    def __init__(self) -> None:
        self.frames = []

    def frame(self, bus, direction, t_us, data) -> None:
        self.frames.append((bus, direction, t_us, data))


def test_the_tape_sees_the_wire_requests_before_and_answers_after_the_faults(kit) -> None:
    tape = Tape()
    faults = Faults(
        requests=lambda frame: [Delivery(1000, frame)] * 2,
        answers=lambda frame: [Delivery(500, frame[:-1] + b"\xee")],
    )
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, bus="b", tap=tape, faults=faults)
        _, client = talk(clock, server, [read(1)])
    bent = answer(1)[:-1] + b"\xee"
    assert client.data == 2 * bent
    assert tape.frames == [
        ("b", "request", 0, read(1)),
        ("b", "answer", 1500, bent),
        ("b", "answer", 1501, bent),
    ]


def test_faults_drop_bend_refuse_and_keep_order(kit) -> None:
    delays = iter([30_000, 10_000, 0])
    plans = {
        "drop": (Faults(requests=lambda _: []), b""),
        "other protocol": (
            Faults(requests=lambda f: [Delivery(0, f[:2] + b"\1\0" + f[4:])]),
            b"",
        ),
        "other length": (Faults(requests=lambda f: [Delivery(0, f[:-1])]), b""),
        "back": (
            Faults(requests=lambda f: [Delivery(0, tcp_frame(1, 1, b"\x83\x06"), back=True)]),
            3 * tcp_frame(1, 1, b"\x83\x06"),
        ),
        "delays": (
            Faults(answers=lambda f: [Delivery(next(delays), f)]),
            answer(1) + answer(2) + answer(3),
        ),
        "half": (Faults(answers=lambda f: [Delivery(0, f[:4])]), 3 * answer(1)[:4]),
    }
    for name, (faults, expected) in plans.items():
        with VirtualClock() as clock:
            server = ModbusServer({1: kit.Bank()}, clock, faults=faults)
            _, client = talk(clock, server, [read(1) + read(2) + read(3)])
        if name == "half":
            assert [client.data[k] for k in (1, 5, 9)] == [1, 2, 3]
        else:
            assert client.data == expected, name


def test_quiet_faults_are_passed_by_until_they_stir(kit) -> None:
    asked = []
    faults = Faults(
        requests=lambda f: asked.append(f) or [Delivery(500_000, f)],
    )
    faults.quiet = lambda bus, t_us: t_us >= 2 * US_PER_S
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, faults=faults)
        late = [read(1), *[b""] * 17, read(2), b"", read(3), *[b""] * 6, read(4)]
        _, client = talk(clock, server, late, pause_s=0.1)
    assert split(client.data) == [answer(k) for k in (1, 2, 3, 4)]
    assert client.times == (500_000, 2_300_000, 2_500_000, 2_700_000)
    assert asked == [read(1), read(2), read(3)]


def test_a_bus_that_is_off_refuses_and_closes_and_is_babbled_on(kit) -> None:
    faults = Faults()
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, faults=faults)

        async def main():
            client = kit.Collector(clock)
            memory.connect(clock, client, server.protocol(), 0)
            ((send, close),) = faults.attached
            send(b"babble")
            await asyncio.sleep(1)
            assert client.data == b"babble"
            close()
            await asyncio.sleep(1)
            assert client.lost
            assert faults.attached == []
            faults.on = False
            again = kit.Collector(clock)
            memory.connect(clock, again, server.protocol(), 0)
            await asyncio.sleep(1)
            assert again.lost
            assert server.statistics.refused == 1
            faults.on = True
            server.switch(False)
            memory.connect(clock, again := kit.Collector(clock), server.protocol(), 0)
            await asyncio.sleep(1)
            assert again.lost
            server.switch(True)
            transport = memory.connect(clock, again := kit.Collector(clock), server.protocol(), 0)
            transport.write(read(1))
            await asyncio.sleep(1)
            assert again.data == answer(1)

        clock.run(main())


def test_faults_and_tape_may_come_while_serving(kit) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock)

        async def main():
            client = kit.Collector(clock)
            transport = memory.connect(clock, client, server.protocol(), 0)
            faults, server.tap = Faults(answers=lambda _: []), Tape()
            server.faults = faults
            assert len(faults.attached) == 1
            transport.write(read(1))
            await asyncio.sleep(1)
            assert client.data == b""
            server.faults = None
            assert faults.attached == []
            transport.write(read(2))
            await asyncio.sleep(1)
            assert client.data == answer(2)
            assert len(server.tap.frames) == 3
            server.send(b"?")
            await server.close()
            assert client.data == answer(2) + b"?"
            await asyncio.sleep(1)
            assert client.lost
            assert server.connections == 0

        clock.run(main())
