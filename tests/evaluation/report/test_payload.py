"""Distributions, and the series of other plants' devices."""

from dataclasses import replace

import numpy as np

from wattbench.evaluation.report import ActuatorInfo
from wattbench.evaluation.report.packing import Packer
from wattbench.evaluation.report.payload import (
    detail_for,
    export_curve,
    latency_histogram,
    run_payload,
)


def test_curve_starts_with_the_peak_and_falls():
    rng = np.random.default_rng(1)
    power = rng.normal(0, 500, 5000)
    truth = {"t_sim_us": np.arange(1, 5001) * 1_000_000, "grid.a.power_w": power}
    curve = export_curve(truth)
    assert curve["w"][0] == round(-power.min(), 1)
    assert curve["s"][0] == 1.0
    assert curve["s"][-1] == float(np.sum(power < 0))
    assert all(a >= b for a, b in zip(curve["w"], curve["w"][1:], strict=False))


def test_no_export_no_curve():
    assert export_curve({"t_sim_us": np.arange(3), "grid.a.power_w": np.ones(3)}) is None


def test_histogram_counts_every_step():
    decide = np.array([50, 1_000, 1_000_000, 2_000_000_000], dtype=np.int64)
    shown = latency_histogram({"decide": decide, "guard": decide})
    assert sum(shown["counts"]["decide"]) == 4
    assert sum(shown["counts"]["whole step"]) == 4
    assert len(shown["edges"]) == len(shown["counts"]["decide"]) + 1


def test_nothing_timed_no_histogram():
    assert latency_histogram({}) is None
    assert latency_histogram({"decide": np.zeros(0, dtype=np.int64)}) is None


def test_battery_charger_and_curtailment(make_run):
    run = make_run(rows=600)
    rows = np.zeros(600)
    truth = dict(run.streams["truth"]) | {
        "battery.power_w": rows - 500, "battery.soc": rows + 0.5,
        "charger.car.power_w": rows + 1400,
        "pv.available_power_w": run.streams["truth"]["pv.power_w"] + 100,
    }  # fmt: skip
    commands = dict(run.streams["commands"]) | {
        f"guarded.{name}_w": rows for name in ("battery", "car", "pv")
    }
    run = replace(
        run,
        streams={"truth": truth, "commands": commands},
        actuators=[
            ActuatorInfo("car", "charger", "abc", 0.0, 11_000.0),
            ActuatorInfo("battery", "battery", "abc", -3000.0, 3000.0),
            ActuatorInfo("pv", "pv_limit", "abc", 0.0, 8000.0),
        ],
    )
    shown = run_payload(run, Packer(), detail_for(1))
    assert {"battery", "pv_available", "controlled"} <= set(shown["series"])
    assert all(a["power"] and a["command"] for a in shown["actuators"])
    assert [a["unit"] for a in shown["actuators"] if a["state"]] == ["%"]


def test_detail_shrinks_with_the_number_of_runs():
    assert detail_for(20).site < detail_for(2).site < detail_for(1).site
