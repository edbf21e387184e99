"""What a rig with devices needs of the plant: wired set-points, partial broadcasts, real loads."""

from __future__ import annotations

import math

import numpy as np
import pytest

S = 1_000_000
NAN = math.nan


def test_actuators_that_a_broadcast_does_not_concern_keep_their_set_point(lab) -> None:
    site = lab.Site(lab.resistor("a1"), lab.resistor("b1"), edge=lab.exact_edge())
    site.act(1.0, 500.0, 700.0)
    site.run(4.0)
    seq, status = site.plant.broadcast(4 * S, np.array([900.0, NAN]))
    site.run(8.0)
    assert status == 0
    assert site["load.a1.power_w"][6] == pytest.approx(900.0)
    assert site["load.b1.power_w"][6] == pytest.approx(700.0)
    assert site.plant.effective_us(seq).tolist()[1] == -1
    assert site.plant.acked_us(seq).tolist()[1] == -1
    assert site.plant.acked_us(seq).tolist()[0] > 4 * S


def test_a_message_reaches_each_actuator_as_if_the_others_had_been_addressed_too(lab) -> None:
    """Draws belong to the actuator: leaving one out changes nothing for the others."""
    mesh = {"hops": 2, "hop_latency_sigma": 0.35, "loss_good": 0.2, "route_repair_probability": 0.2}
    times = []
    for power_w in ([500.0, 700.0, 300.0], [500.0, NAN, 300.0]):
        site = lab.Site(
            lab.resistor("a1"),
            lab.resistor("b1"),
            lab.resistor("c1"),
            edge=lab.exact_edge(mesh=mesh),
        )
        site.run(1.0)
        seq, _ = site.plant.broadcast(S, np.array(power_w))
        times.append(site.plant.acked_us(seq).tolist())
    assert times[0][0] == times[1][0]
    assert times[0][2] == times[1][2]


def test_wired_set_point_acts_after_the_dead_time_whatever_the_mesh_does(lab) -> None:
    edge = lab.exact_edge(mesh={"loss_good": 1.0, "loss_bad": 1.0}, device={"dead_time_s": 1.0})
    site = lab.Site(lab.resistor("a1"), lab.resistor("b1"), edge=edge)
    site.run(2.0)
    acts_us = site.plant.wire(2 * S, 1, 640.0)
    site.run(6.0)
    assert acts_us == 3 * S
    assert site["load.b1.power_w"].tolist() == pytest.approx([0, 0, 0, 640, 640, 640])
    assert site["load.a1.power_w"].tolist() == [0.0] * 6


def test_wired_set_point_keeps_to_range_and_resolution_and_feeds_the_watchdog(lab) -> None:
    edge = lab.exact_edge(device={"watchdog_s": 5})
    site = lab.Site(lab.resistor("a1", resolution_w=100.0), edge=edge)
    site.plant.wire(0, 0, 1290.0)
    site.run(4.0)
    site.plant.wire(4 * S, 0, 9999.0)
    site.run(12.0)
    power_w = site["load.a1.power_w"]
    assert power_w[2] == pytest.approx(1200.0)
    assert power_w[6] == pytest.approx(2000.0)
    assert power_w[11] == 0.0  # nothing came for 5 s


def test_wired_set_point_must_be_a_number(lab) -> None:
    with pytest.raises(ValueError, match="finite"):
        lab.Site(lab.resistor("a1")).plant.wire(0, 0, NAN)


def test_what_a_real_load_draws_replaces_the_simulated_power_in_the_balance(lab) -> None:
    site = lab.Site(lab.resistor("a1"), lab.resistor("b1"), house_w=100.0)
    site.plant.follow(0)
    site.send(0.0, 2000.0, 500.0)  # the simulated load would obey
    for second, power_w in enumerate([0.0, 850.0, 850.0, 420.0]):
        site.plant.measured(round(second * S), 0, power_w)
        site.run(second + 1.0)
    assert site["load.a1.power_w"].tolist() == pytest.approx([0.0, 850.0, 850.0, 420.0])
    assert site["grid.a.power_w"].tolist() == pytest.approx([100.0, 950.0, 950.0, 520.0])
    assert site["load.b1.power_w"][2] == pytest.approx(500.0)


def test_a_measurement_in_the_middle_of_a_second_splits_its_energy(lab) -> None:
    site = lab.Site(lab.resistor("a1"))
    site.plant.follow(0)
    site.plant.measured(0, 0, 1000.0)
    site.run(0.4)
    site.plant.measured(400_000, 0, 200.0)
    site.run(1.0)
    assert site["load.a1.power_w"].tolist() == pytest.approx([0.4 * 1000.0 + 0.6 * 200.0])


@pytest.mark.parametrize("power_w", [-1.0, NAN, math.inf])
def test_no_nonsense_is_taken_as_a_measurement(lab, power_w: float) -> None:
    site = lab.Site(lab.resistor("a1"))
    site.plant.follow(0)
    with pytest.raises(ValueError, match="finite and not negative"):
        site.plant.measured(0, 0, power_w)
