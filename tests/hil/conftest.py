"""A plant and an agent small enough to say exactly what the loop did with them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattbench.sim.edge.meter import METER_FIELDS, POWER_TOTAL, MeterReading
from wattbench.sim.points import Actuator

S = 1_000_000


def load(name: str) -> Actuator:
    return Actuator(
        id=name,
        kind="load",
        phase_shares=(1.0, 0.0, 0.0),
        low_w=0.0,
        high_w=2000.0,
        min_on_w=0.0,
        resolution_w=10.0,
        min_on_s=0.0,
        min_off_s=0.0,
        safe_w=0.0,
        danger="overheats",
    )


class FakePlant:
    """Publishes a sample every second at half past; a command is effective two seconds later."""

    def __init__(self) -> None:
        self.actuators = (load("a1"), load("b1"))
        self.now_us = 0
        self.frozen_from_us: int | None = None
        self.clock_step: tuple[int, int] = (0, 0)
        """From when on, and by how much, the meter's clock is off."""
        self.refuse_until_us = 0
        self.deaf: set[int] = set()
        """Actuators that receive nothing."""
        self.setpoints = np.zeros(2)
        self.sent: list[tuple[int, list[float]]] = []
        self._under_way: list[tuple[int, np.ndarray]] = []

    def advance(self, to_us: int) -> None:
        self.now_us = max(self.now_us, to_us)
        while self._under_way and self._under_way[0][0] <= self.now_us:
            _, power_w = self._under_way.pop(0)
            for k in range(2):
                if k not in self.deaf:
                    self.setpoints[k] = power_w[k]

    def send(self, t_us: int, power_w: np.ndarray) -> tuple[int, int]:
        self.advance(t_us)
        if t_us < self.refuse_until_us:
            return -1, 2
        self.sent.append((t_us, power_w.tolist()))
        self._under_way.append((t_us + 2 * S, power_w.copy()))
        return len(self.sent) - 1, 0

    def reading(self, t_us: int) -> MeterReading | None:
        self.advance(t_us)
        if self.frozen_from_us is not None:
            t_us = min(t_us, self.frozen_from_us)
        number = (t_us - S // 2) // S
        if number < 1:
            return None
        values = np.zeros(METER_FIELDS)
        values[POWER_TOTAL] = 100.0 * number
        begin_us, step_us = self.clock_step
        sampled_us = number * S + (step_us if number * S >= begin_us else 0)
        return MeterReading(values, sampled_us, number * S + S // 2)

    def reports_w(self, t_us: int) -> np.ndarray | None:
        return None

    def acked_us(self, seq: int) -> np.ndarray:
        return self.effective_us(seq) + S // 10

    def effective_us(self, seq: int) -> np.ndarray:
        return np.array([-1 if k in self.deaf else self.sent[seq][0] + 2 * S for k in range(2)])

    def within_safe_band(self) -> bool:
        return bool((self.setpoints <= 0.0).all())

    def truth(self) -> tuple[dict[str, np.ndarray], dict[str, str]]:
        return {"t_sim_us": np.arange(1, self.now_us // S + 1) * S}, {"t_sim_us": "us"}

    def meta(self) -> dict[str, Any]:
        return {}


class FakeAgent:
    """Answers with what a function of (step, observation) returns, and remembers what it saw."""

    def __init__(self, plan, max_age_s: float | None = 5.0) -> None:
        self.plan = plan
        self.max_age_s = max_age_s
        self.seen: list[SimpleNamespace] = []
        self.told: list[tuple[int, list[float]]] = []
        self.decisions = 0
        self.interventions: tuple[str, ...] = ()

    def observe(self, t_us, reading, age_s, report_w=None) -> SimpleNamespace:
        seen = SimpleNamespace(t_us=t_us, reading=reading, age_s=age_s)
        self.seen.append(seen)
        return seen

    def decide(self, observation):
        self.decisions += 1
        return np.asarray(self.plan(observation), dtype=float)

    def guard(self, decided_w):
        guarded_w = np.clip(decided_w, 0.0, 2000.0)
        self.interventions = () if (guarded_w == decided_w).all() else ("clamped",)
        return guarded_w

    def sent(self, t_us: int, power_w: np.ndarray) -> None:
        self.told.append((t_us, power_w.tolist()))


class Events:
    def __init__(self) -> None:
        self.list: list[tuple[int, str, dict[str, Any]]] = []

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        self.list.append((t_sim_us, kind, data))

    def kinds(self) -> list[str]:
        return [kind for _, kind, _ in self.list]


@pytest.fixture
def fakes() -> SimpleNamespace:
    return SimpleNamespace(plant=FakePlant, agent=FakeAgent, events=Events)
