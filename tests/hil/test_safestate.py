import os
import signal

import numpy as np
import pytest

from wattbench.hil.rig import DirectDriver
from wattbench.hil.safestate import Interrupted, StopSignals, reach_safe_state
from wattbench.hil.streams import NOT_SENT, SAFE, Log
from wattbench.sim.clock import VirtualClock

S = 1_000_000


@pytest.fixture
def reach(fakes):
    """Return a function that stops a plant at 10 s and reaches its safe state."""

    def run(prepare=lambda plant: None, driver=DirectDriver, begun=True):
        plant, events = fakes.plant(), fakes.events()
        plant.send(5 * S, np.array([800.0, 900.0]))
        prepare(plant)
        log = Log(20, plant.actuators, ())
        if begun:
            log.reading(10 * S, None, float("nan"), 0, None)
        with VirtualClock() as clock:

            async def stopped():
                await clock.sleep_until(10 * S)
                return await reach_safe_state(
                    clock, driver(clock, plant), plant, np.zeros(2), log, events
                )

            result = clock.run(stopped())
        return result, plant, events, log

    return run


def test_safe_values_are_sent_and_confirmed_by_the_truth(reach) -> None:
    result, plant, events, log = reach()
    assert result.confirmed
    assert result.confirmed_us == 12 * S  # the fake acts after two seconds
    assert plant.sent[-1] == (10 * S, [0.0, 0.0])
    assert len(plant.sent) == 2
    assert "2.0 s" in result.note
    assert events.kinds() == ["safe_state_command", "safe_state"]
    commands, _ = log.commands(plant.acked_us, plant.effective_us)
    assert commands["kind"].tolist() == [SAFE]
    assert commands["seq"].tolist() == [1]
    assert commands["effective.b1_us"].tolist() == [12 * S]


def test_zero_power_alone_is_no_proof_while_a_command_is_on_its_way(reach) -> None:
    """At 10 s nothing is on yet, but the command of 9 s still switches it on at 11 s."""

    def prepare(plant) -> None:
        plant.sent.clear()
        plant._under_way.clear()
        plant.send(9 * S, np.array([800.0, 0.0]))

    result, plant, _, _ = reach(prepare)
    assert result.confirmed
    assert result.confirmed_us == 12 * S
    assert plant.setpoints.tolist() == [0.0, 0.0]


def test_refused_broadcasts_are_repeated(reach) -> None:
    result, _, events, _ = reach(lambda plant: setattr(plant, "refuse_until_us", 14 * S))
    assert result.confirmed
    assert result.confirmed_us == 16 * S
    statuses = [data["status"] for _, kind, data in events.list if kind == "safe_state_command"]
    assert statuses == [2, 2, 2, 2, 0]


def test_load_that_does_not_hear_is_not_confirmed(reach) -> None:
    result, plant, events, _ = reach(lambda plant: plant.deaf.add(0) or plant.advance(0))
    # It heard nothing from the start, so it stands at zero: safe once nothing can be on its way.
    assert result.confirmed
    assert result.confirmed_us == 20 * S

    def stuck(plant) -> None:
        plant.advance(8 * S)
        plant.deaf.add(0)

    result, plant, events, _ = reach(stuck)
    assert not result.confirmed
    assert result.confirmed_us is None
    assert "does not show" in result.note
    assert events.list[-1][0] == 40 * S
    assert len(plant.sent) > 5  # it was told again and again


def test_before_a_run_has_begun_nobody_has_to_confirm(reach) -> None:
    """While a rig is being opened it may take no commands at all, and none was given."""

    def prepare(plant) -> None:
        plant._under_way.clear()
        plant.refuse_until_us = 100 * S

    result, _, events, _ = reach(prepare, begun=False)
    assert result.confirmed
    assert result.confirmed_us == 10 * S
    assert "0.0 s" in result.note
    assert events.kinds() == ["safe_state_command", "safe_state"]

    # At 10 s both stand at 800 and 900 W: then it takes the safe values.
    result, plant, _, _ = reach(begun=False)
    assert result.confirmed
    assert result.confirmed_us == 12 * S
    assert plant.sent[-1] == (10 * S, [0.0, 0.0])


class Broken(DirectDriver):
    """Loses its first three writes with an exception."""

    failures = 3

    async def write(self, power_w):
        if self.failures:
            self.failures -= 1
            raise OSError("bus gone")
        return await super().write(power_w)


def test_errors_of_the_driver_do_not_end_the_attempt(reach) -> None:
    result, _, events, log = reach(driver=Broken)
    assert result.confirmed
    reasons = [data["reason"] for _, kind, data in events.list if kind == "safe_state_command"]
    assert reasons == ["OSError: bus gone"] * 3 + [""]
    commands, _ = log.commands(lambda seq: np.zeros(2), lambda seq: np.zeros(2))
    assert commands["seq"].tolist() == [NOT_SENT]


def test_first_signal_asks_and_the_second_breaks_in() -> None:
    stops = []
    with StopSignals() as signals, signals.stopping(lambda: stops.append("asked")):
        os.kill(os.getpid(), signal.SIGTERM)
        assert stops == ["asked"]
        with pytest.raises(Interrupted, match="SIGINT"):
            os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == ["SIGTERM", "SIGINT"]
    assert signals.first == "SIGTERM"


def test_signal_outside_a_run_interrupts_at_once() -> None:
    with StopSignals(), pytest.raises(KeyboardInterrupt, match="stopped by SIGTERM"):
        os.kill(os.getpid(), signal.SIGTERM)


def test_record_being_closed_is_not_interrupted() -> None:
    written = []

    def close(signals: StopSignals) -> None:
        with signals.shielded():
            os.kill(os.getpid(), signal.SIGINT)
            written.append("all of it")
        written.append("never")

    with StopSignals() as signals, pytest.raises(Interrupted):
        close(signals)
    assert written == ["all of it"]


def test_record_of_a_stopped_run_is_closed_without_another_interruption() -> None:
    with StopSignals() as signals:
        with signals.stopping(lambda: None):
            os.kill(os.getpid(), signal.SIGINT)
        with signals.shielded():
            os.kill(os.getpid(), signal.SIGINT)
    assert signals.received == ["SIGINT", "SIGINT"]


def test_handlers_are_put_back() -> None:
    before = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)
    with StopSignals():
        assert signal.getsignal(signal.SIGINT) != before[0]
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == before
