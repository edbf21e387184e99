"""Small synthetic records: one load a phase unless a test says otherwise."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from wattbench.evaluation.metrics import measure
from wattbench.evaluation.record import Record, RecordHeader, RecordWriter, read_record
from wattbench.evaluation.streams import memory_stream

SHARES = {"a": (1.0, 0.0, 0.0), "b": (0.0, 1.0, 0.0), "c": (0.0, 0.0, 1.0)}
LOADS = {"a1": "a", "b1": "b", "c1": "c"}


def make_header(**changes: Any) -> dict[str, Any]:
    """Return a header of a small site; ``changes`` replace top-level keys."""
    actuators = [
        {"id": name, "kind": "load", "phase_shares": SHARES[phase], "low_w": 0.0, "high_w": 2000.0,
         "resolution_w": 10.0}
        for name, phase in LOADS.items()
    ]  # fmt: skip
    header: dict[str, Any] = {
        "wattbench_version": "0.1.0",
        "scenario": {
            "name": "small",
            "clock": {"mode": "virtual", "factor": 1.0},
            "objective": {"import_weight": 0.5, "unserved_weight": 2.0},
            "limits": [],
        },
        "policy": {"kind": "pi", "name": "pi"},
        "rig": {"name": "direct"},
        "profiles_hash": "p" * 64,
        "packages": {"numpy": "2"},
        "machine": {"cpu": "test"},
        "git_revision": None,
        "seed": 1,
        "start_utc": "2025-06-21T08:00:00+00:00",
        "site": {
            "actuators": actuators,
            "loads": [{"id": name, "tank": {"cut_out_c": 88.0}} for name in LOADS],
            "main_fuse_a": 63.0,
            "control_period_s": 1.0,
            "stored_energy_initial_wh": 0.0,
        },
        "baselines": {},
    }
    return copy.deepcopy(header | changes)


def make_truth(rows: int, **changes: Any) -> dict[str, Any]:
    """Return a quiet truth; keyword ``grid__a__power_w`` sets column ``grid.a.power_w``."""
    quiet: dict[str, Any] = {"t_sim_us": np.arange(1, rows + 1, dtype=np.int64) * 1_000_000}
    for phase in "abc":
        for quantity in ("power_w", "current_a", "import_energy_wh", "export_energy_wh"):
            quiet[f"grid.{phase}.{quantity}"] = 0.0
        quiet[f"grid.{phase}.voltage_v"] = 230.0
    for name in ("grid.net.import_energy_wh", "grid.net.export_energy_wh",
                 "pv.power_w", "pv.available_power_w"):  # fmt: skip
        quiet[name] = 0.0
    for load in LOADS:
        for quantity in ("power_w", "temperature_c", "stored_energy_wh", "unserved_energy_wh",
                         "delivered_energy_wh", "switchings"):  # fmt: skip
            quiet[f"load.{load}.{quantity}"] = 0.0
        quiet[f"load.{load}.flags"] = np.zeros(rows, dtype=np.int64)
    return _filled(quiet, changes, rows)


def make_commands(rows: int, **changes: Any) -> dict[str, Any]:
    """Return commands of a policy that never sends any."""
    times = np.arange(rows, dtype=np.int64) * 1_000_000
    quiet: dict[str, Any] = {"t_sim_us": times, "sent_us": times + 20_000}
    quiet |= {"seq": np.full(rows, -1), "kind": np.zeros(rows, int), "status": np.full(rows, -1)}
    for load in LOADS:
        quiet |= {f"decided.{load}_w": 0.0, f"guarded.{load}_w": 0.0}
        quiet |= {f"acked.{load}_us": np.full(rows, -1), f"effective.{load}_us": np.full(rows, -1)}
    return _filled(quiet, changes, rows)


def make_readings(rows: int, **changes: Any) -> dict[str, Any]:
    """Return readings that are always half a second old."""
    times = np.arange(rows, dtype=np.int64) * 1_000_000
    quiet: dict[str, Any] = {"t_sim_us": times, "meter.age_s": 0.5}
    return _filled(quiet | {"meter.quality": np.zeros(rows, int)}, changes, rows)


def _filled(quiet: dict[str, Any], changes: dict[str, Any], rows: int) -> dict[str, Any]:
    quiet |= {name.replace("__", "."): value for name, value in changes.items()}
    return {
        name: np.full(rows, float(value)) if np.isscalar(value) else np.asarray(value)
        for name, value in quiet.items()
    }


def units_of(columns: dict[str, Any]) -> dict[str, str]:
    return {name: name.rpartition("_")[2].capitalize() for name in columns}


def in_memory(*, header: dict[str, Any] | None = None, **streams: dict[str, Any]) -> Record:
    """Return a record that was never written."""
    found = {name: memory_stream(name, c, units_of(c)) for name, c in streams.items()}
    valid = RecordHeader.model_validate(header or make_header())
    return Record(Path("nowhere"), valid, found, None, (), {})


MakeRecord = Callable[..., Record]


@pytest.fixture
def make_record(tmp_path: Path) -> MakeRecord:
    """Return a function that writes a record and reads it back."""
    count = 0

    def make(
        *,
        header: dict[str, Any] | None = None,
        truth: dict[str, Any] | None = None,
        commands: dict[str, Any] | None = None,
        readings: dict[str, Any] | None = None,
        timing: dict[str, Any] | None = None,
        status: str = "completed",
        safe_state: dict[str, Any] | None = None,
    ) -> Record:
        nonlocal count
        count += 1
        writer = RecordWriter(tmp_path / f"run{count}", header or make_header())
        given = {"truth": truth, "readings": readings, "commands": commands}
        for name, columns in given.items():
            if columns is not None:
                writer.write_stream(name, columns, units_of(columns))
        if timing is not None:
            writer.write_timing(timing)
        measured = measure(writer.record())
        reason = "" if status == "completed" else "a test says so"
        return read_record(writer.close(status, reason, measured, safe_state=safe_state))

    return make


@pytest.fixture(scope="session")
def builders() -> Any:
    """Return the functions above by name (tests are no package that could import them)."""

    class Builders:
        header = staticmethod(make_header)
        truth = staticmethod(make_truth)
        commands = staticmethod(make_commands)
        readings = staticmethod(make_readings)
        units = staticmethod(units_of)
        in_memory = staticmethod(in_memory)

    return Builders
