"""A synthetic run that looks like a day of a site: PV with clouds, a household, loads, faults."""

import datetime as dt

import numpy as np
import pytest

from wattbench.evaluation.report import (
    ActuatorInfo,
    IdentityRow,
    LimitRow,
    MetricInfo,
    PolicyRow,
    ReportInput,
)

RATED_W = {"a1": 1500.0, "a2": 1500.0, "b1": 2000.0, "b2": 1000.0, "c1": 2000.0, "c2": 1000.0}

METRICS = {
    "objective@1": MetricInfo("Wh", "lower", "objective J", True, "export + weighted costs"),
    "export_energy@1": MetricInfo("Wh", "lower", "export", True, "net, counter"),
    "import_energy@1": MetricInfo("Wh", "lower", "import", True, "net, counter"),
    "unserved_energy@1": MetricInfo("Wh", "lower", "unserved heat", True),
    "self_consumption@1": MetricInfo("1", "higher", "self-consumption", True),
    "peak_export_1min@1": MetricInfo("W", "lower", "peak export, 1 min", True),
    "changes_worst_minute@1": MetricInfo("1/min", "lower", "command changes, worst minute", True),
    "safety_violations@1": MetricInfo("count", "lower", "safety violations", True),
    "phase_imbalance@1": MetricInfo("W", "lower", "phase imbalance"),
    "pv_energy@1": MetricInfo("Wh", None, "PV energy"),
    "decision_latency_p99@1": MetricInfo("s", "lower", "decision latency, 99 %"),
}


def synthetic_truth(rows, seed, start_hour, gain):
    """Return truth columns of `rows` seconds, with loads that follow the surplus with a lag."""
    rng = np.random.default_rng(seed)
    hour = start_hour + np.arange(rows) / 3600
    sun = np.clip(np.sin((hour - 5.3) / 15.4 * np.pi), 0, None) ** 1.3
    cloud = np.clip(np.cumsum(rng.normal(0, 0.02, rows)), None, None)
    cloud = 0.5 + 0.5 * np.tanh(3 * np.sin(cloud) + 1.2)
    pv = 7800 * sun * (0.25 + 0.75 * cloud)
    house = {p: 90 + 40 * rng.random() + 15 * rng.standard_normal(rows) for p in "abc"}
    for _ in range(max(1, rows // 4000)):
        at, long = rng.integers(0, rows), rng.integers(60, 600)
        house["abc"[rng.integers(3)]][at : at + long] += rng.choice([900, 1800, 2200])
    surplus = pv - sum(house.values())
    seen = np.concatenate([np.zeros(min(5, rows)), surplus[: max(0, rows - 5)]])
    want = np.clip(gain * seen, 0, sum(RATED_W.values()))
    truth = {"t_sim_us": (1 + np.arange(rows)) * 1_000_000, "pv.power_w": pv}
    truth["pv.available_power_w"] = pv
    load_on = dict.fromkeys("abc", 0.0)
    left = want
    commands = {}
    for name, rated in RATED_W.items():
        setpoint = np.clip(np.floor(left / 50) * 50, 0, rated)
        left = left - setpoint
        hot = np.cumsum(setpoint) / 3.6e6 % 9 > 8.2
        power = np.where(hot, 0.0, setpoint)
        commands[f"guarded.{name}_w"] = setpoint
        truth[f"load.{name}.power_w"] = power
        drawn = np.cumsum(power - 260 - 900 * ((hour % 6) < 0.2)) / 3600 / 116
        truth[f"load.{name}.temperature_c"] = np.clip(48 + rng.uniform(-4, 4) + drawn, 30, 74)
        load_on[name[0]] = load_on[name[0]] + power
    for phase in "abc":
        truth[f"household.{phase}.power_w"] = house[phase]
        truth[f"grid.{phase}.power_w"] = house[phase] + load_on[phase] - pv / 3
    return truth, commands


def synthetic_run(
    rows=86_400, policy="smith", seed=1, gain=1.0, verdict="PASS", clock="virtual", faults=True
):
    """Return the input of a report on a run of `rows` seconds."""
    start_hour = 0.0 if rows > 40_000 else 10.0
    truth, guarded = synthetic_truth(rows, seed, start_hour, gain)
    rng = np.random.default_rng(seed)
    net = sum(truth[f"grid.{p}.power_w"] for p in "abc")
    quality = np.zeros(rows, dtype=np.int64)
    events = [{"t_sim_us": 0, "kind": "run_start"}]
    meter = np.concatenate([[0.0], net[:-1]])
    if faults:
        a, b = int(rows * 0.55), int(rows * 0.57)
        quality[a + 5 : b] = 1
        meter[a:b] = meter[a]
        for fault, start, end, more in (
            ("meter_freeze", a, b, {}),
            ("load_stuck_on", int(rows * 0.4), int(rows * 0.46), {"target": "b1"}),
            ("coordinator_restart", int(rows * 0.7), int(rows * 0.7) + 20, {}),
        ):
            for kind, at in (("fault_start", start), ("fault_end", end)):
                events.append({"t_sim_us": at * 10**6, "kind": kind, "fault": fault, **more})
        events.sort(key=lambda event: event["t_sim_us"])
    events.append({"t_sim_us": rows * 10**6, "kind": "run_end", "reason": "completed"})
    times = np.arange(rows) * 1_000_000
    export, imported = (float(np.sum(np.clip(s * net, 0, None)) / 3600) for s in (-1, 1))

    def measured(scale, extra):
        return {
            "objective@1": export * scale + 0.5 * imported * extra,
            "export_energy@1": export * scale,
            "import_energy@1": imported * extra,
            "unserved_energy@1": 40.0 * scale,
            "self_consumption@1": max(0.0, 1 - 0.02 * scale),
            "peak_export_1min@1": 3100.0 * scale**0.3,
            "changes_worst_minute@1": 6.0,
            "safety_violations@1": 0.0,
            "phase_imbalance@1": 410.0,
            "pv_energy@1": float(truth["pv.power_w"].sum() / 3600),
            "decision_latency_p99@1": None if clock == "virtual" else 2.1e-4,
        }

    judged = measured(1.0, 1.0)
    import_bound = judged["import_energy@1"] * (0.8 if verdict == "FAIL" else 1.6)
    bounds = [
        ("export_energy@1", judged["export_energy@1"] * 1.2, "max", "PASS", None, ""),
        ("export_energy@1", judged["export_energy@1"] * 1.08, "max", "PASS", "pi", "0.9 × pi"),
        ("import_energy@1", import_bound, "max", verdict, None, ""),
        ("self_consumption@1", 0.9, "min", "PASS", None, ""),
        ("changes_worst_minute@1", 10.0, "max", "PASS", None, ""),
        ("safety_violations@1", 0.0, "max", "PASS", None, ""),
    ]
    limits = [
        LimitRow(key, METRICS[key].unit, judged[key], bound, direction, word, vs, reason)
        for key, bound, direction, word, vs, reason in bounds
    ]
    return ReportInput(
        title="Partly cloudy day behind a slow mesh",
        scenario="partly_cloudy",
        kind="discriminating",
        policy=policy,
        seed=seed,
        clock=clock,
        verdict=verdict,
        ended="completed",
        start_utc=dt.datetime(2025, 6, 20, 22, 0, tzinfo=dt.UTC) + dt.timedelta(hours=start_hour),
        time_zone="Europe/Berlin",
        duration_s=float(rows),
        limits=limits,
        policies=[
            PolicyRow(policy, True, judged, verdict),
            PolicyRow("zero", False, measured(9.0, 0.4)),
            PolicyRow("pi", False, measured(1.2, 1.1)),
            PolicyRow("threshold", False, measured(2.0, 1.3)),
        ],
        metrics=METRICS,
        objective="objective@1",
        objective_formula="J = export + 0.5 · import + 2 · unserved heat − energy left in tanks",
        streams={
            "truth": truth,
            "readings": {"t_sim_us": times, "meter.quality": quality, "meter.total.power_w": meter},
            "commands": {"t_sim_us": times, "kind": np.zeros(rows, dtype=np.int64), **guarded},
        },
        events=events,
        actuators=[ActuatorInfo(n, "load", n[0], 0.0, w) for n, w in RATED_W.items()],
        timing={
            "sample": rng.lognormal(9, 0.2, rows).astype(np.int64),
            "observe": rng.lognormal(9.5, 0.2, rows).astype(np.int64),
            "decide": rng.lognormal(10.5, 0.4, rows).astype(np.int64),
        },
        identity=[
            IdentityRow("Hashes", "scenario", "9f2c4b7a1d3e5f60718293a4b5c6d7e8"),
            IdentityRow("Hashes", "policy", "0a1b2c3d4e5f60718293a4b5c6d7e8f9"),
            IdentityRow("Versions", "wattbench", "0.1.0"),
            IdentityRow("Versions", "numpy", "2.4.6"),
            IdentityRow("Machine", "processor", "2 cores, x86_64"),
            IdentityRow("Safe state", "confirmed", "yes, all 6 actuators at 0 W within 4.2 s"),
        ],
        folder="partly_cloudy-smith-1",
    )


@pytest.fixture(scope="session")
def make_run():
    return synthetic_run
