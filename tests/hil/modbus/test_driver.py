"""The device driver against an emulated device, and each nuisance that a bus has."""

import asyncio
import math

import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.source import ConstantSource
from wattbench.hil.modbus.bus import ModbusBus
from wattbench.hil.modbus.client import (
    LineSettings,
    ModbusClient,
    ModbusError,
    ModbusLostError,
    ModbusRefusedError,
    ModbusSilentError,
)
from wattbench.hil.modbus.driver import CommandError, IdentityError, ModbusDevice
from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.unit import ModbusRefusal
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.wire import Delivery
from wattbench.sim.clock import VirtualClock

S = 1_000_000
VALUES = {"power_w": 1000.0, "temperature_c": 41.5, "energy_wh": 5000.0}

PROFILE = {
    "name": "rod",
    "kind": "heater",
    "identity": {"manufacturer": "Maker", "model": "Rod", "serial": "4711", "firmware": "1"},
    "ratings": {"power_w": 3000},
    "timing": {"refresh_s": 0.1, "answer_s": 0.005},
    "actuators": [{"quantity": "power_setpoint_w", "high": 3000}],
    "modbus": {
        "functions": [3, 6, 16],
        "points": [
            {"quantity": "power_w", "address": 10, "type": "int16", "low": 0, "high": 3500},
            {"quantity": "temperature_c", "address": 11, "type": "int16", "scale": 0.1},
            {"quantity": "energy_wh", "address": 40, "type": "uint32", "poll_s": 10},
            {
                "quantity": "power_setpoint_w",
                "address": 50,
                "type": "uint16",
                "scale": 10,
                "access": "rw",
                "low": 0,
                "high": 3000,
            },
            {"quantity": "serial", "address": 60, "type": "string", "length": 4, "poll_s": 0},
        ],
    },
}


def profile(**changes) -> DeviceProfile:
    """Return the profile with keys of its sections changed."""
    data = {**PROFILE}
    for section, values in changes.items():
        data[section] = {**data[section], **values}
    return DeviceProfile.model_validate(data)


class Faults:
    """Bends answers (or loses requests) as told."""

    def __init__(self) -> None:
        self.bend = lambda frame: [Delivery(0, frame)]
        self.lose = False

    def requests(self, bus, t_us, frame):
        return [] if self.lose else [Delivery(0, frame)]

    def answers(self, bus, t_us, frame):
        return self.bend(frame)

    def accepts(self, bus, t_us):
        return True

    def attach(self, bus, send, close):
        return lambda: None


class Bench:
    """A device behind a server in memory, and its driver."""

    def __init__(self, clock, some: DeviceProfile, *, line=None, **options) -> None:
        assert some.modbus is not None
        self.clock = clock
        self.source = ConstantSource(VALUES)
        self.device = EmulatedDevice(some, self.source, clock)
        self.units = {some.modbus.unit: self.device}
        self.faults = Faults()
        framing = "tcp" if line is None else "rtu"
        self.server = ModbusServer(self.units, clock, framing=framing, line=line)
        self.server.faults = self.faults
        client = ModbusClient.in_memory(
            clock, self.server.protocol, name="bus", one_way_us=1000, timeout_s=0.5, line=line
        )
        self.bus = ModbusBus(clock, client)
        self.events: list[tuple[str, dict]] = []
        self.driver = ModbusDevice(
            some, self.bus, on_event=lambda kind, data: self.events.append((kind, data)), **options
        )

    def values(self) -> dict:
        return {name: reading.value for name, reading in self.driver.readings.items()}

    def qualities(self) -> set:
        return {reading.quality for reading in self.driver.readings.values()}

    async def poll_until(self, end_s: float, period_s: float = 1.0) -> list:
        """Poll at every period; return what each poll raised, None for nothing."""
        raised = []
        t_us = -(-self.clock.now_us // round(period_s * S)) * round(period_s * S)
        while t_us <= end_s * S:
            await self.clock.sleep_until(t_us)
            try:
                await self.driver.poll(t_us)
                raised.append(None)
            except (ReadingError, RigError) as error:
                raised.append(error)
            t_us += round(period_s * S)
        return raised


def run(
    use, some: DeviceProfile | None = None, *, opened: bool = True, begin_us: int = 0, **options
):
    """Let `use(bench)` work with an opened driver."""

    async def main():
        bench = Bench(clock, some or profile(), **options)
        if opened:
            await bench.driver.open()
        result = await use(bench)
        bench.driver.close()
        return result

    with VirtualClock(begin_us) as clock:
        return clock.run(main())


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


def flipped(at: int, mask: int = 0xFF):
    def bend(frame: bytes) -> list[Delivery]:
        data = bytearray(frame)
        data[at] ^= mask
        return [Delivery(0, bytes(data))]

    return bend


NUISANCES = {
    "delay": lambda frame: [Delivery(700_000, frame)],
    "duplicate": lambda frame: [Delivery(0, frame), Delivery(0, frame), Delivery(300_000, frame)],
    "drop": lambda frame: [],
    "truncated": lambda frame: [Delivery(0, frame[:-3])],
    "longer": lambda frame: [Delivery(0, frame + b"\0\0\0")],
    "garbage": lambda frame: [Delivery(0, b"\x13\x37\x42" * 5), Delivery(0, frame)],
    "garbage behind": lambda frame: [Delivery(0, frame + b"\xff" * 40)],
    "wrong transaction id": flipped(0, 0x40),
    "wrong unit": flipped(6),
    "wrong protocol id": flipped(3),
    "wrong function": flipped(7, 0x07),
    "exception": lambda frame: [Delivery(0, frame[:4] + b"\0\3" + frame[6:7] + b"\x83\x04")],
    "byte by byte": lambda frame: [Delivery(1000 * k, frame[k : k + 1]) for k in range(len(frame))],
}


LINE = LineSettings(baud=38400, burst_s=0.0)
ONLY_TCP = {"wrong transaction id", "wrong protocol id"}


@pytest.mark.parametrize(
    ("nuisance", "line"),
    [
        *((nuisance, None) for nuisance in NUISANCES),
        *((nuisance, LINE) for nuisance in NUISANCES if nuisance not in ONLY_TCP),
    ],
)
def test_no_nuisance_brings_a_wrong_value_or_outlives_itself(nuisance, line) -> None:
    """Power and temperature say the same second in different words, so that a mix would show."""
    bend = NUISANCES[nuisance]

    async def use(bench):
        seen: list[tuple[int, dict]] = []

        async def count():
            for k in range(41):
                bench.source.values |= {"power_w": float(k), "temperature_c": k / 10}
                await bench.clock.sleep_until((k + 1) * S - 200_000)

        counting = asyncio.ensure_future(count())
        for k in range(1, 41):
            bench.faults.bend = bend if 10 <= k < 20 else lambda frame: [Delivery(0, frame)]
            await bench.clock.sleep_until(k * S)
            try:
                await bench.driver.poll(k * S)
            except ReadingError:
                continue
            reading = bench.driver.readings["power_w"]
            if reading.received_us >= k * S:
                # Polled at k s, the device shows k; a late answer would show less.
                assert (k, reading.value) == (k, float(k))
                assert bench.driver.readings["temperature_c"].value == k / 10
                seen.append(k)
        await counting
        assert set(range(1, 10)) <= set(seen)
        # Back-off lasts at most twice as long as the trouble.
        assert set(range(38, 41)) <= set(seen)
        assert bench.values()["serial"] == "4711"

    run(use, line=line)


def test_a_broken_connection_is_made_again_and_fails_one_poll_at_most() -> None:
    async def use(bench):
        for k in range(1, 20):
            await bench.clock.sleep_until(k * S)
            if k == 10:
                bench.server.switch(False)
                bench.server.switch(True)
                await bench.clock.sleep_until(k * S + 10_000)
            await bench.driver.poll(k * S)
        assert bench.bus.generation == 2
        assert bench.driver.readings["power_w"].received_us > 19 * S

    run(use)


def test_a_connection_that_breaks_under_a_request() -> None:
    async def use(bench):
        await bench.poll_until(1)

        def cut(frame):
            bench.server.switch(False)
            bench.server.switch(True)
            bench.faults.bend = lambda frame: [Delivery(0, frame)]
            return []

        bench.faults.bend = cut
        raised = await bench.poll_until(4)
        assert [type(error) for error in raised] == [ReadingError, type(None), type(None)]

    run(use)


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


def test_requests_keep_the_devices_pause() -> None:
    some = profile(timing={"min_gap_s": 0.2, "too_early": "busy"})

    async def use(bench):
        assert set(await bench.poll_until(20)) == {None}
        assert bench.driver.counters.refused == 0

    run(use, some)


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


def test_what_the_device_lacks_is_missing_and_does_not_stop_the_rest() -> None:
    more = [*PROFILE["modbus"]["points"], {"quantity": "gone", "address": 200}]
    knows = profile(modbus={"points": more})

    async def use(bench):
        bench.device = bench.units[1] = EmulatedDevice(profile(), bench.source, bench.clock)
        await bench.poll_until(3)
        assert bench.driver.readings["gone"].quality == "missing"
        assert bench.driver.number("power_w") == 1000.0

    run(use, knows)


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


def test_a_refused_write_says_the_code() -> None:
    async def use(bench):
        bench.device.functions = frozenset({3})
        with pytest.raises(ModbusRefusedError) as caught:
            await bench.driver.write("power_setpoint_w", 100.0)
        assert caught.value.code == 1

    run(use)


def test_a_profile_of_another_bus_is_refused() -> None:
    data = {**PROFILE, "modbus": None, "zigbee": {"endpoints": [{"id": 1}]}, "actuators": []}
    with VirtualClock() as clock, pytest.raises(Exception, match=r"zigbee|Modbus"):
        ModbusDevice(DeviceProfile.model_validate(data), ModbusBus(clock, None))


def test_the_same_run_twice_is_the_same_to_the_microsecond() -> None:
    async def use(bench):
        times = []
        for k in range(1, 30):
            bench.faults.bend = NUISANCES["delay" if k % 7 == 3 else "duplicate"]
            await bench.clock.sleep_until(k * S)
            try:
                await bench.driver.poll(k * S)
            except ReadingError as error:
                times.append(str(error))
            times.append(bench.clock.now_us)
        return times

    assert run(use) == run(use)
