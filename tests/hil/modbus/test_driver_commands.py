"""What the driver writes: set-points, pauses between them, and writes that fail."""

import math

import pytest

from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.modbus.client import ModbusError, ModbusRefusedError, ModbusSilentError
from wattbench.hil.modbus.driver import CommandError
from wattbench.hil.wire import Delivery

from .driver_bench import PROFILE, S, profile, run


def test_commands_are_written_rounded_towards_zero() -> None:
    async def use(bench):
        assert await bench.driver.write("power_setpoint_w", 1239.0) == 1230.0
        assert bench.source.commands[-1][:2] == ("power_setpoint_w", 1230.0)
        assert await bench.driver.write("power_setpoint_w", 9.9, read_back=True) == 0.0
        assert await bench.driver.write("power_setpoint_w", 3000) == 3000.0

    run(use)


@pytest.mark.parametrize(
    ("quantity", "value", "message"),
    [
        ("power_setpoint_w", 3010.0, "outside of 0"),
        ("power_setpoint_w", -1.0, "outside of 0|outside"),
        ("power_setpoint_w", math.nan, "not a number"),
        ("power_setpoint_w", math.inf, "not a number"),
        ("power_setpoint_w", "full", "full"),
        ("power_w", 10.0, "cannot be written to this device; allowed: power_setpoint_w"),
    ],
)
def test_commands_that_cannot_be_are_refused_before_they_are_sent(quantity, value, message) -> None:
    async def use(bench):
        before = bench.driver.counters.requests
        with pytest.raises(CommandError, match=message):
            await bench.driver.write(quantity, value)
        assert bench.driver.counters.requests == before
        assert bench.source.commands == []

    run(use)


def test_a_device_without_function_6_gets_function_16() -> None:
    seen = []

    async def use(bench):
        original = bench.device.write_registers

        def note(address, data, t_us, function):
            seen.append(function)
            original(address, data, t_us, function)

        bench.device.write_registers = note
        await bench.driver.write("power_setpoint_w", 100.0)

    run(use)
    run(use, profile(modbus={"functions": [3, 16]}))
    assert seen == [6, 16]


def test_commands_keep_the_devices_pause() -> None:
    some = profile(timing={"min_command_gap_s": 1.5})

    async def use(bench):
        await bench.driver.write("power_setpoint_w", 100.0)
        await bench.driver.write("power_setpoint_w", 200.0)
        first, second = (t_us for _, _, t_us in bench.source.commands)
        assert second - first >= 1.5 * S

    run(use, some)

    async def too_long(bench):
        await bench.driver.write("power_setpoint_w", 100.0)
        with pytest.raises(CommandError, match=r"too soon .* in 30\.0 s"):
            await bench.driver.write("power_setpoint_w", 200.0)
        assert len(bench.source.commands) == 1

    run(too_long, profile(timing={"min_command_gap_s": 30.0}))


def test_a_clock_that_begins_before_zero_makes_nothing_wait() -> None:
    """Rigs are opened before a run begins."""

    async def use(bench):
        assert bench.clock.now_us < -29 * S
        await bench.driver.poll(bench.clock.now_us)
        await bench.driver.write("power_setpoint_w", 100.0)
        assert bench.clock.now_us < -28 * S
        with pytest.raises(CommandError, match="too soon"):
            await bench.driver.write("power_setpoint_w", 200.0)

    timing = {"min_gap_s": 0.01, "min_command_gap_s": 20.0}
    run(use, profile(timing=timing), begin_us=-30 * S)


def test_a_write_that_is_not_confirmed_or_does_not_stay_is_an_error() -> None:
    async def use(bench):
        bench.faults.lose = True
        with pytest.raises(ModbusSilentError):
            await bench.driver.write("power_setpoint_w", 200.0)
        bench.faults.lose = False
        bench.device.write_registers = lambda *_: None
        with pytest.raises(ModbusError, match="does not hold what was written"):
            await bench.driver.write("power_setpoint_w", 200.0, read_back=True)
        del bench.device.write_registers

    run(use)


def test_a_connection_that_broke_unnoticed_does_not_lose_a_command() -> None:
    async def use(bench):
        def cut(frame):
            bench.server.switch(False)
            bench.server.switch(True)
            bench.faults.bend = lambda frame: [Delivery(0, frame)]
            return []

        bench.faults.bend = cut
        await bench.driver.write("power_setpoint_w", 200.0)
        assert bench.source.commands[-1][1] == 200.0

    run(use)


def test_bits_are_read_and_commanded() -> None:
    points = [
        *PROFILE["modbus"]["points"],
        {"quantity": "enabled", "table": "coil", "address": 3, "type": "bool", "access": "rw"},
    ]
    actuators = [*PROFILE["actuators"], {"quantity": "enabled", "high": 1}]
    base = {**PROFILE, "actuators": actuators}

    async def use(bench):
        await bench.poll_until(2)
        assert bench.driver.number("enabled") == 0.0
        assert await bench.driver.write("enabled", 1, read_back=True) == 1.0
        await bench.poll_until(4)
        assert bench.driver.number("enabled") == 1.0
        await bench.driver.write("enabled", "off")
        await bench.poll_until(6)
        assert bench.driver.number("enabled") == 0.0

    for functions in ([1, 3, 5, 6], [1, 3, 6, 15]):
        modbus = {**PROFILE["modbus"], "points": points, "functions": functions}
        run(use, DeviceProfile.model_validate({**base, "modbus": modbus}))


def test_what_is_kept_in_flash_is_written_only_when_it_differs() -> None:
    registers = [
        {"name": "mode", "address": 70, "value": 0, "access": "rw", "nonvolatile": True},
        {"name": "arm", "address": 71, "value": 0, "access": "rw"},
    ]
    points = [dict(p) for p in PROFILE["modbus"]["points"]]
    points[3]["also"] = {"mode": 2, "arm": 1}
    written = []

    async def use(bench):
        write = bench.device.write_registers

        def note(address, data, t_us, function):
            written.append(address)
            write(address, data, t_us, function)

        bench.device.write_registers = note
        for power_w in (100.0, 200.0, 300.0):
            await bench.driver.write("power_setpoint_w", power_w)

    run(use, profile(modbus={"points": points, "registers": registers}))
    # The set-point first, then what goes with it, in order.
    assert written == [50, 70, 71, 50, 71, 50, 71]


def test_a_refused_write_says_the_code() -> None:
    async def use(bench):
        bench.device.functions = frozenset({3})
        with pytest.raises(ModbusRefusedError) as caught:
            await bench.driver.write("power_setpoint_w", 100.0)
        assert caught.value.code == 1

    run(use)
