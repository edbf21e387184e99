"""Golden traces: a run's trace kept beside its identity, to hold later runs against.

::

    FOLDER/
      golden.json                       who took part, which rows are kept, what was measured
      truth.parquet  readings.parquet  commands.parquet

Rows may be thinned, so that a golden trace is small enough for a repository.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError

from .divergence import Divergence, Tolerance, Trace, end_us, find_divergence, trace_of
from .files import DamagedError, RecordError, first_line, write_at_once
from .identity import Identity, identity_of
from .metrics import METRICS
from .model import Model, json_text
from .reading import Record
from .streams import open_parquet, write_parquet

GOLDEN_FILE: Final = "golden.json"
SCHEMA_VERSION: Final = 1

#: One machine repeats itself bit by bit; two differ in the last bits of a sine.
MACHINES: Final = Tolerance(1e-9, 1e-9)


class _Header(Model):
    schema_version: int = SCHEMA_VERSION
    identity: Identity
    every: int = Field(ge=1)
    """One row of so many is kept, the last of each, and the last of all."""
    ends_us: dict[str, int] = Field(default_factory=dict)
    """When each stream ends; a later run must end there too."""
    verdict: str | None
    measurements: dict[str, float | None]
    streams: tuple[str, ...]


@dataclass(frozen=True)
class Golden:
    """A golden trace.

    Attributes:
        folder: where it lies.
        identity: of the run that it was.
        verdict: of that run; None where it was not judged.
        measurements: of that run, by metric id.
        trace: the rows that are kept.

    """

    folder: Path
    identity: Identity
    verdict: str | None
    measurements: Mapping[str, float | None]
    trace: Trace


def store_golden(
    folder: Path,
    record: Record,
    measurements: Mapping[str, float | None],
    verdict: str | None = None,
    *,
    every: int = 1,
) -> None:
    """Keep a run's trace as golden; one that was there is replaced.

    Args:
        folder: is made if need be.
        record: the run.
        measurements: by metric id, as computed by this version.
        verdict: the run's, if it was judged.
        every: one row of so many is kept.

    Raises:
        OSError: the disk refuses; what was there is then as it was.
        RecordError: the record is damaged.

    """
    header = _Header(
        identity=identity_of(record.header),
        every=every,
        verdict=verdict,
        measurements={
            key: _number(value)
            for key, value in measurements.items()
            if METRICS[key].source != "measured time"  # the machine's, not the run's
        },
        streams=tuple(record.streams),
        ends_us={name: end_us(stream) for name, stream in record.streams.items()},
    )
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".golden-", dir=folder) as new:
        for name, stream in record.streams.items():
            kept = _kept(stream.rows, every)
            columns = {column: values[kept] for column, values in stream.items()}
            write_parquet(Path(new) / f"{name}.parquet", columns, stream.units)
        write_at_once(Path(new) / GOLDEN_FILE, json_text(header.model_dump(mode="json")) + "\n")
        for path in sorted(Path(new).iterdir()):
            path.replace(folder / path.name)


def read_golden(folder: Path) -> Golden:
    """Read a golden trace.

    Raises:
        RecordError: there is none, or it is of a newer version.
        DamagedError: it is not as it was written.

    """
    path = folder / GOLDEN_FILE
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content.get("schema_version", 0) > SCHEMA_VERSION:
            raise RecordError(f"{path} was written by a newer wattbench: update wattbench")
        header = _Header.model_validate(content)
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing; --update keeps a run there") from error
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise DamagedError(f"{path} is damaged: {where}: {first['msg'].lower()}") from error
    except (OSError, ValueError, TypeError, AttributeError) as error:
        raise DamagedError(f"{path} is damaged: {first_line(error)}") from error
    streams = {name: open_parquet(name, folder / f"{name}.parquet") for name in header.streams}
    trace = Trace(streams, header.identity.start_utc, every=header.every, ends_us=header.ends_us)
    return Golden(folder, header.identity, header.verdict, header.measurements, trace)


def _kept(rows: int, every: int) -> NDArray[np.int64]:
    """Return which rows are kept: at least the last, so that even a thin trace holds one."""
    numbers = np.arange(rows, dtype=np.int64)
    kept: NDArray[np.int64] = numbers[(numbers % every == every - 1) | (numbers == rows - 1)]
    return kept


def hold_against(golden: Golden, record: Record, tolerance: Tolerance = MACHINES) -> Divergence:
    """Return where a run parts from a golden trace.

    Raises:
        RecordError: a stream of either is damaged.

    """
    return find_divergence(golden.trace, trace_of(record), tolerance)


def differs(found: Divergence) -> bool:
    """Return whether a run is not the golden one: values, columns, rows or length."""
    return bool(found.first or found.only_in_a or found.only_in_b or found.notes)


def _number(value: float | None) -> float | None:
    return value if value is not None and value == value else None  # noqa: PLR0124 - NaN
