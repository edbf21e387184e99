"""The driver of a rig: what it writes to which device, what it takes for a sample, what it says."""

from __future__ import annotations

import asyncio
from typing import Any

import numpy as np
import pytest

from wattbench.hil.emulation.effects import Effects
from wattbench.hil.modbus.errors import ModbusRefusedError, ModbusSilentError
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.rig_driver import NO_ANSWER, RigDriver
from wattbench.hil.rigs.model import Rig
from wattbench.hil.wired_actuator import WiredActuator
from wattbench.scenarios.rigs import load_profiles
from wattbench.sim.clock import VirtualClock
from wattbench.sim.edge import meter
from wattbench.sim.points import Actuator

S = 1_000_000


def profile(name: str) -> Any:
    rig = {
        "name": "x",
        "buses": [{"id": "lan", "kind": "modbus-tcp", "port": 0}],
        "devices": [{"id": "d", "profile": name, "bus": "lan", "emulated": True}],
    }
    return load_profiles(Rig.model_validate(rig))[name]


class Reading:
    def __init__(self, value: float | None = None) -> None:
        self.value = value


class Device:
    """Stands for a `ModbusDevice`: remembers what was written, says what it is told to say."""

    def __init__(self, name: str, template: str, **values: float | None) -> None:
        self.name, self.profile = name, profile(template)
        self.readings = {key: Reading(value) for key, value in values.items()}
        self.changed_us = 0
        self.written: list[tuple[str, float]] = []
        self.failure: Exception | None = None
        self.opened = 0
        self.polled = 0

    async def open(self) -> None:
        self.opened += 1
        if self.failure is not None:
            raise self.failure

    async def poll(self, t_us: int) -> Any:
        self.polled += 1
        if self.failure is not None:
            raise self.failure
        return self.readings

    def number(self, quantity: str) -> float:
        value = self.readings[quantity].value
        return float("nan") if value is None else value

    async def write(self, quantity: str, value: float) -> float:
        if self.failure is not None:
            raise self.failure
        self.written.append((quantity, value))
        return value


class Power:
    """Loads behind a coordinator."""

    def __init__(self) -> None:
        self.sent: list[dict[int, float]] = []
        self.status = 0
        self.power_reports: dict[int, Any] = {}

    async def set_power(self, powers_w: Any) -> tuple[int, int]:
        self.sent.append(dict(powers_w))
        return (-1 if self.status else len(self.sent) - 1), self.status

    def acked_us(self, seq: int) -> dict[int, int]:
        return {0: 1000 + seq}


def actuator(name: str, kind: Any, low: float, high: float, phases: str = "a") -> Actuator:
    shares = tuple(1.0 / len(phases) if phase in phases else 0.0 for phase in "abc")
    return Actuator(
        id=name, kind=kind, phase_shares=shares, low_w=low, high_w=high, min_on_w=0.0,
        resolution_w=1.0, min_on_s=0.0, min_off_s=0.0, safe_w=0.0, danger="x",
    )  # fmt: skip


LOAD = actuator("a1", "load", 0.0, 2000.0)
CHARGER = actuator("west", "charger", 0.0, 11040.0, "abc")
ONE_PHASE = actuator("east", "charger", 0.0, 3680.0, "b")
SUN = actuator("pv", "pv_limit", 0.0, 8000.0, "abc")
BATTERY = actuator("battery", "battery", -5000.0, 4000.0, "abc")


@pytest.mark.parametrize(
    ("what", "template", "power_w", "written"),
    [
        (LOAD, "mypv_ac_elwa_2", 700.0, [("power_setpoint_w", 700.0)]),
        (SUN, "sunspec_inverter", 3000.0, [("power_limit_w", 3000.0)]),
        (BATTERY, "sunspec_der", -2500.0, [("power_setpoint_w", -2500.0)]),
        (
            CHARGER, "goe_charger", 230.0 * 3 * 10,
            [("current_setpoint_a", 10.0), ("enabled", 1.0)],
        ),
        (ONE_PHASE, "goe_charger", 230.0 * 8, [("current_setpoint_a", 8.0), ("enabled", 1.0)]),
        (CHARGER, "goe_charger", 230.0 * 3 * 5, [("enabled", 0.0)]),
        (CHARGER, "goe_charger", 0.0, [("enabled", 0.0)]),
        # 4140 W are 6 A on three phases, but for the last digit.
        (CHARGER, "goe_charger", 4140.0 - 1e-9, [("current_setpoint_a", 6.0), ("enabled", 1.0)]),
    ],
)  # fmt: skip
def test_what_a_set_point_becomes(
    what: Actuator, template: str, power_w: float, written: list[tuple[str, float]]
) -> None:
    device: Any = Device("d", template)
    assert asyncio.run(WiredActuator(0, what, device).write(power_w, 0, 30 * S)) is True
    assert [name for name, _ in device.written] == [name for name, _ in written]
    for (_, value), (_, expected) in zip(device.written, written, strict=True):
        assert value == pytest.approx(expected)


def test_an_unchanged_set_point_is_written_when_it_is_old() -> None:
    device: Any = Device("d", "mypv_ac_elwa_2")
    port = WiredActuator(0, LOAD, device)
    took = [asyncio.run(port.write(500.0, t * S, 30 * S)) for t in (0, 10, 29, 30, 45, 61)]
    assert took == [True, False, False, True, False, True]
    assert asyncio.run(port.write(600.0, 62 * S, 30 * S)) is True


def test_a_set_point_that_was_not_confirmed_is_written_again() -> None:
    device: Any = Device("d", "mypv_ac_elwa_2")
    port = WiredActuator(0, LOAD, device)
    asyncio.run(port.write(500.0, 0, 30 * S))
    device.failure = ModbusSilentError("no answer")
    with pytest.raises(ModbusSilentError):
        asyncio.run(port.write(600.0, S, 30 * S))
    device.failure = None
    # Which of the two it has, nobody knows.
    assert asyncio.run(port.write(500.0, 2 * S, 30 * S)) is True


def test_a_charger_is_enabled_once() -> None:
    device: Any = Device("d", "goe_charger")
    port = WiredActuator(0, CHARGER, device)
    for t, amps in enumerate((10, 12, 0, 8)):
        asyncio.run(port.write(230.0 * 3 * amps, t * S, 30 * S))
    assert [(n, round(v, 6)) for n, v in device.written] == [
        ("current_setpoint_a", 10.0), ("enabled", 1.0), ("current_setpoint_a", 12.0),
        ("enabled", 0.0), ("current_setpoint_a", 8.0), ("enabled", 1.0),
    ]  # fmt: skip


def test_a_paused_charger_keeps_its_set_point() -> None:
    """Who reads it back must expect the one from before, and nothing that was never written."""
    device: Any = Device("d", "goe_charger")
    port, told = WiredActuator(0, CHARGER, device), []
    for t, amps in enumerate((10, 10, 0, 0, 8)):
        told.append(port.set_point(230.0 * 3 * amps, t * S, 30 * S))
        asyncio.run(port.write(230.0 * 3 * amps, t * S, 30 * S))
    assert told == [pytest.approx(10.0), None, None, None, pytest.approx(8.0)]
    currents = [value for name, value in device.written if name == "current_setpoint_a"]
    assert currents == pytest.approx([value for value in told if value is not None])


def test_a_device_that_takes_no_set_point_is_said() -> None:
    device: Any = Device("meter", "eastron_sdm630")
    with pytest.raises(RigError, match="'meter' cannot be 'a1': it takes none of power_setpoint_w"):
        WiredActuator(0, LOAD, device)


GRID = {"power_w": -500.0, "power_a_w": -500.0, "voltage_a_v": 231.0, "export_energy_wh": 12.0}


class Lab:
    """A driver before fakes."""

    def __init__(self, clock: VirtualClock, actuators: list[Actuator], **more: Any) -> None:
        self.grid = Device("grid", "eastron_sdm630", **GRID)
        self.pv = Device("pv", "sunspec_inverter", power_w=2000.0)
        self.power = Power()
        self.effects = Effects(len(actuators))
        self.wired: dict[int, Device] = {}
        ports = []
        for place, one in enumerate(actuators):
            if one.kind != "load":
                template = {"charger": "goe_charger", "battery": "sunspec_der"}[one.kind]
                self.wired[place] = Device(one.id, template)
                wired: Any = self.wired[place]
                ports.append(WiredActuator(place, one, wired))
        grid: Any = self.grid
        pv: Any = self.pv
        options: dict[str, Any] = {
            "grid": grid, "pv": pv, "wired": ports, "power": self.power, "refresh_us": 30 * S,
            "effects": lambda: self.effects, "opening": [], "closing": [], "reports": False,
            "identity": lambda: {"name": "lab"}, "devices": {},
        }  # fmt: skip
        self.driver = RigDriver(clock, actuators, **options | more)


def test_loads_go_out_in_one_broadcast_and_the_rest_by_wire() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD, CHARGER, actuator("b1", "load", 0.0, 3000.0, "b"), BATTERY])
        seq, status = clock.run(lab.driver.write(np.array([700.0, 6900.0, 0.0, -100.0])))
        assert (seq, status) == (0, 0)
        assert lab.power.sent == [{0: 700.0, 2: 0.0}]
        assert [name for name, _ in lab.wired[1].written] == ["current_setpoint_a", "enabled"]
        assert lab.wired[3].written == [("power_setpoint_w", -100.0)]
        acked = lab.driver.acked_us(0)
        assert acked[0] == 1000
        assert acked[1] >= 0
        assert acked[2] == -1, "its reply has not come"
        lab.effects.broadcast(0, 0, np.array([5 * S, -1, 6 * S, -1]))
        lab.effects.wire(10, 1, 2 * S)
        assert lab.driver.effective_us(0).tolist() == [5 * S, 2 * S, 6 * S, -1]


def test_a_broadcast_that_is_refused_keeps_the_wires_still() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD, BATTERY])
        for status in (1, 2):
            lab.power.status = status
            assert clock.run(lab.driver.write(np.array([700.0, 100.0]))) == (-1, status)
        assert lab.wired[1].written == []


@pytest.mark.parametrize("failure", [ModbusSilentError("gone"), ModbusRefusedError("no", 4)])
def test_a_device_that_does_not_confirm_is_status_3(failure: Exception) -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD, BATTERY, CHARGER])
        lab.wired[1].failure = failure
        seq, status = clock.run(lab.driver.write(np.array([700.0, 100.0, 0.0])))
        assert (seq, status) == (0, NO_ANSWER)
        acked = lab.driver.acked_us(seq)
        assert acked[1] == -1
        assert acked[2] >= 0, "the others have it"


def test_an_actuator_that_confirms_nothing_for_half_a_minute_is_given_up() -> None:
    """The others get their set-points all the same, also when the rig is being made safe."""

    async def try_on() -> int:
        for second in range(40):
            await clock.sleep_until(second * S)
            try:
                await lab.driver.write(np.array([700.0, 100.0, 6900.0]))
            except RigError:
                return second
        return -1

    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD, BATTERY, CHARGER])
        lab.wired[1].failure = ModbusSilentError("gone")
        assert clock.run(try_on()) == 30
        before = len(lab.wired[2].written)
        with pytest.raises(RigError, match="no set-point confirmed for 30 s"):
            clock.run(lab.driver.write(np.array([0.0, 0.0, 0.0])))
        assert len(lab.wired[2].written) > before


def test_what_a_device_held_already_is_confirmed_and_effects_nothing() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [BATTERY])
        for _ in range(2):
            clock.run(lab.driver.write(np.array([100.0])))
        lab.effects.wire(0, 0, S)
        assert lab.driver.acked_us(1)[0] >= 0
        assert lab.driver.effective_us(0)[0] == S
        assert lab.driver.effective_us(1)[0] == -1


def test_a_sample_is_what_the_meter_and_the_inverter_say() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD])
        clock.run(lab.driver.open())
        lab.grid.changed_us = 5
        first = clock.run(lab.driver.read(0))
        assert first is not None
        assert first.values[meter.POWER_TOTAL] == -500.0
        assert first.values[meter.VOLTAGE_A] == 231.0
        assert first.values[meter.EXPORT_NET] == 12.0
        assert first.values[meter.PV_POWER] == 2000.0
        assert (first.sampled_us, first.published_us) == (5, 5)


def test_values_that_stand_still_are_one_sample() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD])
        first = clock.run(lab.driver.read(0))
        again = clock.run(lab.driver.read(S))
        assert first is not None
        assert again is not None
        assert again.sampled_us == first.sampled_us
        lab.grid.changed_us = S
        later = clock.run(lab.driver.read(2 * S))
        assert later is not None
        assert later.sampled_us == S


def test_a_silent_inverter_does_not_stop_the_loop() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD])
        for failure in (ReadingError("night"), RigError("lost")):
            lab.pv.failure = failure
            assert clock.run(lab.driver.read(0)) is not None
        lab.pv.failure, lab.pv.readings["power_w"].value = None, None
        reading = clock.run(lab.driver.read(0))
        assert reading is not None
        assert reading.values[meter.PV_POWER] == 0.0


def test_a_meter_that_is_starting_has_no_sample_yet() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD])
        busy = ReadingError("busy")
        busy.__cause__ = ModbusRefusedError("busy", 6)
        lab.grid.failure = busy
        assert clock.run(lab.driver.read(0)) is None
        lab.grid.failure, lab.grid.readings["power_w"].value = None, None
        assert clock.run(lab.driver.read(0)) is None
        lab.grid.readings["power_w"].value = 3.0
        assert clock.run(lab.driver.read(0)) is not None
        # From then on it is silence.
        lab.grid.failure = busy
        with pytest.raises(ReadingError):
            clock.run(lab.driver.read(0))
        lab.grid.failure, lab.grid.readings["power_w"].value = None, None
        with pytest.raises(ReadingError, match="no value"):
            clock.run(lab.driver.read(0))


def test_a_meter_that_is_given_up_ends_the_run() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD])
        lab.grid.failure = RigError("lost")
        with pytest.raises(RigError, match="lost"):
            clock.run(lab.driver.read(0))


def test_opening_asks_three_times() -> None:
    with VirtualClock() as clock:
        calls = []

        async def opener() -> None:
            calls.append(clock.now_us)
            if len(calls) < 3:
                raise ReadingError("slow")

        clock.run(Lab(clock, [LOAD], opening=[opener]).driver.open())
        assert len(calls) == 3

        async def never() -> None:
            raise RigError("nobody")

        with pytest.raises(RigError, match="nobody"):
            clock.run(Lab(clock, [LOAD], opening=[never]).driver.open())


def test_closing_closes_everything() -> None:
    with VirtualClock() as clock:
        closed = []

        async def slowly() -> None:
            closed.append("slowly")

        lab = Lab(clock, [LOAD], closing=[lambda: closed.append("at once"), slowly])
        clock.run(lab.driver.close())
        assert closed == ["at once", "slowly"]


def test_reports_by_load() -> None:
    from wattbench.hil.zigbee.slots import Report

    with VirtualClock() as clock:
        lab = Lab(clock, [BATTERY, LOAD, actuator("b1", "load", 0.0, 1.0, "b")], reports=True)
        lab.power.power_reports = {2: Report(640.0, 5)}
        reports = lab.driver.reports_w(0)
        assert reports is not None
        np.testing.assert_array_equal(reports, [np.nan, 640.0])
        assert Lab(clock, [LOAD]).driver.reports_w(0) is None


def test_nothing_is_asked_of_devices_whose_player_has_gone() -> None:
    with VirtualClock() as clock:
        lab = Lab(clock, [LOAD])

        def gone() -> None:
            raise RigError("gone")

        lab.driver.alive = gone
        with pytest.raises(RigError, match="gone"):
            clock.run(lab.driver.read(0))
        with pytest.raises(RigError, match="gone"):
            clock.run(lab.driver.write(np.zeros(1)))
        assert lab.grid.polled == 0
        assert lab.power.sent == []


def test_events_of_devices_are_the_runs() -> None:
    with VirtualClock(-5 * S) as clock:
        lab = Lab(clock, [LOAD])
        told: list[Any] = []

        class Events:
            def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
                told.append((t_sim_us, kind, data))

        lab.driver.device_event("meter", "lost", {"silent_s": 30.0})
        lab.driver.listen(Events())
        lab.driver.device_event("meter", "back", {})
        assert told == [(0, "device_back", {"device": "meter"})]
