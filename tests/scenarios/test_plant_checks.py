"""What cannot work although every number is in its range."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.load import load_scenario

TEXT = """\
plant:
  kind: export
  connection: {line_resistance_ohm: 0.2, neutral_resistance_ohm: 0.2}
  loads: [{id: a1, phase: a, rated_power_w: 3 kW}]
  chargers: [{id: car, sessions: [{plug_in_s: 0, unplug_s: 1 h, energy_wh: 1 kWh}]}]
clock: {start: 2025-06-21T10:00:00, duration_s: 1 h}
policies: [{kind: pi}]
limits: [{metric: export_energy, max: 1 kWh}]
"""


def _errors(folder: Path, text: str) -> list[tuple[int, str, str]]:
    path = folder / "scenario.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioErrors) as caught:
        load_scenario(path)
    return [(error.line, error.field, error.message) for error in caught.value.errors]


def test_car_that_leaves_with_the_end_of_the_run_is_counted(tmp_path):
    (tmp_path / "scenario.yaml").write_text(TEXT)
    assert load_scenario(tmp_path / "scenario.yaml").plant.chargers[0].sessions


def test_car_that_leaves_later_would_never_be_counted(tmp_path):
    ((line, field, message),) = _errors(tmp_path, TEXT.replace("unplug_s: 1 h", "unplug_s: 61 min"))
    assert (line, field) == (5, "plant.chargers[0].sessions[0].unplug_s")
    assert message == "3660 s is after the end of the run; allowed: at most 3600 s"


def test_connection_that_cannot_carry_its_loads_is_refused(tmp_path):
    ((line, field, message),) = _errors(tmp_path, TEXT.replace("3 kW", "60 kW"))
    assert (line, field) == (1, "plant")
    assert "63.7 kW on phase a" in message
    assert "lower impedances or ratings" in message
