"""The audit notices scenarios that are worth nothing: bad policies pass, or no good one does."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.commands.audit import AuditOptions, audit
from wattbench.commands.auditing import audit as run_audit

#: Two minutes of a summer noon, in which each degenerate policy misses a limit and `smith` none.
SOUND = """\
plant:
  kind: export
  loads:
    - {id: a1, phase: a, rated_power_w: 2 kW}
    - {id: b1, phase: b, rated_power_w: 2 kW}
    - {id: c1, phase: c, rated_power_w: 2 kW}
profiles: {pv: {kind: generated, sky: partly_cloudy}}
clock: {start: 2025-06-21T09:00:00, duration_s: 2 min}
policies: [{kind: smith}]
baselines: [{kind: zero}]
audit: {passing: smith, seeds: 1}
"""
STRICT = """\
limits:
  - {metric: export_energy, vs: zero, max_ratio: 0.25}
  - {metric: added_import_energy, max: 10 Wh}
  - {metric: command_changes_per_min_worst, max: 10}
  - {metric: unserved_energy, max: 10 kWh}
"""


@pytest.fixture
def broken(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    """Audit a scenario; return what does not hold, after the exit code has said the same."""

    def run(text: str) -> list[str]:
        path = tmp_path / "case.yaml"
        path.write_text(text)
        code = audit(AuditOptions((str(path),), jobs=1), as_json=False)
        shown = capsys.readouterr().out
        found = [line.strip() for line in shown.splitlines() if line.startswith("  NOT")]
        assert code == (1 if found else 0)
        assert ("broken: case" in shown) == bool(found)
        return [line.removeprefix("NOT").strip() for line in found]

    return run


def test_sound_scenario_holds(broken) -> None:
    assert broken(SOUND + STRICT) == []


@pytest.mark.parametrize("kind", ["discriminating", "robustness"])
def test_limits_that_doing_nothing_keeps_break_it(broken, kind: str) -> None:
    text = SOUND.replace("smith, seeds: 1", "smith, seeds: 1, broken: [dither_more]")
    text = text.replace("{kind: smith}", "{kind: smith}, {kind: dither, name: dither_more}")
    lax = STRICT.replace("max_ratio: 0.25", "max_ratio: 1")
    assert broken(f"kind: {kind}\n{text}{lax}") == ["these do not fail: zero (seed 1)"]


def test_limits_that_nobody_keeps_break_it(broken) -> None:
    impossible = STRICT.replace("max_ratio: 0.25", "max_ratio: 0")
    assert broken(SOUND + impossible) == ["smith passes 0 of 1 seeds (at least 1)"]


def test_broken_policy_that_passes_breaks_it(broken) -> None:
    text = SOUND.replace("smith, seeds: 1", "smith, seeds: 1, broken: [sound]")
    text = text.replace("{kind: smith}", "{kind: smith}, {kind: smith, name: sound}")
    assert broken(f"kind: robustness\n{text}{STRICT}") == ["sound fails 0 of 1 seeds (at least 1)"]


def test_every_limit_of_the_sound_scenario_is_needed_by_somebody(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(SOUND + STRICT)
    (result,) = run_audit([path], jobs=1)
    missed = {tally.policy: set(tally.failed_limits()) for tally in result.tallies}
    assert "export_energy" in missed["zero"]
    assert "added_import_energy" in missed["always_on"]
    assert "command_changes_per_min_worst" in missed["random"] & missed["dither"]
    assert missed["crash_early"] == {"run: error"}
