"""The rows of a suite held against the records beside them: a row says what its record says.

Only ``record.json`` and ``measurements.json`` are read: whether a record's streams are as they were
written is for `evaluation.judge` to find.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from ..files import first_line
from ..model import content_hash_of_json
from .results import Cell, RunRow, SuiteIdentity

_RELATIVE_TOLERANCE: Final = 1e-9
"""A stored number that differs by more is another one."""
_REMEDY: Final = "remove the folder and its line in results.jsonl, and go on with --resume"


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the records say of the rows.

    Attributes:
        problems: rows and records that do not belong together, or were changed; each an ERROR.
        gone: rows whose record is not there any more: nothing can be held against them.

    """

    problems: tuple[str, ...]
    gone: tuple[Cell, ...]


def evidence(folder: Path, identity: SuiteIdentity, rows: Iterable[RunRow]) -> Evidence:
    """Hold every row against its record, and its duration against the suite's."""
    durations = _durations(identity.suite)
    problems, gone = [], []
    for row in rows:
        try:
            found = list(_differences(folder / row.cell.folder, row))
        except FileNotFoundError:
            gone.append(row.cell)
            found = []
        if row.duration_s != durations.get(row.cell.stratum, row.duration_s):
            found.append("its row has another duration_s than the suite")
        if found:
            problems.append(f"{row.cell.folder}: {'; '.join(found)}. To mend it, {_REMEDY}")
    return Evidence(tuple(problems), tuple(gone))


def _durations(suite: Mapping[str, Any]) -> dict[str, float]:
    strata = suite.get("strata", ())
    return {
        Cell(s["scenario"], s["variant"], "", 0, baseline=False).stratum: s["duration_s"]
        for s in strata
    }


def _differences(place: Path, row: RunRow) -> Iterator[str]:
    """Yield what is wrong with a record beside its row; raises FileNotFoundError if it is gone."""
    header = _object(place / "record.json")
    if isinstance(header, str):
        yield header
        return
    stated = header.pop("content_sha256", None)
    if stated != content_hash_of_json(header):
        yield "record.json was changed after the run"
    policy = header.get("policy")
    own = {
        "policy": policy.get("name") or policy.get("kind") if isinstance(policy, dict) else None,
        "seed": header.get("seed"),
        "status": header.get("status"),
        "trace_sha256": header.get("trace_sha256"),
    }
    said = {
        "policy": row.cell.policy,
        "seed": row.cell.seed,
        "status": row.status,
        "trace_sha256": row.trace_sha256,
    }
    if other := [key for key in said if own[key] != said[key]]:
        yield f"record.json has another {', '.join(other)} than its row in results.jsonl"
    try:
        stored = _object(place / "measurements.json")
    except FileNotFoundError:
        yield "measurements.json is missing"
        return
    if isinstance(stored, str):
        yield stored
    elif other := _unequal(stored.get("measurements"), row.measurements):
        more = f" and {len(other) - 1} more" if len(other) > 1 else ""
        yield f"measurements.json has another {other[0]}{more} than its row in results.jsonl"


def _object(path: Path) -> dict[str, Any] | str:
    """Return a JSON object, or in words what is wrong with it; raises FileNotFoundError."""
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise
    except OSError as error:
        return f"{path.name} cannot be read: {first_line(error)}"
    except ValueError as error:
        return f"{path.name} is damaged: {first_line(error)}"
    return content if isinstance(content, dict) else f"{path.name} is damaged: not a JSON object"


def _unequal(stored: Any, said: Mapping[str, float | None]) -> list[str]:
    """Return the metrics that differ, or are on one side only."""
    if not isinstance(stored, dict):
        return ["'measurements'"]
    keys = sorted(stored.keys() | said.keys())
    return [key for key in keys if not _same(stored.get(key), said.get(key))]


def _same(one: Any, other: float | None) -> bool:
    if one is None or other is None:
        return one is other
    return isinstance(one, int | float) and math.isclose(
        one, other, rel_tol=_RELATIVE_TOLERANCE, abs_tol=_RELATIVE_TOLERANCE
    )
