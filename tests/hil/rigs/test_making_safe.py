"""Bringing actuators to their bands: what counts as safe is what was measured."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from typing import Any

import pytest

from wattbench.hil.rigs import making_safe
from wattbench.hil.rigs.actuators import SafePlan, plans
from wattbench.hil.rigs.links import LinkError, WrongDeviceError
from wattbench.hil.rigs.making_safe import SafeOutcome, make_safe


class Heater:
    """Power follows the set-point after a dead time; both are counted by the wall clock."""

    def __init__(self, power_w: float = 3000.0, dead_time_s: float = 0.1) -> None:
        self.commands = [(0.0, power_w)]
        self.dead_time_s = dead_time_s
        self.serial_number: str | None = "H-1"
        self.silent_until_s = 0.0
        self.stuck = False
        self.connections = 0

    def command(self, power_w: float) -> None:
        self.commands.append((time.monotonic() + self.dead_time_s, power_w))

    @property
    def power_w(self) -> float:
        if self.stuck:
            return self.commands[0][1]
        now_s = time.monotonic()
        return [power_w for t_s, power_w in self.commands if t_s <= now_s][-1]


class Link:
    def __init__(self, heater: Heater) -> None:
        self.heater = heater

    async def _answer(self) -> None:
        await asyncio.sleep(0.005)
        if time.monotonic() < self.heater.silent_until_s:
            await asyncio.sleep(0.2)
            raise LinkError("no answer")

    async def connect(self) -> None:
        self.heater.connections += 1
        await self._answer()
        if self.heater.serial_number != "H-1":
            raise WrongDeviceError(f"serial number is '{self.heater.serial_number}', not 'H-1'")

    async def read(self, quantity: str) -> float:
        assert quantity == "power_w"
        await self._answer()
        return self.heater.power_w

    async def write(self, quantity: str, value: float) -> None:
        assert quantity == "power_setpoint_w"
        await self._answer()
        self.heater.command(value)

    async def close(self) -> None:
        pass


@pytest.fixture
def plan(make_rig: Any, profiles: dict[str, Any]) -> SafePlan:
    (found,) = plans(make_rig(), profiles)
    return found


def run(plan: SafePlan, *heaters: Heater, write: bool = True) -> SafeOutcome:
    each = [plan.model_copy(update={"device": f"h{i}"}) for i in range(len(heaters))]

    each = [one.model_copy(update={"measured_by": one.device}) for one in each]

    def reach(device: str, quantities: Sequence[str]) -> Link:
        return Link(heaters[int(device[1:])])

    return asyncio.run(make_safe(each, reach, "the run died", write=write))


def test_confirmed_is_what_was_measured(plan: SafePlan) -> None:
    outcome = run(plan, Heater())
    assert outcome.confirmed
    (one,) = outcome.actuators
    assert one.measured_w == 0.0
    assert one.writes == 1
    assert one.after_s is not None
    assert one.after_s >= 0.1
    assert "h0 0 W" in outcome.note


def test_all_at_once_and_a_deaf_one_keeps_no_other_waiting(
    plan: SafePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making_safe, "GIVE_UP_S", 1.5)
    deaf = Heater()
    deaf.silent_until_s = time.monotonic() + 60
    outcome = run(plan, Heater(), deaf, Heater())
    assert [one.confirmed for one in outcome.actuators] == [True, False, True]
    assert not outcome.confirmed
    assert outcome.note == "h1: no answer"
    after = [one.after_s for one in outcome.actuators if one.after_s is not None]
    assert max(after) < 1.0


def test_a_device_that_comes_back_is_made_safe_after_all(plan: SafePlan) -> None:
    heater = Heater()
    heater.silent_until_s = time.monotonic() + 0.7
    outcome = run(plan, heater)
    assert outcome.confirmed
    assert heater.connections > 1
    assert outcome.after_s > 0.7


def test_a_stuck_device_is_never_called_safe(
    plan: SafePlan, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(making_safe, "GIVE_UP_S", 1.5)
    heater = Heater()
    heater.stuck = True
    outcome = run(plan, heater)
    assert not outcome.confirmed
    (one,) = outcome.actuators
    assert one.writes >= 2
    assert one.measured_w == 3000.0
    assert "measured 3000 W, outside of -20 … 20 W" in outcome.note


def test_a_command_still_on_its_way_does_not_deceive(plan: SafePlan) -> None:
    """The heater stands at 0 W, but full power was commanded just before the run died."""
    heater = Heater(power_w=0.0, dead_time_s=0.4)
    heater.commands.append((time.monotonic() + 0.15, 3000.0))
    outcome = run(plan.model_copy(update={"settle_s": 0.5}), heater)
    assert outcome.confirmed
    (one,) = outcome.actuators
    assert one.after_s is not None
    assert one.after_s > 0.15, "the burst was seen, and counted as not yet safe"


def test_nothing_is_written_to_another_device(plan: SafePlan) -> None:
    heater = Heater()
    heater.serial_number = "H-2"
    outcome = run(plan, heater)
    assert not outcome.confirmed
    assert len(heater.commands) == 1
    assert "'H-2', not 'H-1': nothing was written" in outcome.note


def test_without_writing_a_safe_rig_is_left_alone(plan: SafePlan) -> None:
    heater = Heater(power_w=0.0)
    outcome = run(plan, heater, write=False)
    assert outcome.confirmed
    assert len(heater.commands) == 1
    left_on = Heater()
    assert run(plan, left_on, write=False).confirmed
    assert len(left_on.commands) == 2


def test_whatever_a_driver_raises_the_attempts_go_on(plan: SafePlan) -> None:
    heater = Heater()
    tries = 0

    class Clumsy(Link):
        async def connect(self) -> None:
            nonlocal tries
            tries += 1
            if tries < 3:
                raise ZeroDivisionError("oops")
            await super().connect()

    outcome = asyncio.run(make_safe([plan], lambda *_: Clumsy(heater), "test"))
    assert outcome.confirmed


def test_the_safe_value_is_what_the_watchdog_reverts_to_or_nearest_to_zero(
    make_rig: Any, profiles: dict[str, Any], profile: Any
) -> None:
    actuator = {"quantity": "power_setpoint_w", "low": 100.0, "high": 200.0, "default": 150.0}
    band = {"safe": {"low": 0.0, "high": 150.0}, "danger": "cold"}
    profiles["test_heater"] = profile(actuators=[actuator | band])
    assert plans(make_rig(), profiles)[0].value == 100.0
    dog = {"watchdog": {"timeout_s": 30.0, "value": 120.0}}
    profiles["test_heater"] = profile(actuators=[actuator | band | dog])
    assert plans(make_rig(), profiles)[0].value == 120.0
    rig = make_rig({"safe": {"value": 140.0, "low_w": 1.0, "high_w": 2.0, "danger": "hot"}})
    (found,) = plans(rig, profiles)
    assert (found.value, found.low_w, found.high_w, found.danger) == (140.0, 1.0, 2.0, "hot")
