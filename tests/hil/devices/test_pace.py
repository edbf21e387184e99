"""How long answers take, and what becomes of requests that come too early."""

from __future__ import annotations

from wattbench.hil.devices.source import ConstantSource

from .conftest import Bench, S, profile_of, refusal

POINT = {"quantity": "power_setpoint_w", "address": 0, "access": "rw"}


def device(**timing: object) -> Bench:
    return Bench(profile_of(points=[POINT], timing=timing), ConstantSource())


def test_answers_take_their_time() -> None:
    bench = device(answer_s=0.05)
    assert [bench.device.hold_us(k * S, 3) for k in range(3)] == [50_000] * 3


def test_the_spread_is_even_and_repeats() -> None:
    first, second = (
        device(answer_s=0.05, answer_spread_s=0.02),
        device(answer_s=0.05, answer_spread_s=0.02),
    )
    times = [first.device.hold_us(k * S, 3) or 0 for k in range(200)]
    assert all(50_000 <= t <= 70_000 for t in times)
    assert max(times) > 68_000
    assert min(times) < 52_000
    assert [second.device.hold_us(k * S, 3) for k in range(200)] == times


def test_the_first_answer_after_silence_is_slow() -> None:
    bench = device(answer_s=0.01, first_answer_s=0.8, idle_s=30)
    times = [bench.device.hold_us(t * S, 3) for t in (0, 1, 2, 40, 41)]
    assert times == [800_000, 10_000, 10_000, 800_000, 10_000]


def test_too_early_is_ignored() -> None:
    bench = device(answer_s=0.01, min_gap_s=0.025)
    assert bench.device.hold_us(0, 3) == 10_000
    assert bench.device.hold_us(34_000, 3) is None
    assert bench.device.hold_us(35_000, 3) == 10_000


def test_too_early_is_busy() -> None:
    bench = device(answer_s=0.01, min_gap_s=0.025, too_early="busy")
    assert bench.device.hold_us(0, 3) == 10_000
    bench.device.read_registers("holding", 0, 1, 10_000)
    assert bench.device.hold_us(20_000, 3) == 10_000
    assert refusal(bench.device.read_registers, "holding", 0, 1, 30_000) == 6
    assert bench.device.hold_us(50_000, 3) == 10_000
    bench.device.read_registers("holding", 0, 1, 60_000)


def test_one_command_a_second() -> None:
    bench = device(answer_s=0.01, min_command_gap_s=1.0, too_early="busy")
    assert bench.device.hold_us(0, 6) == 10_000
    bench.device.write_registers(0, b"\0\1", 10_000, 6)
    # Reading goes on as ever.
    assert bench.device.hold_us(100_000, 3) == 10_000
    bench.device.read_registers("holding", 0, 1, 110_000)
    bench.device.hold_us(500_000, 16)
    assert refusal(bench.device.write_registers, 0, b"\0\2", 510_000, 16) == 6
    assert bench.device.hold_us(1_000_000, 6) == 10_000
    bench.device.write_registers(0, b"\0\3", 1_010_000, 6)
    assert [value for _, value, _ in bench.commands] == [1.0, 3.0]


def test_silent_while_it_boots() -> None:
    bench = device(boot_s=3.0)
    bench.device.reset(10 * S)
    assert bench.device.hold_us(12_999_999, 3) is None
    assert bench.device.hold_us(13 * S, 3) is not None
