"""Attribute reporting: intervals, and the change since the last *report* that counts.

A report goes to whom the cluster is bound, when the maximum interval has passed, or when the
minimum interval has passed and the value differs from the last reported one by at least the
reportable change (any difference for flags and choices). A value that moves and comes back between
two looks is never reported: so it is with real devices.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from .. import zcl
from ..zcl import Attribute, ReportingRecord
from ..zcl_types import Value, is_analog, is_known
from .attributes import AttributeTable, Key

_US: Final = 1_000_000
NEVER_US: Final = 1 << 62


@dataclass(slots=True)
class Subscription:
    """How one attribute is reported, and what was reported last."""

    kind: int
    min_s: int
    max_s: int
    change: Value = None
    last: Value = None
    last_us: int = -NEVER_US
    unbound: bool = False
    """Reported to the coordinator without a binding: how the device left the factory."""

    def due(self, value: Value, t_us: int) -> bool:
        """Return whether the value is to be reported now."""
        passed_us = t_us - self.last_us
        if passed_us < self.min_s * _US:
            return False
        if 0 < self.max_s < zcl.REPORT_NEVER and passed_us >= self.max_s * _US:
            return True
        return self.max_s != zcl.REPORT_NEVER and _differs(self.kind, self.last, value, self.change)

    def look_us(self, t_us: int, sample_us: int) -> int:
        """Return when to look again: every sample once the minimum interval has passed."""
        if self.max_s == zcl.REPORT_NEVER:
            return NEVER_US
        return max(self.last_us + self.min_s * _US, t_us + sample_us)


def _differs(kind: int, last: Value, value: Value, change: Value) -> bool:
    if last is None or value is None or not is_analog(kind):
        return last != value
    assert isinstance(last, int | float)
    assert isinstance(value, int | float)
    if math.isnan(last) or math.isnan(value):
        return math.isnan(last) != math.isnan(value)
    step = change if isinstance(change, int | float) and not isinstance(change, bool) else 0
    moved = abs(value - last)
    return moved >= step if step > 0 else moved > 0


class Reporter:
    """The subscriptions of a device.

    `send(endpoint, cluster, manufacturer, client, records)` sends a report to the bindings of a
    cluster; `bound(endpoint, cluster)` says whether there are any.
    """

    def __init__(
        self,
        table: AttributeTable,
        send: Callable[[Key, list[Attribute]], None],
        bound: Callable[[int, int], bool],
        sample_us: int,
    ) -> None:
        self._table = table
        self._send = send
        self._bound = bound
        self._sample_us = sample_us
        self._subscriptions: dict[Key, Subscription] = {}

    def clear(self) -> None:
        """Forget everything: the device left, or was put back to factory settings."""
        self._subscriptions.clear()

    def configure(
        self, key: Key, record: ReportingRecord, t_us: int, *, unbound: bool = False
    ) -> int:
        """Configure reporting of an attribute; return the status of the answer."""
        item = self._table.find(key)
        if item is None:
            return zcl.UNSUPPORTED_ATTRIBUTE
        if record.kind != item.kind:
            return zcl.INVALID_DATA_TYPE
        if not is_known(item.kind):
            return zcl.UNREPORTABLE_ATTRIBUTE
        least, most = record.min_interval_s, record.max_interval_s
        if 0 < most < least:
            return zcl.INVALID_VALUE
        self._subscriptions[key] = Subscription(
            item.kind, least, most, record.change, item.read(t_us), t_us, unbound
        )
        return zcl.SUCCESS

    def configuration(self, key: Key) -> ReportingRecord:
        """Return how an attribute is reported, for the answer to read reporting."""
        item = self._table.find(key)
        if item is None:
            return ReportingRecord(key.attribute, status=zcl.UNSUPPORTED_ATTRIBUTE)
        one = self._subscriptions.get(key)
        if one is None:
            return ReportingRecord(key.attribute, status=zcl.NOT_FOUND)
        return ReportingRecord(key.attribute, one.kind, one.min_s, one.max_s, one.change)

    def look(self, t_us: int) -> int:
        """Report what is due; return when to look again (`NEVER_US`: not at all)."""
        reports: dict[tuple[int, int, int | None, bool], list[tuple[Key, Attribute]]] = {}
        next_us = NEVER_US
        for key, one in self._subscriptions.items():
            if not (one.unbound or self._bound(key.endpoint, key.cluster)):
                continue
            item = self._table.find(key)
            if item is None:
                continue
            if t_us - one.last_us >= one.min_s * _US:
                value = item.read(t_us)
                if one.due(value, t_us):
                    one.last, one.last_us = value, t_us
                    place = (key.endpoint, key.cluster, key.manufacturer, key.client)
                    record = Attribute(key.attribute, one.kind, value)
                    reports.setdefault(place, []).append((key, record))
            next_us = min(next_us, one.look_us(t_us, self._sample_us))
        for pairs in reports.values():
            self._send(pairs[0][0], [record for _, record in pairs])
        return next_us

    def state(self) -> list[list[Any]]:
        """Return the subscriptions as JSON-able data."""
        return [
            [*_place(key), one.kind, one.min_s, one.max_s, one.change, one.unbound]
            for key, one in self._subscriptions.items()
        ]

    def restore(self, state: Iterable[list[Any]], t_us: int) -> None:
        """Take over subscriptions that survived a power cycle."""
        for row in state:
            key = Key(*row[:5])
            kind, least, most, change, unbound = row[5:]
            record = ReportingRecord(key.attribute, kind, least, most, change)
            self.configure(key, record, t_us, unbound=unbound)


def _place(key: Key) -> list[Any]:
    return [key.endpoint, key.cluster, key.attribute, key.manufacturer, key.client]
