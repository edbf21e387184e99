"""The serial conversation: order, time-outs, noise."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.memory import connect
from wattbench.hil.zigbee import mt
from wattbench.hil.zigbee.host.link import (
    CommandError,
    LinkDownError,
    LinkError,
    LinkTimeoutError,
    MtLink,
)
from wattbench.sim.clock import VirtualClock

S = 1_000_000


class Tape:
    def __init__(self) -> None:
        self.frames: list[tuple[str, int, bytes]] = []

    def frame(self, bus, direction, t_us, data) -> None:
        self.frames.append((direction, t_us, data))


def linked(znp, work, tap=None):
    with VirtualClock() as clock:
        stick = znp.Stick(clock)
        heard: list[tuple[int, bytes, int]] = []
        lost: list[str] = []

        async def main():
            link = MtLink(
                clock, "zigbee", lambda *a: heard.append(a), lambda _, why: lost.append(why), tap
            )
            connect(clock, link, stick, 1000)
            return await work(link, stick, heard, lost)

        result = clock.run(main())
        return result, clock.now_us


def test_requests_go_out_one_at_a_time_and_in_order(znp) -> None:
    async def work(link, stick, heard, lost):
        pending = []
        stick.meddle = lambda frame: (pending.append(len(stick.log)), [(5000, frame)])[1]
        answers = await asyncio.gather(
            link.request(mt.SYS_PING), link.request(mt.SYS_VERSION), link.request(mt.SYS_PING)
        )
        assert answers[0] == answers[2] == b"\x59\x06"
        assert pending == [1, 2, 3]

    _, now_us = linked(znp, work)
    assert 3 * 7000 <= now_us <= 3 * 7000 + 5000


def test_no_answer_is_a_time_out_and_the_next_request_works(znp) -> None:
    async def work(link, stick, heard, lost):
        stick.answers[mt.UTIL_GET_DEVICE_INFO] = lambda data: None
        with pytest.raises(LinkTimeoutError, match="2700 within 2 s"):
            await link.request(mt.UTIL_GET_DEVICE_INFO)
        assert await link.request(mt.SYS_PING) == b"\x59\x06"
        # The version that settles the order came in between.
        assert [f.command for f in stick.log] == [0x2700, mt.SYS_VERSION, mt.SYS_PING]

    linked(znp, work)


def test_a_late_answer_is_never_taken_for_that_of_a_later_request(znp) -> None:
    async def work(link, stick, heard, lost):
        values = iter([b"\x11\x00", b"\x22\x00"])
        delays = iter([2_500_000, 0, 0])
        stick.answers[mt.SYS_NV_LENGTH] = lambda data: next(values)
        # A coordinator answers in order, so what follows the late answer is late too.
        until_us = 0

        def meddle(frame):
            nonlocal until_us
            until_us = max(until_us, stick.clock.now_us + next(delays))
            return [(until_us - stick.clock.now_us, frame)]

        stick.meddle = meddle
        with pytest.raises(LinkTimeoutError):
            await link.request(mt.SYS_NV_LENGTH)
        assert await link.request(mt.SYS_NV_LENGTH) == b"\x22\x00"
        assert link.stray_answers == 1

    linked(znp, work)


def test_a_copy_of_an_answer_is_not_taken_for_the_next_one(znp) -> None:
    async def work(link, stick, heard, lost):
        stick.answers[mt.SYS_NV_LENGTH] = lambda data: data
        stick.meddle = lambda frame: [(0, frame), (3000, frame)]
        for k in range(5):
            assert await link.request(mt.SYS_NV_LENGTH, bytes((k, 0))) == bytes((k, 0))
        assert link.stray_answers >= 4

    linked(znp, work)


def test_an_answer_that_comes_twice_is_seen_before_the_next_request(znp) -> None:
    async def work(link, stick, heard, lost):
        values = iter([b"\x11\x00", b"\x22\x00", b"\x33\x00"])
        stick.answers[mt.SYS_NV_LENGTH] = lambda data: next(values)
        stick.meddle = lambda frame: [(0, frame + frame)]
        queued = [link.request(mt.SYS_NV_LENGTH) for _ in range(3)]
        assert await asyncio.gather(*queued) == [b"\x11\x00", b"\x22\x00", b"\x33\x00"]

    linked(znp, work)


def test_a_wrong_check_byte_is_no_answer(znp) -> None:
    async def work(link, stick, heard, lost):
        good = stick.meddle
        stick.meddle = lambda frame: [(0, frame[:-1] + bytes((frame[-1] ^ 1,)))]
        asked = asyncio.ensure_future(link.request(mt.SYS_PING))
        await asyncio.sleep(1)
        stick.meddle = good
        with pytest.raises(LinkTimeoutError):
            await asked
        assert link.bad_frames == 1
        assert await link.request(mt.SYS_PING) == b"\x59\x06"

    linked(znp, work)


def test_an_error_names_the_command(znp) -> None:
    async def work(link, stick, heard, lost):
        stick.answers[0x2F99] = lambda data: (
            stick.send(mt.RPC_ERROR, bytes((2, 0x2F, 0x99))),
            None,
        )[1]
        with pytest.raises(CommandError, match=r"2f99 \(code 2\)"):
            await link.request(0x2F99)

    linked(znp, work)


def test_a_dead_coordinator_ends_the_connection(znp) -> None:
    async def work(link, stick, heard, lost):
        stick.meddle = lambda frame: []
        with pytest.raises(LinkTimeoutError):
            await link.request(mt.SYS_PING)
        with pytest.raises(LinkDownError, match="answers no more"):
            await link.request(mt.SYS_PING)
        assert lost == ["it answers no more"]
        with pytest.raises(LinkDownError, match="not connected"):
            await link.request(mt.SYS_PING)

    _, now_us = linked(znp, work)
    assert now_us == 8 * S


def test_the_port_vanishes_mid_request(znp) -> None:
    async def work(link, stick, heard, lost):
        stick.answers[mt.SYS_PING] = lambda data: stick.transport.close()
        with pytest.raises(LinkDownError, match="port is gone"):
            await asyncio.gather(link.request(mt.SYS_PING), link.request(mt.SYS_VERSION))
        assert lost == ["the port is gone"]

    linked(znp, work)


def test_the_tape_hears_every_frame_both_ways(znp) -> None:
    tape = Tape()

    async def work(link, stick, heard, lost):
        await link.request(mt.SYS_PING)
        stick.send(mt.ZDO_STATE_CHANGE_IND, b"\x09")
        await asyncio.sleep(1)

    linked(znp, work, tape)
    ping = bytes.fromhex("fe00210120")
    assert tape.frames[0] == ("request", 0, ping)
    assert tape.frames[1] == ("answer", 2000, bytes.fromhex("fe02610159063d"))
    assert tape.frames[2][2] == bytes.fromhex("fe0145c0098d")


def test_a_flood_of_unawaited_requests_is_bounded(znp) -> None:
    async def work(link, stick, heard, lost):
        for _ in range(1000):
            link.post(mt.SYS_PING)
        assert link.dropped > 900
        await asyncio.sleep(10)
        assert await link.request(mt.SYS_PING) == b"\x59\x06"

    linked(znp, work)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(max_size=60), max_size=10))
def test_noise_never_crashes_and_never_blocks_for_ever(znp, noise) -> None:
    async def work(link, stick, heard, lost):
        for piece in noise:
            stick.raw(piece)
            await asyncio.sleep(0.001)
        for _ in range(8):
            try:
                assert await link.request(mt.SYS_PING) == b"\x59\x06"
                return
            except LinkError:
                pass
        raise AssertionError("it did not find its feet again")

    _, now_us = linked(znp, work)
    assert now_us < 10 * S


@settings(deadline=None, max_examples=80)
@given(
    st.lists(
        st.tuples(st.sampled_from(["ok", "drop", "late", "twice", "bend"]), st.integers(0, 3_000)),
        min_size=1,
        max_size=12,
    )
)
def test_each_value_belongs_to_its_request_or_is_none(znp, faults) -> None:
    """Whatever happens to single answers, an answer that is returned is the right one.

    A copy that comes while the next request of the same kind is under way could not be told apart
    by anybody, so copies come in one piece here; `late` delays all that follows, as a serial line
    does.
    """
    script = iter(faults)

    async def work(link, stick, heard, lost):
        stick.answers[mt.SYS_NV_LENGTH] = lambda data: data
        line_us = 0

        def meddle(frame):
            nonlocal line_us
            kind, ms = next(script, ("ok", 0))
            now_us = stick.clock.now_us
            line_us = max(line_us, now_us + (ms * 1000 if kind == "late" else 0))
            wait_us = line_us - now_us
            if kind == "drop":
                return []
            if kind == "bend":
                return [(wait_us, frame[:-1] + bytes((frame[-1] ^ 0x55,)))]
            return [(wait_us, frame * (2 if kind == "twice" else 1))]

        stick.meddle = meddle
        for number in range(20):
            asked = number.to_bytes(2, "little")
            try:
                assert await link.request(mt.SYS_NV_LENGTH, asked) == asked
            except LinkDownError:
                return
            except LinkTimeoutError:
                pass

    _, now_us = linked(znp, work)
    assert now_us < 60 * S
