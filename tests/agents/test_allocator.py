"""The allocator: targets met as closely as they can be, with few writes and minimum times kept."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.agents.allocator import MAX_LOADS_A_PHASE, Allocator
from wattbench.agents.policy import SiteInfo
from wattbench.sim.points import Actuator

SECOND = 1_000_000
SHARES = ((1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0))
THIRDS = (1 / 3, 1 / 3, 1 / 3)


class Driven:
    """An allocator whose answers are sent."""

    def __init__(self, actuators: tuple[Actuator, ...]) -> None:
        self.allocator = Allocator(SiteInfo(actuators))
        self.sent = np.zeros(len(actuators))
        self.writes = 0

    def __call__(self, t_s: float, *targets: float) -> list[float]:
        now_us = round(t_s * SECOND)
        out = self.allocator.allocate(now_us, np.array(targets, dtype=float).reshape(3, 1))
        self.writes = int((out[:, 0] != self.sent).sum())
        self.sent = out[:, 0].copy()
        self.allocator.sent(now_us, out.copy())
        return [float(power) for power in self.sent]


def device(phase: int, high: float, resolution: float, on_s: float, off_s: float) -> Actuator:
    return Actuator("x", "load", SHARES[phase], 0.0, high, 0.0, resolution, on_s, off_s, 0.0, "-")


loads = st.builds(
    device,
    phase=st.integers(0, 2),
    high=st.integers(50, 200).map(lambda tens: tens * 10.0),
    resolution=st.sampled_from([1.0, 10.0, 50.0]),
    on_s=st.just(0.0),
    off_s=st.just(0.0),
)
timed_loads = st.builds(
    device,
    phase=st.integers(0, 2),
    high=st.integers(50, 200).map(lambda tens: tens * 10.0),
    resolution=st.sampled_from([10.0, 500.0]),
    on_s=st.sampled_from([0.0, 30.0, 120.0]),
    off_s=st.sampled_from([0.0, 30.0, 120.0]),
)
chargers = st.builds(
    lambda shares, hold: Actuator(
        "c",
        "charger",
        shares,
        0.0,
        3680.0 * (3 if shares == THIRDS else 1),
        1380.0 * (3 if shares == THIRDS else 1),
        230.0 * (3 if shares == THIRDS else 1),
        hold,
        hold,
        0.0,
        "-",
    ),
    shares=st.sampled_from([*SHARES, THIRDS]),
    hold=st.sampled_from([0.0, 60.0]),
)
targets = st.lists(st.tuples(*[st.floats(-500.0, 6000.0)] * 3), min_size=1, max_size=12)


@settings(max_examples=150, deadline=None)
@given(st.lists(loads, min_size=1, max_size=8), targets)
def test_unblocked_loads_meet_their_targets(devices: list[Actuator], wanted: list) -> None:
    driven = Driven(tuple(devices))
    for k, target in enumerate(wanted):
        power = driven(k, *target)
        for phase in range(3):
            mine = [j for j, d in enumerate(devices) if d.phase_shares[phase] == 1.0]
            if not mine:
                continue
            goal = max(target[phase], 0.0)
            total = sum(power[j] for j in mine)
            top = sum(
                np.floor(devices[j].high_w / devices[j].resolution_w) * devices[j].resolution_w
                for j in mine
            )
            finest = min(devices[j].resolution_w for j in mine)
            assert total <= goal + 1e-3
            # at most the coarsest step is lost where only coarse loads have room
            slack = finest if len({devices[j].resolution_w for j in mine}) == 1 else 50.0
            assert total >= min(goal, top) - slack - 1e-3


@settings(max_examples=150, deadline=None)
@given(st.lists(st.one_of(timed_loads, chargers), min_size=1, max_size=8), targets)
def test_limits_hold_whatever_is_asked(devices: list[Actuator], wanted: list) -> None:
    driven = Driven(tuple(devices))
    changed = [-1e9] * len(devices)
    before = [0.0] * len(devices)
    for k, target in enumerate(wanted):
        t_s = k * 17.0
        power = driven(t_s, *target)
        for j, d in enumerate(devices):
            assert 0.0 <= power[j] <= d.high_w
            steps = power[j] / d.resolution_w
            assert abs(steps - round(steps)) < 1e-6
            assert power[j] == 0.0 or power[j] >= d.min_on_w
            if (power[j] > 0.0) != (before[j] > 0.0):
                held_s = t_s - changed[j]
                assert held_s >= (d.min_on_s if before[j] > 0.0 else d.min_off_s)
                changed[j] = t_s
        forced = [j for j, d in enumerate(devices) if before[j] > 0.0 and d.min_on_s > 0.0]
        if not forced:
            for phase in range(3):
                total = sum(p * d.phase_shares[phase] for p, d in zip(power, devices, strict=True))
                assert total <= max(target[phase], 0.0) + 1e-3
        before = power


@settings(max_examples=100, deadline=None)
@given(st.lists(st.one_of(timed_loads, chargers), min_size=1, max_size=8), targets)
def test_nothing_toggles_while_the_target_stands(devices: list[Actuator], wanted: list) -> None:
    driven = Driven(tuple(devices))
    for k, target in enumerate(wanted):
        driven(k * 600.0, *target)
    # two more rounds: what was locked may follow once
    for later in (1, 2):
        settled = driven((len(wanted) + later) * 600.0, *wanted[-1])
    for later in (3, 4, 100):
        assert driven((len(wanted) + later) * 600.0, *wanted[-1]) == settled
        assert driven.writes == 0


def test_one_and_many_are_bitwise_equal(everything: SiteInfo) -> None:
    n, steps = 40, 50
    rng = np.random.default_rng(5)
    wanted = rng.uniform(-1000.0, 5000.0, (steps, 3, n))
    many = Allocator(everything, n)
    ones = [Allocator(everything, 1) for _ in range(n)]
    for k in range(steps):
        batch = many.allocate(k * 20 * SECOND, wanted[k]).copy()
        many.sent(k * 20 * SECOND, batch)
        for i, one in enumerate(ones):
            single = one.allocate(k * 20 * SECOND, wanted[k][:, i : i + 1].copy()).copy()
            one.sent(k * 20 * SECOND, single)
            assert single[:, 0].tobytes() == batch[:, i].tobytes()
    assert many.wear_h[:, 3].tobytes() == ones[3].wear_h[:, 0].tobytes()


def test_one_load_takes_up_a_difference(nine_loads: SiteInfo) -> None:
    driven = Driven(nine_loads.actuators)
    driven(0, 2000.0, 0.0, 0.0)
    for k, target in enumerate((2200.0, 2507.0, 1800.0, 1600.0), start=1):
        driven(k, target, 0.0, 0.0)
        assert driven.writes == 1
    driven(9, 1605.0, 0.0, 0.0)  # less than a step: nothing changes
    assert driven.writes == 0


def test_on_off_loads_find_the_best_sum(load: Callable[..., Actuator]) -> None:
    sizes = (2000.0, 1500.0, 1000.0, 700.0)
    devices = tuple(load(f"a{k}", size, size) for k, size in enumerate(sizes))
    for target in range(0, 5300, 90):
        power = Driven(devices)(0, target, 0.0, 0.0)
        subsets = [sum(size for k, size in enumerate(sizes) if mask >> k & 1) for mask in range(16)]
        best = max(total for total in subsets if total <= target)
        # nearest by the finest step of these loads, then the fewest writes
        assert (target - sum(power)) // 700.0 == (target - best) // 700.0


def test_minimum_times(load: Callable[..., Actuator]) -> None:
    driven = Driven((load("a1", min_on_s=60.0, min_off_s=120.0),))
    assert driven(0, 1000.0, 0.0, 0.0) == [1000.0]
    assert driven(30, 0.0, 0.0, 0.0) == [10.0]  # must stay on, at its least
    assert driven(59, 500.0, 0.0, 0.0) == [500.0]
    assert driven(60, 0.0, 0.0, 0.0) == [0.0]
    assert driven(179, 1500.0, 0.0, 0.0) == [0.0]
    assert driven(180, 1500.0, 0.0, 0.0) == [1500.0]


def test_a_forced_load_is_made_up_for_by_the_others(load: Callable[..., Actuator]) -> None:
    driven = Driven((load("a1", 1000.0, 1000.0, min_on_s=600.0), load("a2", 1500.0)))
    assert driven(0, 1000.0, 0.0, 0.0) in ([1000.0, 0.0], [0.0, 1000.0])
    driven(1, 2500.0, 0.0, 0.0)
    assert driven(2, 1200.0, 0.0, 0.0) == [1000.0, 200.0]
    assert driven(3, 300.0, 0.0, 0.0) == [1000.0, 0.0]


def test_wear_is_shared(nine_loads: SiteInfo) -> None:
    driven = Driven(nine_loads.actuators)
    for k in range(30):
        driven(k * 600, 1500.0 if k % 2 else 0.0, 0.0, 0.0)
    wear = driven.allocator.wear_h[:3, 0]
    assert wear.max() - wear.min() < 0.25
    assert driven.allocator.wear_h[3:].sum() == 0.0


def test_a_load_that_refuses_is_passed_over(nine_loads: SiteInfo) -> None:
    driven = Driven(nine_loads.actuators)
    assert driven(0, 1000.0, 0.0, 0.0)[:3] == [1000.0, 0.0, 0.0]
    driven.allocator.usable[0] = 0.0
    assert driven(1, 1000.0, 0.0, 0.0)[:3] == [0.0, 1000.0, 0.0]


def test_chargers_come_first_in_whole_amperes(
    load: Callable[..., Actuator], charger: Callable[..., Actuator]
) -> None:
    driven = Driven((load("a1"), load("b1"), load("c1"), charger("car", hold_s=60.0)))
    assert driven(0, 1300.0, 1300.0, 1300.0) == [1300.0, 1300.0, 1300.0, 0.0]  # not 6 A
    assert driven(10, 1700.0, 1500.0, 1600.0) == [320.0, 120.0, 220.0, 4140.0]
    # one ampere more is left to the loads, three are not
    assert driven(20, 1700.0, 1700.0, 1700.0)[3] == 4140.0
    assert driven(30, 2100.0, 2100.0, 2100.0)[3] == 9 * 690.0
    assert driven(40, 100.0, 2100.0, 2100.0)[3] == 4140.0  # must stay on
    assert driven(80, 100.0, 2100.0, 2100.0)[3] == 0.0


def test_battery_takes_what_is_left(everything: SiteInfo) -> None:
    driven = Driven(everything.actuators)
    ids = [actuator.id for actuator in everything.actuators]
    battery, limit = ids.index("battery"), ids.index("pv")
    power = driven(0, 5000.0, 1000.0, 0.0)
    assert power[battery] == -1500.0  # the loads of phase a take 3500
    assert power[limit] == 8000.0
    assert driven(1, 4999.0, 1000.0, 0.0)[battery] == pytest.approx(-1499.0, abs=2.0)
    assert driven(2, 9999.0, 1000.0, 0.0)[battery] == -3000.0
    assert driven(3, 3500.0, 1000.0, 0.0)[battery] == 0.0
    assert driven(4, -500.0, -400.0, 0.0)[battery] == 900.0
    assert driven(5, -5000.0, 0.0, 0.0)[battery] == 2000.0


def test_too_many_loads_on_a_phase(load: Callable[..., Actuator]) -> None:
    devices = tuple(load(f"b{k}") for k in range(MAX_LOADS_A_PHASE + 1))
    with pytest.raises(ValueError, match="phase b has 9 loads; at most 8"):
        Allocator(SiteInfo(devices))


def test_reset_forgets_locks_and_wear(load: Callable[..., Actuator]) -> None:
    driven = Driven((load("a1", min_on_s=600.0),))
    driven(0, 1000.0, 0.0, 0.0)
    driven.allocator.reset(now_us=SECOND)
    assert driven(1, 0.0, 0.0, 0.0) == [0.0]
    assert driven.allocator.wear_h[0, 0] == 0.0
