import asyncio
import time
from collections.abc import Callable

import pytest

from wattbench.sim.clock import (
    ClockDeadlockError,
    ClockError,
    VirtualClock,
    WallClock,
    build_clock,
    to_us,
)

S = 1_000_000


def both() -> list[Callable[[], VirtualClock | WallClock]]:
    return [VirtualClock, lambda: WallClock(factor=200)]


def order_of_events(clock: VirtualClock | WallClock) -> list[str]:
    """Queue events of every kind for the same instants; return who came when."""
    log: list[str] = []

    async def sleeper(name: str, t_us: int) -> None:
        await clock.sleep_until(t_us)
        log.append(name)
        await asyncio.sleep(0)  # made ready by an event: ends before the next one
        log.append(name + " again")

    async def main() -> None:
        loop = asyncio.get_running_loop()
        clock.schedule(2 * S, lambda: log.append("b1"))
        first = asyncio.create_task(sleeper("b2", 2 * S))
        await asyncio.sleep(0)
        # From another instant, and through asyncio, for the same microsecond.
        clock.schedule(1 * S, lambda: clock.schedule(2 * S, lambda: log.append("b5")))
        loop.call_at(2.0, log.append, "b3")
        clock.schedule(2 * S, lambda: clock.schedule(2 * S, lambda: log.append("b6")))
        clock.schedule(2 * S, lambda: loop.call_soon(log.append, "b4 soon"))
        clock.schedule(2 * S - 1, lambda: log.append("a"))
        clock.schedule(1 * S, lambda: clock.schedule(0, lambda: log.append("late")))
        loop.call_at(2.0, log.append, "cancelled").cancel()
        await first
        await clock.sleep_until(3 * S)

    clock.run(main())
    return log


EXPECTED = ["late", "a", "b1", "b2", "b2 again", "b3", "b4 soon", "b5", "b6"]


@pytest.mark.parametrize("make", both())
def test_simultaneous_events_keep_the_order_in_which_they_were_scheduled(make) -> None:
    with make() as clock:
        assert order_of_events(clock) == EXPECTED


def test_virtual_time_is_integer_and_jumps() -> None:
    seen: list[int] = []

    async def main() -> None:
        for _ in range(3):
            await asyncio.sleep(0.1 + 0.2)
            seen.append(clock.now_us)
        await clock.sleep_until(10 * 86_400 * S)
        seen.append(clock.now_us)

    started = time.perf_counter()
    with VirtualClock() as clock:
        clock.run(main())
    assert seen == [300_000, 600_000, 900_000, 10 * 86_400 * S]
    assert all(type(t_us) is int for t_us in seen)
    assert time.perf_counter() - started < 2.0


def test_wall_clock_keeps_pace_times_its_factor() -> None:
    async def main() -> int:
        for k in range(1, 6):
            await clock.sleep_until(k * S)
            assert clock.now_us >= k * S
        return clock.now_us

    started = time.perf_counter()
    with WallClock(factor=20) as clock:
        end_us = clock.run(main())
    real_s = time.perf_counter() - started
    assert 5 * S <= end_us < 10 * S
    assert real_s >= 0.25


def test_time_goes_on_between_two_runs() -> None:
    async def until(t_us: int) -> int:
        await clock.sleep_until(t_us)
        return clock.now_us

    with VirtualClock() as clock:
        assert clock.run(until(5)) == 5
        assert clock.run(until(9)) == 9


@pytest.mark.parametrize("make", both())
def test_deadlock_is_an_error_that_says_who_waits(make) -> None:
    cleaned: list[str] = []

    async def waits_for_an_answer() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            cleaned.append("yes")

    async def main() -> None:
        await clock.sleep_until(3 * S)
        await waits_for_an_answer()

    with make() as clock, pytest.raises(ClockDeadlockError) as caught:
        clock.run(main())
    assert "waits_for_an_answer" in str(caught.value)
    assert caught.value.now_us >= 3 * S
    assert cleaned == ["yes"]


def test_wall_clock_waits_for_sockets_without_calling_it_a_deadlock() -> None:
    async def main() -> bytes:
        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write((await reader.readexactly(2))[::-1])
            writer.close()

        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"ab")
        try:
            return await reader.readexactly(2)
        finally:
            writer.close()
            server.close()

    with WallClock() as clock:
        assert clock.run(main()) == b"ba"


@pytest.mark.parametrize("make", both())
def test_nothing_takes_place_after_the_loop_was_told_to_stop(make) -> None:
    log: list[str] = []

    async def main() -> None:
        clock.schedule(1 * S, asyncio.get_running_loop().stop)
        clock.schedule(1 * S, lambda: log.append("next"))
        await clock.sleep_until(2 * S)

    with make() as clock:
        with pytest.raises(RuntimeError, match="stopped"):
            clock.run(main())
        assert log == []


@pytest.mark.parametrize("make", both())
def test_what_a_timer_raises_goes_to_the_loops_handler_and_ends_nothing(make) -> None:
    told: list[str] = []

    def fails() -> None:
        raise ValueError("of a timer")

    async def main() -> str:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(str(context["exception"])))
        loop.call_later(1.0, fails)
        await clock.sleep_until(2 * S)
        return "done"

    with make() as clock:
        assert clock.run(main()) == "done"
    assert told == ["of a timer"]


@pytest.mark.parametrize("make", both())
def test_exception_in_a_scheduled_callback_ends_the_run_and_cancels_the_coroutine(make) -> None:
    log: list[str] = []

    async def main() -> None:
        clock.schedule(10, lambda: 1 / 0)
        try:
            await clock.sleep_until(60 * S)
        finally:
            log.append("cleaned up")

    with make() as clock, pytest.raises(ZeroDivisionError):
        clock.run(main())
    assert log == ["cleaned up"]


def test_cancel_ends_the_running_coroutine() -> None:
    async def main() -> None:
        clock.schedule(5 * S, clock.cancel)
        await clock.sleep_until(60 * S)

    with VirtualClock() as clock:
        with pytest.raises(asyncio.CancelledError):
            clock.run(main())
        assert clock.now_us == 5 * S


def test_time_outs_of_asyncio_pass_in_simulated_time() -> None:
    async def main() -> int:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.get_running_loop().create_future(), timeout=3600)
        return clock.now_us

    started = time.perf_counter()
    with VirtualClock() as clock:
        assert clock.run(main()) == 3600 * S
    assert time.perf_counter() - started < 1.0


def test_threads_are_refused_in_virtual_time() -> None:
    async def main() -> None:
        await asyncio.to_thread(time.sleep, 0)

    with VirtualClock() as clock, pytest.raises(ClockError, match="thread"):
        clock.run(main())


@pytest.mark.parametrize("factor", [0, -1, float("nan"), float("inf")])
def test_factor_must_be_positive_and_finite(factor: float) -> None:
    with pytest.raises(ClockError, match="factor"):
        build_clock("wall", factor)


def test_closed_clock_refuses_to_run() -> None:
    async def main() -> None: ...

    clock = VirtualClock()
    clock.close()
    clock.close()
    with pytest.raises(ClockError, match="closed"):
        clock.run(main())


def test_to_us_rounds_to_the_nearest() -> None:
    assert to_us(0.1 + 0.2) == 300_000
    assert to_us(86_400 * 365 + 0.000001) == 86_400 * 365 * S + 1


def test_virtual_time_may_begin_before_zero() -> None:
    async def main() -> list[int]:
        seen = [clock.now_us]
        await asyncio.sleep(1.5)
        seen.append(clock.now_us)
        await clock.sleep_until(250_000)
        return [*seen, clock.now_us]

    with VirtualClock(-2_000_000) as clock:
        assert clock.run(main()) == [-2_000_000, -500_000, 250_000]


def test_wall_clocks_that_share_their_zero_tell_the_same_time() -> None:
    zero_ns = time.monotonic_ns() + 10_000_000
    with WallClock(zero_ns=zero_ns) as one, WallClock(zero_ns=zero_ns) as other:
        assert one.now_us <= other.now_us <= one.now_us + 5_000_000
        assert one.run(_woken_at(one, 20_000)) >= 20_000
        assert one.zero_ns == zero_ns


def test_wall_time_may_begin_before_zero() -> None:
    with WallClock(start_us=-30_000) as clock:
        assert clock.now_us == -30_000
        assert clock.run(_woken_at(clock, 0)) >= 0


async def _woken_at(clock: WallClock, t_us: int) -> int:
    await clock.sleep_until(t_us)
    return clock.now_us


def test_wall_clock_restarts_earlier_but_is_never_put_back() -> None:
    with WallClock(start_us=-60_000_000) as clock:
        clock.run(_woken_at(clock, -59_990_000))
        clock.restart_at(time.monotonic_ns() + 5_000_000)
        assert -10_000 < clock.now_us < 1_000_000
        assert clock.run(_woken_at(clock, 0)) >= 0
        with pytest.raises(ClockError, match="put back"):
            clock.restart_at(time.monotonic_ns() + 60_000_000_000)
