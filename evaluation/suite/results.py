"""What a suite's folder keeps of every run: ``suite.json`` and one line a run in ``results.jsonl``.

::

    OUT/<suite>/
      suite.json       identity and plan, written before the first run
      results.jsonl    one line a finished run, in the order in which they finished
      runs/<scenario>[@<variant>]/[baseline-]<policy>-seed<k>/      the records
      summary.json  report.html  junit.xml       written when the suite is judged

``suite.json`` and each line carry a hash of their own content, and each line that of its suite:
against accidents and careless editing, not against somebody who computes them anew.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, Final

from pydantic import TypeAdapter, ValidationError

from ..files import DamagedError, RecordError, first_line, write_at_once
from ..model import content_hash, content_hash_of_json, json_text
from ..verdict import ExitCode, Verdict, exit_code, suite_exit_code

#: Version of the layout and of both files.
SCHEMA_VERSION = 1
IDENTITY_FILE, RESULTS_FILE = "suite.json", "results.jsonl"

#: What decides the runs of a suite and how they are judged: keys of the resolved suite.
_IDENTIFYING: Final = ("strata", "seeds", "interval_limits")
_REMEDY: Final = (
    "remove this line and go on with --resume: a run whose record is there is not run again"
)
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


def hash_of(suite: Mapping[str, Any]) -> str:
    """Return the SHA-256 of what decides a resolved suite's runs and how they are judged.

    Scenarios enter with what is in them and in the files they name, however that is written.
    """
    return content_hash({key: suite.get(key) for key in _IDENTIFYING})


def write_identity(folder: Path, identity: SuiteIdentity) -> None:
    """Write ``suite.json``, whole or not at all."""
    content = {"schema_version": SCHEMA_VERSION, **asdict(identity)}
    content["content_sha256"] = content_hash(content)
    write_at_once(folder / IDENTITY_FILE, json_text(content) + "\n")


def read_identity(folder: Path) -> SuiteIdentity:
    """Read ``suite.json``.

    Raises:
        RecordError: it is missing, cannot be read, or is newer.
        DamagedError: it is not as it was written, or does not agree with itself.

    """
    path = folder / IDENTITY_FILE
    try:
        text = path.read_text(encoding="utf-8")
        content = json.loads(text)
        version = content["schema_version"]
        if not isinstance(version, int):
            raise ValueError("schema_version is no number")
        if version > SCHEMA_VERSION:
            raise RecordError(f"{path} was written by a newer wattbench: update wattbench")
        identity: SuiteIdentity = _adapter(SuiteIdentity).validate_json(text, strict=True)
        stated = content.pop("content_sha256", None)
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing; is this the folder of a suite?") from error
    except OSError as error:
        raise RecordError(f"cannot read {path}: {first_line(error)}") from error
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged: {_what(error)}; run the suite anew") from error
    if (
        stated != content_hash_of_json(content)
        or identity.suite_hash != hash_of(identity.suite)
        or not _follows(identity)
    ):
        raise DamagedError(f"{path} was changed after it was written; run the suite anew")
    return identity


def _follows(identity: SuiteIdentity) -> bool:
    """Return whether the plan is that of the suite; true where the suite does not say its strata.

    Stratum by stratum, seed by seed; in each the baselines first.
    """
    suite = identity.suite
    if "strata" not in suite:
        return True
    plan = tuple(
        Cell(stratum["scenario"], stratum["variant"], label, seed, key == "baselines")
        for stratum in suite["strata"]
        for seed in suite["seeds"]
        for key in ("baselines", "policies")
        for label in stratum[key]
    )
    return plan == identity.plan


def append_row(folder: Path, row: RunRow, suite_hash: str) -> None:
    """Append a finished run to ``results.jsonl``, on disk when this returns.

    Args:
        folder: the suite's.
        row: the run.
        suite_hash: the suite's, by which the line is known as one of its.

    """
    content = {**asdict(row), "suite_hash": suite_hash}
    content["content_sha256"] = content_hash(content)
    line = json_text(content, indent=None) + "\n"
    with (folder / RESULTS_FILE).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        os.fsync(file.fileno())


def read_rows(folder: Path) -> list[RunRow]:
    """Read the finished runs; a last line that a kill cut short counts as not written.

    Raises:
        RecordError: a file cannot be read, or ``suite.json`` is missing.
        DamagedError: a line is not as it was written, or belongs to another suite.

    """
    path = folder / RESULTS_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise RecordError(f"cannot read {path}: {first_line(error)}") from error
    except ValueError as error:
        raise DamagedError(f"{path} is damaged: {_what(error)}; run the suite anew") from error
    suite_hash = read_identity(folder).suite_hash
    rows = []
    lines = text.split("\n")  # what follows the last newline is an unfinished line, or nothing
    for number, line in enumerate(lines[:-1], start=1):
        try:
            rows.append(_row(line, suite_hash))
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            what = f"{path}:{number} is damaged: {_what(error)}"
            raise DamagedError(f"{what}; {_REMEDY}") from error
    return rows


def _row(line: str, suite_hash: str) -> RunRow:
    """Return a line's row; raises ValueError for what no run of the suite has written."""
    content = json.loads(line)
    row: RunRow = _adapter(RunRow).validate_json(line, strict=True)
    _check(row)
    stated = content.pop("content_sha256", None)
    if stated != content_hash_of_json(content):
        raise ValueError("it was changed after it was written")
    if content["suite_hash"] != suite_hash:
        raise ValueError("it belongs to another suite")
    return row


@cache
def _adapter(kind: type[Any]) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def _what(error: Exception) -> str:
    """Return what is wrong in one line."""
    if not isinstance(error, ValidationError):
        return f"{error.args[0]} is missing" if isinstance(error, KeyError) else first_line(error)
    first = error.errors()[0]
    return f"{'.'.join(str(part) for part in first['loc'])}: {first['msg'].lower()}"


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
    if row.cell.baseline:
        if row.verdict is not None or row.exit_code is not None:
            raise ValueError("a baseline has a verdict")
        return
    if row.verdict is None or row.exit_code is None:
        raise ValueError("a judged run has no verdict")
    suite_exit_code([row.exit_code])
    _check_verdict(row, Verdict[row.verdict])


def _check_verdict(row: RunRow, verdict: Verdict) -> None:
    """Raise ValueError where a verdict fits neither the limits, the status, nor the exit code."""
    for limit in row.limits:
        if limit["verdict"] is not None and Verdict[limit["verdict"]] > verdict:
            raise ValueError(f"it is {verdict.name}, and its limit {limit['limit']!r} is worse")
    least = {"completed": Verdict.PASS, "error": Verdict.ERROR}.get(row.status, Verdict.ABORTED)
    if verdict < least:
        raise ValueError(f"its status is {row.status}, and its verdict {verdict.name}")
    if row.exit_code not in {exit_code(verdict), ExitCode.RIG, ExitCode.UNSAFE}:
        raise ValueError(f"its verdict is {verdict.name}, and its exit code {row.exit_code}")
