"""A small valid scenario and what writes and reads variants of it."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from wattbench.scenarios.errors import ScenarioError, ScenarioErrors
from wattbench.scenarios.load import load_scenario

VALID = """\
title: A test
plant:
  kind: export
  pv: {peak_power_w: 9 kW}
  loads:
    - {id: a1, phase: a, rated_power_w: 3 kW}
    - {id: b1, phase: b, rated_power_w: 2000}
profiles:
  site: {time_zone: Europe/Berlin}
  pv: {kind: generated, sky: clear}
  household: {kind: constant, power_a_w: 300}
clock:
  start: 2025-06-21T10:00:00
  duration_s: 4 h
policies:
  - {kind: smith}
baselines:
  - {kind: zero}
  - {kind: pi, name: tuned}
faults:
  - {kind: meter_freeze, start_s: 600, duration_s: 60}
limits:
  - {metric: export_energy, max: 1.2 kWh}
  - {metric: export_energy, vs: tuned, max_ratio: 0.9}
"""


@pytest.fixture(scope="session")
def valid() -> str:
    return VALID


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str, str], Path]:
    """Write a text under a name; return the file."""

    def writer(text: str, name: str = "case.yaml") -> Path:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text), encoding="utf-8")
        return path

    return writer


@pytest.fixture
def errors(write: Callable[[str], Path]) -> Callable[[str], list[ScenarioError]]:
    """Return the errors of a text, none if it is a valid scenario."""

    def reader(text: str) -> list[ScenarioError]:
        try:
            load_scenario(write(text))
        except ScenarioErrors as problem:
            return list(problem.errors)
        return []

    return reader
