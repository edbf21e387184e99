"""What each fault makes of frames, in which order, and that one seed gives one course of events."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.modbus import framing
from wattbench.hil.wire import Delivery
from wattbench.hil.wirefaults.bus import BusFaults
from wattbench.sim.clock import VirtualClock
from wattbench.sim.faults import BUS_FAULTS

S = 1_000_000
READ = bytes((3, 0, 0, 0, 2))
ANSWER = bytes((3, 4, 0, 1, 0, 2))
TCP = framing.tcp_frame(7, 1, ANSWER)
RTU = framing.rtu_frame(1, ANSWER)
ZNP = bytes.fromhex("fe02610159063d")
BUSES = {"tcp": "modbus-tcp", "rtu": "modbus-rtu", "znp": "znp"}


def fault(kind: str, target: str = "tcp", **parameters: Any) -> Any:
    base = {"target": target, "start_s": 0, "duration_s": 10}
    return BUS_FAULTS[kind].model_validate(base | parameters)


def bus_faults(seed: int = 1, clock: Any = None) -> BusFaults:
    return BusFaults(seed, clock or VirtualClock(), BUSES)  # type: ignore[arg-type]


def test_without_a_fault_frames_pass_as_they_are() -> None:
    faults = bus_faults()
    assert list(faults.requests("tcp", 5, TCP)) == [Delivery(0, TCP)]
    assert list(faults.answers("unheard of", 5, TCP)) == [Delivery(0, TCP)]
    assert faults.accepts("tcp", 0)
    assert faults.accepts("unheard of", 0)


def test_clocks_begin_before_zero() -> None:
    faults = bus_faults()
    assert faults.quiet("tcp", -30 * S)
    assert list(faults.answers("tcp", -30 * S, TCP)) == [Delivery(0, TCP)]
    faults.begin(fault("bus_drop", direction="request"), "tcp")
    assert list(faults.answers("tcp", -29 * S, TCP)) == [Delivery(0, TCP)]


def test_a_delay_ends_and_no_frame_overtakes_another() -> None:
    faults = bus_faults()
    assert faults.quiet("tcp", 0)
    active = faults.begin(fault("bus_delay", delay_s=0.5), "tcp")
    assert not faults.quiet("tcp", 0)
    assert list(faults.answers("tcp", 0, b"1")) == [Delivery(500_000, b"1")]
    faults.end(active)
    assert list(faults.answers("tcp", 100_000, b"2")) == [Delivery(400_000, b"2")]
    assert list(faults.requests("tcp", 100_000, b"3")) == [Delivery(0, b"3")]
    assert list(faults.answers("tcp", 500_000, b"4")) == [Delivery(0, b"4")]
    assert not faults.quiet("tcp", 499_999)
    assert faults.quiet("tcp", 500_000)


@given(st.lists(st.integers(0, 200_000), max_size=30), st.integers(0, 2**53))
def test_jitter_keeps_the_order(gaps: list[int], seed: int) -> None:
    faults = bus_faults(seed)
    faults.begin(fault("bus_jitter", delay_s=1.0), "tcp")
    t_us, last = 0, 0
    for gap in gaps:
        t_us += gap
        (one,) = faults.answers("tcp", t_us, TCP)
        assert one.delay_us >= 0
        assert t_us + one.delay_us >= last
        last = t_us + one.delay_us


@pytest.mark.parametrize("direction", ["request", "answer", "both"])
def test_a_drop_can_be_of_one_direction(direction: str) -> None:
    faults = bus_faults()
    faults.begin(fault("bus_drop", direction=direction), "tcp")
    assert bool(faults.requests("tcp", 0, TCP)) == (direction == "answer")
    assert bool(faults.answers("tcp", 0, TCP)) == (direction == "request")


def test_a_probability_is_met_and_drawn_from_the_seed() -> None:
    def lost(seed: int) -> list[bool]:
        faults = bus_faults(seed)
        faults.begin(fault("bus_drop", probability=0.2), "tcp")
        return [not faults.answers("tcp", t, TCP) for t in range(2000)]

    assert lost(1) == lost(1)
    assert lost(1) != lost(2)
    assert 320 < sum(lost(3)) < 480  # 400 ± 4.5 sigma


def test_duplicates() -> None:
    faults = bus_faults()
    faults.begin(fault("bus_duplicate"), "tcp")
    assert list(faults.answers("tcp", 0, TCP)) == [Delivery(0, TCP)] * 2


@pytest.mark.parametrize(("part", "size"), [("any", len(TCP)), ("header", 8)])
def test_a_corrupt_frame_differs_in_one_byte(part: str, size: int) -> None:
    faults = bus_faults()
    faults.begin(fault("bus_corrupt", part=part), "tcp")
    places = set()
    for t in range(200):
        (one,) = faults.answers("tcp", t, TCP)
        assert len(one.data) == len(TCP)
        (place,) = (k for k in range(len(TCP)) if one.data[k] != TCP[k])
        places.add(place)
    assert places == set(range(size))


def test_a_bad_check_is_the_only_thing_wrong() -> None:
    faults = bus_faults()
    faults.begin(fault("bus_bad_crc", "rtu"), "rtu")
    faults.begin(fault("bus_bad_crc", "znp"), "znp")
    (rtu,), (znp,) = faults.answers("rtu", 0, RTU), faults.answers("znp", 0, ZNP)
    assert rtu.data[:-2] == RTU[:-2]
    assert framing.crc(RTU) == 0
    assert framing.crc(rtu.data) != 0
    assert znp.data[:-1] == ZNP[:-1]
    assert znp.data[-1] != ZNP[-1]


def test_a_wrong_transaction_is_in_answers_only() -> None:
    faults = bus_faults()
    faults.begin(fault("bus_wrong_transaction"), "tcp")
    assert list(faults.requests("tcp", 0, TCP)) == [Delivery(0, TCP)]
    (one,) = faults.answers("tcp", 0, TCP)
    assert one.data[:2] != TCP[:2]
    assert one.data[2:] == TCP[2:]


def test_a_refusal_comes_back_and_the_device_sees_nothing() -> None:
    faults = bus_faults()
    for bus in BUSES:
        faults.begin(fault("bus_exception", bus, code=6), bus)
    request = framing.tcp_frame(9, 4, READ)
    assert list(faults.requests("tcp", 0, request)) == [
        Delivery(0, framing.tcp_frame(9, 4, bytes((0x83, 6))), back=True)
    ]
    assert list(faults.requests("rtu", 0, framing.rtu_frame(4, READ))) == [
        Delivery(0, framing.rtu_frame(4, bytes((0x83, 6))), back=True)
    ]
    broadcast = framing.rtu_frame(0, bytes((6, 0, 0, 0, 1)))
    assert list(faults.requests("rtu", 0, broadcast)) == [Delivery(0, broadcast)]
    ping = bytes.fromhex("fe00210120")
    assert list(faults.requests("znp", 0, ping)) == [
        Delivery(0, bytes.fromhex("fe03600006210145"), back=True)
    ]


def test_of_one_unit_behind_a_bus() -> None:
    faults = bus_faults()
    faults.begin(fault("bus_disconnect", "meter"), "rtu", unit=3)
    assert faults.accepts("rtu", 0)
    assert faults.requests("rtu", 0, framing.rtu_frame(1, READ))
    assert not faults.requests("rtu", 0, framing.rtu_frame(3, READ))


@pytest.mark.parametrize("kind", ["bus_disconnect", "port_vanish", "device_reboot"])
def test_connections_are_dropped_and_refused(kind: str) -> None:
    faults, closed = bus_faults(), []
    detach = faults.attach("tcp", lambda _data: None, lambda: closed.append(1))
    faults.attach("tcp", lambda _data: None, lambda: closed.append(2))
    detach()
    active = faults.begin(fault(kind), "tcp")
    assert closed == [2]
    assert not faults.accepts("tcp", 0)
    assert faults.accepts("rtu", 0)
    faults.end(active)
    faults.end(active)  # once more does no harm
    assert faults.accepts("tcp", 0)


@pytest.mark.parametrize("content", ["noise", "answers"])
def test_babble(content: str) -> None:
    """About one burst a period while it lasts, none after; the same bytes for one seed."""

    def bursts() -> list[tuple[int, bytes]]:
        clock = VirtualClock()
        faults, sent = bus_faults(5, clock), []
        faults.attach("rtu", lambda data: sent.append((clock.now_us, data)), lambda: None)

        async def run() -> None:
            active = faults.begin(fault("bus_babble", "rtu", content=content, period_s=0.1), "rtu")
            faults.answers("rtu", 0, RTU)
            await clock.sleep_until(20 * S)
            faults.end(active)
            await clock.sleep_until(30 * S)

        with clock:
            clock.run(run())
        return sent

    first = bursts()
    assert first == bursts()
    assert 140 < len(first) < 260
    assert first[-1][0] <= 20 * S
    if content == "answers":
        assert {data for _, data in first[1:]} == {RTU}


frames = st.binary(max_size=300)
kinds = st.sampled_from(sorted(BUS_FAULTS))


@given(st.lists(st.tuples(kinds, frames, st.booleans()), max_size=12), st.integers(0, 2**32))
def test_any_bytes_on_any_bus_pass_any_faults(steps: list[Any], seed: int) -> None:
    faults = bus_faults(seed)
    for number, (kind, data, asked) in enumerate(steps):
        for bus in BUSES:
            more = {"delay_s": 0.1} if "delay_s" in BUS_FAULTS[kind].model_fields else {}
            faults.begin(fault(kind, bus, **more), bus)
            passed = (faults.requests if asked else faults.answers)(bus, number, data)
            assert all(one.delay_us >= 0 for one in passed)
