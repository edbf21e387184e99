"""The agent: order of calls, errors that name the policy, dead-band, clock, refusals."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Callable, Iterator
from typing import Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from wattbench.agents import feature_names as names
from wattbench.agents.agent import Agent, LocalClock
from wattbench.agents.policy import (
    POLICIES,
    ActionKind,
    Observation,
    Policy,
    PolicyConfig,
    PolicyError,
    SiteInfo,
    register,
)
from wattbench.sim.edge.meter import METER_FIELDS, MeterReading
from wattbench.sim.points import Actuator

SECOND = 1_000_000


class ScriptedConfig(PolicyConfig):
    """Answers what the test says."""

    kind: Literal["scripted"] = "scripted"
    action: ActionKind = "phase_targets"


class Scripted(Policy):
    def __init__(self, action: ActionKind) -> None:
        self.action = action
        self.answer: Any = np.zeros(3)

    def reset(self, seed: int) -> None:
        if seed == 13:
            raise OSError("no such\nseed")

    def decide(self, observation: Observation) -> Any:
        return self.answer


@pytest.fixture(autouse=True)
def scripted() -> Iterator[None]:
    register(ScriptedConfig, lambda config, site: Scripted(config.action))
    yield
    del POLICIES["scripted"]


@pytest.fixture
def agent(nine_loads: SiteInfo) -> Agent:
    return Agent(ScriptedConfig(name="mine"), nine_loads)


def reading(k: int, *powers: float) -> MeterReading:
    values = np.zeros(METER_FIELDS)
    values[: len(powers)] = powers
    values[3] = sum(powers)
    return MeterReading(values, k * SECOND, k * SECOND)


def script(agent: Agent, answer: Any) -> None:
    assert isinstance(agent.policy, Scripted)
    agent.policy.answer = answer


def test_observation(agent: Agent) -> None:
    observation = agent.observe(0, None, math.inf)
    assert (observation.step, observation.age_s) == (0, math.inf)
    observation = agent.observe(SECOND, reading(1, -500.0, 0.0, 100.0), 0.0)
    assert (observation.t_us, observation.step, observation.age_s) == (SECOND, 1, 0.0)
    assert observation.values[names.GRID_TOTAL] == -400.0
    assert observation.values[names.SURPLUS_A] == 500.0
    agent.sent(SECOND, np.full(9, 100.0))
    assert observation.command_w.tolist() == [100.0] * 9
    assert agent.observe(2 * SECOND, reading(2), 0.0).values[names.COMMAND_TOTAL] == 900.0


def test_targets_become_set_points(agent: Agent) -> None:
    script(agent, np.array([2000.0, 500.0, 0.0]))
    decided = agent.decide(agent.observe(0, reading(0), 0.0))
    assert decided.tolist() == [1500.0, 500.0, 0.0, 500.0, 0.0, 0.0, 0.0, 0.0, 0.0]
    observation = agent.observe(SECOND, reading(1), 0.0)
    assert observation.values[names.OUTPUT] == 2500.0
    script(agent, np.zeros(3))
    agent.decide(observation)
    assert decided.sum() == 2500.0  # what was returned is not overwritten


def test_deltas_add_up_within_what_the_phases_can_do(nine_loads: SiteInfo) -> None:
    agent = Agent(ScriptedConfig(action="phase_deltas"), nine_loads)
    totals = []
    for k, delta in enumerate((500.0, 500.0, -2000.0, 300.0, 99_999.0)):
        script(agent, np.array([delta, 0.0, 0.0]))
        totals.append(agent.decide(agent.observe(k * SECOND, reading(k), 0.0)).sum())
    assert totals == [500.0, 1000.0, 0.0, 300.0, 4500.0]
    agent.reset(1)
    script(agent, np.array([100.0, 0.0, 0.0]))
    assert agent.decide(agent.observe(0, reading(0), 0.0)).sum() == 100.0


def test_set_points_pass_through(nine_loads: SiteInfo) -> None:
    agent = Agent(ScriptedConfig(action="actuator_power"), nine_loads)
    wanted = np.arange(9) * 100.0
    script(agent, wanted)
    decided = agent.decide(agent.observe(0, reading(0), 0.0))
    assert decided.tolist() == wanted.tolist()
    decided[0] = 7.0
    assert wanted[0] == 0.0


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (np.zeros(9), "expected an action of shape (3,) (phase_targets), got shape (9,)"),
        (np.zeros((3, 1)), "expected an action of shape (3,) (phase_targets), got shape (3, 1)"),
        ([0.0, 0.0, 0.0], "expected an action of shape (3,) (phase_targets), got a list"),
        (None, "expected an action of shape (3,) (phase_targets), got a NoneType"),
        (np.array([0.0, math.nan, 0.0]), "the action is not finite: [0.0, nan, 0.0]"),
        (np.array([math.inf, -math.inf, 0.0]), "the action is not finite: [inf, -inf, 0.0]"),
        (np.array(["a", "b", "c"]), "expected an action of numbers, got <U1"),
    ],
)
def test_a_bad_answer_is_the_policys_error(agent: Agent, answer: Any, message: str) -> None:
    agent.observe(0, reading(0), 0.0)
    observation = agent.observe(SECOND, reading(1), 0.0)
    script(agent, answer)
    with pytest.raises(PolicyError) as caught:
        agent.decide(observation)
    assert str(caught.value) == f"policy 'mine', step 1: {message}"
    assert (caught.value.policy, caught.value.step) == ("mine", 1)


def test_other_number_types_are_taken(agent: Agent) -> None:
    observation = agent.observe(0, reading(0), 0.0)
    script(agent, np.array([500, 0, 0]))
    assert agent.decide(observation).sum() == 500.0
    script(agent, np.array([250.0, 0, 0], dtype=np.float32))
    assert agent.decide(observation).sum() == 250.0


def test_an_exception_is_the_policys_error(nine_loads: SiteInfo) -> None:
    agent = Agent(POLICIES["crash_early"].config(steps=1), nine_loads)
    agent.decide(agent.observe(0, reading(0), 0.0))
    with pytest.raises(PolicyError, match="'crash_early', step 1: RuntimeError: crashed") as caught:
        agent.decide(agent.observe(SECOND, reading(1), 0.0))
    assert isinstance(caught.value.__cause__, RuntimeError)


def test_an_exception_in_reset_is_too(agent: Agent) -> None:
    with pytest.raises(PolicyError, match="policy 'mine': OSError: no such seed"):
        agent.reset(13)


def test_guard_is_the_second_net(agent: Agent) -> None:
    agent.observe(0, reading(0), 0.0)
    assert agent.guard(np.full(9, math.nan)).tolist() == [0.0] * 9
    assert agent.interventions == ("not_finite",)
    assert agent.guard(np.full(9, 9999.0)).tolist() == [1500.0] * 9
    assert agent.interventions == ("above_high",)
    agent.observe(SECOND, reading(0), 6.0)
    assert agent.guard(np.full(9, 100.0)).tolist() == [0.0] * 9
    assert agent.interventions == ("stale",)
    assert agent.max_age_s == 5.0
    assert agent.safe_w.tolist() == [0.0] * 9


def test_a_command_within_the_dead_band_is_the_last_one(nine_loads: SiteInfo) -> None:
    agent = Agent(ScriptedConfig(command_deadband_w=25.0), nine_loads)
    agent.observe(0, reading(0), 0.0)
    agent.sent(0, np.full(9, 500.0))
    assert agent.guard(np.full(9, 520.0)).tolist() == [500.0] * 9
    moved = np.full(9, 520.0)
    moved[4] = 540.0
    assert agent.guard(moved).tolist() == moved.tolist()


def test_refusing_loads_are_passed_over_for_a_while(nine_loads: SiteInfo) -> None:
    agent = Agent(ScriptedConfig(), nine_loads)
    script(agent, np.array([1000.0, 0.0, 0.0]))
    reports = np.zeros(9)
    powers = []
    for k in range(400):
        observation = agent.observe(k * SECOND, reading(k), 0.0, reports)
        decided = agent.decide(observation)
        agent.sent(k * SECOND, decided)
        reports = decided.copy()
        reports[0] = 0.0  # its tank is hot
        powers.append(decided[:2].tolist())
    assert powers[0] == [1000.0, 0.0]
    assert powers[100] == [0.0, 1000.0]
    assert observation.values[names.LOADS_A] == 1000.0


def test_reports_may_end_after_the_loads(load: Callable[..., Actuator]) -> None:
    from wattbench.sim.points import Actuator as Device

    charger = Device("car", "charger", (0.0, 1.0, 0.0), 0, 3680.0, 1380.0, 230.0, 0, 0, 0.0, "-")
    agent = Agent(ScriptedConfig(), SiteInfo((load("a1"), charger)))
    observation = agent.observe(0, reading(0), 0.0, np.array([700.0]))
    assert observation.values[names.LOADS_A] == 700.0
    assert observation.values[names.LOADS_A + 1] == 0.0  # modelled: nothing was commanded


def test_local_clock_follows_daylight_saving() -> None:
    zone = ZoneInfo("Europe/Berlin")
    clock = LocalClock(dt.datetime(2025, 3, 30, 0, 30, tzinfo=zone))  # a Sunday
    hour = 3600 * SECOND
    assert clock.minute_of_week(0) == 6 * 1440 + 30
    assert clock.minute_of_week(hour) == 6 * 1440 + 90
    assert clock.minute_of_week(2 * hour) == 6 * 1440 + 210  # 2:30 does not exist
    assert clock.minute_of_week(24 * hour) == 90  # Monday, 1:30


def test_a_start_without_a_zone_is_refused(nine_loads: SiteInfo) -> None:
    with pytest.raises(ValueError, match="time zone"):
        LocalClock(dt.datetime(2025, 1, 1))
