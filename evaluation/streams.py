"""Streams of a record: columns over time in Parquet files, identical bytes for identical data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from .files import MissingColumnError, RecordError, first_line

TIME = "t_sim_us"
_ROW_GROUP_ROWS = 1 << 20
_COMPRESSION_LEVEL = 1

Columns: TypeAlias = Mapping[str, NDArray[Any]]
_Load: TypeAlias = Callable[[str], NDArray[Any]]


class Stream(Mapping[str, NDArray[Any]]):
    """Columns of one stream by name, each read when it is first asked for.

    Attributes:
        name: the stream's name, for messages.
        units: unit of each column, ``""`` for plain numbers.

    """

    def __init__(self, name: str, units: Mapping[str, str], rows: int, load: _Load) -> None:
        self.name = name
        self.units = dict(units)
        self.rows = rows
        self._load = load
        self._loaded: dict[str, NDArray[Any]] = {}

    def __getitem__(self, column: str) -> NDArray[Any]:
        if column not in self._loaded:
            if column not in self.units:
                raise MissingColumnError(f"stream '{self.name}' has no column '{column}'")
            self._loaded[column] = self._load(column)
        return self._loaded[column]

    def __contains__(self, column: object) -> bool:
        return column in self.units

    def __iter__(self) -> Iterator[str]:
        return iter(self.units)

    def __len__(self) -> int:
        return len(self.units)


def memory_stream(name: str, columns: Columns, units: Mapping[str, str]) -> Stream:
    """Return a stream over arrays at hand."""
    rows = len(next(iter(columns.values()), ()))
    return Stream(name, {column: units[column] for column in columns}, rows, columns.__getitem__)


def check_columns(
    name: str, columns: Columns, units: Mapping[str, str], first: str
) -> dict[str, NDArray[Any]]:
    """Return the columns with ``first`` in front, after checking their shapes, types and units.

    Raises:
        RecordError: a column is missing, not one-dimensional, of another length or type, has no
            unit, or time does not rise.

    """
    if first not in columns:
        raise RecordError(f"stream '{name}' lacks its first column '{first}'")
    ordered = {first: np.asarray(columns[first])}
    ordered |= {key: np.asarray(array) for key, array in columns.items() if key != first}
    index = ordered[first]
    if index.dtype != np.int64 or index.ndim != 1:
        raise RecordError(f"stream '{name}': column '{first}' must be one-dimensional int64")
    if np.any(index[1:] <= index[:-1]):
        row = int(np.argmax(index[1:] <= index[:-1])) + 1
        raise RecordError(f"stream '{name}': column '{first}' does not rise at row {row}")
    for key, array in ordered.items():
        if array.shape != index.shape:
            raise RecordError(
                f"stream '{name}': column '{key}' has shape {array.shape}, expected {index.shape}"
            )
        if array.dtype.kind not in "fiub":
            raise RecordError(f"stream '{name}': column '{key}' holds {array.dtype}, not numbers")
        if key not in units and key != first:
            raise RecordError(f"stream '{name}': column '{key}' has no unit; give '' for none")
    return ordered


def write_parquet(path: Path, columns: Columns, units: Mapping[str, str]) -> None:
    """Write columns to a Parquet file with settings that never vary.

    One row group for up to 2^20 rows, zstd, floats split by byte (smaller and faster than a
    dictionary for measured values), unit of each column in its metadata, and nothing that depends
    on when or where it is written.

    Raises:
        OSError: the file cannot be written.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    fields, arrays = [], []
    for name, values in columns.items():
        array = _to_arrow(np.ascontiguousarray(values))
        fields.append(pa.field(name, array.type, False, {"unit": units.get(name, "")}))
        arrays.append(array)
    table = pa.Table.from_arrays(arrays, schema=pa.schema(fields))
    floats = [name for name, values in columns.items() if values.dtype.kind == "f"]
    pq.write_table(
        table,
        path,
        row_group_size=_ROW_GROUP_ROWS,
        version="2.6",
        compression="zstd",
        compression_level=_COMPRESSION_LEVEL,
        use_dictionary=False,
        use_byte_stream_split=floats,
        write_statistics=False,
    )


# Numbers change hands as buffers: pyarrow's own conversions import pandas, a third of a second.


def _to_arrow(values: NDArray[Any]) -> Any:
    import pyarrow as pa

    if values.dtype.kind == "b":  # packed to bits
        return pa.array(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])


def _to_numpy(column: Any) -> NDArray[Any]:
    import pyarrow as pa

    array = column.combine_chunks()
    plain = isinstance(array, pa.Array) and array.null_count == 0 and len(array) > 0
    if not plain or not (pa.types.is_integer(array.type) or pa.types.is_floating(array.type)):
        converted: NDArray[Any] = column.to_numpy()
        return converted
    values = np.frombuffer(array.buffers()[1], array.type.to_pandas_dtype())
    return values[array.offset : array.offset + len(array)]


def open_parquet(name: str, path: Path) -> Stream:
    """Return a stream over a Parquet file; columns are read when asked for.

    Raises:
        RecordError: the file is missing, truncated or not Parquet.

    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    def damaged(error: Exception) -> RecordError:
        return RecordError(f"{path} is damaged and cannot be read ({first_line(error)})")

    try:
        file = pq.ParquetFile(path, pre_buffer=False)
        schema = file.schema_arrow
    except FileNotFoundError as error:
        raise RecordError(f"{path} is missing") from error
    except (pa.ArrowException, OSError) as error:
        raise damaged(error) from error

    def load(column: str) -> NDArray[Any]:
        try:
            # One column is too little to be worth waking threads for.
            table = file.read(columns=[column], use_threads=False)
            values = _to_numpy(table.column(0))
        except (pa.ArrowException, OSError) as error:
            raise damaged(error) from error
        return values

    units = {f.name: (f.metadata or {}).get(b"unit", b"").decode() for f in schema}
    return Stream(name, units, int(file.metadata.num_rows), load)
