import math
import time
from types import SimpleNamespace

import numpy as np
import pytest

from wattbench.hil import streams
from wattbench.hil.loop import ControlLoop, LoopSettings
from wattbench.hil.rig import DirectDriver, ReadingError
from wattbench.hil.streams import Log
from wattbench.sim.clock import VirtualClock, WallClock

S = 1_000_000


@pytest.fixture
def control(fakes):
    """Return a function that runs the loop on a fake plant and returns everything it left."""

    def run(
        plan,
        *,
        duration_s=20,
        clock=None,
        driver=DirectDriver,
        max_age_s=5.0,
        refresh_s=30,
        delay_us=20_000,
        prepare=lambda plant: None,
    ) -> SimpleNamespace:
        plant, agent, events = fakes.plant(), fakes.agent(plan, max_age_s), fakes.events()
        prepare(plant)
        settings = LoopSettings(duration_s * S, S, delay_us, refresh_s * S)
        log = Log(settings.steps, plant.actuators, ())
        with clock or VirtualClock() as clock:
            rig = driver(clock, plant)
            loop = ControlLoop(
                clock,
                rig,
                agent,
                settings,
                log,
                events,
                safe_w=np.zeros(2),
                reports_w=plant.reports_w,
                progress=lambda t_us: None,
            )

            async def session():
                await rig.open()
                await loop.run()
                await rig.close()

            clock.run(session())
            now_us = clock.now_us
        readings, _ = log.readings()
        commands, _ = log.commands(plant.acked_us, plant.effective_us)
        return SimpleNamespace(
            plant=plant,
            agent=agent,
            events=events,
            readings=readings,
            commands=commands,
            timing=log.timings(),
            now_us=now_us,
        )

    return run


def constant(_observation):
    return [500.0, 0.0]


def test_one_row_a_step_and_the_run_ends_on_time(control) -> None:
    run = control(constant)
    assert run.now_us == 20 * S
    assert run.readings["t_sim_us"].tolist() == [k * S for k in range(20)]
    assert run.commands["t_sim_us"].tolist() == [k * S for k in range(20)]
    assert run.timing["step"].tolist() == list(range(20))
    for span in ("sample", "observe", "decide", "guard", "command"):
        assert (run.timing[f"{span}_ns"] >= 0).all()
    assert run.timing["decide_ns"][5] > 0


def test_nothing_is_decided_before_the_first_reading(control) -> None:
    run = control(constant)
    assert run.readings["meter.quality"][:3].tolist() == [2, 2, 0]
    assert math.isinf(run.readings["meter.age_s"][0])
    assert run.agent.decisions == 18
    assert len(run.agent.seen) == 20
    assert run.commands["kind"][:2].tolist() == [streams.HOLD] * 2


def test_command_leaves_after_the_declared_delay_and_its_stages_are_recorded(control) -> None:
    run = control(constant)
    assert run.plant.sent[0] == (2 * S + 20_000, [500.0, 0.0])
    assert run.agent.told[0] == (2 * S + 20_000, [500.0, 0.0])
    row = 2
    assert run.commands["kind"][row] == streams.CHANGE
    assert run.commands["seq"][row] == 0
    assert run.commands["status"][row] == 0
    assert run.commands["sent_us"][row] == 2 * S + 20_000
    assert run.commands["effective.a1_us"][row] == 4 * S + 20_000
    assert run.commands["acked.a1_us"][row] == 4 * S + 120_000


def test_unchanged_values_are_held_and_refreshed(control) -> None:
    run = control(constant, duration_s=30, refresh_s=10)
    kinds = run.commands["kind"].tolist()
    assert kinds[2] == streams.CHANGE
    assert [k for k, kind in enumerate(kinds) if kind == streams.REFRESH] == [13, 24]
    assert len(run.plant.sent) == 3
    held = np.flatnonzero(np.array(kinds) == streams.HOLD)
    assert (run.commands["seq"][held] == -1).all()
    assert (run.commands["guarded.a1_w"][held[2:]] == 500.0).all()


def test_decided_and_guarded_are_kept_apart(control) -> None:
    run = control(lambda _: [2500.0, -20.0])
    assert run.commands["decided.a1_w"][5] == 2500.0
    assert run.commands["guarded.a1_w"][5] == 2000.0
    assert run.commands["guarded.b1_w"][5] == 0.0
    assert run.events.list == [(2 * S, "guard", {"codes": ["clamped"]})]


def test_refused_command_is_tried_again(control) -> None:
    run = control(constant, prepare=lambda plant: setattr(plant, "refuse_until_us", 6 * S))
    assert run.commands["status"][2:7].tolist() == [2, 2, 2, 2, 0]
    assert run.commands["seq"][2:7].tolist() == [-1, -1, -1, -1, 0]
    assert len(run.agent.told) == 1


def test_stale_reading_brings_the_safe_values_until_a_new_sample_comes(control) -> None:
    def freeze(plant) -> None:
        plant.frozen_from_us = 8 * S
        # The meter comes back at 18 s.
        original = plant.reading

        def reading(t_us):
            if t_us >= 18 * S:
                plant.frozen_from_us = None
            return original(t_us)

        plant.reading = reading

    run = control(constant, duration_s=25, prepare=freeze)
    stale = [k for k, q in enumerate(run.readings["meter.quality"]) if q == streams.STALE]
    assert stale == [14, 15, 16, 17]  # seen first at 8 s: older than 5 s from 14 s on
    assert (run.commands["kind"][14:18] == streams.SAFE).all()
    assert run.plant.sent[1] == (14 * S + 20_000, [0.0, 0.0])
    assert run.plant.sent[2] == (18 * S + 20_000, [500.0, 0.0])
    assert [(t, kind) for t, kind, _ in run.events.list] == [
        (14 * S, "staleness_start"),
        (18 * S, "staleness_end"),
    ]


def test_policy_that_ignores_age_goes_on_but_the_record_says_stale(control) -> None:
    run = control(
        constant,
        max_age_s=None,
        prepare=lambda plant: setattr(plant, "frozen_from_us", 8 * S),
    )
    assert run.events.list == []
    assert (run.readings["meter.quality"][14:] == streams.STALE).all()
    assert run.agent.decisions == 18
    assert len(run.plant.sent) == 1


def test_no_reading_at_all_becomes_stale(control) -> None:
    run = control(
        constant,
        duration_s=10,
        prepare=lambda plant: setattr(plant, "frozen_from_us", 0),
    )
    assert run.agent.decisions == 0
    assert run.plant.sent == [(6 * S + 20_000, [0.0, 0.0])]
    assert run.events.kinds() == ["staleness_start"]


@pytest.mark.parametrize("step_s", [3600, -3600, -1])
def test_age_does_not_follow_a_step_of_the_meters_clock(control, step_s: int) -> None:
    run = control(
        constant,
        prepare=lambda plant: setattr(plant, "clock_step", (10 * S, step_s * S)),
    )
    assert (run.readings["meter.age_s"][2:] == 0.0).all()
    assert (run.readings["meter.quality"][2:] == streams.GOOD).all()
    jump = np.diff(run.readings["meter.sampled_us"][2:])
    assert sorted(set(jump)) == sorted({S, S + step_s * S})


class SilentAfter(DirectDriver):
    """Does not answer between 8 s and 12 s; each attempt costs its time-out."""

    async def read(self, t_us: int):
        if 8 * S <= t_us < 12 * S:
            await self._clock.sleep_until(t_us + S // 2)
            raise ReadingError("no answer")
        return await super().read(t_us)


def test_silence_is_an_event_and_the_last_sample_ages(control) -> None:
    run = control(constant, driver=SilentAfter)
    assert run.events.kinds() == ["meter_silent_start", "meter_silent_end"]
    assert run.readings["meter.age_s"][8:12].tolist() == [1.5, 2.5, 3.5, 4.5]
    assert run.readings["meter.age_s"][12] == 0.0


class SlowOnce(DirectDriver):
    """Takes 3.4 s for the reading of 5 s."""

    async def read(self, t_us: int):
        if t_us == 5 * S:
            await self._clock.sleep_until(t_us + 3_400_000)
        return await super().read(t_us)


def test_late_loop_skips_the_ticks_that_are_over(control) -> None:
    run = control(constant, driver=SlowOnce, duration_s=12)
    assert run.readings["t_sim_us"].tolist() == [
        *(k * S for k in range(6)),
        8_400_000,
        *(k * S for k in range(9, 12)),
    ]
    (missed,) = [data for _, kind, data in run.events.list if kind == "deadline_missed"]
    assert missed == {"late_s": 2.4, "skipped": 2}


def test_decision_that_takes_the_whole_period_is_no_miss(control) -> None:
    run = control(lambda seen: [seen.t_us / 1e5, 0.0], delay_us=S, duration_s=10)
    assert run.events.list == []
    assert [t_us for t_us, _ in run.plant.sent] == [k * S for k in range(3, 11)]


def test_slow_policy_misses_its_deadline_on_the_wall_clock(control) -> None:
    def plan(seen):
        if 5 * S <= seen.t_us < 6 * S:
            time.sleep(0.11)  # 2.2 s of simulated time
        return [500.0, 0.0]

    run = control(plan, clock=WallClock(factor=20), duration_s=10)
    (missed,) = [data for _, kind, data in run.events.list if kind == "deadline_missed"]
    assert missed["late_s"] > 1.0
    assert missed["skipped"] >= 1
    assert run.timing["decide_ns"].max() > 0.1e9
    assert len(run.readings["t_sim_us"]) < 10


def test_same_run_twice_leaves_the_same_streams(control) -> None:
    first, second = control(constant), control(constant)
    for stream in ("readings", "commands"):
        for name, column in getattr(first, stream).items():
            np.testing.assert_array_equal(column, getattr(second, stream)[name])
