"""Registry, degenerate policies, and the controllers against a small model of a site."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from wattbench.agents.agent import Agent
from wattbench.agents.baselines.control import ChangeBudget, spread
from wattbench.agents.policy import (
    POLICIES,
    Observation,
    PolicyConfig,
    SiteInfo,
    build,
    register,
)
from wattbench.sim.edge.meter import METER_FIELDS, MeterReading

SECOND = 1_000_000
KINDS = (
    *("zero", "always_on", "frozen", "random", "dither", "crash_early"),
    *("threshold", "pi", "smith", "onnx"),
)


class Site:
    """Nine loads that follow after 1.1 s with a ramp of 1.5 s, and a meter a second late."""

    def __init__(self, config: PolicyConfig, site: SiteInfo) -> None:
        self.agent = Agent(config, site)
        self.share = site.consumption()
        self.power = np.zeros(len(site.actuators))
        self.command = np.zeros(len(site.actuators))
        self.pending = [(-1e9, self.command)]
        self.seen = self.last = np.zeros(3)
        self.changes: list[int] = []
        self.exported_wh = self.imported_wh = 0.0
        self.grid: list[float] = []

    def run(self, surplus: Callable[[int], np.ndarray], seconds: int, first: int = 0) -> None:
        for k in range(first, first + seconds):
            self._second(k, surplus(k))

    def _second(self, k: int, surplus: np.ndarray) -> None:
        reading = np.zeros(METER_FIELDS)
        reading[:3] = self.last
        reading[3] = self.last.sum()
        self.last = self.seen
        now_us = k * SECOND
        agent = self.agent
        observation = agent.observe(now_us, MeterReading(reading, now_us - SECOND, now_us), 0.0)
        guarded = agent.guard(agent.decide(observation))
        if (guarded != self.command).any() or k == 0:
            if np.abs(guarded - self.command).max() > 10.0:
                self.changes.append(k)
            self.command = guarded
            self.pending.append((k + 1.09, guarded))
            agent.sent(now_us + 20_000, guarded)
        window = np.zeros(3)
        for part in range(10):
            now = k + part / 10
            active = [command for at, command in self.pending if at <= now][-1]
            self.power += np.clip(active - self.power, -100.0, 100.0)
            window += (self.share @ self.power - surplus) / 10
        self.seen = window
        net = window.sum()
        self.grid.append(net)
        self.exported_wh += max(-net, 0.0) / 3600
        self.imported_wh += max(net, 0.0) / 3600

    def worst_minute(self) -> int:
        times = np.array(self.changes)
        return max((int(((times >= t) & (times <= t + 60)).sum()) for t in times), default=0)


def evenly(total_w: float) -> np.ndarray:
    return np.full(3, total_w / 3)


def test_every_kind_is_registered() -> None:
    assert set(KINDS) <= set(POLICIES)
    for kind in set(KINDS) - {"onnx"}:
        assert POLICIES[kind].config().label == kind
        assert POLICIES[kind].config.__doc__


def test_kinds_are_unique() -> None:
    with pytest.raises(ValueError, match="'zero' is registered twice"):
        register(POLICIES["zero"].config, POLICIES["zero"].factory)


def test_common_keys() -> None:
    config = POLICIES["pi"].config(name="pi_ignores_staleness", max_age_s=None)
    assert config.label == "pi_ignores_staleness"
    assert POLICIES["pi"].config().max_age_s == 5.0
    with pytest.raises(ValidationError):
        POLICIES["pi"].config(name="../evil")
    with pytest.raises(ValidationError):
        POLICIES["pi"].config(speed=1)


@pytest.mark.parametrize("kind", sorted(set(KINDS) - {"onnx", "crash_early"}))
def test_same_seed_same_decisions(kind: str, nine_loads: SiteInfo) -> None:
    def trace(seed: int, policy: object = None) -> bytes:
        agent = Agent(POLICIES[kind].config(), nine_loads)
        out = b""
        for again in (seed + 1, seed):  # what came before a reset leaves no trace
            agent.reset(again)
            rng = np.random.default_rng(3)
            out = b""
            for k in range(40):
                values = rng.normal(-1000.0, 1500.0, METER_FIELDS)
                reading = MeterReading(values, k * SECOND, k * SECOND)
                guarded = agent.guard(agent.decide(agent.observe(k * SECOND, reading, 0.0)))
                agent.sent(k * SECOND, guarded)
                out += guarded.tobytes()
        return out

    assert trace(5) == trace(5)
    assert (trace(5) != trace(6)) == (kind == "random")


def test_degenerate_policies(everything: SiteInfo, observation: Callable[..., Observation]) -> None:
    high = [actuator.high_w for actuator in everything.actuators]
    full = [*high[:5], 0.0, 8000.0]
    first, second = observation(step=0), observation(step=1)

    def decide(kind: str, at: Observation) -> list[float]:
        policy = build(POLICIES[kind].config(), everything)
        policy.reset(1)
        return policy.decide(at).tolist()

    assert decide("zero", first) == [0.0] * 6 + [8000.0]
    assert decide("always_on", first) == full
    assert decide("frozen", first) == [power / 2 for power in full[:6]] + [8000.0]
    assert decide("dither", first) == full
    assert decide("dither", second) == [0.0] * 6 + [8000.0]
    random = decide("random", first)
    assert all(0.0 < random[k] < high[k] for k in range(5))
    assert random[5:] == [0.0, 8000.0]


def test_crash_early(everything: SiteInfo, observation: Callable[..., Observation]) -> None:
    policy = build(POLICIES["crash_early"].config(steps=3), everything)
    policy.reset(1)
    assert policy.decide(observation(step=2)).sum() == 8000.0
    with pytest.raises(RuntimeError, match="on purpose"):
        policy.decide(observation(step=3))


@pytest.mark.parametrize("phases", ["total", "each"])
@pytest.mark.parametrize("kind", ["pi", "smith"])
def test_controllers_settle_on_a_steady_surplus(
    kind: str, phases: str, nine_loads: SiteInfo
) -> None:
    site = Site(POLICIES[kind].config(phases=phases, setpoint_w=60.0), nine_loads)
    site.run(lambda k: np.array([2000.0, 1200.0, 700.0]), 180)
    assert abs(site.grid[-1] - 60.0) < 120.0
    settled = len(site.changes)
    site.run(lambda k: np.array([2000.0, 1200.0, 700.0]), 120, first=180)
    assert len(site.changes) == settled
    if phases == "each":
        assert np.abs(site.seen - 20.0).max() < 60.0


def test_threshold_rests_between_its_thresholds(nine_loads: SiteInfo) -> None:
    site = Site(POLICIES["threshold"].config(), nine_loads)
    site.run(lambda k: evenly(3700.0), 240)
    assert -1000.0 <= site.grid[-1] <= 700.0
    assert site.changes[-1] < 60
    site.run(lambda k: evenly(0.0), 120, first=240)
    assert 0.0 <= site.grid[-1] <= 700.0


@pytest.mark.parametrize("kind", ["threshold", "pi", "smith"])
def test_changes_in_any_minute_are_limited(kind: str, nine_loads: SiteInfo) -> None:
    rng = np.random.default_rng(8)
    walk = np.clip(np.cumsum(rng.normal(0.0, 700.0, 600)), 0.0, 8000.0)
    site = Site(POLICIES[kind].config(), nine_loads)
    site.run(lambda k: evenly(walk[k]), 600)
    assert 5 < site.worst_minute() <= 10


def test_controllers_do_not_wind_up(nine_loads: SiteInfo) -> None:
    for kind in ("pi", "smith", "threshold"):
        site = Site(POLICIES[kind].config(), nine_loads)
        site.run(lambda k: evenly(30_000.0), 300)  # far more than the loads can take
        site.run(lambda k: evenly(3000.0), 90, first=300)
        assert site.grid[-1] < 1500.0, kind
        site.run(lambda k: evenly(-3000.0), 200, first=390)
        site.run(lambda k: evenly(3000.0), 90, first=590)
        assert site.grid[-1] > -1100.0, kind


def test_smith_beats_pi_on_steps_and_both_beat_nothing(nine_loads: SiteInfo) -> None:
    def surplus(k: int) -> np.ndarray:
        return evenly(5000.0 if k // 45 % 2 else 1500.0)

    costs = {}
    for kind in ("zero", "pi", "smith"):
        site = Site(POLICIES[kind].config(), nine_loads)
        site.run(surplus, 1800)
        costs[kind] = site.exported_wh + 0.5 * site.imported_wh
    assert costs["smith"] < costs["pi"] < 0.5 * costs["zero"]


def test_smith_is_slower_on_import_than_on_export(nine_loads: SiteInfo) -> None:
    config = POLICIES["smith"].config(import_hold_s=5.0)
    reaction = {}
    for name, step_w in (("export", 1500.0), ("import", -1500.0)):
        site = Site(config, nine_loads)
        site.run(lambda k: evenly(4000.0), 120)
        settled = len(site.changes)
        site.run(lambda k, by=step_w: evenly(4000.0 + by), 30, first=120)
        reaction[name] = site.changes[settled] - 120
    assert reaction["import"] >= reaction["export"] + 4


def test_per_phase_control_is_not_fooled_by_netting(nine_loads: SiteInfo) -> None:
    site = Site(POLICIES["smith"].config(phases="each"), nine_loads)
    site.run(lambda k: np.array([3000.0, -1500.0, -1500.0]), 120)
    assert site.seen[0] == pytest.approx(0.0, abs=150.0)
    netted = Site(POLICIES["smith"].config(phases="total"), nine_loads)
    netted.run(lambda k: np.array([3000.0, -1500.0, -1500.0]), 120)
    assert netted.command.sum() < 400.0


powers = st.floats(-5000.0, 5000.0)


@given(
    total=st.floats(-3000.0, 20_000.0),
    surplus=st.tuples(powers, powers, powers),
    high=st.tuples(*[st.floats(0.0, 6000.0)] * 3),
    low=st.tuples(*[st.floats(-1000.0, 0.0)] * 3),
)
def test_spread_fills_like_water(total: float, surplus: tuple, high: tuple, low: tuple) -> None:
    result = spread(total, surplus, low, high)
    for phase in range(3):
        assert low[phase] - 1e-6 <= result[phase] <= high[phase] + 1e-6
    assert sum(result) == pytest.approx(min(max(total, sum(low)), sum(high)), abs=1e-6)
    left = [result[phase] - surplus[phase] for phase in range(3)]
    # whoever could still give or take stands level with the others
    for p in range(3):
        for q in range(3):
            if result[p] < high[p] - 1e-6 and result[q] > low[q] + 1e-6:
                assert left[p] >= left[q] - 1e-6


def test_budget_holds_in_every_minute() -> None:
    budget = ChangeBudget(3, 2.0)
    spent = []
    for k in range(300):
        if budget.allows(k * SECOND):
            budget.spend(k * SECOND)
            spent.append(k)
    assert spent[:4] == [0, 2, 4, 61]
    for t in spent:
        assert sum(t <= other <= t + 60 for other in spent) <= 3
    budget.reset()
    assert budget.used(301 * SECOND) == 0
    assert math.isclose(budget.used(0), 0)
