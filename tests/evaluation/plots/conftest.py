"""A ten-minute run with everything that a picture can show, and what it was made of."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.evaluation.metrics import measure
from wattbench.evaluation.plots import Subject, read_subject
from wattbench.evaluation.record import RecordWriter

ROWS = 600
LIMITS = [
    {"metric": "command_changes_per_min_worst", "max": 10},
    {"metric": "phase_imbalance", "max": 500},
]


def truth_of(builders: Any, rng: np.random.Generator) -> dict[str, Any]:
    """Return truth of a site whose net power swings around zero, with a battery and tanks."""
    seconds = np.arange(ROWS)
    phases = {p: 1500 * np.sin(seconds / 40 + i) + rng.normal(0, 50, ROWS)
              for i, p in enumerate("abc")}  # fmt: skip
    truth: dict[str, Any] = builders.truth(ROWS)
    for phase, power_w in phases.items():
        truth[f"grid.{phase}.power_w"] = power_w
        truth[f"grid.{phase}.voltage_v"] = 230 - power_w / 500
        truth[f"household.{phase}.power_w"] = np.full(ROWS, 300.0)
    truth["pv.power_w"] = 4000 + 500 * np.sin(seconds / 25)
    truth["pv.available_power_w"] = truth["pv.power_w"] + np.where(seconds > 500, 200.0, 0.0)
    truth["battery.power_w"] = 800 * np.cos(seconds / 60)
    truth["battery.soc"] = 0.5 + 0.1 * np.sin(seconds / 60)
    for i, load in enumerate(("a1", "b1", "c1")):
        truth[f"load.{load}.power_w"] = np.where(seconds % 40 > 20 + i, 1500.0, 200.0)
        truth[f"load.{load}.temperature_c"] = 50 + i + seconds / 100
    return truth


def commands_of(builders: Any) -> dict[str, Any]:
    """Return commands that step every 20 s; each is acknowledged and takes effect."""
    commands: dict[str, Any] = builders.commands(ROWS)
    step = np.arange(ROWS) % 20 == 0
    high = np.arange(ROWS) // 20 % 2 == 1
    commands["kind"] = step.astype(int)
    commands["status"] = np.where(step, 0, -1)
    for i, load in enumerate(("a1", "b1", "c1")):
        commands[f"guarded.{load}_w"] = np.where(high, 1500.0 + 10 * i, 200.0)
        commands[f"acked.{load}_us"] = np.where(step, commands["sent_us"] + 250_000, -1)
        effect = commands["sent_us"] + 1_200_000 + 100_000 * i
        commands[f"effective.{load}_us"] = np.where(step, effect, -1)
    return commands


MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run(builders: Any, tmp_path_factory: pytest.TempPathFactory) -> MakeRun:
    """Return a function that writes a record and returns its folder."""

    def make(
        seed: int = 1,
        streams: tuple[str, ...] = ("truth", "readings", "commands"),
        timed: bool = True,
        without: tuple[str, ...] = (),
        **header: Any,
    ) -> Path:
        rng = np.random.default_rng(seed)
        content = builders.header(seed=seed, **header)
        content["scenario"] |= {"limits": LIMITS, "profiles": {"site": {"time_zone": "Asia/Tokyo"}}}
        content["scenario"]["clock"]["duration_s"] = float(ROWS)
        folder = tmp_path_factory.mktemp("runs") / f"pi-seed{seed}"
        writer = RecordWriter(folder, content)
        found = {
            "truth": truth_of(builders, rng),
            "readings": builders.readings(ROWS),
            "commands": commands_of(builders),
        }
        for name in streams:
            kept = {
                key: column
                for key, column in found[name].items()
                if not key.startswith(without or ("\0",))
            }
            writer.write_stream(name, kept, builders.units(kept))
        if timed:
            decide = rng.lognormal(10, 0.4, ROWS).astype(np.int64)
            writer.write_timing(
                {"step": np.arange(ROWS), "t_mono_ns": np.arange(ROWS) * 10**9, "decide_ns": decide}
            )
        for at, kind in ((60, "fault_start"), (120, "fault_end")):
            writer.event(at * 10**6, kind, fault="meter_freeze")
        measured = measure(writer.record())
        return writer.close("completed", "", measured, safe_state={"confirmed": True})

    return make


@pytest.fixture(scope="session")
def folder(make_run: MakeRun) -> Path:
    return make_run()


@pytest.fixture(scope="session")
def subject(folder: Path) -> Subject:
    return read_subject(folder)


@pytest.fixture(scope="session")
def other(make_run: MakeRun) -> Subject:
    return read_subject(make_run(seed=2))
