"""Small suites that never ran: a folder with a plan and made-up results."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from wattbench.evaluation.model import content_hash, json_text
from wattbench.evaluation.suite.results import (
    Cell,
    RunRow,
    SuiteIdentity,
    append_row,
    hash_of,
    read_identity,
    write_identity,
)
from wattbench.evaluation.verdict import Verdict, exit_code

#: Measurements of a run by label, stratum and seed.
Values = Callable[[str, str, int], Mapping[str, float | None]]


def plan_of(
    scenarios: Iterable[str] = ("one", "two"),
    policies: Iterable[str] = ("smith",),
    baselines: Iterable[str] = ("pi",),
    seeds: Iterable[int] = range(1, 11),
) -> tuple[Cell, ...]:
    """Return a plan: scenarios (`name` or `name@variant`) × seeds × (policies, then baselines)."""
    cells = []
    for stratum in scenarios:
        name, _, variant = stratum.partition("@")
        for seed in seeds:
            cells += [Cell(name, variant, policy, seed, False) for policy in policies]
            cells += [Cell(name, variant, policy, seed, True) for policy in baselines]
    return tuple(cells)


def energies(label: str, stratum: str, seed: int) -> dict[str, float | None]:
    """Return measurements in which ``smith`` exports about a fifth less than ``pi``."""
    base_wh = 1000.0 + 40 * ((7 * seed + len(stratum)) % 11)
    share = {"smith": 0.8 + 0.004 * ((3 * seed) % 7), "pi": 1.0, "zero": 3.0}.get(label, 0.9)
    export_wh = base_wh * share
    return {
        "export_energy@1": export_wh,
        "import_energy@1": 300.0 + seed,
        "objective@1": export_wh + 150.0,
        "peak_export_1min@1": 4.0 * export_wh,
        "unserved_energy@1": 0.0,
        "command_changes_per_min_worst@1": 8.0,
        "safety_violations@1": 0.0,
    }


def row_of(cell: Cell, measurements: Mapping[str, float | None], **changes: Any) -> RunRow:
    """Return a finished run with one limit, which it keeps unless ``verdict`` says otherwise."""
    verdict = None if cell.baseline else Verdict[changes.get("verdict", "PASS")]
    measured = measurements.get("export_energy@1")
    limit = {
        "metric": "export_energy@1", "limit": "export_energy ≤ 2 kWh", "direction": "max",
        "vs": None, "measured": measured, "bound": 2000.0, "unit": "Wh",
        "verdict": "PASS" if verdict is None else verdict.name, "reason": "", "uncertainty": None,
        "decision_rule": "guarded",
    }  # fmt: skip
    values: dict[str, Any] = {
        "cell": cell,
        "status": "completed",
        "verdict": None if verdict is None else verdict.name,
        "exit_code": None if verdict is None else int(exit_code(verdict)),
        "reason": "",
        "limits": () if cell.baseline else (limit,),
        "measurements": dict(measurements),
        "duration_s": 3600.0,
        "elapsed_s": 0.25,
        "trace_sha256": hashlib.sha256(cell.folder.encode()).hexdigest(),
    }
    return RunRow(**values | changes)


def note_row(folder: Path, row: RunRow) -> None:
    """Append a row as the suite does."""
    append_row(folder, row, read_identity(folder).suite_hash)


def write_record(folder: Path, row: RunRow) -> None:
    """Write as much of a row's record as a suite is judged by."""
    place = folder / row.cell.folder
    place.mkdir(parents=True, exist_ok=True)
    header: dict[str, Any] = {
        "policy": {"kind": row.cell.policy},
        "seed": row.cell.seed,
        "status": row.status,
        "trace_sha256": row.trace_sha256,
    }
    header["content_sha256"] = content_hash(header)
    (place / "record.json").write_text(json_text(header))
    (place / "measurements.json").write_text(json_text({"measurements": row.measurements}))


def make_suite(
    folder: Path,
    *,
    plan: tuple[Cell, ...] | None = None,
    interval_limits: Iterable[Mapping[str, Any]] = (),
    values: Values = energies,
    skip: Callable[[Cell], bool] = lambda cell: False,
    change: Callable[[Cell], Mapping[str, Any]] = lambda cell: {},
    backwards: bool = False,
    **suite: Any,
) -> Path:
    """Write the folder of a suite and return it.

    ``values`` gives a run's measurements, ``skip`` says which runs are not finished, ``change``
    what is other than usual in a run's row; ``backwards`` writes the rows in reverse.
    """
    folder.mkdir(parents=True, exist_ok=True)
    cells = plan_of() if plan is None else plan
    content = {"name": "small", "interval_limits": [dict(limit) for limit in interval_limits]}
    resolved = content | suite
    identity = SuiteIdentity(
        "small", "A made-up suite", resolved, hash_of(resolved), cells, "0.1.0", "abc123",
        {"numpy": "2"}, {"cpu": "test"},
    )  # fmt: skip
    write_identity(folder, identity)
    for cell in reversed(cells) if backwards else cells:
        if not skip(cell):
            measured = values(cell.policy, cell.stratum, cell.seed)
            row = row_of(cell, measured, **change(cell))
            append_row(folder, row, identity.suite_hash)
            write_record(folder, row)
    return folder
