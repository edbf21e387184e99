"""The policy that plays a plan, and what it says about plans that cannot be played."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from wattbench.agents.baselines.schedule import Plan, ScheduleConfig, plan_of
from wattbench.agents.policy import Observation, PolicyError, SiteInfo, build
from wattbench.sim.points import Actuator

SITE = SiteInfo(
    (
        Actuator("a1", "load", (1.0, 0.0, 0.0), 0.0, 2000.0, 0.0, 10.0, 0.0, 0.0, 0.0, ""),
        Actuator("b1", "load", (0.0, 1.0, 0.0), 0.0, 2000.0, 0.0, 10.0, 0.0, 0.0, 0.0, ""),
        Actuator("pv", "pv_limit", (1 / 3,) * 3, 0.0, 5000.0, 0.0, 1.0, 0.0, 0.0, 5000.0, ""),
    )
)


def at(policy: Any, *seconds: float) -> list[list[float]]:
    values = np.zeros(1)
    return [
        policy.decide(Observation(round(t * 1e6), 0, 0.0, values, values)).tolist() for t in seconds
    ]


def write(path: Path, content: Any) -> ScheduleConfig:
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return ScheduleConfig(path=str(path))


def plan(**setpoint_w: tuple[float, ...]) -> Plan:
    return Plan(time_s=(2.0, 5.5), setpoint_w=setpoint_w)


def test_the_last_row_whose_time_has_come_holds() -> None:
    policy = build(ScheduleConfig(plan=plan(b1=(300.0, 0.0))), SITE)
    policy.reset(1)
    off = [0.0, 0.0, 5000.0]
    assert at(policy, 0, 1.9, 2, 5, 5.5, 900) == [
        off, off, [0.0, 300.0, 5000.0], [0.0, 300.0, 5000.0], off, off,
    ]  # fmt: skip
    policy.reset(1)
    assert at(policy, 3) == [[0.0, 300.0, 5000.0]]


def test_the_same_plan_inline_as_json_and_as_csv(tmp_path: Path) -> None:
    inline = ScheduleConfig(plan=plan(a1=(1.0, 2.0), pv=(5000.0, 100.0)))
    as_json = write(
        tmp_path / "plan.json",
        {"time_s": [2, 5.5], "setpoint_w": {"a1": [1, 2], "pv": [5000, 100]}},
    )
    as_csv = write(tmp_path / "plan.csv", "time_s, a1, pv\n2, 1, 5000\n\n5.5, 2, 100\n")
    answers = [at(build(config, SITE), 1, 2, 6) for config in (inline, as_json, as_csv)]
    assert answers[0] == answers[1] == answers[2]


def test_arrays_become_a_plan() -> None:
    made = plan_of(["a1", "b1"], np.array([0, 1_500_000]), np.array([[1.0, 2.0], [3.0, 4.0]]))
    assert made == Plan(time_s=(0.0, 1.5), setpoint_w={"a1": (1.0, 3.0), "b1": (2.0, 4.0)})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({"time_s": [1, 1], "setpoint_w": {"a1": [1, 2]}}, "time_s must rise: 1 at place 1"),
        ({"time_s": [2, 1], "setpoint_w": {"a1": [1, 2]}}, "time_s must rise"),
        ({"time_s": [-1], "setpoint_w": {"a1": [1]}}, r"time_s\.0"),
        ({"time_s": [], "setpoint_w": {"a1": []}}, "time_s"),
        ({"time_s": [1, 2], "setpoint_w": {"a1": [1]}}, "'a1' has 1 values"),
        ('{"time_s": [1], "setpoint_w": {"a1": [NaN]}}', r"setpoint_w\.a1\.0.*finite"),
        ({"time_s": [1], "setpoint_w": {}}, "setpoint_w"),
        ({"time_s": [1], "setpoint_w": {"a3": [1]}}, "no actuator of this site: 'a3'; did you"),
        ({"time_s": [1], "setpoint_w": {"a1": [1]}, "extra": 1}, "extra"),
        ({"time_s": 1}, "time_s"),
        ("[1, 2]", "plan.json"),
        ("{", "is no JSON"),
    ],
)
def test_what_is_wrong_with_a_json_file(content: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=message) as error:
        build(write(tmp_path / "plan.json", content), SITE)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", r"plan\.csv:1: expected a header"),
        ("time,a1\n1,2\n", r":1: expected a header"),
        ("time_s,a1,a1\n1,2,3\n", r":1: expected a header"),
        ("time_s,a1\n1\n", r":2: 1 cells; allowed: 2"),
        ("time_s,a1\n1,x\n", r":2: 'x' in column a1 is no number"),
        ("time_s,a1\n1,1\n2,nan\n", r":3: 'nan' in column a1 is no number"),
        ("time_s,a1\n2,1\n1,1\n", "time_s must rise"),
        ("time_s,boiler\n2,1\n", "no actuator of this site: 'boiler'"),
    ],
)
def test_what_is_wrong_with_a_csv_file(content: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(PolicyError, match=message):
        build(write(tmp_path / "plan.csv", content), SITE)


def test_files_that_are_none(tmp_path: Path) -> None:
    (tmp_path / "plan.csv").write_bytes(b"\xff\xfe\x00")
    for name, message in (
        ("absent.csv", "cannot read"),
        ("plan.csv", "no text in UTF-8"),
        (".", "cannot read"),
    ):
        with pytest.raises(PolicyError, match=message):
            build(ScheduleConfig(path=str(tmp_path / name)), SITE)
    with pytest.raises(PolicyError, match=r"a file \.json or \.csv"):
        build(write(tmp_path / "plan.yaml", "time_s: [1]"), SITE)


@pytest.mark.parametrize("given", [{}, {"path": "x.csv", "plan": plan(a1=(1.0, 2.0))}])
def test_exactly_one_source(given: Any) -> None:
    with pytest.raises(ValidationError, match="exactly one of path and plan"):
        ScheduleConfig(**given)
