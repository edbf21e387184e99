"""The real part of a rig during a run: measuring, playing, other masters."""

from __future__ import annotations

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattbench.hil.modbus.errors import ModbusSilentError
from wattbench.hil.real_rig import Player, RealRig, Watched
from wattbench.hil.real_site import ConnectionLog
from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.rigs.masters import SetpointWatch
from wattbench.hil.rigs.safety import Calibration
from wattbench.hil.zigbee.slots import Report
from wattbench.scenarios.devices import load_device_profile

S = 1_000_000


class FakeDevice:
    """Answers with what it is given, takes what it is told."""

    def __init__(self, name: str, **values: float) -> None:
        self.name = name
        self.values = values
        self.written: list[tuple[str, float]] = []
        self.silent = False

    async def poll(self, t_us: int) -> None:
        if self.silent:
            raise ReadingError("no answer")

    def number(self, quantity: str) -> float:
        return self.values.get(quantity, math.nan)

    async def write(self, quantity: str, value: float) -> None:
        if self.silent:
            raise ModbusSilentError("no answer")
        self.written.append((quantity, value))


class FakeSession:
    def __init__(self) -> None:
        self.reasons: list[str] = []
        self.promises: list[float] = []
        self.asked = 0

    def expect(self, within_s: float) -> None:
        self.promises.append(within_s)

    def may_write(self) -> None:
        self.asked += 1

    def broken(self, reason: str) -> RigError:
        self.reasons.append(reason)
        return RigError(reason)


@pytest.fixture
def rig():
    """Return a function that makes a rig of fakes; `drawn` is what loads were said to draw."""

    def make(**parts: Any) -> SimpleNamespace:
        clock = SimpleNamespace(now_us=0, mode="wall")
        session, drawn = FakeSession(), []
        made = RealRig(
            clock,
            session,
            tick_s=1.0,
            refresh_us=30 * S,
            measured=lambda place, power_w: drawn.append((place, power_w)),
            **parts,
        )

        def tick(t_s: float, reports: dict[int, Report] | None = None) -> None:
            clock.now_us = round(t_s * S)
            asyncio.run(made.tick(clock.now_us, reports or {}))

        return SimpleNamespace(rig=made, session=session, drawn=drawn, tick=tick, clock=clock)

    return make


def test_loads_are_measured_and_corrected_by_their_calibration(rig) -> None:
    heater = FakeDevice("heater", power_w=1000.0)
    correction = Calibration(point="power_w", gain=1.1, offset=-20.0)
    bench = rig(loads={2: heater}, calibrations={("heater", "power_w"): correction})
    bench.tick(1)
    assert bench.drawn == [(2, pytest.approx(1080.0))]


def test_a_load_that_is_silent_or_shows_nothing_keeps_what_was_measured_last(rig) -> None:
    heater, mute = FakeDevice("heater", power_w=1000.0), FakeDevice("mute")
    bench = rig(loads={0: heater, 1: mute})
    heater.silent = True
    bench.tick(1)
    assert bench.drawn == []
    # What the heater showed last is still good; the other one never showed anything.
    assert bench.rig.unseen_s == {"mute": 1.0}


def test_for_how_long_nothing_was_seen_is_counted(rig) -> None:
    heater, witness = FakeDevice("heater", power_w=1000.0), FakeDevice("witness")
    bench = rig(loads={0: heater}, witness=witness, log=ConnectionLog(10))
    for second in range(5):
        if second == 2:
            heater.silent = True
            heater.values = {}  # too old by now
        bench.tick(second)
    assert bench.rig.unseen_s == {"heater": 3.0, "witness": 5.0}


def test_negative_noise_of_a_load_counts_as_nothing(rig) -> None:
    bench = rig(loads={0: FakeDevice("heater", power_w=-3.0)})
    bench.tick(1)
    assert bench.drawn == [(0, 0.0)]


def test_reports_through_a_coordinator_count_for_real_loads_alone(rig) -> None:
    bench = rig(reporting=frozenset({1}))
    bench.tick(1, {0: Report(500.0, 0), 1: Report(700.0, 0)})
    assert bench.drawn == [(1, 700.0)]


def test_the_witness_fills_the_log_of_the_connection(rig) -> None:
    values = {f"power_{p}_w": w for p, w in zip("abc", (100.0, -50.0, 25.0), strict=True)}
    values |= {f"voltage_{p}_v": 230.0 for p in "abc"}
    witness = FakeDevice("witness", **values)
    correction = Calibration(point="power_a_w", offset=10.0)
    log = ConnectionLog(4)
    bench = rig(witness=witness, log=log, calibrations={("witness", "power_a_w"): correction})
    for second in range(4):
        bench.tick(second)
    columns = {"t_sim_us": np.arange(1, 5) * S}
    log.overlay(columns)
    assert columns["grid.a.power_w"].tolist() == [110.0] * 4
    assert columns["grid.net.import_energy_wh"][-1] == pytest.approx(4 * 85.0 / 3600)
    assert columns["grid.b.export_energy_wh"][-1] == pytest.approx(4 * 50.0 / 3600)


def test_a_player_is_told_when_the_power_moves_and_again_when_it_is_time(rig) -> None:
    device = FakeDevice("sun")
    player = Player(device, "power_limit_w", lambda t_us: 1000.0 + (t_us // (10 * S)) * 0.4)
    bench = rig(players=[player])
    for second in (0, 1, 10, 20, 30, 31):
        bench.tick(second)
    # 1000.4 and 1000.8 are no news; 1001.2 is, and by then it is time anyway.
    assert [round(value, 1) for _, value in device.written] == [1000.0, 1001.2]
    assert bench.session.asked == 2


def test_a_player_that_did_not_answer_is_told_again(rig) -> None:
    device = FakeDevice("sun")
    bench = rig(players=[Player(device, "power_limit_w", lambda t_us: 500.0)])
    device.silent = True
    bench.tick(0)
    device.silent = False
    bench.tick(1)
    bench.tick(2)
    assert device.written == [("power_limit_w", 500.0)]


def test_another_masters_set_point_puts_the_rig_out_of_use(rig) -> None:
    profile = load_device_profile("mypv_ac_elwa_2")
    actuator = profile.actuator("power_setpoint_w")
    assert actuator is not None
    device = FakeDevice("heater", power_setpoint_w=1200.0)
    watch = SetpointWatch("heater", actuator, profile.timing.refresh_s)
    bench = rig(watched={0: Watched(device, "power_setpoint_w", watch)})
    bench.rig.wrote(0, 1200.0)
    for second in range(10):
        bench.tick(second)
    device.values["power_setpoint_w"] = 3000.0

    def go_on() -> None:
        for second in range(10, 20):
            bench.tick(second)

    with pytest.raises(RigError, match="another master"):
        go_on()
    assert bench.session.reasons


def test_another_device_than_expected_puts_the_rig_out_of_use(rig) -> None:
    bench = rig()
    bench.rig.device_event("heater", "out_of_range", {"value": 1.0})
    assert bench.session.reasons == []
    bench.rig.device_event("heater", "identity", {"difference": "serial is '2', not '1'"})
    assert bench.session.reasons == ["device 'heater': serial is '2', not '1'"]


def test_a_run_says_by_when_it_will_be_heard_of_again(rig) -> None:
    bench = rig()
    bench.rig.alive()
    assert bench.session.promises == [5.0]
