"""The host's start: which stick, which network."""

from __future__ import annotations

import pytest

from wattbench.hil.rig import RigError
from wattbench.hil.zigbee import mt
from wattbench.hil.zigbee.host.start import NetworkSettings

from .plug import commands

S = 1_000_000


def test_a_stick_with_a_network_is_resumed_and_nothing_is_wiped(run) -> None:
    async def work(b):
        assert b.host.coordinator.pan_id == 0x1A62
        assert not b.host.coordinator.formed
        assert b.host.identity()["coordinator"]["firmware"] == "Z-Stack 3.x.0 2.7.1, 20240710"
        sent = commands(b)
        assert mt.ZDO_STARTUP_FROM_APP in sent
        assert mt.AF_REGISTER in sent
        assert mt.SYS_NV_WRITE_EXT not in sent
        assert mt.SYS_RESET_REQ not in sent
        assert mt.APP_CNF_BDB_START_COMMISSIONING not in sent

    run(work)


def test_an_empty_stick_forms_the_network_that_is_asked_for(run) -> None:
    async def work(b):
        assert b.host.coordinator.formed
        assert b.host.coordinator.pan_id == 0xBEEF
        assert b.stick.nv[0x62] == bytes(range(16))
        assert b.stick.nv[0x84] == (1 << 20).to_bytes(4, "little")
        assert b.stick.nv[0x60] == b"\x55"
        assert b.stick.nv[0x03] == b"\x00"

    wanted = NetworkSettings(channel=20, pan_id=0xBEEF, key=bytes(range(16)))
    run(work, has_network=False, network=wanted)


def test_a_drawn_key_is_never_written_down(run) -> None:
    drawn = iter([b"\x34\x12", bytes(8), b"K" * 16])

    tape = []

    class Tape:
        def frame(self, bus, direction, t_us, data) -> None:
            tape.append(data)

    async def work(b):
        b.stick.nv[0x62] = bytes(16)  # so that it is written, not only created
        b.host._tap = Tape()
        await b.host.open(b.connect)
        assert b.stick.nv[0x62] == b"K" * 16
        assert "4b4b4b" not in str(b.host.identity())
        assert len(tape) > 40
        assert not any(b"KKKK" in frame for frame in tape)

    wanted = NetworkSettings(random=lambda count: next(drawn))
    assert "K" not in repr(NetworkSettings(key=b"K" * 16))
    run(work, has_network=False, opened=False, network=wanted)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (NetworkSettings(pan_id=0x0001), "runs another network: PAN id 0x1a62, not 0x1"),
        (NetworkSettings(extended_pan_id=5), "another network"),
    ],
)
def test_another_network_on_the_stick_is_for_a_person_to_resolve(run, settings, message) -> None:
    async def work(b):
        with pytest.raises(RigError, match=message):
            await b.host.open(b.connect)
        assert mt.SYS_NV_WRITE_EXT not in commands(b)

    run(work, opened=False, network=settings)


def test_no_network_and_none_may_be_formed(run) -> None:
    async def work(b):
        with pytest.raises(RigError, match="has no network"):
            await b.host.open(b.connect)
        assert mt.SYS_RESET_REQ not in commands(b)

    run(work, has_network=False, opened=False, network=NetworkSettings(form="never"))


def test_old_firmware_is_refused(run) -> None:
    async def work(b):
        b.stick.product = 0
        with pytest.raises(RigError, match="not Z-Stack 3"):
            await b.host.open(b.connect)

    run(work, opened=False)


def test_no_port_is_an_error_of_the_rig_after_a_few_attempts(run) -> None:
    async def work(b):
        b.plugged = False
        with pytest.raises(RigError, match="no such port"):
            await b.host.open(b.connect)
        assert b.connects == 3
        assert b.clock.now_us < 2 * S

    run(work, opened=False)


def test_a_stick_that_waits_in_its_boot_loader_is_told_to_go_on(run) -> None:
    async def work(b):
        b.stick.answers[mt.SYS_PING] = lambda data: (
            None if b.clock.now_us < S else b.stick.do(mt.SYS_PING, data)
        )
        await b.host.open(b.connect)
        assert b.stick.parser.skipped_bytes == 1  # EF

    run(work, opened=False)
