"""The coordinator as a host sees it: commands, memory, formation, resets; on the virtual clock."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.zigbee import mt
from wattbench.hil.zigbee.mt import MtFrame
from wattbench.hil.zigbee.znp.nv import NvFileError


def test_start_up_questions(bench):
    one = bench()
    host = one.start()

    async def ask():
        assert await host.request(mt.SYS_PING) == bytes.fromhex("5906")
        version = await host.request(mt.SYS_VERSION)
        assert version[:5] == bytes((2, 1, 2, 7, 1))
        assert int.from_bytes(version[5:], "little") > 20_210_430
        assert await host.request(mt.SYS_GET_EXT_ADDR) == bytes.fromhex("0100a7b0004b1200")
        info = await host.request(mt.UTIL_GET_DEVICE_INFO)
        assert info[9:] == bytes.fromhex("feff070000")
        assert len(await host.request(mt.UTIL_ASSOC_FIND_DEVICE, b"\x00")) == 36
        # An extended table is there: that is how hosts tell Z-Stack 3.30 and later.
        assert await host.request(mt.SYS_NVX_LENGTH, bytes.fromhex("0101000000")) == (
            b"\x0c\x00\x00\x00"
        )

    one.run(ask())


@pytest.mark.parametrize(
    ("item", "length"),
    [*((item, 1) for item in (0x03, 0x30, 0x32, 0x33, 0x36, 0x38, 0x3E, 0x87, 0x8F)),
     (0x4C, 2 + 6 * 16), (0x101, 16), (0x82, 24), (0x21, 0), (0x3A, 0), (0x55, 0)],
)  # fmt: skip
def test_memory_before_formation(bench, item, length):
    one = bench()
    host = one.start()

    async def ask():
        raw = await host.request(mt.SYS_NV_LENGTH, item.to_bytes(2, "little"))
        assert int.from_bytes(raw, "little") == length

    one.run(ask())


def test_unknown_and_broken_requests_get_rpc_errors(bench):
    one = bench()
    host = one.start()

    async def ask():
        for command, data, code in (
            (0x2BFE, b"", mt.RPC_SUBSYSTEM),
            (0x21FE, b"", mt.RPC_COMMAND),
            (mt.SYS_NV_READ, b"\x01", mt.RPC_LENGTH),
            (mt.AF_REGISTER, b"\x01\x04", mt.RPC_LENGTH),
        ):
            answer = await host.request(command, data)
            assert answer == MtFrame(mt.RPC_ERROR, bytes((code, command >> 8, command & 0xFF)))
        # What is no request gets no answer, and breaks nothing.
        host.write(MtFrame(0x4FFE).encode() + MtFrame(0x6101, b"\x01").encode())
        assert await host.request(mt.SYS_PING)
        assert host.frames == []

    one.run(ask())


def test_items_are_created_written_and_deleted(bench):
    one = bench()
    host = one.start()

    async def work():
        init = bytes.fromhex("600001000155")
        assert await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("60000000")) == b"\x02\x00"
        assert await host.request(mt.SYS_NV_ITEM_INIT, init) == b"\x09"
        assert await host.request(mt.SYS_NV_ITEM_INIT, init) == b"\x00"
        assert await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("60000000")) == (
            b"\x00\x01\x55"
        )
        # Two bytes into an item of one.
        write = bytes.fromhex("6000000002000102")
        assert await host.request(mt.SYS_NV_WRITE_EXT, write) == b"\x0c"
        assert await host.request(mt.SYS_NV_DELETE, bytes.fromhex("60000200")) == b"\x0c"
        assert await host.request(mt.SYS_NV_DELETE, bytes.fromhex("60000100")) == b"\x00"
        assert await host.request(mt.SYS_NV_DELETE, bytes.fromhex("60000100")) == b"\x09"
        # A long item comes in parts of 246 bytes.
        long = bytes.fromhex("00022c01") + b"\x00"
        assert await host.request(mt.SYS_NV_ITEM_INIT, long) == b"\x09"
        first = await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("00020000"))
        assert first[:2] == bytes((0, 246))
        rest = await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("0002f600"))
        assert rest[:2] == bytes((0, 54))
        # Extended entries: u32 length, offset and u8 count.
        key = bytes.fromhex("0107000300")
        assert await host.request(mt.SYS_NVX_LENGTH, key) == bytes((12, 0, 0, 0))
        put = key + bytes.fromhex("00000c") + bytes(range(12))
        assert await host.request(mt.SYS_NVX_WRITE, put) == b"\x00"
        got = await host.request(mt.SYS_NVX_READ, key + bytes.fromhex("02000a"))
        assert got == bytes((0, 10)) + bytes(range(2, 12))
        beyond = bytes.fromhex("0107006300")
        assert await host.request(mt.SYS_NVX_LENGTH, beyond) == bytes(4)

    one.run(work())


def test_formation_follows_the_settings_in_memory(bench):
    one = bench()
    host = one.start()
    key = bytes(range(16))

    async def form():
        for item, value in ((0x83, "621a"), (0x2D, "0807060504030201")):
            raw = bytes.fromhex(value)
            init = item.to_bytes(2, "little") + bytes((len(raw), 0, len(raw))) + raw
            if await host.request(mt.SYS_NV_ITEM_INIT, init) == b"\x00":
                head = item.to_bytes(2, "little") + bytes((0, 0, len(raw), 0))
                assert await host.request(mt.SYS_NV_WRITE_EXT, head + raw) == b"\x00"
        await host.request(mt.SYS_NV_WRITE_EXT, bytes.fromhex("620000001000") + key)
        assert await host.form() == [b"\x08", b"\x09"]
        notes = [await host.indication(0x4F80) for _ in range(2)]
        assert notes == [b"\x01\x02\x04", b"\x00\x02\x00"]
        info = await host.request(mt.ZDO_EXT_NWK_INFO)
        assert info == bytes.fromhex("000009621a000008070605040302010000000000000000" + "0f")
        nib = (await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("21000000")))[2:]
        assert len(nib) == 116
        assert nib[36:38] == b"\x62\x1a"
        assert nib[24] == 15
        assert nib[57:65] == bytes.fromhex("0807060504030201")
        active = (await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("3a000000")))[2:]
        assert active == b"\x00" + key
        entry = await host.request(mt.SYS_NVX_READ, bytes.fromhex("0107000000" + "00000c"))
        assert entry[-8:] == nib[57:65]
        # Once more: the network is there, so forming it fails, and it is up all the same.
        await host.request(mt.APP_CNF_BDB_START_COMMISSIONING, b"\x04")
        assert (await host.indication(0x4F80))[0] == 1
        assert await host.indication(0x4F80) == b"\x08\x02\x00"

    one.run(form())


def test_a_reset_loses_ram_and_keeps_the_network(bench):
    one = bench()
    host = one.start()

    async def work():
        await host.form()
        assert await host.request(
            mt.AF_REGISTER, bytes.fromhex("010401050000" + "0000" + "00")
        ) == (b"\xb8")
        begun_us = one.clock.now_us
        host.write(MtFrame(mt.SYS_RESET_REQ, b"\x01").encode())
        assert await host.indication(mt.SYS_RESET_IND) == bytes((0, 2, 1, 2, 7, 1))
        assert 0.09e6 < one.clock.now_us - begun_us < 0.12e6
        info = await host.request(mt.ZDO_EXT_NWK_INFO)
        assert info[:3] == b"\xfe\xff\x00"
        # Endpoints are gone, so nothing can be sent from one.
        request = bytes.fromhex("3412010106000110" + "1e" + "03010001")
        assert await host.request(mt.AF_DATA_REQUEST, request) == b"\x02"
        assert await host.request(mt.ZDO_STARTUP_FROM_APP, b"\x64\x00") == b"\x00"
        assert await host.indication(mt.ZDO_STATE_CHANGE_IND) == b"\x08"
        assert await host.indication(mt.ZDO_STATE_CHANGE_IND) == b"\x09"

    one.run(work())


def test_startup_options_wipe(bench):
    one = bench()
    host = one.start()

    async def work():
        await host.form()
        await host.request(mt.SYS_NV_ITEM_INIT, bytes.fromhex("600001000155"))
        await host.request(mt.SYS_NV_WRITE_EXT, bytes.fromhex("03000000010003"))
        host.write(MtFrame(mt.SYS_RESET_REQ, b"\x01").encode())
        await host.indication(mt.SYS_RESET_IND)
        for item in ("2100", "3a00", "5500"):
            assert await host.request(mt.SYS_NV_LENGTH, bytes.fromhex(item)) == b"\x00\x00"
        # The option is used up; an item of the host's own is still there.
        read = await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("03000000"))
        assert read == b"\x00\x01\x00"
        read = await host.request(mt.SYS_NV_READ_EXT, bytes.fromhex("60000000"))
        assert read == b"\x00\x01\x55"

    one.run(work())


def test_a_file_that_is_something_else_is_refused(bench, tmp_path):
    path = tmp_path / "nv.json"
    for content in ("no json", "[]", '{"format": 2}', '{"format": 1, "coordinator": {}}'):
        path.write_text(content)
        one = bench(nv_path=path)
        with pytest.raises(NvFileError, match="is not the memory of an emulated coordinator"):
            one.start()


def test_memory_and_members_survive_a_restart(bench, tmp_path):
    path = tmp_path / "nv.json"
    one = bench(nv_path=path)
    one.add("plug")
    host = one.start()

    async def first():
        await host.form()
        return await host.join()

    nwk, ieee = one.run(first())
    one.clock.run(_wait(1.0))
    assert json.loads(path.read_text())["format"] == 1
    assert [name.name for name in tmp_path.iterdir()] == ["nv.json"]

    two = bench(nv_path=path)
    two.add("plug")
    host = two.start()

    async def second():
        assert await host.request(mt.ZDO_STARTUP_FROM_APP, b"\x64\x00") == b"\x00"
        await host.indication(mt.ZDO_STATE_CHANGE_IND)
        await host.indication(mt.ZDO_STATE_CHANGE_IND)
        await host.request(mt.AF_REGISTER, bytes.fromhex("010401050000000000"))
        return await host.read(nwk, 0, 5)

    assert two.run(second())[0].value == "WB-Plug"
    assert two.network.member(nwk).ieee == ieee


async def _wait(seconds):
    import asyncio

    await asyncio.sleep(seconds)


def test_the_newest_host_is_heard(bench):
    one = bench()
    first = one.start()
    second = type(first)(one.coordinator).open()

    async def work():
        assert await second.request(mt.SYS_PING)
        await _wait(0.1)
        assert first.closed

    one.run(work())


def test_a_stuck_coordinator_is_silent_until_it_is_reset(bench):
    one = bench()
    host = one.start()

    async def work():
        await host.form()
        one.coordinator.stuck = True
        host.write(MtFrame(mt.SYS_PING).encode())
        await _wait(5)
        assert host.frames == [] or host.frames[-1][1].command == 0x4F80
        one.coordinator.reset(reason=2)
        assert (await host.indication(mt.SYS_RESET_IND))[0] == 2
        assert await host.request(mt.SYS_PING)

    one.run(work())


def test_lost_configuration(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        await host.form()
        nwk, _ = await host.join()
        one.coordinator.lose_configuration()
        await host.indication(mt.SYS_RESET_IND)
        assert await host.request(mt.SYS_NV_LENGTH, b"\x21\x00") == b"\x00\x00"
        # Another network: the plug is in the old one, out of reach until it joins again.
        await host.form()
        assert await host.send(nwk, 6, b"\x01\x01\x01") == (mt.NWK_NO_ROUTE, 500_000)
        again, _ = await host.join()
        assert (await host.read(again, 0, 5))[0].value == "WB-Plug"

    one.run(work())


@given(st.lists(st.binary(min_size=1, max_size=80), max_size=10))
def test_no_bytes_break_the_firmware(chunks):
    from wattbench.hil.zigbee.network import Network
    from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
    from wattbench.sim.clock import VirtualClock

    with VirtualClock() as clock:
        coordinator = ZnpCoordinator(clock, Network(clock))
        connection = coordinator.protocol()
        connection.connection_made(_Sink())
        for chunk in chunks:
            connection.data_received(chunk)
        clock.run(_wait(1))


COMMANDS = sorted(
    value for name, value in vars(mt).items() if isinstance(value, int) and 0x2100 <= value < 0x2FFF
)


@given(st.lists(st.tuples(st.sampled_from(COMMANDS), st.binary(max_size=60)), max_size=12))
def test_no_request_breaks_the_firmware(requests):
    from wattbench.hil.zigbee.network import Network
    from wattbench.hil.zigbee.znp.coordinator import ZnpCoordinator
    from wattbench.sim.clock import VirtualClock

    with VirtualClock() as clock:
        coordinator = ZnpCoordinator(clock, Network(clock))
        connection, sink = coordinator.protocol(), _Sink()
        connection.connection_made(sink)
        for command, data in requests:
            connection.data_received(MtFrame(command, data).encode())
        answers = [frame for frame in mt.MtParser().feed(sink.data) if frame.kind == mt.SRSP]
        assert len(answers) == len(requests)
        clock.run(_wait(2))


class _Sink:
    """A transport that keeps what is written."""

    def __init__(self):
        self.data = b""

    def write(self, data):
        self.data += data

    def is_closing(self):
        return False

    def close(self):
        pass
