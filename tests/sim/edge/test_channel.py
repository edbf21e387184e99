"""The mesh: latency, loss, the broadcast table, restarts, and what overtakes what."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from wattbench.sim.edge.channel import (
    STATUS_COORDINATOR_DOWN,
    STATUS_SENT,
    STATUS_TABLE_FULL,
    latency_quantiles_us,
)
from wattbench.sim.edge.config import EdgeConfig, MeshConfig
from wattbench.sim.export.config import ExportPlantConfig
from wattbench.sim.faults import BroadcastLoss, CoordinatorRestart, ExtraDelay

S = 1_000_000


def batch_of(lab, sites: int, loads: int = 4, faults=(), **mesh):
    config = ExportPlantConfig(
        loads=tuple(lab.resistor(f"{'abc'[n // 4]}{n}") for n in range(loads))
    )
    edge = lab.exact_edge(mesh=mesh)
    return lab.SiteBatch(config, edge, lab.profile(1, loads), list(faults), range(sites))


def test_one_hop_is_lognormal() -> None:
    config = MeshConfig(hops=1, hop_latency_s=0.05, route_repair_probability=0)
    table_s = latency_quantiles_us(config) * 1e-6
    levels = (np.arange(4096) + 0.5) / 4096
    expected = stats.lognorm(0.35, scale=0.05).ppf(levels)
    middle = slice(40, -40)
    np.testing.assert_allclose(table_s[middle], expected[middle], rtol=0.02)
    assert (np.diff(table_s) >= 0).all()


@pytest.mark.parametrize("hops", [1, 2, 5])
def test_hops_add_up(hops: int) -> None:
    config = MeshConfig(hops=hops, hop_latency_s=0.03, route_repair_probability=0)
    table_s = latency_quantiles_us(config) * 1e-6
    one = stats.lognorm(0.35, scale=0.03)
    assert table_s.mean() == pytest.approx(hops * one.mean(), rel=0.01)
    assert table_s.var() == pytest.approx(hops * one.var(), rel=0.05)


def test_route_repair_adds_its_time_in_its_share_of_messages() -> None:
    config = MeshConfig(hops=1, route_repair_probability=0.25)
    table_s = latency_quantiles_us(config) * 1e-6
    slow = table_s > 0.3
    assert slow.mean() == pytest.approx(0.25, abs=0.01)
    assert table_s[slow].mean() == pytest.approx(0.9 + 0.0225 * np.exp(0.35**2 / 2), rel=0.02)
    assert table_s.max() < 1.5 + 0.2


def test_latency_is_a_property_of_the_configuration_alone() -> None:
    config = MeshConfig(hops=3)
    np.testing.assert_array_equal(latency_quantiles_us(config), latency_quantiles_us(config))


def test_acks_take_two_ways_and_a_random_wait(lab) -> None:
    batch = batch_of(lab, 100, hop_latency_s=0.04, hop_latency_sigma=0.3, ack_jitter_s=0.5)
    waits = []
    for second in range(1, 40):
        batch.advance(second * 2 * S)
        batch.send(second * 2 * S, np.zeros((4, 100)))
        assert not batch.get("status").any()
        waits.append(batch.get("ack_us") - second * 2 * S)
    wait_s = np.array(waits) * 1e-6
    one = stats.lognorm(0.3, scale=0.04)
    error = wait_s.std() / np.sqrt(wait_s.size)
    assert wait_s.mean() == pytest.approx(2 * one.mean() + 0.25, abs=5 * error)
    assert wait_s.var() == pytest.approx(2 * one.var() + 0.5**2 / 12, rel=0.05)
    # Each load of each site has its own luck.
    assert abs(np.corrcoef(wait_s[:, 0].ravel(), wait_s[:, 1].ravel())[0, 1]) < 0.1


def test_effect_comes_before_its_ack_could_and_never_before_arrival(lab) -> None:
    edge = EdgeConfig(mesh=MeshConfig(loss_good=0, loss_bad=0))
    for seed in range(20):
        site = lab.Site(lab.resistor("a1"), lab.resistor("b1"), edge=edge, seed=seed)
        seq, status = site.send(5.02, 500, 700)
        acked, effective = site.plant.acked_us(seq), site.plant.effective_us(seq)
        assert status == STATUS_SENT
        assert (acked > 5_020_000).all()
        # One second of dead time after the arrival, then up to the next sub-step.
        assert (effective > 6_020_000).all()
        assert (effective % 200_000 == 0).all()


def lost_share(lab, seconds: int = 60, **mesh) -> tuple[float, int]:
    batch = batch_of(lab, 100, **mesh)
    lost = total = 0
    for second in range(2, seconds, 2):
        batch.advance(second * S)
        batch.send(second * S, np.zeros((4, 100)))
        effective = batch.get("effective_us")
        lost, total = lost + int((effective < 0).sum()), total + effective.size
    return lost / total, total


@pytest.mark.parametrize("probability", [0.0, 0.02, 0.5, 1.0])
def test_loss_in_the_good_state(lab, probability: float) -> None:
    share, total = lost_share(lab, loss_good=probability, loss_bad=0.9, dwell_good_s=1e12)
    assert share == pytest.approx(
        probability, abs=5 * np.sqrt(probability * (1 - probability) / total) + 1e-12
    )


@pytest.mark.parametrize("probability", [0.1, 0.7])
def test_loss_in_the_bad_state(lab, probability: float) -> None:
    share, total = lost_share(lab, loss_bad=probability, dwell_good_s=1, dwell_bad_s=1e12)
    assert share == pytest.approx(
        probability, abs=5 * np.sqrt(probability * (1 - probability) / total)
    )


def test_an_ack_is_lost_on_either_way(lab) -> None:
    batch = batch_of(lab, 100, loss_good=0.2, dwell_good_s=1e12)
    acked = []
    for second in range(2, 60, 2):
        batch.advance(second * S)
        batch.send(second * S, np.zeros((4, 100)))
        arrived, answered = batch.get("effective_us") >= 0, batch.get("ack_us") >= 0
        assert not (answered & ~arrived).any()
        acked.append(answered)
    assert np.mean(acked) == pytest.approx(0.8**2, abs=0.02)


def test_states_last_as_long_as_they_should(lab) -> None:
    sites, seconds = 100, 2000
    batch = batch_of(lab, sites, loads=1, dwell_good_s=30, dwell_bad_s=5)
    states = np.empty((seconds, sites))
    for second in range(seconds):
        batch.advance(second * S + 200_000)
        states[second] = batch.get("mesh_bad")[0]
    assert set(np.unique(states)) == {0.0, 1.0}
    assert states.mean() == pytest.approx(5 / 35, rel=0.05)
    for state, mean_s in ((0.0, 30.0), (1.0, 5.0)):
        entered = ((states[1:] == state) & (states[:-1] != state)).sum()
        assert (states[1:] == state).sum() / entered == pytest.approx(mean_s, rel=0.06)


def test_links_of_a_site_are_disturbed_together(lab) -> None:
    batch = batch_of(lab, 100, loss_good=0, loss_bad=1, dwell_good_s=5, dwell_bad_s=5)
    for second in range(2, 60, 2):
        batch.advance(second * S)
        batch.send(second * S, np.zeros((4, 100)))
        lost = (batch.get("effective_us") < 0).sum(axis=0)
        assert set(lost.tolist()) <= {0, 4}


# The coordinator.


def test_ninth_broadcast_within_nine_seconds_is_refused(lab) -> None:
    edge = lab.exact_edge(mesh={"broadcast_table_s": 9})
    site = lab.Site(edge=edge)
    answers = [site.send(10 + second, 100.0 + second) for second in range(9)]
    assert answers == [(n, STATUS_SENT) for n in range(8)] + [(-1, STATUS_TABLE_FULL)]
    assert site.run(20)["load.a1.setpoint_w"][-1] == 107
    assert site.send(20, 200) == (8, STATUS_SENT)


def test_an_entry_is_free_after_exactly_nine_seconds(lab) -> None:
    edge = lab.exact_edge(mesh={"broadcast_table_s": 9})
    site = lab.Site(edge=edge)
    for n in range(8):
        assert site.send(10 + n / 100, n)[1] == STATUS_SENT
    assert site.send(18.999999, 1)[1] == STATUS_TABLE_FULL
    assert site.send(19.0, 1)[1] == STATUS_SENT
    assert site.send(19.005, 1)[1] == STATUS_TABLE_FULL
    assert site.send(19.01, 1)[1] == STATUS_SENT


def test_refused_broadcast_leaves_no_trace_and_takes_no_entry(lab) -> None:
    edge = lab.exact_edge(mesh={"broadcast_table_s": 9, "broadcast_table_entries": 2})
    site = lab.Site(edge=edge)
    assert [site.send(1 + n, 100 * n)[1] for n in range(9)] == [0, 0, 1, 1, 1, 1, 1, 1, 1]
    assert [site.send(10 + n, 7 + n) for n in range(3)] == [(2, 0), (3, 0), (-1, 1)]
    setpoints = site.run(20)["load.a1.setpoint_w"]
    assert setpoints[5] == 100
    assert setpoints[-1] == 8


def test_restart_refuses_loses_acks_and_empties_the_table(lab) -> None:
    edge = lab.exact_edge(
        mesh={"broadcast_table_s": 9, "hop_latency_s": 0.2},
        device={"dead_time_s": 1.0},
    )
    faults = [CoordinatorRestart(start_s=10, duration_s=3)]
    site = lab.Site(edge=edge, faults=faults)
    for n in range(7):
        assert site.send(9 + n / 100, 100 + n)[1] == STATUS_SENT
    last, _ = site.send(9.7, 500)
    # It arrives at 9.9 s and acts, but its answer would come at 10.1 s.
    assert site.plant.effective_us(last)[0] == 11_000_000
    assert site.plant.acked_us(last)[0] == -1
    assert site.plant.acked_us(0)[0] == 9_400_000
    assert site.send(10.0, 600) == (-1, STATUS_COORDINATOR_DOWN)
    assert site.send(12.999999, 600) == (-1, STATUS_COORDINATOR_DOWN)
    # The table would still be full.
    assert [site.send(13 + n / 10, 700)[1] for n in range(9)] == [STATUS_SENT] * 8 + [1]
    setpoints = site.run(20)["load.a1.setpoint_w"]
    assert setpoints[11] == 500
    assert setpoints[-1] == 700


def test_extra_delay_comes_on_top(lab) -> None:
    faults = [ExtraDelay(start_s=10, duration_s=5, delay_s=2)]
    site = lab.Site(faults=faults)
    seqs = [site.send(at_s, 100)[0] for at_s in (9.9, 10.1, 14.9, 15.1)]
    effective = [int(site.plant.effective_us(seq)[0]) for seq in seqs]
    assert effective == [10_000_000, 12_200_000, -1, 15_200_000]


def test_loss_fault_comes_on_top_of_the_mesh_loss(lab) -> None:
    fault = BroadcastLoss(start_s=0, duration_s=100, probability=0.5)
    batch = batch_of(lab, 100, faults=[fault], loss_good=0.2, dwell_good_s=1e12)
    lost = []
    for second in range(2, 60, 2):
        batch.advance(second * S)
        batch.send(second * S, np.zeros((4, 100)))
        lost.append(batch.get("effective_us") < 0)
    assert np.mean(lost) == pytest.approx(1 - 0.8 * 0.5, abs=0.03)


def test_command_that_is_overtaken_is_dropped(lab) -> None:
    """The first message is held up by 2 s; the second, sent later, acts earlier and stays."""
    faults = [ExtraDelay(start_s=5, duration_s=1, delay_s=2)]
    site = lab.Site(faults=faults)
    slow, _ = site.send(5.1, 300)
    fast, _ = site.send(6.1, 900)
    site.run(20)
    assert site["load.a1.setpoint_w"].tolist() == [0.0] * 6 + [900.0] * 14
    assert site.plant.effective_us(slow)[0] == -1
    assert site.plant.effective_us(fast)[0] == 6_200_000
    # It did arrive, and says so.
    assert site.plant.acked_us(slow)[0] > 7_000_000


def test_effective_times_are_those_of_the_truth(lab) -> None:
    """Whatever the mesh does, the set-point changes when `effective_us` says, and only then."""
    edge = EdgeConfig(
        mesh=MeshConfig(loss_good=0.1, route_repair_probability=0.3, broadcast_table_s=3)
    )
    loads = [lab.resistor(f"{phase}{n}", 3000) for phase in "abc" for n in range(2)]
    site = lab.Site(*loads, edge=edge, seconds=400, seed=11)
    rng = np.random.default_rng(2)
    sent = {}
    t_s = 0.5
    while t_s < 380:
        power_w = np.floor(rng.uniform(1, 3000, len(loads)))
        seq, status = site.send(t_s, *power_w)
        if status == STATUS_SENT:
            sent[seq] = power_w
        t_s = round(t_s + rng.choice([0.25, 0.5, 1, 3]), 3)
    site.run(400)
    dropped = 0
    for column, load in enumerate(loads):
        setpoint = site[f"load.{load.id}.setpoint_w"]
        changes = {}
        for seq in sent:
            effective_us = int(site.plant.effective_us(seq)[column])
            if effective_us < 0:
                dropped += 1
            else:
                assert effective_us not in changes
                changes[effective_us] = sent[seq][column]
        times = np.array(sorted(changes))
        for second in range(400):
            done = times[times < (second + 1) * S]
            expected = changes[int(done[-1])] if len(done) else 0.0
            assert setpoint[second] == expected, (load.id, second)
    assert dropped > 50


def test_what_a_device_cannot_remember_is_lost_and_recorded_as_lost(lab) -> None:
    """It holds eight commands; here more are under way."""
    edge = lab.exact_edge(mesh={"broadcast_table_s": 1}, device={"dead_time_s": 5})
    site = lab.Site(edge=edge)
    seqs = {100 + n: site.send(2.1 + n * 0.2, 100 + n)[0] for n in range(40)}
    setpoint = site.run(30)["load.a1.setpoint_w"]
    acts = {int(site.plant.effective_us(seq)[0]): power for power, seq in seqs.items()}
    assert [power - 100 for power in acts.values()][:8] == list(range(8))
    assert acts.pop(-1) > 108
    for second in range(30):
        done = [t_us for t_us in acts if t_us < (second + 1) * S]
        assert setpoint[second] == (acts[max(done)] if done else 0.0), second


def test_set_points_must_be_finite_numbers_one_for_each_actuator(lab) -> None:
    site = lab.Site()
    for bad in ([np.nan], [np.inf], [1.0, 2.0], []):
        with pytest.raises(ValueError, match="must be 1 finite numbers"):
            site.send(1, *bad)


def test_sending_advances_the_plant_by_itself(lab) -> None:
    """The channel's state is that of the time of sending, whoever advanced the plant before."""
    mesh = {"loss_good": 0, "loss_bad": 1, "dwell_good_s": 3, "dwell_bad_s": 3}
    lazy, eager = (lab.Site(edge=lab.exact_edge(mesh=mesh), seconds=300, seed=2) for _ in range(2))
    for second in range(2, 300, 2):
        eager.run(second)
        one = eager.plant.send(second * S, np.array([100.0 + second]))
        other = lazy.plant.send(second * S, np.array([100.0 + second]))
        assert one == other
    assert eager.run(300).truth_bytes() == lazy.run(300).truth_bytes()
