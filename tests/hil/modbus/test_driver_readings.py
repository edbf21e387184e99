"""What the driver reads: values, their age and quality, and devices that fall silent."""

import math

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.wire import Delivery

from .driver_bench import PROFILE, VALUES, S, profile, run


def test_readings_carry_value_time_and_quality() -> None:
    async def use(bench):
        await bench.clock.sleep_until(5 * S)
        readings = await bench.driver.poll(5 * S)
        assert bench.values() == {**VALUES, "power_setpoint_w": 0.0, "serial": "4711"}
        assert bench.qualities() == {"good"}
        # 1 ms there, 5 ms to answer, 1 ms back.
        assert readings["power_w"].received_us == 5 * S + 7000
        # Of one read: power and temperature are of one moment.
        assert readings["temperature_c"].received_us == readings["power_w"].received_us
        assert bench.driver.number("power_w") == 1000.0
        assert math.isnan(bench.driver.number("serial"))
        assert math.isnan(bench.driver.number("unknown"))

    run(use)


def test_slow_points_are_read_at_their_own_rate() -> None:
    async def use(bench):
        before = bench.driver.counters.requests
        await bench.poll_until(100)
        # 100 polls of the block and of the set-point, and ten of the counter.
        assert bench.driver.counters.requests - before == 100 * 2 + 10

    run(use)


def test_callers_clocks_may_be_a_little_off() -> None:
    async def use(bench):
        before = bench.driver.counters.requests
        for k in range(1, 11):
            await bench.clock.sleep_until(k * S)
            await bench.driver.poll(k * S - (k % 2) * 20_000)
        assert bench.driver.counters.requests - before >= 20

    run(use)


def test_a_change_is_noted_when_it_is_seen() -> None:
    async def use(bench):
        await bench.poll_until(3)
        assert bench.driver.changed_us < 1.1 * S
        bench.source.values["power_w"] = 1200.0
        await bench.poll_until(5)
        assert bench.driver.readings["power_w"].changed_us == 4 * S + 7000
        assert bench.driver.readings["temperature_c"].changed_us < 1.1 * S
        # Since then it repeats itself: frozen or calm, nobody can tell.
        await bench.poll_until(20)
        assert bench.driver.changed_us == 4 * S + 7000
        assert bench.driver.readings["power_w"].quality == "good"

    run(use)


def test_out_of_range_is_not_accepted_and_an_event() -> None:
    async def use(bench):
        await bench.poll_until(1)
        bench.source.values["power_w"] = 9000.0
        await bench.poll_until(4)
        reading = bench.driver.readings["power_w"]
        assert (reading.value, reading.quality) == (1000.0, "out_of_range")
        assert bench.events == [
            ("out_of_range", {"device": "rod", "quantity": "power_w", "value": 9000.0})
        ]
        assert math.isnan(bench.driver.number("power_w"))

    run(use)


def test_one_lost_answer_costs_one_reading() -> None:
    async def use(bench):
        await bench.poll_until(1)
        bench.faults.lose = True
        (error,) = await bench.poll_until(2)
        assert isinstance(error, ReadingError)
        assert "rod: bus, unit 1: holding 10…11: no answer in time" in str(error)
        bench.faults.lose = False
        assert await bench.poll_until(4) == [None, None]
        assert bench.qualities() == {"good"}

    run(use)


def test_a_silent_device_becomes_stale_then_lost_and_comes_back() -> None:
    async def use(bench):
        await bench.poll_until(1)
        bench.faults.lose = True
        raised = await bench.poll_until(5)
        assert bench.driver.readings["power_w"].quality == "good"
        raised += await bench.poll_until(33)
        kinds = [type(error) for error in raised]
        # Given up 30 s after the first poll that brought nothing, at 2 s.
        assert kinds == [ReadingError] * 30 + [RigError] * 2
        assert "lost rod: no answer for 30 s" in str(raised[-2])
        assert bench.driver.readings["power_w"].quality == "stale"
        assert bench.driver.readings["power_w"].value == 1000.0
        assert bench.driver.lost
        bench.faults.lose = False
        # On a bus of its own it is tried again every 2 s at least.
        await bench.poll_until(37)
        assert bench.driver.readings["power_w"].quality == "good"
        assert not bench.driver.lost
        assert [kind for kind, _ in bench.events] == ["lost", "back"]
        # Few requests were spent on the dead.
        assert bench.driver.counters.timed_out <= 20

    run(use)


def test_a_refusing_device_brings_no_readings() -> None:
    async def use(bench):
        await bench.poll_until(1)
        bench.faults.bend = lambda frame: [
            Delivery(0, frame[:4] + b"\0\3" + frame[6:7] + b"\x83\x06")
        ]
        raised = await bench.poll_until(3)
        assert [type(error) for error in raised] == [ReadingError] * 2
        assert "refused with code 6" in str(raised[0])
        bench.faults.bend = lambda frame: [Delivery(0, frame)]
        assert await bench.poll_until(4) == [None]

    run(use)


def test_requests_keep_the_devices_pause() -> None:
    some = profile(timing={"min_gap_s": 0.2, "too_early": "busy"})

    async def use(bench):
        assert set(await bench.poll_until(20)) == {None}
        assert bench.driver.counters.refused == 0

    run(use, some)


def test_what_the_device_lacks_is_missing_and_does_not_stop_the_rest() -> None:
    more = [*PROFILE["modbus"]["points"], {"quantity": "gone", "address": 200}]
    knows = profile(modbus={"points": more})

    async def use(bench):
        bench.device = bench.units[1] = EmulatedDevice(profile(), bench.source, bench.clock)
        await bench.poll_until(3)
        assert bench.driver.readings["gone"].quality == "missing"
        assert bench.driver.number("power_w") == 1000.0

    run(use, knows)
