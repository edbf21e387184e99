"""Devices on one bus: turns, pauses, and the dead among the living."""

import asyncio
import itertools

import pytest

from wattbench.hil.modbus import requests
from wattbench.hil.modbus.bus import BackOff, ModbusBus, ModbusPausedError
from wattbench.hil.modbus.client import (
    LineSettings,
    ModbusClient,
    ModbusLostError,
    ModbusRefusedError,
    ModbusSilentError,
)
from wattbench.hil.modbus.server import ModbusServer
from wattbench.sim.clock import VirtualClock

S = 1_000_000
READ = requests.read("holding", 0, 10)
PROBE = requests.read("holding", 0, 1)


def run(kit, use, *, units=(1, 2, 3), hold_us: int = 0, line=None, begin_us=0, **options):
    """Let `use(bus, clock, banks, server)` share a bus of units."""
    banks = {unit: kit.Bank(hold_us=hold_us) for unit in units}

    async def main():
        framing = "tcp" if line is None else "rtu"
        server = ModbusServer(banks, clock, framing=framing, line=line, unknown_unit="silent")
        client = ModbusClient.in_memory(
            clock, server.protocol, name="bus", one_way_us=0, timeout_s=0.5, line=line
        )
        bus = ModbusBus(clock, client, **options)
        result = await use(bus, clock, banks, server)
        bus.close()
        return result

    with VirtualClock(begin_us) as clock:
        return clock.run(main())


def asked(bank) -> list[int]:
    return [t_us for t_us, _, _ in bank.asked]


def test_requests_of_one_time_are_sent_one_after_the_other(kit) -> None:
    async def use(bus, clock, banks, server):
        seats = [bus.join(unit) for unit in banks]
        await asyncio.gather(*(bus.ask(seat, READ) for seat in seats))
        assert [asked(bank) for bank in banks.values()] == [[10_000], [20_000], [30_000]]

    run(kit, use, hold_us=10_000)


def test_devices_take_turns_however_many_requests_each_has(kit) -> None:
    async def use(bus, clock, banks, server):
        greedy, modest = bus.join(1), bus.join(2)
        many = [asyncio.ensure_future(bus.ask(greedy, READ)) for _ in range(20)]
        await asyncio.sleep(0)
        few = [asyncio.ensure_future(bus.ask(modest, READ)) for _ in range(3)]
        await asyncio.gather(*many, *few)
        # Every other turn is the modest one's.
        assert asked(banks[2]) == [20_000, 40_000, 60_000]
        assert len(asked(banks[1])) == 20

    run(kit, use, hold_us=10_000)


def test_a_device_that_wants_pauses_does_not_hold_up_the_others(kit) -> None:
    async def use(bus, clock, banks, server):
        slow, quick = bus.join(1, min_gap_s=1.0), bus.join(2)

        async def ask(seat, times):
            for _ in range(times):
                await bus.ask(seat, READ)

        await asyncio.gather(ask(slow, 3), ask(quick, 100))
        assert asked(banks[1]) == [10_000, 1_020_000, 2_030_000]
        assert asked(banks[2]) == [20_000 + 10_000 * k for k in range(100)]

    run(kit, use, hold_us=10_000)


def test_before_zero_nobody_waits_and_only_the_dead_are_left_alone(kit) -> None:
    async def use(bus, clock, banks, server):
        living, dead = bus.join(1, min_gap_s=0.1), bus.join(9)
        await bus.ask(living, READ)
        for _ in range(3):
            with pytest.raises(ModbusSilentError):
                await bus.ask(dead, READ)
        with pytest.raises(ModbusPausedError):
            await bus.ask(dead, READ)
        await bus.ask(living, READ)
        assert clock.now_us < -25 * S
        # An address that takes no connection is tried again before zero too.
        server.switch(False)
        for _ in range(4):
            with pytest.raises((ModbusLostError, ModbusPausedError)):
                await bus.ask(living, READ)
        server.switch(True)
        await clock.sleep_until(-15 * S)
        await bus.ask(living, READ)
        assert clock.now_us < -14 * S

    run(kit, use, begin_us=-30 * S)


def test_a_shorter_pause_that_comes_later_is_not_waited_for_as_long(kit) -> None:
    async def use(bus, clock, banks, server):
        long, short = bus.join(1, min_gap_s=10.0), bus.join(2, min_gap_s=0.1)
        await bus.ask(long, READ)
        await bus.ask(short, READ)
        waiting = asyncio.ensure_future(bus.ask(long, READ))
        await asyncio.sleep(0.01)
        await bus.ask(short, READ)
        assert clock.now_us == 100_000
        await waiting
        assert clock.now_us == 10_000_000

    run(kit, use)


@pytest.mark.parametrize("shared", [True, False])
def test_one_lost_answer_has_no_consequence_the_second_has(kit, shared) -> None:
    async def use(bus, clock, banks, server):
        seat = bus.join(9)
        if shared:
            bus.join(1)
        times = []
        while clock.now_us < 70 * S:
            try:
                await bus.ask(seat, READ)
            except ModbusPausedError:
                await clock.sleep_until(clock.now_us + 10_000)
            except ModbusSilentError:
                times.append(clock.now_us)
        pauses = [round((b - a) / S - 0.5, 1) for a, b in itertools.pairwise(times)]
        if shared:
            assert pauses == [0.0, 1.0, 2.0, 4.0, 8.0, 16.0, 30.0]
        else:
            # There is nobody whom it could starve.
            assert pauses[:4] == [0.0, 1.0, 2.0, 2.0]
            assert max(pauses) == 2.0
        assert seat.counters.timed_out == len(times)

    run(kit, use)


@pytest.mark.parametrize("line", [None, LineSettings(baud=19200, burst_s=0.0)])
def test_the_living_keep_their_rate_beside_the_dead(kit, line) -> None:
    """Two of five are dead from the first minute on; the others are asked once a second."""

    async def use(bus, clock, banks, server):
        seats = {unit: bus.join(unit, probe=PROBE) for unit in (1, 2, 3, 4, 5)}
        late = dict.fromkeys(seats, 0)

        async def poll(unit, seat):
            for k in range(300):
                await clock.sleep_until(k * S)
                try:
                    await bus.ask(seat, READ)
                except ModbusSilentError:
                    continue
                late[unit] += clock.now_us - k * S > 200_000

        async def kill():
            await clock.sleep_until(60 * S - 1)
            del banks[2], banks[4]

        await asyncio.gather(kill(), *(poll(unit, seat) for unit, seat in seats.items()))
        lost = sum(seats[unit].counters.timed_out for unit in (2, 4))
        # Two at once, then after 1, 2, 4, 8, 16, 30 … s: 0.5 s of the bus each.
        assert lost <= 2 * (2 + 5 + 7)
        for unit in (1, 3, 5):
            assert seats[unit].counters.answers == 300
            assert late[unit] <= lost
        for unit in (2, 4):
            assert seats[unit].counters.answers == 60

    run(kit, use, units=(1, 2, 3, 4, 5), hold_us=5000, line=line)


def test_who_comes_back_is_asked_something_short_first(kit) -> None:
    async def use(bus, clock, banks, server):
        seat = bus.join(1, probe=PROBE)
        bank = banks.pop(1)
        for _ in range(2):
            with pytest.raises(ModbusSilentError):
                await bus.ask(seat, READ)
        with pytest.raises(ModbusPausedError, match=r"2 requests without answer, next in 1\.0 s"):
            await bus.ask(seat, READ)
        banks[1] = bank
        await clock.sleep_until(clock.now_us + S)
        before = server.statistics.requests
        assert await bus.ask(seat, READ) == b"\x03\x14" + bytes(20)
        assert server.statistics.requests - before == 2
        await bus.ask(seat, READ)
        assert server.statistics.requests - before == 3
        assert seat.counters.paused == 1

    run(kit, use)


def test_on_a_line_a_short_request_settles_what_a_late_answer_belongs_to(kit) -> None:
    line = LineSettings(baud=19200, burst_s=0.0)

    async def use(bus, clock, banks, server):
        seat = bus.join(1, probe=PROBE)
        banks[1].hold = None
        with pytest.raises(ModbusSilentError):
            await bus.ask(seat, READ)
        banks[1].hold = 0
        begin_us = clock.now_us
        await bus.ask(seat, READ)
        # Without it the time-out would be waited for once more.
        assert clock.now_us - begin_us < 100_000

    run(kit, use, line=line)


def test_a_refusal_is_an_answer(kit) -> None:
    async def use(bus, clock, banks, server):
        seat = bus.join(1)
        for _ in range(5):
            with pytest.raises(ModbusRefusedError):
                await bus.ask(seat, requests.read("holding", 65535, 2))
        assert seat.counters.refused == 5
        assert seat.failures == 0

    run(kit, use)


def test_a_unit_that_its_gateway_cannot_reach_is_left_alone_too(kit) -> None:
    async def use(bus, clock, banks, server):
        server.unknown_unit = "gateway"
        seat = bus.join(9)
        for _ in range(2):
            with pytest.raises(ModbusRefusedError, match="code 11"):
                await bus.ask(seat, READ)
        with pytest.raises(ModbusPausedError):
            await bus.ask(seat, READ)

    run(kit, use)


def test_a_bus_that_is_down_is_tried_less_and_less_often(kit) -> None:
    async def use(bus, clock, banks, server):
        server.switch(False)
        seat = bus.join(1)
        attempts = []
        while clock.now_us < 40 * S:
            before = server.statistics.refused
            with pytest.raises(ModbusLostError if not attempts else ModbusSilentError):
                await bus.ask(seat, READ)
            if server.statistics.refused > before:
                attempts.append(clock.now_us)
            await clock.sleep_until(clock.now_us + 50_000)
        pauses = [round((b - a) / S, 1) for a, b in itertools.pairwise(attempts)]
        assert pauses[:6] == [0.1, 0.2, 0.5, 1.0, 2.0, 4.0]
        assert max(pauses) <= 5.1
        server.switch(True)
        await clock.sleep_until(clock.now_us + 5 * S)
        assert await bus.ask(seat, READ) == b"\x03\x14" + bytes(20)
        assert bus.client.connected

    run(kit, use)


def test_a_request_for_an_older_connection_is_not_sent_on_a_newer_one(kit) -> None:
    async def use(bus, clock, banks, server):
        seat = bus.join(1)
        await bus.ask(seat, READ)
        generation = bus.generation
        server.switch(False)
        server.switch(True)
        await clock.sleep_until(clock.now_us + 1000)
        with pytest.raises(ModbusLostError, match="another one now"):
            await bus.ask(seat, requests.write_register(0, b"\0\x01"), None, generation)
        assert banks[1].get(0) == 0
        await bus.ask(seat, requests.write_register(0, b"\0\x01"), None, bus.generation)
        assert banks[1].get(0) == 1

    run(kit, use)


def test_cancelled_waiters_are_passed_over(kit) -> None:
    async def use(bus, clock, banks, server):
        seats = [bus.join(unit) for unit in banks]
        tasks = [asyncio.ensure_future(bus.ask(seat, READ)) for seat in seats]
        await asyncio.sleep(0.001)
        tasks[1].cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        assert [len(asked(bank)) for bank in banks.values()] == [1, 0, 1]
        # Cancelled under way: the next is served all the same.
        task = asyncio.ensure_future(bus.ask(seats[0], READ))
        await asyncio.sleep(0.001)
        task.cancel()
        await bus.ask(seats[2], READ)
        assert len(asked(banks[3])) == 2

    run(kit, use, hold_us=10_000)


def test_closing_wakes_who_waits(kit) -> None:
    async def use(bus, clock, banks, server):
        seats = [bus.join(unit) for unit in banks]
        tasks = [asyncio.ensure_future(bus.ask(seat, READ)) for seat in seats]
        await asyncio.sleep(0.001)
        bus.close()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [type(result) for result in results] == [ModbusLostError] * 3
        with pytest.raises(ModbusLostError, match="closed"):
            await bus.ask(seats[0], READ)
        bus.reopen()
        await bus.ask(seats[0], READ)

    run(kit, use, hold_us=10_000)


def test_back_off_doubles_up_to_its_longest() -> None:
    back_off = BackOff(allowed=2, first_s=0.5, factor=2.0, most_s=3.0)
    assert [back_off.pause_us(n) for n in range(1, 8)] == [
        0,
        0,
        500_000,
        1_000_000,
        2_000_000,
        3_000_000,
        3_000_000,
    ]
    assert back_off.pause_us(10_000) == 3_000_000
