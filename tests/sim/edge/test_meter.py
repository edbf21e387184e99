"""The meter: what it averages, when it answers, how coarsely, and how faults bend it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from wattbench.sim.edge import meter as at
from wattbench.sim.edge.meter import METER_FIELDS, quantise
from wattbench.sim.export.config import Connection, ExportPlantConfig, Pv
from wattbench.sim.faults import (
    ClockStep,
    MeterFreeze,
    MeterMissing,
    MeterOffset,
    MeterWrongSign,
)

S = 1_000_000
SAWTOOTH_W = np.array([[100.0 * (second % 7), -300.0, 50.0] for second in range(200)])
"""Household power; negative is a second generator, so that one phase exports."""


def sawtooth(lab, seconds: int = 60, **more):
    edge = lab.exact_edge(meter=more.pop("meter", None))
    return lab.Site(seconds=seconds, edge=edge, house_w=SAWTOOTH_W[: seconds + 1], **more)


@pytest.mark.parametrize(
    ("value", "resolution", "expected"),
    [(12.4, 1, 12), (12.5, 1, 13), (-12.4, 1, -12), (-12.6, 1, -13), (7, 5, 5), (7.77, 0, 7.77)],
)
def test_quantise_rounds_to_the_nearest_multiple(value, resolution, expected) -> None:
    assert quantise(value, resolution) == expected


def test_sample_is_the_mean_over_the_second_before_it(lab) -> None:
    site = sawtooth(lab)
    for second in range(1, 60):
        reading = site.reading(second)
        assert reading.sampled_us == reading.published_us == second * S
        np.testing.assert_allclose(
            reading.values[: at.POWER_TOTAL], SAWTOOTH_W[second - 1], atol=1e-8
        )
        assert reading.values[at.POWER_TOTAL] == pytest.approx(SAWTOOTH_W[second - 1].sum())


def test_window_shorter_than_the_period_ends_at_the_sample(lab) -> None:
    # A ramp of 1 s that starts at 5 s: 0.2, 0.4 … 1.0 of full power in its sub-steps.
    for window_s, mean in ((1.0, 0.6), (0.6, 0.8), (0.4, 0.9), (0.2, 1.0)):
        load = lab.resistor("a1", 1000, ramp_s=1.0)
        site = lab.Site(load, edge=lab.exact_edge(meter={"window_s": window_s}))
        site.act(5, 1000)
        assert site.reading(6).values[at.POWER_A] == pytest.approx(1000 * mean)


def test_long_periods_and_windows(lab) -> None:
    site = sawtooth(lab, meter={"period_s": 10, "window_s": 4})
    assert site.reading(9.8) is None
    for end in (10, 20, 50):
        expected = SAWTOOTH_W[end - 4 : end, 0].mean()
        for later_s in (0, 3, 9.8):
            reading = site.reading(end + later_s)
            assert reading.sampled_us == end * S
            assert reading.values[at.POWER_A] == pytest.approx(expected)


def test_fastest_meter_sees_every_step_of_the_plant(lab) -> None:
    load = lab.resistor("a1", 1000, ramp_s=1.0)
    site = lab.Site(load, edge=lab.exact_edge(meter={"period_s": 0.2, "window_s": 0.2}))
    site.act(5, 1000)
    seen = [site.reading(5 + step / 5).values[at.POWER_A] for step in range(1, 7)]
    assert seen == pytest.approx([200, 400, 600, 800, 1000, 1000])


@pytest.mark.parametrize("delay_s", [0.0, 0.3, 0.5, 1.0, 2.7, 10.0])
def test_sample_can_be_read_when_the_delay_is_over_and_no_sooner(lab, delay_s) -> None:
    site = sawtooth(lab, meter={"delay_s": delay_s})
    delay_us = round(delay_s * S)
    for t_us in range(0, 59 * S, 100_000):
        site.plant.advance(t_us)
        reading = site.plant.reading(t_us)
        second = (t_us - delay_us) // S
        if second < 1:
            assert reading is None
        else:
            assert reading.sampled_us == second * S
            assert reading.published_us == second * S + delay_us
            assert reading.values[at.POWER_A] == pytest.approx(SAWTOOTH_W[second - 1, 0], abs=1e-8)


def test_voltage_and_current_over_the_window(lab) -> None:
    # 1 s at 10 A, then 1 s at 0 A: RMS over 2 s is 10/√2, not 5.
    load = lab.resistor("a1", 2300)
    edge = lab.exact_edge(meter={"period_s": 2, "window_s": 2})
    site = lab.Site(load, edge=edge)
    site.act(4, 2300)
    site.act(5, 0)
    values = site.reading(6).values
    assert values[at.CURRENT_A] == pytest.approx(7.07)  # in steps of 0.01 A
    assert values[at.POWER_A] == pytest.approx(1150)
    assert values[at.VOLTAGE_A : at.VOLTAGE_A + 3] == pytest.approx([230] * 3)


def test_pv_power_is_metered(lab) -> None:
    site = sawtooth(lab, sun=0.5, pv=Pv(peak_power_w=3000))
    values = site.reading(10).values
    assert values[at.PV_POWER] == pytest.approx(1500)
    assert values[at.POWER_TOTAL] == pytest.approx(SAWTOOTH_W[9].sum() - 1500)


def test_values_are_multiples_of_the_resolutions(lab) -> None:
    coarse = {
        "resolution_w": 10,
        "voltage_resolution_v": 0.5,
        "counter_resolution_wh": 2,
        "noise_w": 7,
    }
    site = sawtooth(lab, seconds=199, meter=coarse, connection=Connection())
    steps = np.ones(METER_FIELDS)
    steps[[0, 1, 2, 3, at.PV_POWER]] = 10
    steps[at.VOLTAGE_A : at.VOLTAGE_A + 3] = 0.5
    steps[at.CURRENT_A : at.CURRENT_A + 3] = 0.01
    steps[at.IMPORT_A : at.PV_POWER] = 2
    for second in range(1, 200):
        multiples = site.reading(second).values / steps
        np.testing.assert_allclose(multiples, np.rint(multiples), atol=1e-9)


def test_counters_follow_both_rules_and_round_down(lab) -> None:
    house_w = np.tile([3600.0, -1800.0, 0.0], (101, 1))
    house_w[55:, 0] = 0
    edge = lab.exact_edge(meter={"counter_resolution_wh": 10})
    site = lab.Site(seconds=100, edge=edge, house_w=house_w)
    # 1 Wh a second bought on a, 0.5 Wh sold on b: netted 0.5 Wh bought, later 0.5 Wh sold.
    values = site.reading(39).values
    assert values[at.IMPORT_A : at.IMPORT_A + 3].tolist() == [30, 0, 0]
    assert values[at.EXPORT_A : at.EXPORT_A + 3].tolist() == [0, 10, 0]
    assert (values[at.IMPORT_NET], values[at.EXPORT_NET]) == (10, 0)
    values = site.reading(99).values
    assert values[at.IMPORT_A : at.IMPORT_A + 3].tolist() == [50, 0, 0]
    assert values[at.EXPORT_A : at.EXPORT_A + 3].tolist() == [0, 40, 0]
    assert (values[at.IMPORT_NET], values[at.EXPORT_NET]) == (20, 20)
    exact = sawtooth(lab)
    reading = exact.reading(60).values
    assert reading[at.IMPORT_NET] == pytest.approx(exact["grid.net.import_energy_wh"][-1], abs=1e-6)
    assert reading[at.EXPORT_A + 1] == pytest.approx(exact["grid.b.export_energy_wh"][-1], abs=1e-6)


def test_noise_has_its_deviation_no_bias_and_no_memory(lab) -> None:
    sites, seconds = 64, 400
    edge = lab.exact_edge(meter={"noise_w": 5})
    config = ExportPlantConfig(loads=(lab.resistor("a1"),), connection=lab.no_impedance)
    batch = lab.SiteBatch(config, edge, lab.profile(1, 1), [], range(sites))
    noise = np.empty((seconds, 3, sites))
    for second in range(seconds):
        batch.advance((second + 1) * S)
        values, _, _ = batch.readings((second + 1) * S)
        noise[second] = values[:3]
        np.testing.assert_allclose(values[at.POWER_TOTAL], values[:3].sum(axis=0), atol=1e-9)
    assert abs(noise.mean()) < 5 * 5 / np.sqrt(noise.size)
    assert noise.std() == pytest.approx(5, rel=5 / np.sqrt(2 * noise.size))
    assert stats.kstest(noise.ravel()[:2000], stats.norm(0, 5).cdf).pvalue > 1e-4
    limit = 5 / np.sqrt(noise[1:].size)
    assert abs(np.corrcoef(noise[1:].ravel(), noise[:-1].ravel())[0, 1]) < limit
    assert abs(np.corrcoef(noise[:, 0].ravel(), noise[:, 1].ravel())[0, 1]) < 2 * limit
    assert abs(np.corrcoef(noise[..., 1:].ravel(), noise[..., :-1].ravel())[0, 1]) < limit


def test_who_looks_changes_nothing(lab) -> None:
    noisy = {"noise_w": 5, "delay_s": 0.5, "resolution_w": 1}
    watched, alone = sawtooth(lab, meter=noisy, seed=3), sawtooth(lab, meter=noisy, seed=3)
    for t_us in range(0, 60 * S, 70_000):
        watched.plant.advance(t_us)
        for _ in range(3):
            watched.plant.reading(t_us)
    watched.run(60)
    alone.run(60)
    assert watched.truth_bytes() == alone.truth_bytes()
    one, other = watched.plant.reading(60 * S), alone.plant.reading(60 * S)
    assert one.values.tobytes() == other.values.tobytes()


def test_reading_advances_the_plant_by_itself(lab) -> None:
    site = sawtooth(lab)
    assert site.plant.reading(30 * S).sampled_us == 30 * S
    assert site.plant.now_us == 30 * S


def test_a_reading_kept_is_not_overwritten_by_later_ones(lab) -> None:
    site = sawtooth(lab)
    first = site.reading(5)
    kept = first.values.copy()
    site.reading(9)
    assert first.values.tobytes() == kept.tobytes()


# Faults.


def samples(site, seconds: int = 40, at_s: float = 0.5):
    return [site.reading(second + at_s) for second in range(seconds)]


def test_freeze_repeats_the_last_sample_and_its_stamp(lab) -> None:
    fault = MeterFreeze(start_s=10.4, duration_s=8)
    seen = samples(sawtooth(lab, meter={"delay_s": 0.5}, faults=[fault]))
    # The sample taken at 10 s is the last before, that at 19 s the first after.
    for second, reading in enumerate(seen[1:], start=1):
        true = 10 if 10 <= second < 19 else second
        assert reading.sampled_us == true * S
        assert reading.published_us == true * S + S // 2
        assert reading.values[0] == pytest.approx(SAWTOOTH_W[true - 1, 0], abs=1e-8)


def test_freeze_with_a_delay_longer_than_the_period(lab) -> None:
    """What was sampled before the freeze still comes out, in its order."""
    fault = MeterFreeze(start_s=10.4, duration_s=8)
    seen = samples(sawtooth(lab, meter={"delay_s": 3}, faults=[fault]), at_s=0.0)
    stamps = [-1 if reading is None else reading.sampled_us // S for reading in seen]
    expected = [-1] * 4 + [*range(1, 11)] + [10] * 8 + [*range(19, 37)]
    assert stamps == expected


def test_freeze_from_the_start_leaves_nothing_to_read(lab) -> None:
    seen = samples(sawtooth(lab, faults=[MeterFreeze(start_s=0, duration_s=5)]), seconds=8)
    assert [reading is None for reading in seen] == [True] * 5 + [False] * 3
    assert seen[5].sampled_us == 5 * S


def test_missing_samples_with_certainty_and_by_chance(lab) -> None:
    fault = MeterMissing(start_s=10, duration_s=5)
    seen = samples(sawtooth(lab, faults=[fault]))
    assert [reading.sampled_us // S for reading in seen[8:17]] == [8, 9, 9, 9, 9, 9, 9, 15, 16]
    edge = lab.exact_edge()
    fault = MeterMissing(start_s=1, duration_s=3000, probability=0.3)
    site = lab.Site(edge=edge, seconds=3000, faults=[fault])
    fresh = sum(site.reading(second).sampled_us == second * S for second in range(2, 3000))
    assert fresh / 2998 == pytest.approx(0.7, abs=5 * np.sqrt(0.21 / 2998))


def test_offset_shifts_each_phase(lab) -> None:
    fault = MeterOffset(start_s=10, duration_s=5, offset_w=-250)
    for second, reading in enumerate(samples(sawtooth(lab, faults=[fault]))):
        if second:
            shift = -250 if 10 <= second < 15 else 0
            truth = SAWTOOTH_W[second - 1]
            np.testing.assert_allclose(reading.values[:3], truth + shift, atol=1e-8)
            assert reading.values[3] == pytest.approx(truth.sum() + 3 * shift)


def test_wrong_sign_turns_powers_and_counters(lab) -> None:
    fault = MeterWrongSign(start_s=10, duration_s=50)
    right, wrong = sawtooth(lab), sawtooth(lab, faults=[fault])
    before, turned = wrong.reading(9).values, wrong.reading(40).values
    truth = right.reading(40).values
    np.testing.assert_allclose(before[:3], SAWTOOTH_W[8], atol=1e-8)
    np.testing.assert_allclose(turned[:4], -truth[:4])
    np.testing.assert_allclose(turned[at.IMPORT_A :][:3], truth[at.EXPORT_A :][:3])
    np.testing.assert_allclose(turned[at.EXPORT_A :][:3], truth[at.IMPORT_A :][:3])
    assert turned[at.IMPORT_NET] == truth[at.EXPORT_NET]
    assert turned[at.EXPORT_NET] == truth[at.IMPORT_NET]
    # Currents have no sign, voltages and the PV meter are not concerned.
    np.testing.assert_array_equal(turned[at.VOLTAGE_A :][:6], truth[at.VOLTAGE_A :][:6])


def test_clock_step_moves_stamps_but_not_the_time_of_publication(lab) -> None:
    fault = ClockStep(start_s=10, duration_s=10, step_s=-3600)
    for second, reading in enumerate(samples(sawtooth(lab, faults=[fault]), at_s=0)):
        if second:
            assert reading.published_us == second * S
            assert reading.sampled_us == (second - (3600 if 10 <= second < 20 else 0)) * S


def test_faults_of_the_meter_leave_the_truth_alone(lab) -> None:
    faults = [
        MeterFreeze(start_s=5, duration_s=5),
        MeterMissing(start_s=10, duration_s=5, probability=0.5),
        MeterOffset(start_s=0, duration_s=60, offset_w=99),
        MeterWrongSign(start_s=20, duration_s=5),
        ClockStep(start_s=30, duration_s=5, step_s=1),
    ]
    bent, straight = sawtooth(lab, faults=faults), sawtooth(lab)
    assert bent.run(60).truth_bytes() == straight.run(60).truth_bytes()
