"""Reading the columns of a log from CSV or Parquet, every failure a :class:`ProfileError`."""

from __future__ import annotations

import difflib
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from .config import LogFormat
from .findings import ProfileError

_Read = TypeVar("_Read")


@dataclass(frozen=True, slots=True)
class Table:
    """The columns of a log that are used, as they stand in the file."""

    path: Path
    stamps: Any
    """pandas Series: texts, numbers or times."""
    values: dict[str, NDArray[np.float64]]
    first_row: int
    """Number of the first data row: 2 in a CSV file (the header is line 1), 1 in Parquet."""
    texts: Mapping[str, Any] = field(default_factory=dict)
    """pandas Series of columns that are read as they stand."""

    def row(self, index: int) -> int:
        """Return the file's row number of a data row."""
        return index + self.first_row

    def stamp(self, index: int) -> str:
        """Return a data row's stamp as text."""
        return str(self.stamps.iloc[index])

    def error(self, index: int, what: str, mend: str) -> ProfileError:
        """Return a :class:`ProfileError` that names a data row."""
        return ProfileError(self.path, what, mend, self.row(index), self.stamp(index))


def read_table(
    path: Path, columns: Sequence[str], log: LogFormat, texts: Sequence[str] = ()
) -> Table:
    """Read a log's time column, some value columns, and some columns as they stand.

    Args:
        path: CSV (``.csv``, ``.txt``, also ``.gz``) or Parquet (``.parquet``, ``.pq``) file.
        columns: names of value columns.
        log: separator, decimal sign and time column.
        texts: names of columns that need not be numbers.

    Raises:
        ProfileError: the file is missing, unreadable or cut off, a column is missing, a value is
            not a number.
    """
    return _reading(
        path,
        lambda: _read_csv(path, columns, log, texts),
        lambda: _read_parquet(path, columns, log, texts),
    )


def column_names(path: Path, log: LogFormat) -> list[str]:
    """Return the names of a log's columns.

    Raises:
        ProfileError: the file is missing or unreadable.
    """
    return _reading(path, lambda: _csv_header(path, log), lambda: _parquet_header(path))


def _reading(path: Path, csv: Callable[[], _Read], parquet: Callable[[], _Read]) -> _Read:
    """Read a file as its suffix says; turn whatever fails into a `ProfileError`."""
    if not path.exists():
        raise ProfileError(path, "no such file", "correct `path` (it is relative to the scenario)")
    if not path.is_file():
        raise ProfileError(path, "is not a file", "correct `path`")
    suffixes = [suffix.lower() for suffix in path.suffixes]
    try:
        if suffixes[-1:] in ([".parquet"], [".pq"]):
            return parquet()
        if ".csv" in suffixes or ".txt" in suffixes:
            return csv()
    except ProfileError:
        raise
    except UnicodeDecodeError as error:
        what = f"is not UTF-8 text (byte {error.start})"
        raise ProfileError(path, what, "save it as UTF-8") from error
    except (OSError, ValueError, EOFError, zlib.error) as error:
        reason = " ".join(str(error).split())
        raise ProfileError(
            path, f"cannot be read: {reason}", "the file is damaged or cut off; export it again"
        ) from error
    raise ProfileError(path, "unknown kind of file", "use .csv, .txt (also .gz) or .parquet")


def _csv_options(log: LogFormat) -> dict[str, Any]:
    return {
        "sep": log.separator,
        "decimal": log.decimal,
        "encoding": "utf-8-sig",
        "index_col": False,
        "skip_blank_lines": False,
    }


def _csv_header(path: Path, log: LogFormat) -> list[str]:
    import pandas as pd

    try:
        return [str(name) for name in pd.read_csv(path, nrows=0, **_csv_options(log)).columns]
    except pd.errors.EmptyDataError:
        raise ProfileError(path, "is empty", "export it again") from None


def _read_csv(path: Path, columns: Sequence[str], log: LogFormat, texts: Sequence[str]) -> Table:
    import pandas as pd

    wanted = list(dict.fromkeys([log.time_column, *columns, *texts]))
    _check_columns(path, _csv_header(path, log), wanted, log.separator)
    frame = pd.read_csv(path, usecols=wanted, low_memory=False, **_csv_options(log))
    stamps = frame[log.time_column]
    values = {}
    for name in columns:
        series = frame[name]
        if not pd.api.types.is_numeric_dtype(series) or pd.api.types.is_bool_dtype(series):
            _check_numbers(path, name, series, stamps, log)
            series = pd.to_numeric(series)
        values[name] = series.to_numpy(dtype=np.float64)
    return Table(path, stamps, values, 2, {name: frame[name] for name in texts})


def _parquet_header(path: Path) -> list[str]:
    import pyarrow.parquet as pq

    with pq.ParquetFile(path) as source:
        return [str(name) for name in source.schema_arrow.names]


def _read_parquet(
    path: Path, columns: Sequence[str], log: LogFormat, texts: Sequence[str]
) -> Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    wanted = list(dict.fromkeys([log.time_column, *columns, *texts]))
    with pq.ParquetFile(path) as source:
        _check_columns(path, source.schema_arrow.names, wanted, None)
        table = source.read(columns=wanted)
    values = {}
    for name in columns:
        kind = table.schema.field(name).type
        if not (
            pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
        ):
            raise ProfileError(
                path, f"column '{name}' holds {kind}, not numbers", "choose another column"
            )
        values[name] = (
            table[name].cast(pa.float64()).to_numpy(zero_copy_only=False).astype(np.float64)
        )
    stamps = table[log.time_column].to_pandas().reset_index(drop=True)
    others = {name: table[name].to_pandas().reset_index(drop=True) for name in texts}
    return Table(path, stamps, values, 1, others)


def _check_columns(
    path: Path, present: Sequence[str], wanted: Sequence[str], separator: str | None
) -> None:
    for name in wanted:
        if name in present:
            continue
        if separator is not None and len(present) == 1:
            others = [other for other in (",", ";", "\t", "|") if other in present[0]]
            if others:
                raise ProfileError(
                    path,
                    f"the header is one column, '{present[0]}'",
                    f"set `separator` to {others[0]!r}",
                )
        near = difflib.get_close_matches(name, present, n=1, cutoff=0.5)
        hint = f"did you mean '{near[0]}'?" if near else "the file has: " + ", ".join(present[:12])
        raise ProfileError(path, f"has no column '{name}'", hint)


def _check_numbers(path: Path, name: str, series: Any, stamps: Any, log: LogFormat) -> None:
    """Raise for the first text in a column that is no number."""
    import pandas as pd

    texts = series.astype("string")
    bad = pd.to_numeric(texts, errors="coerce").isna() & texts.notna()
    if not bad.any():
        return
    index = int(np.argmax(bad.to_numpy(dtype=bool)))
    text = str(texts.iloc[index])
    other = "," if log.decimal == "." else "."
    mend = f"set `decimal` to '{other}'" if other in text else "leave the field empty if unknown"
    raise ProfileError(
        path, f"column '{name}': '{text}' is not a number", mend, index + 2, str(stamps.iloc[index])
    )
