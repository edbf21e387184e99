"""Known answers of every metric, worked out by hand on small arrays; and properties."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wattbench.evaluation.metrics import METRICS, find_metric, measure
from wattbench.evaluation.metrics.control import most_in_a_minute
from wattbench.evaluation.metrics.energy import fill_level, sliding_mean


@pytest.fixture
def measured(make_record):
    """Return the measurements of a record of some streams, keyed by bare metric name."""

    def of(**streams):
        values = measure(make_record(**streams))
        return {key.partition("@")[0]: value for key, value in values.items()}

    return of


def test_every_metric_says_what_it_is():
    for key, entry in METRICS.items():
        assert key == f"{entry.name}@{entry.version}"
        assert entry.description, key
        assert entry.formula, key
        assert entry.source, key


def test_every_metric_has_a_known_answer_test():
    source = Path(__file__).read_text(encoding="utf-8")
    assert [e.name for e in METRICS.values() if f'"{e.name}"' not in source] == []


def test_a_metric_is_found_by_name_and_by_id():
    assert find_metric("objective") is find_metric("objective@1")
    with pytest.raises(KeyError, match="did you mean 'export_energy'"):
        find_metric("export_enery")


def test_energy_counters_and_their_rules(measured, builders):
    truth = builders.truth(
        2,
        grid__net__import_energy_wh=[1.0, 3.0],
        grid__net__export_energy_wh=[0.5, 0.75],
        grid__a__import_energy_wh=[1.0, 4.0],
        grid__b__import_energy_wh=[0.0, 1.0],
        grid__c__export_energy_wh=[1.0, 2.75],
    )
    m = measured(truth=truth)
    assert m["import_energy"] == 3.0
    assert m["export_energy"] == 0.75
    assert m["import_energy_per_phase"] == 5.0
    assert m["export_energy_per_phase"] == 2.75


def test_energy_integrated_from_net_power(measured, builders):
    # Net: −3600, +1800, 0 W for a second each.
    truth = builders.truth(
        3, grid__a__power_w=[-5400.0, 1800.0, 900.0], grid__b__power_w=[1800.0, 0.0, -900.0]
    )
    m = measured(truth=truth)
    assert m["export_energy_integrated"] == pytest.approx(1.0)
    assert m["import_energy_integrated"] == pytest.approx(0.5)


def test_energy_beyond_the_zero_baseline(measured, builders):
    header = builders.header(
        baselines={
            "zero": {"export_energy@1": 10.0, "import_energy@1": 2.0, "phase_imbalance@1": 50.0}
        }
    )
    truth = builders.truth(
        1, grid__net__export_energy_wh=[4.0], grid__net__import_energy_wh=[5.0],
        grid__a__power_w=[300.0],
    )  # fmt: skip
    m = measured(header=header, truth=truth)
    assert m["added_export_energy"] == -6.0
    assert m["added_import_energy"] == 3.0
    assert m["added_phase_imbalance"] == pytest.approx(300 * math.sqrt(2) / 3 - 50)


def test_without_the_zero_baseline_there_is_no_value_beyond_it(measured, builders):
    m = measured(truth=builders.truth(1))
    assert math.isnan(m["added_export_energy"])
    assert math.isnan(m["added_import_energy"])
    assert math.isnan(m["added_phase_imbalance"])


def test_peaks_of_a_second_and_of_a_sliding_minute(measured, builders):
    power_w = np.zeros(200)
    power_w[50] = -12000.0  # a spike of one second
    power_w[95:125] = -600.0  # half a minute across a calendar minute's edge
    m = measured(truth=builders.truth(200, grid__a__power_w=power_w))
    assert m["peak_export_1s"] == 12000.0
    assert m["peak_export_1min"] == pytest.approx((12000 + 15 * 600) / 60)


def test_a_site_that_only_imports_has_no_peak_export(measured, builders):
    m = measured(truth=builders.truth(5, grid__b__power_w=100.0))
    assert m["peak_export_1s"] == 0.0
    assert m["peak_export_1min"] == 0.0


def test_pv_energy_curtailment_and_self_consumption(measured, builders):
    truth = builders.truth(
        2, pv__power_w=3600.0, pv__available_power_w=[3600.0, 7200.0],
        grid__net__export_energy_wh=[0.25, 0.5],
    )  # fmt: skip
    m = measured(truth=truth)
    assert m["pv_energy"] == pytest.approx(2.0)
    assert m["curtailed_energy"] == pytest.approx(1.0)
    assert m["self_consumption"] == pytest.approx(0.75)


def test_no_pv_no_self_consumption(measured, builders):
    assert math.isnan(measured(truth=builders.truth(2))["self_consumption"])


def test_phase_imbalance_is_the_population_std_averaged(measured, builders):
    # (300, 0, 0): mean 100, variance (4+1+1)/3·100², std 141.4; then (0, 0, 0).
    m = measured(truth=builders.truth(2, grid__a__power_w=[300.0, 0.0]))
    assert m["phase_imbalance"] == pytest.approx(math.sqrt(2) * 100 / 2)


def test_imbalance_without_loads_cannot_be_avoided(measured, builders):
    m = measured(truth=builders.truth(3, grid__a__power_w=-3000.0))
    assert m["phase_imbalance"] > 1000
    assert m["avoidable_phase_imbalance"] == 0.0


def test_avoidable_imbalance_of_a_load_on_the_wrong_phase(measured, builders):
    # Phase a exports 900 W; 600 W of load sit on b. Moved to a: (−300, 0, 0).
    truth = builders.truth(
        1, grid__a__power_w=-900.0, grid__b__power_w=600.0, load__b1__power_w=600.0
    )
    m = measured(truth=truth)
    best = np.std([-300.0, 0.0, 0.0])
    assert m["avoidable_phase_imbalance"] == pytest.approx(np.std([-900.0, 600.0, 0.0]) - best)


@pytest.mark.parametrize("flag", [1, 2, 4, 8, 16, 32])
def test_a_load_that_does_not_follow_is_not_the_policys_imbalance(measured, builders, flag):
    truth = builders.truth(
        1, grid__b__power_w=600.0, load__b1__power_w=600.0, load__b1__flags=np.array([flag])
    )
    assert measured(truth=truth)["avoidable_phase_imbalance"] == 0.0


def test_load_energy_heat_comfort_and_stored_energy(measured, builders):
    header = builders.header()
    header["site"]["stored_energy_initial_wh"] = 100.0
    truth = builders.truth(
        2, load__a1__power_w=1800.0, load__b1__power_w=[0.0, 3600.0],
        load__a1__delivered_energy_wh=[1.0, 2.0], load__c1__delivered_energy_wh=[0.0, 0.5],
        load__b1__unserved_energy_wh=[0.0, 4.0], load__a1__stored_energy_wh=[90.0, 130.0],
    )  # fmt: skip
    m = measured(header=header, truth=truth)
    assert m["load_energy"] == pytest.approx(2.0)
    assert m["delivered_heat"] == 2.5
    assert m["unserved_energy"] == 4.0
    assert m["stored_energy_change"] == 30.0


def test_chargers_count_as_loads_and_a_battery_as_storage(measured, builders):
    header = builders.header()
    header["site"]["actuators"].append(
        {"id": "ev", "kind": "charger", "phase_shares": (1 / 3,) * 3, "low_w": 0.0, "high_w": 11e3}
    )
    truth = builders.truth(
        1, charger__ev__power_w=3600.0, charger__ev__unserved_energy_wh=7.0,
        charger__ev__switchings=3.0, battery__stored_energy_wh=50.0,
    )  # fmt: skip
    m = measured(header=header, truth=truth)
    assert m["load_energy"] == pytest.approx(1.0)
    assert m["unserved_energy"] == 7.0
    assert m["stored_energy_change"] == 50.0
    assert m["switchings_max"] == 3.0


def test_objective_prices_stored_energy_like_import(measured, builders):
    header = builders.header()
    header["site"]["stored_energy_initial_wh"] = 100.0
    truth = builders.truth(
        1, grid__net__export_energy_wh=[10.0], grid__net__import_energy_wh=[4.0],
        load__a1__unserved_energy_wh=[3.0], load__a1__stored_energy_wh=[80.0],
    )  # fmt: skip
    # 10 + 0.5·4 + 2·3 + 0.5·(100 − 80)
    assert measured(header=header, truth=truth)["objective"] == pytest.approx(28.0)


def test_more_in_the_stores_than_at_the_start_earns_nothing(measured, builders):
    header = builders.header()
    header["site"]["stored_energy_initial_wh"] = 100.0
    truth = builders.truth(
        1, grid__net__import_energy_wh=[40.0], load__a1__stored_energy_wh=[140.0]
    )  # fmt: skip
    assert measured(header=header, truth=truth)["objective"] == pytest.approx(0.5 * 40)


def test_objective_counts_curtailed_energy_like_export(measured, builders):
    header = builders.header()
    header["site"]["stored_energy_initial_wh"] = 0.0
    truth = builders.truth(1, pv__power_w=[0.0], pv__available_power_w=[7200.0])
    assert measured(header=header, truth=truth)["objective"] == pytest.approx(2.0)


def test_changes_below_the_dead_band_add_up(measured, builders):
    # +30 W a second: beyond 50 W from the last counted change at every second step.
    commands = builders.commands(
        9, kind=np.ones(9, int), status=np.zeros(9, int), guarded__a1_w=30.0 * np.arange(9)
    )
    m = measured(commands=commands)
    assert m["command_changes_per_min_worst"] == 4.0
    assert m["command_changes_per_min_mean"] == pytest.approx(4 / (9 / 60))


def test_only_sent_changes_of_the_policy_count(measured, builders):
    # change, refresh, refused change, safe state (uncounted, but it moves), change back.
    commands = builders.commands(
        5, kind=np.array([1, 2, 1, 3, 1]), status=np.array([0, 0, 1, 0, 0]),
        guarded__b1_w=[1000.0, 1000.0, 500.0, 0.0, 1000.0],
    )  # fmt: skip
    m = measured(commands=commands)
    assert m["command_changes_per_min_worst"] == 2.0
    assert m["commands_sent"] == 4.0
    assert m["commands_refused"] == 1.0


def test_a_policy_that_never_leaves_zero_changes_nothing(measured, builders):
    commands = builders.commands(3, kind=np.ones(3, int), status=np.zeros(3, int))
    assert measured(commands=commands)["command_changes_per_min_worst"] == 0.0


def test_worst_minute_slides(measured, builders):
    # 6 changes just before and 6 just after a calendar minute's edge: 12, not 6.
    kind = np.zeros(120, int)
    kind[54:66] = 1
    commands = builders.commands(
        120, kind=kind, status=np.where(kind, 0, -1), guarded__a1_w=np.arange(120) % 2 * 500.0 + 100
    )
    m = measured(commands=commands)
    assert m["command_changes_per_min_worst"] == 12.0
    assert m["command_changes_per_min_mean"] == 6.0


def test_any_action_change_has_no_dead_band(measured, builders):
    commands = builders.commands(60, decided__c1_w=np.r_[np.zeros(30), 1e-9 * np.arange(1, 31)])
    assert measured(commands=commands)["any_action_change_per_min"] == 30.0


def test_writes_switchings_and_acks(measured, builders):
    rows = 20
    sent = np.full(rows, -1)
    sent[[0, 2, 4, 19]] = 0  # the last one's acks are not due yet
    acked_a, acked_b = np.full(rows, -1), np.full(rows, -1)
    acked_a[[0, 2, 4]], acked_b[[0]] = 5, 5
    commands = builders.commands(
        rows, status=sent, acked__a1_us=acked_a, acked__b1_us=acked_b,
        effective__a1_us=acked_a, effective__b1_us=acked_b,
    )  # fmt: skip
    truth = builders.truth(rows, load__a1__switchings=5.0, load__c1__switchings=2.0)
    m = measured(commands=commands, truth=truth)
    assert m["ack_rate"] == pytest.approx((3 + 1 + 0) / 9)
    assert m["writes_max"] == 3.0
    assert m["writes_total"] == 4.0
    assert m["switchings_max"] == 5.0
    assert m["switchings_total"] == 7.0


def test_guard_interventions_include_decisions_that_are_no_number(measured, builders):
    commands = builders.commands(
        5, decided__a1_w=[100.0, 100.5, 300.0, np.nan, np.nan], kind=np.array([1, 1, 1, 1, 3]),
        guarded__a1_w=[100.0, 100.0, 200.0, 0.0, 0.0],
    )  # fmt: skip
    m = measured(commands=commands)
    assert m["guard_interventions"] == 2.0
    assert m["any_action_change_per_min"] == pytest.approx(3 / (5 / 60))  # 0.5, 200 W, NaN


def test_age_and_staleness_of_readings(measured, builders):
    readings = builders.readings(
        4, **{"meter.age_s": [np.inf, 0.5, 6.5, 0.5], "meter.quality": np.array([2, 0, 1, 0])}
    )
    m = measured(readings=readings)
    assert m["meter_age_max"] == 6.5
    assert m["stale_time"] == 2.0


def test_safety_violations_by_kind(measured, builders):
    commands = builders.commands(
        4, guarded__a1_w=[-1.0, 0.0, 0.0, 0.0], guarded__b1_w=[-5.0, 2000.1, 2000.0, 3000.0]
    )
    truth = builders.truth(
        4, grid__a__current_a=[64.0, 63.0, 0.0, 70.0], grid__b__current_a=[70.0, 0.0, 0.0, 0.0],
        load__a1__flags=np.array([0, 2, 2, 3]), load__c1__flags=np.array([1, 0, 0, 0]),
        load__b1__temperature_c=[50.0, 89.5, 60.0, 50.0],
    )  # fmt: skip
    m = measured(commands=commands, truth=truth)
    assert m["negative_commands"] == 1.0
    assert m["commands_beyond_rating"] == 2.0
    assert m["fuse_overload_time"] == 2.0
    assert m["cut_outs_tripped"] == 1.0
    assert m["overheated_loads"] == 1.0
    assert m["safety_violations"] == 7.0


def test_charging_a_battery_is_no_negative_command(measured, builders):
    header = builders.header()
    header["site"]["actuators"] = [
        {"id": "battery", "kind": "battery", "phase_shares": (1 / 3,) * 3, "low_w": -500.0,
         "high_w": 500.0},
    ]  # fmt: skip
    commands = builders.commands(
        2, guarded__battery_w=[-500.0, -501.0], decided__battery_w=[-500.0, -501.0]
    )
    m = measured(header=header, commands=commands)
    assert m["negative_commands"] == 0.0
    assert m["commands_beyond_rating"] == 1.0


def test_voltage_outside_the_band(measured, builders):
    truth = builders.truth(
        4, grid__a__voltage_v=[253.0, 253.1, 230.0, 230.0], grid__c__voltage_v=[207, 260, 206, 230]
    )
    assert measured(truth=truth)["voltage_outside_time"] == 2.0


def test_latency_of_the_decision_and_missed_deadlines(measured, builders):
    header = builders.header()
    header["scenario"]["clock"] = {"mode": "wall", "factor": 10.0}
    steps = np.arange(101, dtype=np.int64)
    timing = {"step": steps, "t_mono_ns": steps * 1000, "sample_ns": steps * 0 + 50_000_000}
    timing |= {"observe_ns": steps * 0, "decide_ns": steps * 1_000_000, "guard_ns": steps * 0}
    timing |= {"command_ns": steps * 0}
    m = measured(header=header, timing=timing)
    assert m["decision_latency_p50"] == pytest.approx(0.050)
    assert m["decision_latency_p95"] == pytest.approx(0.095)
    assert m["decision_latency_p99"] == pytest.approx(0.099)
    assert m["decision_latency_max"] == pytest.approx(0.100)
    assert m["deadline_misses"] == 50.0  # 50 ms + decide > 100 ms


def test_a_record_without_streams_measures_nothing(measured):
    assert all(math.isnan(value) for value in measured().values())


def test_streams_without_rows_measure_nothing(measured, builders):
    m = measured(
        truth=builders.truth(0), commands=builders.commands(0), readings=builders.readings(0)
    )
    assert all(math.isnan(value) for value in m.values())


@given(st.lists(st.integers(0, 400), min_size=1, max_size=60, unique=True))
def test_sliding_minute_matches_brute_force(times):
    times_us = np.array(sorted(times), dtype=np.int64) * 500_000
    brute = max(np.count_nonzero((times_us > end - 60_000_000) & (times_us <= end))
                for end in range(0, 201_000_000, 500_000))  # fmt: skip
    assert most_in_a_minute(times_us) == brute


@given(arrays(float, st.integers(1, 150), elements=st.floats(-1e4, 1e4)))
def test_sliding_mean_matches_brute_force(values):
    rows = min(60, len(values))
    brute = [values[i : i + rows].mean() for i in range(len(values) - rows + 1)]
    np.testing.assert_allclose(sliding_mean(values, 60), brute, atol=1e-6)


power = st.floats(-5000, 5000)


@given(
    arrays(float, (3, 4), elements=power),
    arrays(float, (3, 4), elements=st.floats(0, 5000)),
    arrays(float, 4, elements=st.floats(0, 1)),
    arrays(float, (3, 4), elements=st.floats(0, 1)),
)
def test_no_other_filling_is_more_level(floor, capacity, fraction, weights):
    total = fraction * capacity.sum(axis=0)
    filling = fill_level(floor, capacity, total)
    assert (filling >= 0).all()
    assert (filling <= capacity).all()
    np.testing.assert_allclose(filling.sum(axis=0), total, atol=1e-6)
    # Any other admissible filling: weights times capacity, scaled onto the total where possible.
    other = weights * capacity
    with np.errstate(invalid="ignore", divide="ignore"):
        other = other * (total / other.sum(axis=0))
    fits = np.isfinite(other).all(axis=0) & (other <= capacity + 1e-9).all(axis=0)
    gain = (floor + other).std(axis=0) - (floor + filling).std(axis=0)
    assert (gain[fits] > -1e-6).all()


@given(power_w=arrays(float, (3, 20), elements=power))
def test_net_metering_is_at_most_per_phase(builders, power_w):
    def counter(values_w):
        return np.cumsum(np.maximum(values_w, 0.0)) / 3600

    columns = {"grid__net__import_energy_wh": counter(power_w.sum(axis=0)),
               "grid__net__export_energy_wh": counter(-power_w.sum(axis=0))}  # fmt: skip
    for phase, values_w in zip("abc", power_w, strict=True):
        columns[f"grid__{phase}__power_w"] = values_w
        columns[f"grid__{phase}__import_energy_wh"] = counter(values_w)
        columns[f"grid__{phase}__export_energy_wh"] = counter(-values_w)
    m = measure(builders.in_memory(truth=builders.truth(20, **columns)))
    for kind in ("import_energy", "export_energy"):
        assert m[f"{kind}@1"] <= m[f"{kind}_per_phase@1"] + 1e-9
        assert m[f"{kind}_integrated@1"] == pytest.approx(m[f"{kind}@1"])
    net = m["import_energy@1"] - m["export_energy@1"]
    per_phase = m["import_energy_per_phase@1"] - m["export_energy_per_phase@1"]
    assert net == pytest.approx(per_phase, abs=1e-9)


def test_a_scenario_without_weights_has_no_objective(measured, builders):
    header = builders.header()
    del header["scenario"]["objective"]
    assert math.isnan(measured(header=header, truth=builders.truth(1))["objective"])
