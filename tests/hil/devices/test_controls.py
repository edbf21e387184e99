"""Enables, reversions and ramps of SunSpec controls."""

from __future__ import annotations

import pytest

from wattbench.hil.devices.source import ConstantSource
from wattbench.sim.clock import VirtualClock

from .conftest import Bench, S, refusal


@pytest.fixture
def inverter() -> Bench:
    return Bench("sunspec_inverter", ConstantSource({"power_w": 5000.0}))


@pytest.fixture
def battery() -> Bench:
    return Bench("sunspec_der", ConstantSource({"power_w": 0.0}))


def commands(bench: Bench, quantity: str) -> list[tuple[float, float]]:
    """Return value and time in s of each command of a quantity."""
    return [(value, t / S) for name, value, t in bench.commands if name == quantity]


def test_a_limit_counts_only_while_it_is_enabled(inverter: Bench) -> None:
    inverter.write("power_limit_w", 3000)
    assert inverter.commands == []
    inverter.at(1).write("123.WMaxLim_Ena", 1)
    assert inverter.last == ("power_limit_w", 3000.0)
    inverter.at(2).write("power_limit_w", 2000)
    assert inverter.last == ("power_limit_w", 2000.0)
    inverter.at(3).write("123.WMaxLim_Ena", 0)
    assert inverter.last == ("power_limit_w", 10000.0)
    # The register keeps what was written.
    assert inverter.read("power_limit_w") == 2000.0


def test_the_limit_is_a_percentage_of_the_rating(inverter: Bench) -> None:
    item = inverter.map.writing("power_limit_w")
    assert item is not None
    inverter.device.write_registers(item.address, (4250).to_bytes(2, "big"), 0, 6)
    assert inverter.read("power_limit_w") == pytest.approx(4250.0)


def test_a_limit_reverts_after_its_time(inverter: Bench) -> None:
    inverter.write("123.WMaxLimPct_RvrtTms", 60)
    inverter.write("power_limit_w", 3000)
    inverter.write("123.WMaxLim_Ena", 1)
    assert inverter.at(59.9).read("123.WMaxLim_Ena") == 1
    assert inverter.at(100).read("123.WMaxLim_Ena") == 0
    assert commands(inverter, "power_limit_w") == [(3000.0, 0.0), (10000.0, 60.0)]


def test_writing_anew_starts_the_time_anew(inverter: Bench) -> None:
    inverter.write("123.WMaxLimPct_RvrtTms", 60)
    inverter.write("123.WMaxLim_Ena", 1)
    for t_s in (50, 100):
        inverter.at(t_s).write("power_limit_w", 3000)
    assert inverter.at(159).read("123.WMaxLim_Ena") == 1
    assert inverter.at(161).read("123.WMaxLim_Ena") == 0


def test_without_a_time_it_never_reverts(inverter: Bench) -> None:
    inverter.write("power_limit_w", 3000)
    inverter.write("123.WMaxLim_Ena", 1)
    assert inverter.at(1e6).read("123.WMaxLim_Ena") == 1


def test_disabling_stops_the_time(inverter: Bench) -> None:
    inverter.write("123.WMaxLimPct_RvrtTms", 10)
    inverter.write("123.WMaxLim_Ena", 1)
    inverter.at(5).write("123.WMaxLim_Ena", 0)
    before = len(inverter.commands)
    inverter.at(20).read("power_w")
    assert len(inverter.commands) == before


def test_a_limit_is_reached_by_a_ramp(inverter: Bench) -> None:
    inverter.write("123.WMaxLimPct_RmpTms", 10)
    inverter.write("power_limit_w", 0)
    inverter.write("123.WMaxLim_Ena", 1)
    inverter.at(5).read("power_w")
    halfway = inverter.last[1]
    inverter.at(11).read("power_w")
    values = [value for value, _ in commands(inverter, "power_limit_w")]
    assert halfway == pytest.approx(5000.0, abs=200)
    assert values == sorted(values, reverse=True)
    assert values[-1] == 0.0


def test_the_clock_wakes_a_device_nobody_asks() -> None:
    with VirtualClock() as clock:
        source = ConstantSource({"power_w": 5000.0})
        bench = Bench("sunspec_inverter", source, clock=clock)

        async def run() -> None:
            bench.write("123.WMaxLimPct_RvrtTms", 60)
            bench.write("power_limit_w", 3000)
            bench.write("123.WMaxLim_Ena", 1)
            # Written anew, so the first call of the clock comes too early.
            await clock.sleep_until(30 * S)
            bench.at(30).write("power_limit_w", 4000)
            await clock.sleep_until(200 * S)

        clock.run(run())
    assert commands(bench, "power_limit_w") == [(3000.0, 0.0), (4000.0, 30.0), (10000.0, 90.0)]


def test_disconnecting_reverts(inverter: Bench) -> None:
    inverter.write("123.Conn_RvrtTms", 20)
    inverter.write("connected", 0)
    assert inverter.last == ("connected", 0.0)
    assert inverter.at(21).read("connected") == 1.0
    assert inverter.last == ("connected", 1.0)


def test_storage_limits_have_a_bit_each(inverter: Bench) -> None:
    inverter.write("discharge_limit_w", 1000)
    inverter.write("charge_limit_w", 2000)
    assert inverter.commands == []
    inverter.at(1).write("124.StorCtl_Mod", 2)
    assert inverter.commands == [("discharge_limit_w", 1000.0, S)]
    inverter.at(2).write("124.StorCtl_Mod", 3)
    assert inverter.last == ("charge_limit_w", 2000.0)
    inverter.at(3).write("124.InOutWRte_RvrtTms", 30)
    assert inverter.at(34).read("124.StorCtl_Mod") == 0
    assert ("charge_limit_w", 5000.0, 33 * S) in inverter.commands
    assert ("discharge_limit_w", 5000.0, 33 * S) in inverter.commands


def test_a_negative_discharge_limit_forces_charging(inverter: Bench) -> None:
    inverter.write("discharge_limit_w", -1500)
    inverter.write("124.StorCtl_Mod", 2)
    assert inverter.last == ("discharge_limit_w", -1500.0)


def test_set_point_of_a_battery(battery: Bench) -> None:
    battery.write("power_setpoint_w", -4000)
    assert battery.commands == []
    battery.write("704.WSetRvrtTms", 20)
    battery.write("704.WSetEna", 1)
    assert battery.last == ("power_setpoint_w", -4000.0)
    assert battery.at(5).read("704.WSetRvrtRem") == 15
    assert battery.at(30).read("704.WSetEna") == 0
    assert battery.last == ("power_setpoint_w", 0.0)
    assert battery.read("704.WSetRvrtRem") == 0


def test_set_point_as_a_percentage(battery: Bench) -> None:
    battery.write("704.WSetMod", 0)
    battery.write("704.WSetPct", -25)
    battery.write("704.WSetEna", 1)
    assert battery.last == ("power_setpoint_w", -2500.0)
    battery.write("704.WSetMod", 1)
    assert battery.last == ("power_setpoint_w", 0.0)


def test_reversion_to_another_set_point(battery: Bench) -> None:
    battery.write("704.WSetRvrt", 500)
    battery.write("704.WSetEnaRvrt", 1)
    battery.write("power_setpoint_w", 3000)
    battery.write("704.WSetRvrtTms", 10)
    battery.write("704.WSetEna", 1)
    assert battery.at(11).read("power_setpoint_w") == 500.0
    assert battery.last == ("power_setpoint_w", 500.0)
    assert battery.read("704.WSetEna") == 1


def test_reversion_of_the_limit_is_a_percentage_too(battery: Bench) -> None:
    battery.write("704.WMaxLimPctRvrt", 60)
    battery.write("704.WMaxLimPctEnaRvrt", 1)
    battery.write("power_limit_w", 1000)
    battery.write("704.WMaxLimPctRvrtTms", 10)
    battery.write("704.WMaxLimPctEna", 1)
    assert battery.last == ("power_limit_w", 1000.0)
    battery.at(11).read("power_w")
    assert battery.last == ("power_limit_w", 6000.0)


@pytest.mark.parametrize(
    ("register", "value"), [("704.WSetEna", 2), ("704.WSetMod", 4), ("power_limit_w", 10_100)]
)
def test_illegal_values(battery: Bench, register: str, value: float) -> None:
    assert refusal(battery.write, register, value) == 3


def test_what_is_not_implemented_cannot_be_written(battery: Bench) -> None:
    assert refusal(battery.write, "704.VarSet", 1) == 2
    assert refusal(battery.write, "701.ACType", 1) == 2


def test_reset_ends_all_control(battery: Bench) -> None:
    battery.write("power_setpoint_w", 3000)
    battery.write("704.WSetRvrtTms", 10)
    battery.write("704.WSetEna", 1)
    battery.device.reset(S)
    assert ("power_setpoint_w", 0.0, S) in battery.commands
    count = len(battery.commands)
    assert battery.at(60).read("704.WSetEna") == 0
    assert len(battery.commands) == count


def test_all_of_a_limit_in_one_write(inverter: Bench) -> None:
    """Value, window, reversion time, ramp and enable stand side by side, and clients use that."""
    place = inverter.map.named["123.WMaxLimPct"].address
    words = (2500, 0, 30, 0, 1)
    data = b"".join(word.to_bytes(2, "big") for word in words)
    inverter.device.write_registers(place, data, 0, 16)
    assert inverter.commands == [("power_limit_w", 2500.0, 0)]
    inverter.at(31).read("power_w")
    assert inverter.commands[1:] == [("power_limit_w", 10000.0, 30 * S)]


def test_a_window_delays_the_start(inverter: Bench) -> None:
    inverter.write("123.WMaxLimPct_WinTms", 20)
    inverter.write("power_limit_w", 3000)
    inverter.write("123.WMaxLim_Ena", 1)
    assert inverter.commands == []
    inverter.at(21).read("power_w")
    quantity, value, t_us = inverter.commands[-1]
    assert (quantity, value) == ("power_limit_w", 3000.0)
    assert 0 < t_us <= 20 * S


def test_each_storage_limit_has_a_time_of_its_own(inverter: Bench) -> None:
    inverter.write("124.InOutWRte_RvrtTms", 30)
    inverter.write("124.StorCtl_Mod", 3)
    inverter.write("discharge_limit_w", 1000)
    inverter.at(10).write("charge_limit_w", 2000)
    assert inverter.at(35).read("124.StorCtl_Mod") == 1
    assert inverter.last == ("discharge_limit_w", 5000.0)
    assert inverter.at(45).read("124.StorCtl_Mod") == 0
    assert inverter.last == ("charge_limit_w", 5000.0)


def test_no_more_than_the_actuator_can_do(battery: Bench) -> None:
    battery.write("704.WSetMod", 0)
    battery.write("704.WSetPct", -150)
    battery.write("704.WSetEna", 1)
    assert battery.last == ("power_setpoint_w", -10_000.0)


def test_the_go_e_s_force_state_counts_more_than_what_is_allowed() -> None:
    bench = Bench("goe_charger")

    def force(number: int) -> tuple[str, float]:
        bench.device.write_registers(337, number.to_bytes(2, "big"), bench.t_us, 16)
        return bench.last

    assert force(1) == ("enabled", 0.0)
    bench.write("enabled", 1)
    assert bench.last == ("enabled", 0.0), "off is off"
    assert force(0) == ("enabled", 1.0)
    bench.write("enabled", 0)
    assert bench.last == ("enabled", 0.0)
    assert force(2) == ("enabled", 1.0)
    assert bench.read("enabled") == 0.0, "what is allowed stays as it was written"
