"""What a Modbus server counts, for live tables and reports."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class Statistics:
    """What a server has seen, over all its connections; counters only ever grow."""

    requests: int = 0
    """Whole requests, of other units and broken by faults too."""
    answers: int = 0
    exceptions: int = 0
    """Answers that refuse."""
    broadcasts: int = 0
    unknown: int = 0
    """Requests to units that are not there."""
    dropped: int = 0
    """Requests and answers that a fault or a full queue swallowed, or a unit did not answer."""
    bad_frames: int = 0
    """Frames with a wrong check sum, protocol id or length."""
    garbage_bytes: int = 0
    """Bytes on serial lines that belonged to no frame."""
    failures: int = 0
    """Answers in which a unit failed by an error of its own."""
    connections: int = 0
    refused: int = 0
    """Connections that were not taken because the bus was switched off."""
    evicted: int = 0
    """Connections closed in favour of newer ones."""
    timed_out: int = 0
    """Connections closed because they were silent or stopped within a frame."""
