"""How late a rig may open: simulated seconds, but a busy machine is no broken rig."""

from __future__ import annotations

import pytest

from wattbench.hil.execute import allowed_lateness_s
from wattbench.sim.clock import VirtualClock, WallClock


@pytest.mark.parametrize(("factor", "allowed_s"), [(1.0, 1.0), (10.0, 1.0), (600.0, 60.0)])
def test_a_fast_clock_allows_for_a_tenth_of_a_second_of_the_machine(
    factor: float, allowed_s: float
) -> None:
    with WallClock(factor) as clock:
        assert allowed_lateness_s(clock) == allowed_s


def test_virtual_time_is_never_late_for_the_machines_sake() -> None:
    with VirtualClock() as clock:
        assert allowed_lateness_s(clock) == 1.0
