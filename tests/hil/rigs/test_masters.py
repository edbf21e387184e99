"""Another master's writes are seen; what the device does by itself is not taken for one."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices.model import Actuator, Watchdog
from wattbench.hil.rigs.masters import SetpointWatch

S = 1_000_000


def watch(**changes: object) -> SetpointWatch:
    content = {"quantity": "power_setpoint_w", "high": 3500.0, "dead_time_s": 1.0, **changes}
    return SetpointWatch("heater", Actuator.model_validate(content), refresh_s=1.0)


def test_ours_is_ours() -> None:
    one = watch(resolution=10.0)
    assert one.check(1234.0, 0) is None, "nothing written yet"
    one.written(1005.0, 0)
    for t_us in range(0, 20 * S, S):
        assert one.check(1000.0, t_us) is None


def test_another_value_is_somebody_elses_when_seen_twice() -> None:
    one = watch()
    one.written(1000.0, 0)
    assert one.check(2000.0, 10 * S) is None
    found = one.check(2000.0, 11 * S)
    assert found is not None
    assert "'heater' shows power_setpoint_w = 2000, and 1000 was written 11.0 s ago" in found


def test_a_torn_read_is_not_a_master() -> None:
    one = watch()
    one.written(1000.0, 0)
    for t_us in range(10 * S, 60 * S, 2 * S):
        assert one.check(3333.0, t_us) is None
        assert one.check(1000.0, t_us + S) is None


def test_the_last_value_may_be_shown_for_as_long_as_the_device_takes() -> None:
    one = watch()
    one.written(1000.0, 0)
    one.written(2000.0, 10 * S)
    assert one.check(1000.0, 11 * S) is None
    assert one.check(1000.0, 12 * S) is None
    assert one.check(1000.0, 20 * S) is None
    assert one.check(1000.0, 21 * S) is not None


def test_a_watchdog_is_not_a_master_unless_it_is_far_too_early() -> None:
    one = watch(watchdog=Watchdog(timeout_s=60.0))
    one.written(1000.0, 0)
    assert [one.check(0.0, t * S) for t in (50, 51, 70, 80)] == [None] * 4
    early = watch(watchdog=Watchdog(timeout_s=60.0))
    early.written(1000.0, 0)
    assert early.check(0.0, 10 * S) is None
    assert early.check(0.0, 11 * S) is not None


def test_what_the_device_held_before_is_nobody_elses() -> None:
    """Commands follow each other faster than the device shows them."""
    one = watch()
    for second in range(3):
        one.written(1000.0 + second, second * S)
        assert one.check(300.0, second * S) is None
    assert one.check(1000.0, 3 * S) is None
    one.written(1003.0, 3 * S)
    assert [one.check(300.0, t * S) is None for t in (4, 5)] == [True, False]


@given(
    st.floats(0.0, 3500.0),
    st.lists(st.tuples(st.floats(0.1, 30.0), st.floats(0.0, 3500.0)), min_size=1, max_size=20),
    st.floats(0.0, 3.0),
)
def test_a_device_that_obeys_never_raises_an_alarm(
    before: float, commands: list[tuple[float, float]], lag_s: float
) -> None:
    """The register shows each value a while after it was written, whatever is written."""
    one = watch()
    shows, t_us = [(-(1 << 60), before)], 0
    for pause_s, value in commands:
        one.written(value, t_us)
        shows.append((t_us + round(lag_s * S), value))
        end_us = t_us + round(pause_s * S)
        while t_us < end_us:
            shown = [what for since_us, what in shows if since_us <= t_us][-1]
            assert one.check(shown, t_us) is None
            t_us = min(t_us + S, end_us)
