"""Serial lines: wire time, broadcast, several devices, garbage; ptys that come and go."""

import asyncio
import contextlib
import os
import random
import termios
import tty
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil import memory
from wattbench.hil.modbus.framing import rtu_frame
from wattbench.hil.modbus.line import LineSettings, open_serial
from wattbench.hil.modbus.rtu_session import RtuSession
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.serialport import LineError
from wattbench.hil.wire import Delivery
from wattbench.sim.clock import VirtualClock, WallClock

READ = bytes.fromhex("03 0000 0002")
WRITE = bytes.fromhex("06 0001 0003")
ANSWER = bytes.fromhex("03 04 0000 0000")
SLOW = LineSettings(9600)


@pytest.mark.parametrize(
    ("settings_", "byte_us", "silence_us"),
    [
        (LineSettings(9600), 1041.667, 3645.833),
        (LineSettings(9600, "E"), 1145.833, 4010.417),
        (LineSettings(9600, "N", 2), 1145.833, 4010.417),
        (LineSettings(19200, "E"), 572.917, 2005.208),
        (LineSettings(115200), 86.806, 1750.0),
    ],
)
def test_time_on_the_wire(settings_, byte_us, silence_us) -> None:
    assert settings_.byte_us == pytest.approx(byte_us, abs=1e-3)
    assert settings_.silence_us == pytest.approx(silence_us, abs=1e-3)
    assert settings_.duration_us(1000) == round(1000 * settings_.byte_us)


@pytest.mark.parametrize("wrong", [{"baud": 0}, {"parity": "M"}, {"stop_bits": 3}])
def test_settings_that_no_line_has(wrong) -> None:
    with pytest.raises(LineError, match="a line has"):
        LineSettings(**wrong)


def talk(clock, kit, server, *pieces, wait_s: float = 2.0):
    """Write pieces (bytes, or seconds to wait); return the collector."""

    async def main():
        client = kit.Collector(clock)
        transport = memory.connect(clock, client, server.protocol(), 0)
        for piece in pieces:
            if isinstance(piece, bytes):
                transport.write(piece)
            else:
                await asyncio.sleep(piece)
        await asyncio.sleep(wait_s)
        return client

    return clock.run(main())


def rtu(kit, *pieces, units=None, line=None, wait_s=2.0, **options):
    with VirtualClock() as clock:
        units = {1: kit.Bank()} if units is None else units
        server = ModbusServer(units, clock, framing="rtu", line=line, **options)
        client = talk(clock, kit, server, *pieces, wait_s=wait_s)
        return client, server


def test_request_silence_and_answer_take_their_time(kit) -> None:
    """Eight bytes, 3.5 of silence, nine bytes; the unit acts in between."""
    unit = kit.Bank()
    client, _ = rtu(kit, rtu_frame(1, READ), units={1: unit}, line=SLOW)
    assert client.data == rtu_frame(1, ANSWER)
    assert client.times[-1][0] == pytest.approx((8 + 3.5 + 9) * 1041.667, abs=3)
    assert unit.asked[0][0] == pytest.approx((8 + 3.5) * 1041.667, abs=3)
    long, _ = rtu(kit, rtu_frame(1, bytes.fromhex("03 0000 0032")), line=SLOW)
    assert [len(data) for _, data in long.times] == [105]
    assert long.times[-1][0] == pytest.approx((8 + 3.5 + 105) * 1041.667, abs=3)


def test_a_port_hands_answers_on_in_pieces_of_a_burst(kit) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu", line=SLOW)
        server.protocol = lambda: RtuSession(server, SLOW)
        client = talk(clock, kit, server, rtu_frame(1, bytes.fromhex("03 0000 0032")))
    assert [len(data) for _, data in client.times] == [15] * 7
    for number, (t_us, _) in enumerate(client.times, 1):
        assert t_us == pytest.approx((8 + 3.5 + 15 * number) * 1041.667, abs=3)


def test_a_request_that_came_slowly_already_took_its_time(kit) -> None:
    request = rtu_frame(1, READ)
    pieces = [part for k in range(8) for part in (request[k : k + 1], 0.005)]
    client, _ = rtu(kit, *pieces, line=SLOW)
    assert client.times[-1][0] == pytest.approx(35_000 + (3.5 + 9) * 1041.667, abs=3)


def test_holding_replaces_the_silence_and_no_line_takes_no_time(kit) -> None:
    client, _ = rtu(kit, rtu_frame(1, READ), units={1: kit.Bank(hold_us=50_000)}, line=SLOW)
    assert client.times[-1][0] == pytest.approx(50_000 + (8 + 9) * 1041.667, abs=3)
    client, _ = rtu(kit, rtu_frame(1, READ))
    assert client.times == [(0, rtu_frame(1, ANSWER))]


def test_many_devices_on_one_line_answer_one_after_the_other(kit) -> None:
    units = {k: kit.Bank() for k in range(1, 6)}
    frames = [rtu_frame(k, READ) for k in (3, 1, 5, 9, 2)]
    client, server = rtu(kit, b"".join(frames), units=units, line=SLOW)
    assert client.data == b"".join(rtu_frame(k, ANSWER) for k in (3, 1, 5, 2))
    assert client.times[-1][0] >= (4 * (8 + 3.5 + 9)) * 1041
    assert server.statistics.unknown == 1


def test_broadcasts_act_on_all_and_nobody_answers(kit) -> None:
    units = {1: kit.Bank(), 2: kit.Bank(), 3: kit.Bank(size=1)}
    writes = [
        WRITE,
        bytes.fromhex("05 0002 FF00"),
        bytes.fromhex("0F 0003 0002 01 03"),
        bytes.fromhex("10 0004 0001 02 BEEF"),
        bytes.fromhex("16 0001 0000 0007"),
    ]
    reads = [READ, bytes.fromhex("17 0000 0001 0000 0001 02 DEAD"), bytes.fromhex("2B0E0100")]
    pieces = [rtu_frame(0, pdu) for pdu in [*writes, *reads]]
    for line in (None, SLOW):
        client, server = rtu(kit, *pieces, units=units, line=line)
        assert client.data == b""
        assert server.statistics.broadcasts == 5
        for unit in (units[1], units[2]):
            assert (unit.get(0), unit.get(1), unit.get(4)) == (0, 7, 0xBEEF)
            assert unit.bits["coil"][2:5] == [True, True, True]


def test_refusals_and_illegal_functions(kit) -> None:
    for pdu, code in (("03 0000 007E", 3), ("07", 1), ("41 01 02", 1), ("11", 1)):
        request = bytes.fromhex(pdu)
        client, _ = rtu(kit, rtu_frame(1, request))
        assert client.data == rtu_frame(1, bytes((request[0] | 0x80, code)))
    wrong_length = rtu_frame(1, bytes.fromhex("03 0000 0001 00"))
    client, _ = rtu(kit, wrong_length)
    assert client.data == rtu_frame(1, b"\x83\x03"), "told by silence"


def test_bad_sums_are_ignored_and_what_follows_is_answered(kit) -> None:
    good, bad = rtu_frame(1, READ), bytearray(rtu_frame(1, WRITE))
    bad[3] ^= 1
    client, server = rtu(kit, bytes(bad) + good, 1.0, b"\xff" * 40, 1.0, good, line=SLOW)
    assert client.data == 2 * rtu_frame(1, ANSWER)
    assert server.statistics.bad_frames == 2
    assert server.statistics.garbage_bytes == 48
    assert server.statistics.exceptions == 0


def test_a_frame_with_pauses_below_the_silence_is_whole(kit) -> None:
    request = rtu_frame(1, bytes.fromhex("10 0001 0002 04 000A 0102"))
    pieces = [part for k in range(len(request)) for part in (request[k : k + 1], 0.019)]
    client, _ = rtu(kit, *pieces)
    assert client.data == rtu_frame(1, request[1:6])


@settings(max_examples=60)
@given(st.lists(st.one_of(st.binary(max_size=300), st.just(rtu_frame(1, READ))), max_size=8))
def test_fuzz_of_the_line_never_wedges(kit, junk) -> None:
    with VirtualClock() as clock:
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu", line=LineSettings(115200))

        async def main():
            client = kit.Collector(clock)
            transport = memory.connect(clock, client, server.protocol(), 0)
            for piece in junk:
                transport.write(piece)
            await asyncio.sleep(5)
            before = len(client.data)
            transport.write(rtu_frame(1, bytes.fromhex("04 0001 0001")))
            await asyncio.sleep(0.1)
            assert client.data[before:] == rtu_frame(1, bytes.fromhex("04 02 0000"))

        clock.run(main())
        assert server.statistics.failures == 0


def test_a_flood_is_answered_within_bounds(kit) -> None:
    client, server = rtu(kit, 500 * rtu_frame(1, READ), line=SLOW, wait_s=60)
    answered = len(client.data) // 9
    assert client.data == answered * rtu_frame(1, ANSWER)
    assert answered + server.statistics.dropped == server.statistics.requests == 500
    assert answered >= 60


def test_nobody_gets_answers_to_what_was_asked_long_ago(kit) -> None:
    """After a flood of long reads the line is free again in a moment, and answers what is new."""
    long, new = rtu_frame(1, bytes.fromhex("03 0000 0078")), rtu_frame(1, WRITE)
    client, server = rtu(kit, 60 * long, 3.0, new, line=SLOW, wait_s=0.4)
    assert client.data.endswith(new)
    assert 6 <= (len(client.data) - len(new)) // 245 <= 9
    assert server.statistics.dropped >= 50


class Faults:
    def __init__(self, answers) -> None:
        self._answers = answers
        self.on = True
        self.close = None

    def requests(self, bus, t_us, frame):
        return [Delivery(0, frame)]

    def answers(self, bus, t_us, frame):
        return self._answers(frame)

    def accepts(self, bus, t_us):
        return self.on

    def attach(self, bus, send, close):
        self.send, self.close = send, close
        return lambda: None


def test_faults_on_a_line(kit) -> None:
    bent = Faults(lambda frame: [Delivery(30_000, frame[:-1] + b"\0"), Delivery(0, b"more")])
    client, _ = rtu(kit, rtu_frame(1, READ), faults=bent, line=SLOW)
    assert client.data == rtu_frame(1, ANSWER)[:-1] + b"\0more"
    lost = Faults(lambda _: [])
    client, server = rtu(kit, rtu_frame(1, READ), 0.1, rtu_frame(1, READ), faults=lost, line=SLOW)
    assert client.data == b""
    assert server.statistics.dropped == 2


def exchange(path: str, data: bytes, size: int, wait_s: float = 2.0):
    """Write to a port and read `size` bytes, without blocking the loop."""

    async def run() -> bytes:
        fd = open_serial(path, LineSettings(9600))
        try:
            os.write(fd, data)
            got, loop = b"", asyncio.get_running_loop()
            deadline = loop.time() + wait_s
            while len(got) < size and loop.time() < deadline:
                try:
                    got += os.read(fd, 4096)
                except BlockingIOError:
                    await asyncio.sleep(0.002)
            return got
        finally:
            os.close(fd)

    return run()


def test_a_pty_is_a_serial_port_that_comes_and_goes(kit, tmp_path) -> None:
    """Every byte value comes through; pulled out it is gone; back it has the same link."""
    link = tmp_path / "meter"
    faults = Faults(lambda frame: [Delivery(0, frame)])

    async def main(clock):
        unit = kit.Bank()
        server = ModbusServer({1: unit}, clock, framing="rtu", faults=faults)
        path = await server.serve_pty(link)
        assert path == str(link)
        values = [0x0D0A, 0x0311, 0x1304, 0x7F00, 0x1AFF]
        unit.put("holding", 0, *values)
        answer = rtu_frame(1, b"\x03\x0a" + b"".join(v.to_bytes(2, "big") for v in values))
        request = rtu_frame(1, bytes.fromhex("03 0000 0005"))
        for _ in range(3):
            assert await exchange(path, request, len(answer)) == answer
        held = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        faults.on = False
        faults.close()
        await asyncio.sleep(0.4)
        assert not link.exists()
        assert server.connections == 0
        with pytest.raises(LineError, match="cannot be opened"):
            open_serial(path, LineSettings())
        with contextlib.suppress(OSError):  # EIO
            assert os.read(held, 10) == b""
        os.close(held)
        faults.on = True
        async with asyncio.timeout(5):
            while not link.exists():
                await asyncio.sleep(0.05)
        assert await exchange(path, request, len(answer)) == answer
        await server.close()
        assert not link.is_symlink()

    with WallClock() as clock:
        clock.run(main(clock))


def test_a_pty_whose_client_never_reads_loses_bytes_and_lives(kit) -> None:
    async def main(clock):
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu")
        path = await server.serve_pty()
        request = rtu_frame(1, bytes.fromhex("03 0000 007D"))
        fd = open_serial(path, LineSettings())
        for _ in range(400):
            os.write(fd, request)
            await asyncio.sleep(0)
        async with asyncio.timeout(5):
            while server.statistics.requests < 400:
                await asyncio.sleep(0.01)
        termios.tcflush(fd, termios.TCIFLUSH)
        os.close(fd)
        answer = rtu_frame(1, ANSWER)
        assert await exchange(path, rtu_frame(1, READ), len(answer)) == answer
        await server.close()

    with WallClock() as clock:
        clock.run(main(clock))


def test_a_port_of_this_machine_is_served_and_found_again(kit, tmp_path) -> None:
    """Both ends of a cable are ptys here; the far one vanishes and is there again."""
    port = tmp_path / "port"

    def cable() -> int:
        master, slave = os.openpty()
        tty.setraw(master)
        tty.setraw(slave)
        os.set_blocking(master, False)
        port.unlink(missing_ok=True)
        port.symlink_to(os.ttyname(slave))
        os.close(slave)
        return master

    async def ask(master: int) -> bytes:
        got = b""
        async with asyncio.timeout(5):
            while not got.endswith(rtu_frame(1, ANSWER)):
                os.write(master, rtu_frame(1, READ))
                await asyncio.sleep(0.1)
                with contextlib.suppress(OSError):  # nobody has opened the other end yet
                    got += os.read(master, 100)
        return got

    async def main(clock):
        line = LineSettings(19200, "E")
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu", line=line)
        with pytest.raises(LineError, match="No such file"):
            await server.serve_serial(str(port))
        master = cable()
        await server.serve_serial(str(port))
        await ask(master)
        with pytest.raises(LineError, match="locked"):
            open_serial(str(port), line)
        os.close(master)
        await asyncio.sleep(0.1)
        assert server.connections == 0
        master = cable()
        await ask(master)
        await server.close()
        os.close(master)

    with WallClock() as clock:
        clock.run(main(clock))


def test_what_cannot_be_linked_or_set(kit, tmp_path: Path) -> None:
    taken = tmp_path / "file"
    taken.write_text("kept")

    async def main(clock):
        server = ModbusServer({}, clock, framing="rtu")
        with pytest.raises(LineError, match="a file already"):
            await server.serve_pty(taken)
        with pytest.raises(LineError, match="cannot be made"):
            await server.serve_pty(tmp_path / "none" / "link")
        stale = tmp_path / "stale"
        stale.symlink_to("/dev/pts/99999")
        path = await server.serve_pty(stale)
        assert Path(path).resolve() != Path("/dev/pts/99999")
        with pytest.raises(LineError, match="not a rate"):
            open_serial(path, LineSettings(12345))
        with pytest.raises(LineError, match="cannot be set"):
            open_serial(str(taken), LineSettings())
        await server.close()

    with WallClock() as clock:
        clock.run(main(clock))
    assert taken.read_text() == "kept"


def test_rtu_over_tcp(kit) -> None:
    async def main(clock):
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu")
        reader, writer = await asyncio.open_connection(*await server.serve_tcp())
        writer.write(3 * rtu_frame(1, READ))
        assert await reader.readexactly(27) == 3 * rtu_frame(1, ANSWER)
        writer.close()
        await server.close()

    with WallClock() as clock:
        clock.run(main(clock))


def test_random_bytes_on_a_pty(kit) -> None:
    rng = random.Random(5)

    async def main(clock):
        server = ModbusServer({1: kit.Bank()}, clock, framing="rtu")
        path = await server.serve_pty()
        answer = rtu_frame(1, ANSWER)
        for _ in range(10):
            fd = open_serial(path, LineSettings())
            os.write(fd, rng.randbytes(rng.randint(1, 600)))
            await asyncio.sleep(0.06)
            os.close(fd)
            assert await exchange(path, rtu_frame(1, READ), len(answer)) == answer
        await server.close()

    with WallClock() as clock:
        clock.run(main(clock))
