"""Opening and closing a device, and whether it is the one that is meant."""

import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.source import ConstantSource
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import ModbusLostError
from wattbench.hil.modbus.driver import IdentityError, ModbusDevice
from wattbench.hil.modbus.unit import ModbusRefusal
from wattbench.hil.rig import ReadingError, RigError
from wattbench.sim.clock import VirtualClock

from .driver_bench import PROFILE, VALUES, S, profile, run


def test_a_slow_first_answer_is_waited_for() -> None:
    some = profile(timing={"first_answer_s": 2.0, "idle_s": 30.0})

    async def use(bench):
        assert bench.clock.now_us > 2 * S
        await bench.poll_until(5)
        await bench.clock.sleep_until(100 * S)
        # Nobody has asked it for long: it is slow again, but not lost.
        await bench.driver.poll(100 * S)
        assert bench.driver.counters.timed_out == 0

    run(use, some)


def test_a_busy_device_is_given_time_to_wake_up() -> None:
    async def use(bench):
        read = bench.device.read_registers

        def asleep(table, address, count, t_us):
            if t_us < wakes_us:
                raise ModbusRefusal(6)
            return read(table, address, count, t_us)

        wakes_us = 3 * S
        bench.device.read_registers = asleep
        await bench.driver.open()
        assert 3 * S <= bench.clock.now_us < 4 * S
        wakes_us = 100 * S
        with pytest.raises(RigError, match=r"not available: .* code 6"):
            await bench.driver.open()

    run(use, opened=False)


def test_an_absent_device_is_not_available() -> None:
    async def use(bench):
        bench.units.clear()
        with pytest.raises(RigError, match=r"rod is not available: bus, unit 1: .*"):
            await bench.driver.open()
        bench.server.switch(False)
        with pytest.raises(RigError, match="not available"):
            await bench.driver.open()

    run(use, opened=False)


def test_the_right_serial_number_opens_a_wrong_one_does_not() -> None:
    run(lambda bench: bench.driver.verify_identity(), serial="4711")

    async def use(bench):
        with pytest.raises(IdentityError, match="serial is '4711', not '0815'"):
            await bench.driver.open()
        assert bench.events == [
            ("identity", {"device": "rod", "difference": "serial is '4711', not '0815'"})
        ]

    run(use, opened=False, serial="0815")


def test_a_serial_number_that_cannot_be_told_is_not_taken_on_trust() -> None:
    points = [p for p in PROFILE["modbus"]["points"] if p["quantity"] != "serial"]
    some = profile(modbus={"points": points})

    async def use(bench):
        with pytest.raises(IdentityError, match="does not say one"):
            await bench.driver.open()

    run(use, some, opened=False, serial="4711")

    async def without(bench):
        assert bench.driver.identity.serial == ""
        await bench.driver.write("power_setpoint_w", 100.0)

    run(without, some)


@pytest.mark.parametrize("how", ["connection", "silence"])
def test_another_device_in_its_place_gets_no_write(how) -> None:
    """After every loss of the connection or the device the serial number is asked for again."""

    async def use(bench):
        await bench.driver.write("power_setpoint_w", 100.0)
        source = ConstantSource(VALUES)
        other = EmulatedDevice(profile(), source, bench.clock, serial="9999")
        bench.units[1] = other
        if how == "connection":
            bench.server.switch(False)
            bench.server.switch(True)
            await bench.clock.sleep_until(bench.clock.now_us + 10_000)
        else:
            bench.faults.lose = True
            with pytest.raises(ReadingError):
                await bench.driver.poll(5 * S)
            bench.faults.lose = False
        with pytest.raises(IdentityError, match="serial is '9999', not '4711'"):
            await bench.driver.write("power_setpoint_w", 200.0)
        assert source.commands == []
        bench.units[1] = bench.device
        await bench.driver.write("power_setpoint_w", 300.0)
        assert bench.source.commands[-1][1] == 300.0

    run(use)


def test_a_swap_between_check_and_write_is_noticed() -> None:
    """The connection breaks after the serial number was read and before the write is sent."""

    async def use(bench):
        source = ConstantSource(VALUES)
        other = EmulatedDevice(profile(), source, bench.clock, serial="9999")
        verify = bench.driver.verify_identity

        async def swap():
            identity = await verify()
            bench.units[1] = other
            bench.server.switch(False)
            bench.server.switch(True)
            await bench.clock.sleep_until(bench.clock.now_us + 10_000)
            bench.driver.verify_identity = verify
            return identity

        bench.server.switch(False)
        bench.server.switch(True)
        await bench.clock.sleep_until(bench.clock.now_us + 10_000)
        bench.driver.verify_identity = swap
        with pytest.raises(IdentityError):
            await bench.driver.write("power_setpoint_w", 200.0)
        assert source.commands == []

    run(use)


def test_identity_by_function_43() -> None:
    points = [p for p in PROFILE["modbus"]["points"] if p["quantity"] != "serial"]
    some = profile(modbus={"points": points, "functions": [3, 6, 43]})

    async def use(bench):
        identity = bench.driver.identity
        assert (identity.manufacturer, identity.model, identity.firmware) == ("Maker", "Rod", "1")
        other = EmulatedDevice(some, bench.source, bench.clock)
        other.identity["model"] = "Stick"
        bench.units[1] = other
        with pytest.raises(IdentityError, match="model is 'Stick', not 'Rod'"):
            await bench.driver.verify_identity()

    run(use, some)


def test_no_sunspec_device_is_not_available() -> None:
    modbus = {"sunspec": {"models": [{"id": 1}]}}

    async def use(bench):
        bench.device = bench.units[1] = EmulatedDevice(profile(), bench.source, bench.clock)
        with pytest.raises(RigError, match="no SunSpec models at 40000, 0, 50000"):
            await bench.driver.open()

    run(use, profile(modbus=modbus), opened=False)


def test_closed_means_closed() -> None:
    async def use(bench):
        bench.driver.close()
        with pytest.raises(ReadingError):
            await bench.driver.poll(S)
        with pytest.raises(ModbusLostError):
            await bench.driver.write("power_setpoint_w", 100.0)
        await bench.driver.open()
        await bench.driver.poll(2 * S)

    run(use)


def test_a_profile_of_another_bus_is_refused() -> None:
    data = {**PROFILE, "modbus": None, "zigbee": {"endpoints": [{"id": 1}]}, "actuators": []}
    with VirtualClock() as clock, pytest.raises(Exception, match=r"zigbee|Modbus"):
        ModbusDevice(DeviceProfile.model_validate(data), ModbusBus(clock, None))
