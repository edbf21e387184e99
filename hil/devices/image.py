"""Registers as a device holds them: runs of bytes that are read in one piece."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass

from ..modbus.unit import ILLEGAL_ADDRESS, ModbusRefusal
from .fields import Field
from .modbus_model import ModbusMap, Span, Table


@dataclass(slots=True)
class _Run:
    """Registers without a gap."""

    first: int
    data: bytearray

    @property
    def end(self) -> int:
        return self.first + len(self.data) // 2


class RegisterImage:
    """The registers of a device, by table; outside of its fields and spans there is nothing."""

    def __init__(self, fields: Iterable[Field], modbus: ModbusMap) -> None:
        self._same = modbus.same_tables
        self._runs: dict[Table, list[_Run]] = {}
        self._starts: dict[Table, list[int]] = {}
        self._places: dict[str, tuple[bytearray, int]] = {}
        readable = [item for item in fields if item.readable and not item.is_bit]
        tables = {self._table(item.table) for item in readable}
        tables |= {self._table(span.table) for span in modbus.spans}
        for table in tables:
            mine = [item for item in readable if self._table(item.table) == table]
            spans = [span for span in modbus.spans if self._table(span.table) == table]
            self._build(table, mine, spans)

    def _table(self, table: Table) -> Table:
        return "holding" if self._same and table == "input" else table

    def _build(self, table: Table, fields: list[Field], spans: list[Span]) -> None:
        stretches = [(item.address, item.end) for item in fields]
        stretches += [(span.first, span.last + 1) for span in spans]
        runs: list[tuple[int, int]] = []
        for first, end in sorted(stretches):
            if runs and first <= runs[-1][1]:
                runs[-1] = (runs[-1][0], max(end, runs[-1][1]))
            else:
                runs.append((first, end))
        self._runs[table] = [_Run(first, bytearray(2 * (end - first))) for first, end in runs]
        self._starts[table] = [first for first, _ in runs]
        for item in fields:
            run = self._run(table, item.address)
            assert run is not None
            self._places[item.name] = (run.data, 2 * (item.address - run.first))

    def _run(self, table: Table, address: int) -> _Run | None:
        starts = self._starts.get(table)
        if not starts:
            return None
        index = bisect_right(starts, address) - 1
        return self._runs[table][index] if index >= 0 else None

    def store(self, item: Field, data: bytes) -> None:
        """Put a field's registers into the image; what cannot be read is not kept."""
        place = self._places.get(item.name)
        if place is not None:
            buffer, offset = place
            buffer[offset : offset + len(data)] = data

    def bytes_of(self, item: Field) -> bytes:
        """Return a readable field's registers."""
        buffer, offset = self._places[item.name]
        return bytes(buffer[offset : offset + 2 * item.width])

    def read(self, table: Table, address: int, count: int) -> bytes:
        """Return registers. Raises `ModbusRefusal` (illegal address) where there are none."""
        run = self._run(self._table(table), address)
        if run is None or address + count > run.end:
            raise ModbusRefusal(ILLEGAL_ADDRESS)
        offset = 2 * (address - run.first)
        return bytes(run.data[offset : offset + 2 * count])
