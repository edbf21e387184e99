"""Where a driver spends a control step: it fills a `Spans`, the latency bench takes it.

A driver that can tell carries an attribute ``spans: Spans | None = None`` and, where that is not
None, adds what it measured with `time.perf_counter_ns`. Nobody asked: a test for None is all that
it costs. A driver that cannot tell needs nothing; its whole read then counts as bus read.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final

NOT_MEASURED: Final = -1
"""Of a stamp: it did not happen in this step."""


@dataclass(slots=True)
class Spans:
    """One step's times at the driver, ns of the machine's monotonic clock."""

    bus_read_ns: int = 0
    """Waiting for answers of devices, summed over the requests of the step."""
    decode_ns: int = 0
    """From registers or clusters to quantities."""
    encode_ns: int = 0
    """From set-points to frames."""
    bus_write_ns: int = 0
    """Handing frames over to the transport."""
    ack_ns: int = 0
    """From the last command's hand-over until its last confirmation was there."""
    answered_ns: int = NOT_MEASURED
    """Stamp: the last answer that the reading is made of was there."""
    written_ns: int = NOT_MEASURED
    """Stamp: the last command was handed over to the transport."""

    def clear(self) -> None:
        """Begin a step."""
        self.bus_read_ns = self.decode_ns = self.encode_ns = 0
        self.bus_write_ns = self.ack_ns = 0
        self.answered_ns = self.written_ns = NOT_MEASURED

    def row(self) -> tuple[int, ...]:
        """Return all fields in order."""
        return (
            self.bus_read_ns,
            self.decode_ns,
            self.encode_ns,
            self.bus_write_ns,
            self.ack_ns,
            self.answered_ns,
            self.written_ns,
        )


FIELDS: Final = tuple(field.name for field in fields(Spans))
"""Names of the columns of `Spans.row`."""
