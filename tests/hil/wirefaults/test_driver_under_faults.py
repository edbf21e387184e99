"""The Modbus driver under each bus fault: no hang, no crash, no wrong value; it recovers."""

from __future__ import annotations

import pytest

from . import fault_table

#: Where the protocol itself has nothing that would tell a wrong value from a right one.
CANNOT_BE_TOLD = {
    ("tcp", "any byte corrupt, every tenth"),  # no check sum
}
CASES = [
    pytest.param(bus_kind, title, kind, parameters, id=f"{bus_kind}, {title}")
    for title, buses, kind, parameters in fault_table.CASES
    for bus_kind in buses.split()
]


@pytest.mark.parametrize(("bus_kind", "title", "kind", "parameters"), CASES)
def test_the_driver_under_a_fault(bus_kind, title, kind, parameters) -> None:
    result = fault_table.run(bus_kind, kind, parameters)
    assert not result.crashes
    assert result.longest_s < 3.0, "a call took longer than its time-outs"
    assert 25 <= sum(result.polls.values()) <= 30
    assert result.recovered_s is not None, "it did not come back"
    assert result.recovered_s < 31.0
    assert result.lost_writes == 0, "a write was confirmed that the device does not have"
    if (bus_kind, title) in CANNOT_BE_TOLD:
        assert len(result.wrong) < 10
    else:
        assert result.wrong == []
        assert result.bent_writes == 0
    # Whatever was not renewed is told by its age.
    if result.polls["ok"] == 0:
        assert result.oldest_s > 25.0


def test_a_run_is_the_same_for_one_seed() -> None:
    """Random faults, time-outs and back-off included."""
    arguments = "rtu", "bus_jitter", {"delay_s": 0.6}
    assert fault_table.run(*arguments, seed=3) == fault_table.run(*arguments, seed=3)
    assert fault_table.run(*arguments, seed=3) != fault_table.run(*arguments, seed=4)


def test_a_stuck_value_is_told_by_how_long_it_has_not_changed() -> None:
    result = fault_table.run("tcp", "value_stuck", {"quantity": "power_w"})
    assert result.polls == {"ok": 30}
    assert result.oldest_s < 2.0
    assert result.unchanged_s > 28.0


@pytest.mark.parametrize("bus_kind", ["tcp", "rtu"])
def test_a_clock_that_begins_before_zero_holds_nothing_up(bus_kind) -> None:
    """Rigs are opened before a run begins, with faults waiting for their time."""
    quiet = fault_table.run(bus_kind, "bus_drop", {}, begin_s=-40)
    assert not quiet.crashes
    assert quiet.opened_s < 1.0
