"""The features: what they mean, that nothing drifts, and that N = 1 equals N = many."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from wattbench.agents import feature_names as names
from wattbench.agents.features import Features
from wattbench.agents.policy import SiteInfo
from wattbench.sim.edge.config import DeviceConfig, EdgeConfig, MeterConfig

SECOND = 1_000_000


def value(features: Features, name: str, i: int = 0) -> float:
    return float(features.values[names.feature_indices([name])[0], i])


def step(features: Features, k: int, power: tuple[float, float, float], age_s: float = 0.0) -> None:
    """One control step at second k with a reading of these phase powers, sampled a second ago."""
    features.reading[:] = 0.0
    features.reading[:3, 0] = power
    features.reading[3, 0] = sum(power)
    features.reading[4:7, 0] = 231.0
    features.input_us[0, 0] = k * SECOND - round(age_s * 1e6)
    features.input_us[1, 0] = round(age_s * 1e6)
    features.update(k * SECOND)


def send(features: Features, k: int, power_w: float, actuator: int = 0) -> None:
    command = features.sent_w.copy()
    command[actuator] = power_w
    features.sent(k * SECOND, command)


def test_names_are_unique_and_the_seeds_are_all_there() -> None:
    assert len(set(names.FEATURE_NAMES)) == names.FEATURES
    assert len(names.SEED_NAMES) == 29
    assert names.feature_indices(names.SEED_NAMES.values())
    assert names.FEATURE_NAMES[names.SURPLUS_TOTAL] == "surplus_total_w"
    assert names.FEATURE_NAMES[names.CHANGES_60S] == "changes_60s"
    assert names.FEATURE_NAMES[names.LOADS_A] == "loads_a_w"
    assert names.FEATURE_NAMES[names.COMMAND_LAGS] == "command_total_lag_1s_w"
    assert names.FEATURE_NAMES[names.SURPLUS_LAGS] == "surplus_lag_1s_w"


def test_unknown_feature_names_the_nearest() -> None:
    with pytest.raises(names.UnknownFeatureError, match="nearest is 'surplus_total_w'"):
        names.feature_indices(["surplus_totl_w"])
    with pytest.raises(names.UnknownFeatureError, match="'grid_power_slope_w_per_s'"):
        names.feature_indices(["dP_dt"])


def test_before_the_first_reading_there_is_nothing(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    features.update(0)
    assert value(features, "grid_power_total_w") == 0.0
    assert value(features, "surplus_total_w") == 0.0
    assert value(features, "reading_age_s") == 3600.0
    assert value(features, "command_age_s") == 3600.0


def test_first_reading_fills_the_windows(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    features.update(0)
    step(features, 1, (-300.0, 100.0, -400.0))
    assert value(features, "grid_power_mean_30s_w") == -600.0
    assert value(features, "grid_power_std_30s_w") == 0.0
    assert value(features, "export_mean_5s_w") == 600.0
    assert value(features, "surplus_lag_500s_w") == 600.0
    assert value(features, "surplus_b_w") == -100.0
    assert value(features, "grid_voltage_c_v") == 231.0
    assert value(features, "error_w") == 600.0


def test_windows_hold_exactly_their_length(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    rng = np.random.default_rng(4)
    series = rng.normal(1e6, 500.0, 100)  # far from zero: a running sum of squares would suffer
    for k, power in enumerate(series):
        step(features, k, (power, 0.0, 0.0))
    for window in names.WINDOWS_S:
        last = series[-window:]
        assert value(features, f"grid_power_mean_{window}s_w") == pytest.approx(
            last.mean(), rel=1e-14
        )
        assert value(features, f"grid_power_std_{window}s_w") == pytest.approx(last.std(), rel=1e-9)
        assert value(features, f"grid_power_min_{window}s_w") == last.min()
        assert value(features, f"grid_power_max_{window}s_w") == last.max()
    for lag in names.SURPLUS_LAGS_S[:13]:
        assert value(features, f"surplus_lag_{lag}s_w") == -series[-1 - lag]


def test_export_statistics_count_export_only(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    series = [500.0, -100.0, -300.0, 200.0, -50.0]
    for k, power in enumerate(series):
        step(features, k, (power, 0.0, 0.0))
    export = np.maximum(-np.array(series), 0.0)
    assert value(features, "export_mean_5s_w") == pytest.approx(export.mean())
    assert value(features, "export_std_5s_w") == pytest.approx(export.std())


def test_slope_is_between_samples(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    step(features, 0, (0.0, 0.0, 0.0))
    step(features, 2, (600.0, 0.0, 0.0))
    assert value(features, "grid_power_slope_w_per_s") == 300.0
    features.input_us[1, 0] = SECOND  # the same sample once more, a second older
    features.update(3 * SECOND)
    assert value(features, "grid_power_slope_w_per_s") == 300.0
    assert value(features, "reading_age_s") == 1.0
    step(features, 1, (0.0, 0.0, 0.0))  # the meter's clock was set back
    assert value(features, "grid_power_slope_w_per_s") == 0.0


def test_a_reading_that_is_not_finite_is_none(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    step(features, 0, (100.0, 200.0, 300.0))
    step(features, 1, (float("nan"), 0.0, 0.0))
    assert value(features, "grid_power_total_w") == 600.0
    assert value(features, "reading_age_s") == 1.0
    assert np.isfinite(features.values).all()


def test_commands_in_flight(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    for k in range(12):
        step(features, k, (0.0, 0.0, 0.0))
        if k == 1:
            send(features, k, 1000.0)
        if k == 4:
            send(features, k, 500.0, actuator=8)
        if k == 5:
            send(features, k, 504.0, actuator=8)  # within the dead-band: no change
    assert value(features, "command_total_w") == 1504.0
    assert value(features, "command_a_w") == 1000.0
    assert value(features, "command_c_w") == 504.0
    assert value(features, "command_age_s") == 7.0
    assert value(features, "changes_60s") == 2.0
    lags = [value(features, f"command_total_lag_{lag}s_w") for lag in range(1, 11)]
    # in force 11−lag s after the start, before that step's own decision
    assert lags == [1504.0] * 5 + [1500.0] + [1000.0] * 3 + [0.0]


def test_changes_leave_the_minute(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    for k in range(200):
        step(features, k, (0.0, 0.0, 0.0))
        if k % 10 == 0 and k < 100:
            send(features, k, 100.0 + k * 20)
    assert value(features, "changes_60s") == 0.0
    features.reset()
    for k in range(95):
        step(features, k, (0.0, 0.0, 0.0))
        if k % 10 == 0:
            send(features, k, 100.0 + k * 20)
    assert value(features, "changes_60s") == 6.0


def test_own_power_follows_dead_time_and_ramp(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    seen = []
    for k in range(10):
        step(features, k, (0.0, 0.0, 0.0))
        if k == 0:
            send(features, k, 1500.0)
        seen.append(value(features, "own_total_w"))
    # begins 1.07 s after step 0; the reading of step k is the mean over [k − 2, k − 1]
    begin, ramp = 1.07, 1.5
    fine = np.linspace(0.0, 10.0, 100_001)
    power = 1500.0 * np.clip((fine - begin) / ramp, 0.0, 1.0)
    for k in range(2, 10):
        window = (fine >= k - 2) & (fine <= k - 1)
        assert seen[k] == pytest.approx(power[window].mean(), abs=1.0)
    assert value(features, "in_flight_w") == 0.0
    assert value(features, "surplus_total_w") == 1500.0
    assert value(features, "surplus_a_w") == 1500.0


def test_a_frozen_reading_is_explained_by_old_commands(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    for k in range(10):
        step(features, k, (0.0, 0.0, 0.0), age_s=float(k))  # all of them the sample of step 0
        if k == 1:
            send(features, k, 1500.0)
    assert value(features, "own_total_w") == 0.0
    assert value(features, "in_flight_w") == 1500.0


def test_reported_power_replaces_the_model_where_it_is_complete(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    send(features, 0, 1500.0)
    for k in range(20):
        features.reported_w[:, 0] = (250.0, np.nan, np.nan)
        step(features, k, (0.0, 0.0, 0.0))
    assert value(features, "loads_a_w") == 250.0
    assert value(features, "own_a_w") == 1500.0
    assert value(features, "loads_total_w") == 250.0


def test_hour_and_weekday(nine_loads: SiteInfo) -> None:
    features = Features(nine_loads)
    features.input_us[2, 0] = 3 * 1440 + 6 * 60  # Thursday, six o'clock
    features.update(0)
    assert value(features, "day_of_week") == 3.0
    assert value(features, "hour_sin") == 1.0
    assert value(features, "hour_cos") == pytest.approx(0.0, abs=1e-15)


def test_site_from_its_edge() -> None:
    edge = EdgeConfig(meter=MeterConfig(delay_s=0.3), device=DeviceConfig(dead_time_s=2.0))
    site = SiteInfo.of((), edge, control_period_s=0.2, decision_delay_s=0.05)
    assert site.command_delay_s == pytest.approx(2.095)
    assert site.meter_delay_s == pytest.approx(0.4)
    assert Features(site).values.shape == (names.FEATURES, 1)


def drive(features: Features, seeds: list[int], steps: int, reset_at: dict[int, int]) -> None:
    """Feed each instance the random inputs of its seed; some begin anew on the way."""
    rngs = [np.random.default_rng(seed) for seed in seeds]
    for k in range(steps):
        for i, when in reset_at.items():
            if when == k:
                features.reset([i], now_us=k * SECOND)
                rngs[i] = np.random.default_rng(seeds[i])
        for i, rng in enumerate(rngs):
            features.reading[:, i] = rng.normal(0.0, 2000.0, 19)
            features.reading[3, i] = features.reading[:3, i].sum()
            if rng.random() < 0.1:
                features.reading[int(rng.integers(19)), i] = np.nan
            features.input_us[:, i] = ((k + 1) * SECOND, int(rng.integers(3) * SECOND), k // 60)
        features.update(k * SECOND)
        power = np.stack([rng.random(features.sent_w.shape[0]) * 2000.0 for rng in rngs], axis=1)
        power = np.where(power > 1000.0, power, features.sent_w)
        features.asked(power.sum(axis=0))
        features.sent(k * SECOND + 20_000, power)


@pytest.mark.parametrize("n", [7, 300])
def test_one_and_many_are_bitwise_equal(everything: SiteInfo, n: int) -> None:
    steps = 80
    many = Features(everything, n)
    drive(many, list(range(n)), steps, {})
    for i in (0, 3, n - 1):
        one = Features(everything, 1)
        drive(one, [i], steps, {})
        assert one.values[:, 0].tobytes() == many.values[:, i].tobytes()


def test_reset_within_a_batch_is_a_fresh_start(everything: SiteInfo) -> None:
    many = Features(everything, 3)
    drive(many, [1, 2, 3], 90, {1: 37})
    one = Features(everything, 1)
    rng_steps = 90 - 37
    drive(one, [2], rng_steps, {})
    # stamps and the minute of the week differ; nothing else may
    clock = {names.HOUR_SIN, names.HOUR_COS, names.DAY_OF_WEEK}
    keep = [k for k in range(names.FEATURES) if k not in clock]
    assert one.values[keep, 0].tobytes() == many.values[keep, 1].tobytes()


@settings(max_examples=30, deadline=None)
@given(
    period_s=st.sampled_from([0.2, 0.5, 1.0, 2.0, 7.0, 60.0]),
    powers=st.lists(st.floats(-1e5, 1e5), min_size=1, max_size=40),
)
@example(period_s=1.0, powers=[4.5, 0.0, 0.0, 0.0, 0.0, 0.0])  # own power −9e-16 W by rounding
def test_any_period_and_any_power(period_s: float, powers: list[float]) -> None:
    from wattbench.sim.points import Actuator

    load = Actuator("a1", "load", (1.0, 0.0, 0.0), 0.0, 1500.0, 0.0, 10.0, 0.0, 0.0, 0.0, "-")
    features = Features(SiteInfo((load,), control_period_s=period_s))
    for k, power in enumerate(powers):
        features.reading[:4, 0] = (power, 0.0, 0.0, power)
        features.input_us[0, 0] = round(k * period_s * 1e6)
        features.update(round(k * period_s * 1e6))
        features.sent(round(k * period_s * 1e6), np.array([[abs(power) % 1500.0]]))
    assert np.isfinite(features.values).all()
    low, high = min(powers), max(powers)
    for window in names.WINDOWS_S:
        mean = value(features, f"grid_power_mean_{window}s_w")
        assert low - 1e-6 <= mean <= high + 1e-6
        assert value(features, f"grid_power_min_{window}s_w") >= low
    assert -1e-6 <= value(features, "own_total_w") <= 1500.0 + 1e-6
