"""Power without a plant: it fits together, obeys commands, and depends on nobody looking."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.devices.model import Actuator, DeviceProfile, profile_names
from wattbench.hil.devices.motion import Motion
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.devices.waves import Wave, share
from wattbench.scenarios.devices import load_device_profile

from .conftest import S

HOUR_US = 3600 * S


def number(source: StandaloneSource, quantity: str, t_us: int) -> float:
    value = source.measure(quantity, t_us)
    assert isinstance(value, int | float), quantity
    return float(value)


@given(
    st.floats(-3000, 3000),
    st.floats(-3000, 3000),
    st.integers(1, 900),
    st.floats(-7, 7),
    st.integers(0, 5000),
)
def test_counters_are_the_integral_of_positive_power(
    mean: float, swing: float, period_s: int, phase: float, until_s: int
) -> None:
    wave = Wave(mean, swing, period_s * S, phase)
    steps = 4000
    step_us = until_s * S / steps
    summed = sum(max(0.0, wave.at(round((k + 0.5) * step_us))) for k in range(steps))
    expected = summed * step_us / HOUR_US
    assert wave.positive_wh(until_s * S) == pytest.approx(expected, rel=0.02, abs=2.0)


@given(st.floats(-10, 10), st.floats(-10, 10), st.integers(0, 10**9))
def test_waves_add_up(first: float, second: float, t_us: int) -> None:
    one, two = Wave(1.0, 5.0, 60 * S, first), Wave(-2.0, 7.0, 60 * S, second)
    assert one.plus(two).at(t_us) == pytest.approx(one.at(t_us) + two.at(t_us), abs=1e-9)


def test_shares_are_spread() -> None:
    values = [share(1, "x", k) for k in range(2000)]
    assert all(0 <= value < 1 for value in values)
    for k in range(10):
        assert 130 < sum(k / 10 <= value < (k + 1) / 10 for value in values) < 270


def test_a_meter_adds_up() -> None:
    source = StandaloneSource(load_device_profile("eastron_sdm630"), 7)
    for t_us in (0, 17 * S + 3, 500 * S):
        phases = [number(source, f"power_{p}_w", t_us) for p in "abc"]
        assert number(source, "power_w", t_us) == pytest.approx(sum(phases))
    start = {k: number(source, k, 0) for k in ("import_energy_wh", "export_energy_wh")}
    net = sum(number(source, "power_w", k * S) for k in range(600)) / 3600
    end = {k: number(source, k, 600 * S) - start[k] for k in start}
    assert end["import_energy_wh"] - end["export_energy_wh"] == pytest.approx(net, abs=2)
    assert min(end.values()) >= 0


@pytest.mark.parametrize("seed", range(5))
def test_what_a_meter_shows_fits_together(seed: int) -> None:
    """Volts, amperes and the power factor make the power; counters of all those of the phases."""
    source = StandaloneSource(load_device_profile("eastron_sdm630"), seed)
    for t_us in (0, 91 * S, 1234 * S):
        for phase in "abc":
            volts, amperes, factor = (
                number(source, f"{q}_{phase}{unit}", t_us)
                for q, unit in (("voltage", "_v"), ("current", "_a"), ("power_factor", ""))
            )
            power_w = number(source, f"power_{phase}_w", t_us)
            assert volts * amperes * factor == pytest.approx(power_w)
        net, most = 0.0, {}
        for way, sign in (("import", 1), ("export", -1)):
            parts = [number(source, f"{way}_energy_{p}_wh", t_us) for p in "abc"]
            net, most[way] = net + sign * sum(parts), sum(parts)
        total = {way: number(source, f"{way}_energy_wh", t_us) for way in most}
        assert total["import"] - total["export"] == pytest.approx(net)
        assert all(0 < total[way] <= most[way] for way in most)


@pytest.mark.parametrize("name", ["goe_charger", "keba_p30"])
def test_a_charger_draws_no_more_than_it_is_allowed(name: str) -> None:
    source = StandaloneSource(load_device_profile(name), 2)
    for t_us in (0, 30 * S, 77 * S):
        power_w = number(source, "power_w", t_us)
        parts = 0.0
        for phase in "abc":
            amperes = number(source, f"current_{phase}_a", t_us)
            assert amperes == 16
            parts += amperes * number(source, f"voltage_{phase}_v", t_us)
        assert parts == pytest.approx(power_w)


def actuator(**more: float) -> Actuator:
    return Actuator(quantity="power_setpoint_w", high=1000.0, **more)  # type: ignore[arg-type]


def test_dead_time_and_ramp_are_exact() -> None:
    motion = Motion(actuator(dead_time_s=1.5, ramp_s=10))
    motion.command(500, 2 * S)
    assert [motion.at(round(t * S)) for t in (2, 3.5, 6, 8.5, 20)] == [0, 0, 250, 500, 500]
    # A new command half way up turns round, after its own dead time.
    motion = Motion(actuator(dead_time_s=1, ramp_s=10))
    motion.command(1000, 0)
    motion.command(0, 5 * S)
    assert [motion.at(t * S) for t in (1, 6, 7, 11, 12)] == [0, 500, 400, 0, 0]


def test_without_a_ramp_it_jumps() -> None:
    motion = Motion(actuator(dead_time_s=1))
    motion.command(800, 0)
    assert [motion.at(t) for t in (S - 1, S, S + 1)] == [0, 800, 800]


def test_steps() -> None:
    motion = Motion(actuator(resolution=250.0, ramp_s=10))
    motion.command(700, 0)
    assert {motion.at(k * S // 10) for k in range(200)} == {0, 250, 500, 750}


@given(st.lists(st.tuples(st.integers(0, 5 * S), st.floats(0, 1000)), max_size=20))
def test_a_ramp_is_never_steeper_than_it_may_be(steps: list[tuple[int, float]]) -> None:
    motion = Motion(actuator(dead_time_s=0.7, ramp_s=4))
    t_us, before = 0, motion.at(0)
    for wait_us, target in steps:
        until_us = t_us + wait_us
        while t_us < until_us:
            t_us += 100_000
            value = motion.at(t_us)
            assert abs(value - before) <= 25.01
            before = value
        motion.command(target, t_us)


def heater() -> tuple[DeviceProfile, StandaloneSource]:
    profile = load_device_profile("mypv_ac_elwa_2")
    return profile, StandaloneSource(profile, 1)


def test_a_heater_warms_its_water() -> None:
    profile, source = heater()
    before_c = number(source, "temperature_c", 0)
    source.command("power_setpoint_w", 3000, 0)
    assert number(source, "power_w", 1800 * S) == 3000
    gained_k = number(source, "temperature_c", 1800 * S) - before_c
    heat_wh = number(source, "energy_wh", 1800 * S)
    assert heat_wh == pytest.approx(1500, rel=0.01)
    stored_wh = gained_k * profile.ratings.volume_l * 4186 / 3600
    assert 0.93 * heat_wh < stored_wh < heat_wh


def test_a_heater_s_thermostat_opens_and_closes() -> None:
    profile, source = heater()
    source.command("power_setpoint_w", 3500, 0)
    temperatures, powers = [], set()
    for k in range(0, 12 * 3600, 60):
        temperatures.append(number(source, "temperature_c", k * S))
        powers.add(number(source, "power_w", k * S))
    assert max(temperatures) < profile.ratings.temperature_limit_c + 0.1
    assert powers >= {0.0, 3500.0}


def test_nothing_depends_on_who_looks() -> None:
    """Energies and temperatures are the same, read every 0.3 s or once."""
    for name in profile_names():
        profile = load_device_profile(name)
        often, once = StandaloneSource(profile, 4), StandaloneSource(profile, 4)
        quantities = ("power_w", "energy_wh", "temperature_c", "soc", "import_energy_wh")
        for k in range(200):
            if k == 60:
                for source in (often, once):
                    source.command("power_setpoint_w", 1200, 18 * S)
                    source.command("current_setpoint_a", 10, 18 * S)
            for quantity in quantities:
                often.measure(quantity, k * 300_000)
        for quantity in quantities:
            assert often.measure(quantity, 61 * S) == once.measure(quantity, 61 * S), name


def test_seeds_are_devices() -> None:
    profile = load_device_profile("eastron_sdm630")
    one, same, other = (StandaloneSource(profile, seed) for seed in (1, 1, 2))
    assert one.measure("power_w", S) == same.measure("power_w", S)
    assert one.measure("power_w", S) != other.measure("power_w", S)


def test_an_inverter_obeys_its_limit() -> None:
    source = StandaloneSource(load_device_profile("sunspec_inverter"), 2)
    free = number(source, "power_w", 0)
    assert free > 2500
    source.command("power_limit_w", 1000, 0)
    assert number(source, "power_w", 10 * S) == 1000
    source.command("connected", 0, 20 * S)
    assert number(source, "power_w", 30 * S) == 0
    assert source.measure("state", 30 * S) == "standby"


def test_a_battery_moves_its_state_of_charge() -> None:
    source = StandaloneSource(load_device_profile("sunspec_der"), 2)
    assert any(number(source, "power_w", k * 30 * S) != 0 for k in range(10))
    source.command("power_setpoint_w", 10_000, 600 * S)
    before = number(source, "soc", 610 * S)
    after = number(source, "soc", 1330 * S)
    assert before - after == pytest.approx(10_000 * 0.2 / 20_000, rel=0.01)
    for k in range(1, 60):
        power = number(source, "power_w", (1330 + 120 * k) * S)
        soc = number(source, "soc", (1330 + 120 * k) * S)
        assert 0 <= soc <= 1
    assert (soc, power) == (0.0, 0.0)


def test_a_charger_charges() -> None:
    source = StandaloneSource(load_device_profile("goe_charger"), 2)
    assert source.measure("car_state", 0) == "charging"
    source.command("current_setpoint_a", 6, 0)
    assert number(source, "power_w", 20 * S) == pytest.approx(3 * 230 * 6)
    source.command("enabled", 0, 20 * S)
    assert number(source, "power_w", 30 * S) == 0
    assert source.measure("car_state", 30 * S) == "waiting"


def test_a_plug_switches_and_dims() -> None:
    source = StandaloneSource(load_device_profile("zigbee_plug"), 2)
    full = number(source, "power_w", 0)
    source.command("level", 0.5, 0)
    assert number(source, "power_w", 2 * S) == pytest.approx(full / 2, rel=0.2)
    source.command("on", 0, 2 * S)
    assert number(source, "power_w", 3 * S) == 0


def test_a_leap_of_the_clock_is_not_caught_up_with() -> None:
    _, source = heater()
    assert math.isfinite(number(source, "temperature_c", 10**9 * S))


def test_what_a_kind_does_not_have() -> None:
    _, source = heater()
    assert source.measure("humidity", 0) is None
    assert source.measure("power_setpoint_w", 0) == 0.0


@pytest.mark.parametrize("name", ["mypv_ac_elwa_2", "zigbee_heater"])
def test_a_heater_s_switch(name: str) -> None:
    """On is its rated power at first, then the last set-point above zero; Off is zero."""
    profile = load_device_profile(name)
    source, rated_w = StandaloneSource(profile, 1), profile.ratings.power_w
    assert number(source, "on", 0) == 0.0
    for t_s, quantity, value, power_w in (
        (10, "on", 1.0, rated_w),
        (40, "on", 0.0, 0.0),
        (70, "on", 1.0, rated_w),
        (100, "power_setpoint_w", 1200.0, 1200.0),
        (130, "on", 1.0, 1200.0),
        (160, "power_setpoint_w", 0.0, 0.0),
        (190, "on", 1.0, 1200.0),
        (220, "on", 0.0, 0.0),
    ):
        source.command(quantity, value, t_s * S)
        assert number(source, "on", t_s * S) == float(power_w > 0), "at once: it is the switch"
        assert number(source, "power_setpoint_w", t_s * S) == power_w
        assert number(source, "power_w", (t_s + 25) * S) == power_w
