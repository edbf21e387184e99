"""Every shipped profile: emulated, read through its own driver, held against what was measured."""

import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.fields import resolve
from wattbench.hil.devices.model import profile_names
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import LineSettings, ModbusClient
from wattbench.hil.modbus.driver import ModbusDevice
from wattbench.hil.modbus.server import ModbusServer
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import VirtualClock

S = 1_000_000
PROFILES = [
    profile for profile in map(load_device_profile, profile_names()) if profile.modbus is not None
]
CASES = [
    pytest.param(profile, transport, id=f"{profile.name}-{transport}")
    for profile in PROFILES
    for transport in ("tcp", "rtu")
    if transport in profile.modbus.transports
]
PARITIES = {"none": "N", "even": "E", "odd": "O"}


class Recording:
    """A source whose time stands still for 10 s each, and that remembers what it measured."""

    def __init__(self, profile) -> None:
        self.source = StandaloneSource(profile, seed=3)
        self.shown: dict[str, float | str | None] = {}
        self.commands: list[tuple[str, float]] = []

    def measure(self, quantity, t_us):
        value = self.shown[quantity] = self.source.measure(quantity, t_us // (10 * S) * 10 * S)
        return value

    def command(self, quantity, value, t_us) -> None:
        self.commands.append((quantity, value))
        self.source.command(quantity, value, t_us)


def run(profile, transport, use, **options):
    """Let `use(driver, device, source, clock)` work with the profile's device."""
    modbus = profile.modbus
    line = None
    if transport == "rtu":
        settings = modbus.serial_line
        line = LineSettings(settings.baud_rate, PARITIES[settings.parity], settings.stop_bits)

    async def main():
        source = Recording(profile)
        device = EmulatedDevice(profile, source, clock)
        server = ModbusServer({modbus.unit: device}, clock, framing=transport, line=line)
        client = ModbusClient.in_memory(
            clock, server.protocol, name="bus", one_way_us=1000, timeout_s=0.5, line=line
        )
        driver = ModbusDevice(profile, ModbusBus(clock, client), **options)
        await driver.open()
        result = await use(driver, device, source, clock)
        driver.close()
        return result

    with VirtualClock() as clock:
        return clock.run(main())


def count_of(item, fields) -> float:
    """Return what one count of a field's register is worth."""
    factor = fields.named.get(item.scale_name or "")
    return abs(item.factor) * 10.0 ** (float(factor.default) if factor is not None else 0.0)


@pytest.mark.parametrize(("profile", "transport"), CASES)
def test_every_quantity_is_read_as_it_was_measured(profile, transport) -> None:
    fields = resolve(profile)

    async def use(driver, device, source, clock):
        compared = 0
        for k in range(2, 8):
            await clock.sleep_until(t_us := (10 * k + 5) * S)
            readings = await driver.poll(t_us)
            for quantity, reading in readings.items():
                item = fields.reading(quantity)
                measured = source.shown.get(quantity)
                if measured is None or item.labels or isinstance(measured, str):
                    continue
                if reading.received_us < t_us and k > 2:
                    # Not due in this poll.
                    continue
                assert reading.quality == "good", quantity
                step = max(count_of(item, fields), item.resolution or 0.0)
                if item.type.startswith("float"):
                    step *= 1e-6
                assert reading.value == pytest.approx(measured, rel=3e-7, abs=1.01 * step), quantity
                compared += 1
        assert compared >= 6 * 2
        assert driver.counters.timed_out == 0
        return {reading.quality for reading in driver.readings.values()}

    qualities = run(profile, transport, use)
    assert qualities <= {"good", "missing"}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_every_quantity_that_the_profile_promises_has_a_value(profile) -> None:
    async def use(driver, device, source, clock):
        await clock.sleep_until(20 * S)
        await driver.poll(20 * S)
        assert set(driver.readings) == set(resolve(profile).quantities("r"))
        return [name for name, reading in driver.readings.items() if reading.value is None]

    assert run(profile, profile.modbus.transports[0], use) == []


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_it_says_who_it_is(profile) -> None:
    async def use(driver, device, source, clock):
        return driver.identity

    identity = run(profile, profile.modbus.transports[0], use)
    for key in ("serial", "model", "manufacturer", "firmware"):
        assert getattr(identity, key) in {"", getattr(profile.identity, key)}


@pytest.mark.parametrize("profile", PROFILES, ids=lambda profile: profile.name)
def test_the_reads_are_few_and_within_its_limits(profile) -> None:
    async def use(driver, device, source, clock):
        await driver.poll(0)
        before = driver.counters.requests
        for k in range(1, 101):
            await clock.sleep_until(k * S)
            await driver.poll(k * S)
        assert driver.counters.refused == 0
        return (driver.counters.requests - before) / 100

    a_second = run(profile, profile.modbus.transports[0], use)
    points = len(resolve(profile).quantities("r"))
    assert a_second <= points, f"{a_second} requests a second for {points} points"


COMMANDS = [
    pytest.param(profile, actuator, id=f"{profile.name}-{actuator.quantity}")
    for profile in PROFILES
    for actuator in profile.actuators
    if resolve(profile).writing(actuator.quantity) is not None
]


@pytest.mark.parametrize(("profile", "actuator"), COMMANDS)
def test_every_command_arrives(profile, actuator) -> None:
    fields = resolve(profile)
    item = fields.writing(actuator.quantity)
    step = max(count_of(item, fields), item.resolution or 0.0, actuator.resolution)

    async def use(driver, device, source, clock):
        await clock.sleep_until(10 * S)
        await driver.poll(10 * S)
        source.commands.clear()
        low = max(actuator.low, -1e9 if item.low is None else item.low)
        high = min(actuator.high, 1e9 if item.high is None else item.high)
        wanted = low + 0.7 * (high - low)
        sent = await driver.write(actuator.quantity, wanted)
        assert abs(sent) <= abs(wanted) + 1e-9
        assert sent == pytest.approx(wanted, abs=1.001 * step)
        commanded = [value for quantity, value in source.commands if quantity == actuator.quantity]
        assert commanded[-1] == pytest.approx(sent, abs=step)

    run(profile, profile.modbus.transports[0], use)
