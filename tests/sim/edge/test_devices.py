"""What a device does on its own: dead time, watchdog, reports."""

from __future__ import annotations

import numpy as np
import pytest

from wattbench.sim.faults import LoadVanished

S = 1_000_000
WATCHDOG = 64


def expired(site) -> np.ndarray:
    return site["load.a1.flags"].astype(int) & WATCHDOG > 0


@pytest.mark.parametrize("dead_time_s", [0.0, 0.2, 1.0, 3.5, 5.0])
def test_set_point_acts_after_the_dead_time_on_the_next_step(lab, dead_time_s: float) -> None:
    site = lab.Site(edge=lab.exact_edge(device={"dead_time_s": dead_time_s}))
    # Sent at 5.05 s, received 1 ms later, acting at the first multiple of 0.2 s after that.
    seq, _ = site.send(5.05, 800)
    expected_us = int(np.ceil((5.051 + dead_time_s) / 0.2 - 1e-9)) * 200_000
    assert site.plant.effective_us(seq)[0] == expected_us
    site.run(20)
    energy_j = site["load.a1.power_w"].sum()
    assert energy_j == pytest.approx(800 * (20 - expected_us / S))


def test_watchdog_drops_a_load_to_its_safe_value_when_commands_stop(lab) -> None:
    edge = lab.exact_edge(device={"watchdog_s": 20, "safe_power_w": 300})
    site = lab.Site(edge=edge)
    site.act(2, 1500)
    site.run(50)
    # Received at 1.901 s, so the time is up at 21.901 s; it looks at whole seconds.
    expected = [300] * 2 + [1500] * 20 + [300] * 28
    np.testing.assert_allclose(site["load.a1.power_w"], expected)
    assert expired(site).tolist() == [second >= 22 for second in range(50)]
    assert site["load.a1.setpoint_w"][-1] == 300


def test_refreshing_keeps_the_watchdog_quiet(lab) -> None:
    site = lab.Site(lab.resistor("a1"), edge=lab.exact_edge(device={"watchdog_s": 10}))
    for second in range(1, 50, 9):
        site.act(second, 1500)
    site.run(55)
    np.testing.assert_allclose(site["load.a1.power_w"][1:], 1500)
    assert not expired(site).any()
    assert site["load.a1.switchings"][-1] == 1


def test_next_command_ends_the_watchdog(lab) -> None:
    site = lab.Site(edge=lab.exact_edge(device={"watchdog_s": 10, "dead_time_s": 2}))
    site.send(1.1, 1000)
    site.send(20.1, 700)
    site.run(30)
    # The first acts at 3.2 s; it is dropped at 12 s; the second acts at 22.2 s.
    power_w = site["load.a1.power_w"]
    np.testing.assert_allclose(power_w, [0] * 3 + [800] + [1000] * 8 + [0] * 10 + [560] + [700] * 7)
    assert expired(site)[12:20].all()
    assert not expired(site)[22:].any()


def test_watchdog_without_any_command_changes_nothing_at_the_safe_value(lab) -> None:
    edge = lab.exact_edge(device={"watchdog_s": 10, "safe_power_w": 300})
    site = lab.Site(edge=edge).run(30)
    np.testing.assert_allclose(site["load.a1.power_w"], 300)
    assert expired(site).tolist() == [second >= 10 for second in range(30)]


def test_safe_value_is_at_most_the_rating(lab) -> None:
    edge = lab.exact_edge(device={"safe_power_w": 1000})
    site = lab.Site(lab.resistor("a1", 600), lab.resistor("b1", 1500), edge=edge)
    assert [actuator.safe_w for actuator in site.plant.actuators] == [600, 1000]
    assert site.run(2)["load.b1.power_w"][-1] == pytest.approx(1000)


def test_without_a_watchdog_a_set_point_stays(lab) -> None:
    site = lab.Site(seconds=4000)
    site.act(2, 1500)
    assert site.run(4000)["load.a1.power_w"][-1] == pytest.approx(1500)


def test_watchdog_of_a_lost_load_expires_and_its_old_set_point_is_gone(lab) -> None:
    faults = [LoadVanished(load="a1", start_s=5, duration_s=20)]
    site = lab.Site(edge=lab.exact_edge(device={"watchdog_s": 10}), faults=faults)
    for second in range(2, 50, 4):
        site.act(second, 1000 + second)
    site.run(50)
    assert not site["load.a1.power_w"][5:25].any()
    # Back on the net, it does nothing until it hears the next command.
    assert site["load.a1.power_w"][25] == 0
    np.testing.assert_allclose(site["load.a1.power_w"][26:30], 1026)


def test_commanded_battery_and_pv_limit_have_watchdogs_too(lab) -> None:
    from wattbench.sim.export.config import Battery, Pv

    site = lab.Site(
        edge=lab.exact_edge(device={"watchdog_s": 10}),
        sun=1.0,
        pv=Pv(peak_power_w=3000, curtailable=True, inverter_power_w=3000),
        battery=Battery(
            capacity_wh=1000,
            max_charge_w=500,
            max_discharge_w=500,
            response_s=0.2,
            mode="commanded",
        ),
    )
    site.act(2, 0, 400, 1000)
    site.run(30)
    np.testing.assert_allclose(site["battery.power_w"][2:12], 400)
    np.testing.assert_allclose(site["pv.power_w"][2:12], 1000)
    np.testing.assert_allclose(site["battery.power_w"][12:], 0, atol=1e-9)
    np.testing.assert_allclose(site["pv.power_w"][12:], 3000)


# Reports.


def test_without_reports_there_is_none(lab) -> None:
    assert lab.Site().run(5).plant.reports_w(5 * S) is None


def reporting(lab, period_s: float, latency_s: float, loads: int = 3, **mesh):
    edge = lab.exact_edge(
        mesh=mesh, device={"report_period_s": period_s, "report_latency_s": latency_s}
    )
    site = lab.Site(*(lab.resistor(f"a{n}") for n in range(loads)), edge=edge, seconds=2000)
    site.act(0.2, *(100.0 * (n + 1) for n in range(loads)))
    return site


def test_reports_arrive_at_their_rate_and_after_their_latency(lab) -> None:
    site = reporting(lab, period_s=5, latency_s=2)
    site.act(20, 1000, 1000, 1000)
    first_full_us: dict[int, int] = {}
    for t_us in range(0, 40 * S, 100_000):
        site.plant.advance(t_us)
        for load, power_w in enumerate(site.plant.reports_w(t_us)):
            if power_w == pytest.approx(1000):
                first_full_us.setdefault(load, t_us)
    # Load n measures at seconds −n modulo 5; the message takes 2.001 s.
    assert first_full_us == {0: 27_100_000, 1: 31_100_000, 2: 30_100_000}


def test_report_is_the_mean_since_the_last_one(lab) -> None:
    site = reporting(lab, period_s=10, latency_s=0, loads=1)
    site.act(14, 600)
    site.run(20)
    # 10…20 s: four seconds at 100 W, six at 600 W.
    assert site.plant.reports_w(20_100_000)[0] == pytest.approx(400)


def test_first_report_is_a_mean_over_the_time_there_was(lab) -> None:
    site = reporting(lab, period_s=10, latency_s=0, loads=3)
    site.run(8.2)
    report = site.plant.reports_w(8_200_000)
    assert np.isnan(report[:2]).all()
    assert report[2] == pytest.approx(300 * 7.8 / 8)


def test_no_report_is_not_zero_watts(lab) -> None:
    site = reporting(lab, period_s=60, latency_s=1)
    assert np.isnan(site.run(30).plant.reports_w(30 * S)).all()


def test_lost_reports_leave_the_last_one_standing(lab) -> None:
    site = reporting(lab, period_s=1, latency_s=0, loads=1, loss_good=0.5, dwell_good_s=1e12)
    site.run(2)
    fresh = 0
    for second in range(3, 2000):
        site.act(second - 0.8, 100 + second % 1000)
        site.run(second)
        report = site.plant.reports_w(second * S + 100_000)[0]
        fresh += report == pytest.approx(site["load.a0.power_w"][second - 1])
    assert 0.2 < fresh / 1997 < 0.8
