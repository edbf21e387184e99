"""Runs on rigs with bytes, and runs that broke off, shown to policies again."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from wattbench.cli import app
from wattbench.commands.run import RunOptions, run
from wattbench.evaluation.record import read_record

SITE = """
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2 kW}
    - {id: b1, phase: b, rated_power_w: 2 kW}
edge: {device: {report_period_s: 10}}
profiles: {pv: {kind: generated, sky: cloud_edges}}
clock: {start: 2025-06-21T12:00:00, duration_s: 80 s}
policies: [{kind: smith}, {kind: pi}, {kind: crash_early, steps: 30}]
limits: [{metric: export_energy, max: 100 kWh}]
faults:
  - {kind: meter_freeze, start_s: 30, duration_s: 15}
  - {kind: broadcast_loss, start_s: 50, duration_s: 15, probability: 0.5}
"""


def replay(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, ["replay", *(str(argument) for argument in arguments)])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture
def site(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE)
    return path


def test_on_emulated_devices_a_runs_own_policy_decides_the_same(site, tmp_path) -> None:
    options = RunOptions(str(site), tmp_path / "out", ("smith",), rig="emulated")
    assert run(options, as_json=True) == 0
    folder = tmp_path / "out" / "site" / "smith-seed1"
    assert read_record(folder).header.rig_name != "direct"
    code, out, _ = replay(folder, "--policy", "smith", "--json")
    shown = json.loads(out)
    assert (code, shown["steps"], shown["differing"]) == (0, 80, 0)
    assert shown["decisions_identical"] is True
    assert 0 < shown["not_asked"] < 20
    assert json.loads(replay(folder, "--policy", "pi", "--json")[1])["differing"] > 0


def test_of_a_run_that_broke_off_the_steps_it_made_are_shown(site, tmp_path) -> None:
    run(RunOptions(str(site), tmp_path / "out", ("crash_early",)), as_json=True)
    (folder,) = (tmp_path / "out" / "site").iterdir()
    record = read_record(folder)
    assert record.header.status == "error"
    rows = record.stream("commands").rows
    code, out, _ = replay(folder, "--policy", "pi", "--json")
    shown = json.loads(out)
    assert code == 0
    # the last row is the safe command that ended the run: nobody's decision
    assert shown["steps"] == rows - 1 > 5
    assert any(note.startswith("the run was error") for note in shown["notes"])
