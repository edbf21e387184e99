"""The driver on real sockets and pseudo terminals."""

import asyncio

import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.modbus.bus import BackOff, ModbusBus
from wattbench.hil.modbus.client import LineSettings, ModbusClient
from wattbench.hil.modbus.driver import ModbusDevice
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.rig import ReadingError
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import WallClock

LINE = LineSettings(baud=115200, burst_s=0.0)
QUICK = BackOff(first_s=0.1, most_s=0.2)


@pytest.mark.parametrize("transport", ["tcp", "pty"])
def test_a_bus_that_vanishes_and_comes_back(transport, tmp_path) -> None:
    """A cable or a USB adapter is pulled: readings fail, then go on by themselves."""
    profile = load_device_profile("eastron_sdm630")

    async def main():
        device = EmulatedDevice(profile, StandaloneSource(profile), clock)
        line = LINE if transport == "pty" else None
        framing = "tcp" if line is None else "rtu"
        server = ModbusServer({1: device}, clock, framing=framing, line=line)
        if line is None:
            host, port = await server.serve_tcp()
            client = ModbusClient.tcp(clock, host, port, name="bus", timeout_s=1.0)
        else:
            path = await server.serve_pty(tmp_path / "port")
            client = ModbusClient.serial(clock, path, line, name="bus", timeout_s=1.0)
        bus = ModbusBus(clock, client, back_off=QUICK, reconnect=QUICK)
        driver = ModbusDevice(profile, bus, serial=profile.identity.serial, quantities=["power_w"])
        await driver.open()
        outcomes = []
        for k in range(20):
            if k in {5, 10}:
                server.switch(k == 10)
            try:
                await driver.poll(k * 1_000_000)
                outcomes.append(True)
            except ReadingError:
                outcomes.append(False)
            await asyncio.sleep(0.1)
        assert outcomes[:5] == [True] * 5
        assert not any(outcomes[6:10])
        assert outcomes[-3:] == [True] * 3
        assert bus.generation == 2
        assert driver.number("power_w") == driver.number("power_w")
        driver.close()
        await server.close()

    with WallClock() as clock:
        clock.run(main())


def test_a_command_over_a_socket() -> None:
    profile = load_device_profile("mypv_ac_elwa_2")

    async def main():
        source = StandaloneSource(profile)
        device = EmulatedDevice(profile, source, clock)
        server = ModbusServer({1: device}, clock)
        host, port = await server.serve_tcp()
        client = ModbusClient.tcp(clock, host, port, name="bus", timeout_s=2.0)
        driver = ModbusDevice(profile, ModbusBus(clock, client))
        await driver.open()
        assert await driver.write("power_setpoint_w", 1234.5) == 1234.0
        assert device.value("power_setpoint_w") == 1234.0
        driver.close()
        await server.close()

    with WallClock() as clock:
        clock.run(main())
