"""Poll plan: as few reads as a device allows that bring every quantity of a profile.

A read spans fields of one table and may run across addresses in between only where the profile
says that they can be read: fields without a quantity, and spans. It is never longer than the
device allows, and never cuts a field in two. What changes slowly is read less often, along with
something faster if that reads its address anyway. Scale factors come with their values where that
costs no read of its own; they do not change, so otherwise they are read once for a connection.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from ..devices.fields import Field, FieldMap
from ..devices.modbus_model import ModbusMap, Table
from . import requests
from .line import LineSettings
from .requests import Request

MAX_READ_BITS: Final = 2000
ONCE_S: Final = 0.0
"""`poll_s` of what is read once for a connection."""
_REQUEST_BYTES: Final = 20
"""What another request is on a serial line besides its registers: 8 bytes there, 5 around those
that come back, and twice the silence of 3.5."""


@dataclass(frozen=True, slots=True)
class Block:
    """One read, and the fields that it brings."""

    table: Table
    address: int
    count: int
    """Registers, or bits."""
    poll_s: float
    """How often it is read; 0: once for a connection."""
    fields: tuple[Field, ...]
    """In order of their addresses."""

    @property
    def request(self) -> Request:
        """The read as a request."""
        return requests.read(self.table, self.address, self.count)

    @property
    def end(self) -> int:
        """Address behind it."""
        return self.address + self.count


def plan(
    fields: FieldMap,
    modbus: ModbusMap,
    *,
    quantities: Iterable[str] | None = None,
    max_gap: int = MAX_READ_BITS,
) -> tuple[Block, ...]:
    """Return the reads for quantities (None: all that can be read), the most frequent first.

    ``max_gap`` is how many registers that nobody wants a read may run across.
    """
    names = fields.quantities("r") if quantities is None else dict.fromkeys(quantities)
    wanted = [item for name in names if (item := fields.reading(name)) is not None]
    planner = _Planner(fields, modbus, max_gap)
    once = [item for item in wanted if item.poll_s == ONCE_S]
    for poll_s in sorted({item.poll_s for item in wanted} - {ONCE_S}):
        planner.add([item for item in wanted if item.poll_s == poll_s], poll_s)
    commands = [item for item in fields.fields if item.quantity and item.writable]
    for name in dict.fromkeys(item.scale_name for item in (*wanted, *commands)):
        if name is not None and not planner.scale(fields.named[name]):
            once.append(fields.named[name])
    planner.blocks.sort(key=lambda block: (block.poll_s, block.table, block.address))
    planner.add(once, ONCE_S)
    return tuple(planner.blocks)


def gap_worth_reading(line: LineSettings | None, answer_s: float) -> int:
    """Return how many registers take no longer to read than another request, for `max_gap`."""
    if line is None:
        return MAX_READ_BITS
    return int((_REQUEST_BYTES + 1e6 * answer_s / line.byte_us) / 2)


def blocks_of(
    items: Sequence[Field], fields: FieldMap, modbus: ModbusMap, *, max_gap: int = MAX_READ_BITS
) -> tuple[Block, ...]:
    """Return the fewest reads that bring some fields once."""
    planner = _Planner(fields, modbus, max_gap)
    planner.add(items, ONCE_S)
    return tuple(planner.blocks)


class _Planner:
    """Puts fields into blocks."""

    def __init__(self, fields: FieldMap, modbus: ModbusMap, max_gap: int) -> None:
        self.blocks: list[Block] = []
        self._most = modbus.max_read_registers
        self._max_gap = max_gap
        self._readable = _readable(fields, modbus)

    def add(self, items: Sequence[Field], poll_s: float) -> None:
        """Add the fewest reads that bring what no block reads more often."""
        left = [item for item in items if poll_s == ONCE_S or not self._rides(item)]
        begin = len(self.blocks)
        for item in sorted(left, key=lambda field: (field.table, field.address, field.name)):
            last = self.blocks[-1] if len(self.blocks) > begin else None
            longer = None if last is None else self._longer(last, item)
            if longer is None:
                block = Block(item.table, item.address, item.width, poll_s, (item,))
                self.blocks.append(block)
            else:
                self.blocks[-1] = longer

    def scale(self, factor: Field) -> bool:
        """Let every block that needs a scale factor bring it; False: not all of them can.

        Then it is read before any of them, so that the first values are not without it.
        """
        found = False
        for index, block in enumerate(self.blocks):
            if all(item.scale_name != factor.name for item in block.fields):
                continue
            longer = self._longer(block, factor)
            if longer is None:
                return False
            self.blocks[index], found = longer, True
        return found

    def _rides(self, item: Field) -> bool:
        """Let a block bring what it reads anyway, if there is one."""
        for index, block in enumerate(self.blocks):
            longer = self._longer(block, item)
            if longer is not None and longer.count == block.count:
                self.blocks[index] = longer
                return True
        return False

    def _longer(self, block: Block, item: Field) -> Block | None:
        """Return a block made to bring a field too, None if the device does not allow it."""
        if block.table != item.table:
            return None
        begin, end = min(block.address, item.address), max(block.end, item.end)
        between = range(min(block.end, item.end), max(block.address, item.address))
        most = self._most if item.table in {"holding", "input"} else MAX_READ_BITS
        if end - begin > most or len(between) > self._max_gap:
            return None
        if not self._readable[item.table].issuperset(between):
            return None
        both = sorted((*block.fields, item), key=lambda field: (field.address, field.name))
        return replace(block, address=begin, count=end - begin, fields=tuple(both))


def _readable(fields: FieldMap, modbus: ModbusMap) -> dict[Table, set[int]]:
    """Return the addresses of each table that can be read."""
    tables: tuple[Table, ...] = ("holding", "input", "coil", "discrete")
    cells: dict[Table, set[int]] = {table: set() for table in tables}
    for item in fields.fields:
        if item.readable:
            cells[item.table].update(range(item.address, item.end))
    for span in modbus.spans:
        cells[span.table].update(range(span.first, span.last + 1))
    if modbus.same_tables:
        cells["holding"] = cells["input"] = cells["holding"] | cells["input"]
    return cells
