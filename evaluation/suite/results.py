"""What a suite's folder keeps of every run: ``suite.json`` and one line a run in ``results.jsonl``.

::

    OUT/<suite>/
      suite.json       identity and plan, written before the first run
      results.jsonl    one line a finished run, in the order in which they finished
      runs/<scenario>[@<variant>]/[baseline-]<policy>-seed<k>/      the records
      summary.json  report.html  junit.xml       written when the suite is judged
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from ..files import RecordError, first_line
from ..model import json_text
from ..verdict import Verdict, suite_exit_code

#: Version of the layout and of both files.
SCHEMA_VERSION = 1
IDENTITY_FILE, RESULTS_FILE = "suite.json", "results.jsonl"

_LIMIT_KEYS = {"metric", "limit", "direction", "measured", "bound", "unit", "verdict"}


@dataclass(frozen=True, slots=True)
class Cell:
    """One run that a suite plans: its key, unique in the suite.

    Attributes:
        scenario: the scenario's name.
        variant: name of the overrides that it runs with; empty for none.
        policy: the policy's label.
        seed: the run's.
        baseline: whether it is only there to be compared with.

    """

    scenario: str
    variant: str
    policy: str
    seed: int
    baseline: bool

    @property
    def stratum(self) -> str:
        """Scenario and variant: runs of one stratum and seed are paired (same weather, faults)."""
        return f"{self.scenario}@{self.variant}" if self.variant else self.scenario

    @property
    def folder(self) -> str:
        """Where its record lies, relative to the suite's folder."""
        prefix = "baseline-" if self.baseline else ""
        return f"runs/{self.stratum}/{prefix}{self.policy}-seed{self.seed}"


@dataclass(frozen=True, slots=True)
class RunRow:
    """What the suite keeps of a finished run.

    Attributes:
        cell: which run.
        status: the record's: ``completed``, ``aborted`` or ``error``.
        verdict: name of the verdict; None for a baseline, which is not judged.
        exit_code: the run's; None for a baseline.
        reason: why the verdict is not PASS, or why the run ended early; one line.
        limits: every limit as `limits.LimitResult.as_dict` gives it; empty for a baseline.
        measurements: by metric id; None where there is no value.
        duration_s: simulated.
        elapsed_s: that the run took on the machine, judging included.
        trace_sha256: identity of the trace.

    """

    cell: Cell
    status: str
    verdict: str | None
    exit_code: int | None
    reason: str
    limits: tuple[Mapping[str, Any], ...]
    measurements: Mapping[str, float | None]
    duration_s: float
    elapsed_s: float
    trace_sha256: str | None = None


@dataclass(frozen=True, slots=True)
class SuiteIdentity:
    """``suite.json``.

    Attributes:
        name: the suite's.
        title: one line.
        suite: the resolved suite, as plain data.
        suite_hash: of everything that decides what its runs are, files included.
        plan: every run, in the order of execution.
        wattbench_version: that ran it.
        git_revision: of the working tree; None outside one.
        packages: versions of the packages that shape results.
        machine: as in a record.

    """

    name: str
    title: str
    suite: Mapping[str, Any]
    suite_hash: str
    plan: tuple[Cell, ...]
    wattbench_version: str
    git_revision: str | None = None
    packages: Mapping[str, str] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)


def write_identity(folder: Path, identity: SuiteIdentity) -> None:
    """Write ``suite.json``, whole or not at all."""
    content = {"schema_version": SCHEMA_VERSION, **asdict(identity)}
    temporary = folder / f"{IDENTITY_FILE}.partial"
    temporary.write_text(json_text(content) + "\n", encoding="utf-8")
    temporary.rename(folder / IDENTITY_FILE)


def read_identity(folder: Path) -> SuiteIdentity:
    """Read ``suite.json``; raises RecordError where it is missing, damaged or newer."""
    path = folder / IDENTITY_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        version = content.pop("schema_version")
        if version > SCHEMA_VERSION:
            raise RecordError(f"{path} was written by a newer wattbench: update wattbench")
        plan = tuple(Cell(**cell) for cell in content.pop("plan"))
        return SuiteIdentity(plan=plan, **content)
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing; is this the folder of a suite?") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RecordError(f"{path} is damaged: {first_line(error)}") from error


def append_row(folder: Path, row: RunRow) -> None:
    """Append a finished run to ``results.jsonl``, on disk when this returns."""
    line = json_text(asdict(row), indent=None) + "\n"
    with (folder / RESULTS_FILE).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_rows(folder: Path) -> list[RunRow]:
    """Read the finished runs; a last line that a kill cut short counts as not written.

    Raises:
        RecordError: the file cannot be read, or another line is damaged.

    """
    path = folder / RESULTS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except (OSError, ValueError) as error:
        raise RecordError(f"cannot read {path}: {first_line(error)}") from error
    rows = []
    lines = text.split("\n")  # what follows the last newline is an unfinished line, or nothing
    for number, line in enumerate(lines[:-1], start=1):
        try:
            content = json.loads(line)
            cell = Cell(**content.pop("cell"))
            row = RunRow(cell=cell, limits=tuple(content.pop("limits")), **content)
            _check(row)
            rows.append(row)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise RecordError(f"{path}:{number} is damaged: {first_line(error)}") from error
    return rows


def _check(row: RunRow) -> None:
    """Raise ValueError for what no run can have."""
    for limit in row.limits:
        if lacking := _LIMIT_KEYS - limit.keys():
            raise ValueError(f"a limit lacks {', '.join(sorted(lacking))}")
    words = [limit["verdict"] for limit in row.limits]
    words += [] if row.cell.baseline else [row.verdict]
    for word in words:
        if word is not None and word not in Verdict.__members__:
            raise ValueError(f"{word!r} is no verdict")
    if not row.cell.baseline and None in {row.verdict, row.exit_code}:
        raise ValueError("a judged run has no verdict")
    if row.exit_code is not None:
        suite_exit_code([row.exit_code])
