"""Whole fingerprints of emulated devices: parameters that it is not told are recovered."""

from __future__ import annotations

import asyncio
import datetime as dt
from collections import Counter

import pytest

from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.fingerprint.drift import compare
from wattbench.hil.fingerprint.limits import limits_of
from wattbench.hil.fingerprint.probe import ProbeError
from wattbench.hil.fingerprint.profile import blind, measured, parameters, stated
from wattbench.scenarios.devices import load_device_profile

QUICK = {"answers": 30, "idle_s": 1.0, "moves": 8, "watchdog_limit_s": 0.0}


def of(device: dict, name: str) -> float | None:
    timing, actuator = device
    dog = actuator["watchdog"]
    known = timing | actuator
    known |= {"watchdog_timeout_s": dog["timeout_s"], "watchdog_slack_s": dog["slack_s"]}
    return known.get(name)


def recovered(devices, seeds) -> tuple[Counter, Counter]:
    hits, asked = Counter(), Counter()
    for seed in seeds:
        drawn = devices.drawn(seed)
        profile = devices.heater(timing=drawn[0], actuator=drawn[1], serial=str(seed))
        found = devices.bench(profile, seed).measure()
        assert found.complete
        assert found.safe is True
        for name, estimate in found.estimates.items():
            truth = of(drawn, name)
            if truth is not None:
                asked[name] += 1
                hits[name] += estimate.covers(truth)
        if drawn[0]["min_gap_s"] > 0:
            assert found.facts["too_early"] == drawn[0]["too_early"]
    return hits, asked


def test_what_a_few_devices_were_made_with_is_found(devices) -> None:
    hits, asked = recovered(devices, (1, 2, 4))
    assert set(asked) >= {"dead_time_s", "ramp_s", "resolution", "watchdog_timeout_s"}
    assert sum(asked.values()) - sum(hits.values()) <= 1


@pytest.mark.slow
def test_intervals_hold_for_forty_devices(devices) -> None:
    """Every parameter in at least 95 % of the devices, for devices drawn at random."""
    hits, asked = recovered(devices, range(200, 240))
    for name, count in asked.items():
        # Of 40, 38 are 95 %.
        assert hits[name] >= 0.95 * count - 1e-9, f"{name}: {hits[name]} of {count}"
    for name in (
        "dead_time_s",
        "ramp_s",
        "resolution",
        "min_gap_s",
        "min_command_gap_s",
        "answer_s",
    ):
        assert asked[name] == 40, name
    assert asked["watchdog_timeout_s"] >= 38


def test_intervals_are_narrow(devices) -> None:
    profile = devices.heater(
        timing={"refresh_s": 1, "answer_s": 0.03, "min_gap_s": 0.1},
        actuator={"resolution": 50, "dead_time_s": 1, "ramp_s": 2, "watchdog": {"timeout_s": 30}},
    )
    found = devices.bench(profile).measure().estimates
    for name, half in {
        "refresh_s": 0.01,
        "answer_s": 0.001,
        "min_gap_s": 0.002,
        "resolution": 0.2,
        "dead_time_s": 0.2,
        "ramp_s": 0.4,
        "watchdog_timeout_s": 1.0,
    }.items():
        assert found[name].uncertainty <= half, name


def test_same_seed_same_fingerprint(devices) -> None:
    runs = [devices.bench(devices.heater(timing={"min_gap_s": 0.1})).measure(**QUICK) for _ in "ab"]
    assert runs[0].estimates == runs[1].estimates


def test_the_estimator_is_not_told(devices) -> None:
    """What it gets is the same for devices that differ in every parameter."""
    first, second = (
        devices.heater(timing=timing, actuator=actuator)
        for timing, actuator in map(devices.drawn, (1, 2))
    )
    assert first != second
    assert blind(first) == blind(second)


def test_no_set_point_above_what_is_allowed(devices) -> None:
    bench = devices.bench(devices.heater())
    found = bench.measure(highest=1000.0, **QUICK)
    assert found.complete
    assert max(value for _, value in bench.source.commands) <= 1000.0
    assert bench.source.commands[-1][1] == 0.0


def test_set_points_stay_inside_a_wide_safe_band(devices) -> None:
    band = {"quantity": "power_w", "low": 500, "high": 2000}
    bench = devices.bench(devices.heater(actuator={"safe": band, "default": 600}))
    found = bench.measure(**QUICK)
    assert found.safe is True
    values = [value for _, value in bench.source.commands]
    assert min(values) >= 500
    assert max(values) <= 2000


def test_a_limit_in_watts_holds_for_set_points_in_amperes() -> None:
    profile = load_device_profile("keba_p30")
    limits = limits_of(profile, profile.actuators[0], ("power_w", "current_a_a"), 8000.0)
    assert limits.high == pytest.approx(8000 / (3 * 253))
    assert limits.low == 6.0
    assert (limits.enable, limits.safe_quantity, limits.safe_value) == ("enabled", "enabled", 0.0)
    with pytest.raises(ProbeError, match="too narrow"):
        limits_of(profile, profile.actuators[0], ("power_w",), 2000.0)


def test_passive_commands_nothing(devices) -> None:
    bench = devices.bench(devices.heater())
    found = bench.measure(passive=True, answers=30, idle_s=1.0)
    assert bench.source.commands == []
    assert found.complete
    assert found.safe is None
    assert "dead_time_s" not in found.estimates


@pytest.mark.parametrize("after_s", [6.0, 20.0, 45.0, 70.0, 100.0, 160.0])
def test_stopped_at_any_time_the_device_is_made_safe(devices, after_s: float) -> None:
    bench = devices.bench(devices.heater(actuator={"dead_time_s": 1, "ramp_s": 2}))
    bench.clock.schedule(round(after_s * 1e6), bench.clock.cancel)
    # A second one, while it is being made safe, must not keep it from that.
    bench.clock.schedule(round((after_s + 0.5) * 1e6), bench.clock.cancel)
    with pytest.raises(asyncio.CancelledError):
        bench.measure(answers=30, idle_s=1.0, watchdog_limit_s=0.0)
    found = bench.session.found
    assert not found.complete
    commanded = [value for _, value in bench.source.commands]
    if commanded:
        assert commanded[-1] == 0.0
        assert found.safe is True
        assert bench.source.measure("power_w", bench.clock.now_us) == 0.0


def test_a_device_that_falls_silent_is_told_and_made_safe_when_it_is_back(devices) -> None:
    bench = devices.bench(devices.heater(timing={"boot_s": 20}))
    bench.clock.schedule(60_000_000, bench.device.reset)
    with pytest.raises(ProbeError):
        bench.measure(answers=30, idle_s=1.0, watchdog_limit_s=0.0)
    assert bench.session.found.safe is True
    assert bench.source.commands[-1][1] == 0.0


def test_a_device_without_effect_is_told(devices) -> None:
    bench = devices.bench(devices.heater())
    bench.device.stuck("power_w")
    with pytest.raises(ProbeError, match="no effect"):
        bench.measure(**QUICK)
    assert bench.source.commands[-1][1] == 0.0


def test_a_range_that_is_too_narrow_is_refused(devices) -> None:
    profile = devices.heater()
    with pytest.raises(ProbeError, match="too narrow"):
        limits_of(profile, profile.actuators[0], ("power_w",), 100.0)
    with pytest.raises(ProbeError, match="no quantity shows"):
        limits_of(profile, profile.actuators[0], ("temperature_c",), None)


def test_a_measured_profile_is_a_profile_and_does_not_drift(devices) -> None:
    timing, actuator = devices.drawn(2)
    profile = devices.heater(timing=timing, actuator=actuator)
    found = devices.bench(profile).measure()
    written = measured(blind(profile), found, 0, dt.date(2026, 11, 21))
    again = DeviceProfile.model_validate(written.model_dump(mode="json", exclude_defaults=True))
    assert again == written
    assert written.measured.date == dt.date(2026, 11, 21)
    truth, said = parameters(profile, 0), parameters(written, 0)
    for name, value in said.items():
        half = (
            2
            * written.measured.uncertainty[
                {
                    "watchdog_timeout_s": "actuators.0.watchdog.timeout_s",
                    "watchdog_slack_s": "actuators.0.watchdog.slack_s",
                }.get(
                    name,
                    f"timing.{name}" if hasattr(profile.timing, name) else f"actuators.0.{name}",
                )
            ]
        )
        assert abs(value - truth[name]) <= half + 1e-6, name
    # Another measurement of the same device agrees with it.
    other = devices.bench(profile, seed=9).measure(seed=9)
    assert [row.name for row in compare(written, other, 0) if row.verdict == "drifted"] == []


def test_what_has_drifted_is_named(devices) -> None:
    was = {"resolution": 10, "dead_time_s": 1.0, "ramp_s": 1.0, "watchdog": {"timeout_s": 30}}
    now = {**was, "dead_time_s": 2.5, "watchdog": None}
    found = devices.bench(devices.heater(actuator=now)).measure(watchdog_limit_s=60.0)
    rows = compare(devices.heater(actuator=was), found, 0)
    drifted = {row.name for row in rows if row.verdict == "drifted"}
    assert drifted == {"dead_time_s", "watchdog_timeout_s"}


def test_a_watchdog_that_requests_keep_awake_is_found_by_silence(devices) -> None:
    dog = {"timeout_s": 23, "rearmed_by": "request"}
    bench = devices.bench(devices.heater(actuator={"dead_time_s": 1, "watchdog": dog}))
    found = bench.measure(answers=30, idle_s=1.0, moves=8, watchdog_limit_s=60.0)
    assert found.facts["rearmed_by"] == "request"
    assert found.estimates["watchdog_timeout_s"].covers(23)
    assert found.estimates["watchdog_timeout_s"].uncertainty < 2
    assert found.safe is True


def test_what_is_stated_holds_what_was_found(devices) -> None:
    found = devices.bench(devices.heater()).measure(**QUICK)
    for estimate in found.estimates.values():
        value, half = stated(estimate)
        assert value - half <= max(estimate.low, 0.0) + 1e-9
        assert value + half >= estimate.high - 1e-6
