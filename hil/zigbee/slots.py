"""What both Zigbee drivers share: commands to slots, their replies, and the devices' own reports.

A *slot* is the number of an actuator in a set-power command. A command gets a sequence number that
never repeats within a run; on the air it is one byte, so a reply counts for the youngest command
with that byte, if it is not older than `Replies.WINDOW_US`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Final, NamedTuple

from ...sim.clock import US_PER_S

NOT_SENT: Final = -1
"""Sequence number of a command that did not leave."""

_IEEE: Final = re.compile(r"(?:0x)?([0-9a-f]{16})|([0-9a-f]{2}(?::[0-9a-f]{2}){7})", re.IGNORECASE)


class Report(NamedTuple):
    """A value that a device sent of its own accord, or when asked."""

    value: float
    """SI."""
    received_us: int
    """Simulated time at which the driver received it."""


class Replies:
    """When each slot's reply to each command came; answers the same questions as a plant does."""

    WINDOW_US: Final = 60 * US_PER_S
    """A later reply is not counted: its byte could mean another command."""

    def __init__(self) -> None:
        self._sent_us: list[int] = []
        self._due: list[Collection[int]] = []
        self._acked: list[dict[int, int]] = []
        self.ignored = 0
        """Replies that belong to no command: too late, twice, or from a slot not addressed."""

    def begin(self, t_us: int, slots: Collection[int]) -> int:
        """Return the number of a command that leaves at `t_us` for some slots."""
        self._sent_us.append(t_us)
        self._due.append(slots)
        self._acked.append({})
        return len(self._sent_us) - 1

    def withdraw(self, seq: int) -> None:
        """Take back a command that did not leave; replies to its number count for nothing."""
        self._due[seq] = ()

    def reply(self, byte: int, slot: int, t_us: int) -> bool:
        """Take note of a slot's reply; return whether it belongs to a command."""
        newest = len(self._sent_us) - 1
        seq = newest - ((newest - byte) & 0xFF)
        return self.reply_to(seq, slot, t_us)

    def reply_to(self, seq: int, slot: int, t_us: int) -> bool:
        """Take note of a slot's reply to a command by its full number."""
        if 0 <= seq < len(self._sent_us) and slot in self._due[seq]:
            acked = self._acked[seq]
            if slot not in acked and t_us - self._sent_us[seq] <= self.WINDOW_US:
                acked[slot] = t_us
                return True
        self.ignored += 1
        return False

    def acked_us(self, seq: int) -> Mapping[int, int]:
        """Return when the replies to a command came, by slot; who has not replied is left out."""
        return self._acked[seq] if 0 <= seq < len(self._acked) else {}


def parse_ieee(text: str | int) -> int:
    """Return an IEEE address as a number.

    Accepts ``0x00124b0000000001`` (zigbee2mqtt), ``00:12:4b:00:00:00:00:01`` (rig files) and
    sixteen digits; most significant first. Raises `ValueError` for anything else.
    """
    if isinstance(text, int):
        return text
    match = _IEEE.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"'{text}' is no IEEE address; write it as 00:12:4b:00:00:00:00:01")
    return int(text.strip().replace(":", "").removeprefix("0x").removeprefix("0X"), 16)
