"""Whole runs under bus faults: the staleness rule acts, and the run goes on or ends safely."""

from __future__ import annotations

import pytest

from . import loop_table

pytestmark = pytest.mark.slow


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("meter_lan", "bus_disconnect"),
        ("grid_meter", "value_stuck"),
        ("grid_meter", "device_reboot"),
    ],
)
def test_the_staleness_rule_acts(target: str, kind: str) -> None:
    result = loop_table.run(target, kind)
    assert result.status == "completed"
    assert result.stale_after_s is not None
    assert 4.0 < result.stale_after_s < 8.0
    assert result.stale_s > 9.0
    assert result.fresh_after_s is not None
    assert result.fresh_after_s < 32.0  # the longest pause of a driver that backs off
    assert result.events["fault_start"] == result.events["fault_end"] == 1


def test_what_drivers_mend_does_not_reach_the_loop() -> None:
    without = loop_table.run(None)
    faulty = loop_table.run("meter_lan", "bus_duplicate")
    assert faulty.stale_after_s is None
    assert faulty.export_wh == pytest.approx(without.export_wh, abs=5.0)


def test_a_coordinator_that_stays_away_ends_the_run() -> None:
    result = loop_table.run("mesh", "bus_disconnect", {"duration_s": 100})
    assert result.status == "aborted"
    assert "gave up the coordinator" in result.reason


def test_a_meter_that_stays_away_ends_the_run_safely() -> None:
    result = loop_table.run("meter_lan", "bus_disconnect", {"duration_s": 100})
    assert result.status == "aborted"
    assert "lost grid_meter" in result.reason
    assert result.safe == "safe state confirmed"
