"""Watchdogs: what devices do when commands stay away, and how late."""

from __future__ import annotations

from typing import Any

import pytest

from wattbench.hil.devices.source import ConstantSource
from wattbench.sim.clock import VirtualClock

from .conftest import Bench, S, profile_of


def test_my_pv_goes_to_zero_without_new_writes() -> None:
    bench = Bench("mypv_ac_elwa_2", ConstantSource({"power_w": 0.0}))
    bench.write("power_setpoint_w", 2000)
    bench.at(50).write("power_setpoint_w", 2000)
    bench.at(109).read("power_w")
    assert bench.last == ("power_setpoint_w", 2000.0)
    bench.at(131).read("power_w")
    quantity, value, t_us = bench.commands[-1]
    assert (quantity, value) == ("power_setpoint_w", 0.0)
    # 60 s after the last write, and up to 20 s late, as real ones are.
    assert 110 * S <= t_us <= 130 * S


def test_reading_does_not_keep_it_alive() -> None:
    bench = Bench("mypv_ac_elwa_2", ConstantSource({"power_w": 0.0}))
    bench.write("power_setpoint_w", 2000)
    for t_s in range(1, 90):
        assert bench.device.hold_us(t_s * S, 3) is not None
        bench.at(t_s).read("power_w")
    assert bench.last == ("power_setpoint_w", 0.0)


def dog(**watchdog: Any) -> Bench:
    points = [{"quantity": "power_setpoint_w", "address": 0, "access": "rw"}]
    registers = [
        {"name": "timeout", "address": 5, "access": "rw", "value": 0},
        {"name": "fallback", "address": 6, "access": "rw", "value": 40},
    ]
    actuators = [{"quantity": "power_setpoint_w", "high": 3000, "watchdog": watchdog}]
    return Bench(profile_of(points=points, registers=registers, actuators=actuators))


def test_exactly_at_its_time_without_slack() -> None:
    bench = dog(timeout_s=10, value=100)
    bench.write("power_setpoint_w", 700)
    bench.at(9.999).read("power_setpoint_w")
    assert len(bench.commands) == 1
    # It shows what it reverted to.
    assert bench.at(10).read("power_setpoint_w") == 100.0
    assert bench.commands[-1] == ("power_setpoint_w", 100.0, 10 * S)


def test_slack_is_spread_and_the_same_every_time() -> None:
    def fired() -> list[int]:
        bench = dog(timeout_s=10, slack_s=4)
        times = []
        for k in range(40):
            bench.at(100 * k).write("power_setpoint_w", 700)
            bench.at(100 * k + 50).read("power_setpoint_w")
            times.append(bench.commands[-1][2] - 100 * k * S)
        return times

    times = fired()
    assert all(10 * S <= t <= 14 * S for t in times)
    assert max(times) - min(times) > 2 * S
    assert fired() == times


def test_not_armed_before_the_first_write() -> None:
    bench = dog(timeout_s=10)
    bench.at(1000).read("power_setpoint_w")
    assert bench.commands == []


def test_timeout_and_value_from_registers() -> None:
    bench = dog(timeout_s=0, timeout_register="timeout", value_register="fallback")
    bench.write("power_setpoint_w", 700)
    bench.at(1000).read("power_setpoint_w")
    assert bench.last == ("power_setpoint_w", 700.0)
    bench.write("timeout", 30)
    bench.at(1031).read("power_setpoint_w")
    assert bench.commands[-1] == ("power_setpoint_w", 40.0, 1030 * S)


def test_any_request_rearms_keba_s_failsafe() -> None:
    bench = Bench("keba_p30", ConstantSource({"power_w": 0.0}))
    bench.write("failsafe_current", 8000)
    bench.write("failsafe_timeout", 30)
    assert bench.read("failsafe_timeout_s") == 30
    assert bench.read("failsafe_current_a") == 8.0
    for t_s in (20, 40, 60):
        assert bench.device.hold_us(t_s * S, 3) is not None
        bench.at(t_s).read("power_w")
    assert bench.commands == []
    bench.at(100).read("power_w")
    quantity, value, t_us = bench.commands[-1]
    assert (quantity, value) == ("current_setpoint_a", 8.0)
    assert 90 * S <= t_us <= 95 * S


def test_keba_s_failsafe_is_off_until_it_is_set() -> None:
    bench = Bench("keba_p30", ConstantSource({"power_w": 0.0}))
    bench.device.hold_us(0, 3)
    bench.at(5000).read("power_w")
    assert bench.commands == []


def test_the_clock_fires_it() -> None:
    with VirtualClock() as clock:
        bench = Bench("mypv_ac_elwa_2", ConstantSource({"power_w": 0.0}), clock=clock)

        async def run() -> None:
            bench.write("power_setpoint_w", 2000)
            await clock.sleep_until(85 * S)

        clock.run(run())
    assert bench.last == ("power_setpoint_w", 0.0)


@pytest.mark.parametrize("name", ["sunspec_inverter", "sunspec_der"])
def test_reversion_times_are_no_second_watchdog(name: str) -> None:
    bench = Bench(name, ConstantSource({"power_w": 0.0}))
    enable = "123.WMaxLim_Ena" if name == "sunspec_inverter" else "704.WMaxLimPctEna"
    bench.write("power_limit_w", 5000)
    bench.write(enable, 1)
    bench.at(1000).read("power_w")
    assert bench.last == ("power_limit_w", 5000.0)


def test_a_reset_disarms_it() -> None:
    bench = dog(timeout_s=10, value=100)
    bench.write("power_setpoint_w", 700)
    bench.device.reset(5 * S)
    bench.at(60).read("power_setpoint_w")
    assert bench.last == ("power_setpoint_w", 0.0)


def test_once_fired_requests_do_not_rearm_it() -> None:
    bench = Bench("keba_p30", ConstantSource({"power_w": 0.0}))
    bench.write("failsafe_timeout", 30)
    for t_s in (100, 110, 200, 300):
        bench.device.hold_us(t_s * S, 3)
        bench.at(t_s).read("power_w")
    assert [name for name, _, _ in bench.commands] == ["current_setpoint_a"]
    # A new command does.
    bench.at(310).write("current_setpoint_a", 10)
    bench.at(360).read("power_w")
    assert [value for _, value, _ in bench.commands] == [0.0, 10.0, 0.0]
