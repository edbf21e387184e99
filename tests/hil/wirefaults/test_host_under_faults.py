"""The ZNP host under each bus fault: no hang, no crash, no wrong value; it recovers."""

from __future__ import annotations

import pytest

from . import znp_table

CASES = [pytest.param(*case, id=case[0]) for case in znp_table.CASES]


@pytest.mark.parametrize(("title", "target", "kind", "parameters"), CASES)
def test_the_host_under_a_fault(title, target, kind, parameters) -> None:
    result = znp_table.run(target, kind, parameters)
    assert not result.crashes
    assert not result.given_up, "a fault of half a minute ended the coordinator"
    assert result.longest_s < 10.0, "a call took longer than its attempts"
    assert result.recovered_s is not None
    assert result.recovered_s < 15.0
    assert result.commanded_s is not None
    assert result.commanded_s < 20.0
    assert result.wrong == []
    assert result.bent == []


def test_a_run_is_the_same_for_one_seed() -> None:
    arguments = "mesh", "bus_jitter", {"delay_s": 1.0}
    assert znp_table.run(*arguments, seed=3) == znp_table.run(*arguments, seed=3)
    assert znp_table.run(*arguments, seed=3) != znp_table.run(*arguments, seed=4)
