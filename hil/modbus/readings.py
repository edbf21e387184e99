"""What a driver knows of a device's quantities, and how a block's answer gets there."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from ...sim.clock import to_us
from ..devices import codec
from ..devices.fields import Field, Value
from .decoding import BlockDecoder
from .polling import ONCE_S, Block
from .requests import bits

Quality = Literal["good", "stale", "missing", "out_of_range"]
NEVER: Final = -1
DUE: Final = -(1 << 61)
"""Before any time: clocks may begin before zero."""
FOREVER_US: Final = 1 << 62
_EARLY_US: Final = 50_000
"""How much earlier than its period a read may come, at most a tenth of it."""
_FINITE: Final = sys.float_info.max


@dataclass(slots=True, eq=False)
class PointReading:
    """The newest value of a quantity that was accepted."""

    value: Value | None = None
    """In SI, with the plant's sign; a text where the profile has words for it. None: there is
    none, or none yet."""
    received_us: int = NEVER
    """When it came; -1: never."""
    changed_us: int = NEVER
    """When it was last another one than before; -1: never."""
    quality: Quality = "missing"
    """`good`; `stale`: too long ago; `missing`: the device says it has none; `out_of_range`: what
    came last was not accepted, the value is one from before."""


OutOfRange = Callable[[str, float], None]


class _Channel:
    """One field of a block on its way to a reading; see `devices.fields.decode`."""

    __slots__ = ("divide", "high", "labels", "low", "missing", "name", "reading", "scale", "times")

    def __init__(self, item: Field, reading: PointReading, scale: int | str | None) -> None:
        self.name = item.quantity or item.name
        self.reading = reading
        self.scale = scale
        """Of a scale factor its place in the block, or its name where another block has it."""
        self.missing = item.missing
        self.labels = item.labels
        self.low = -_FINITE if item.low is None else item.low
        self.high = _FINITE if item.high is None else item.high
        # As in `codec.scale`: a factor of 0.1 divides by 10.
        whole = 1.0 / item.factor
        nearest = round(whole)
        exact = nearest != 0 and abs(whole - nearest) < 1e-9 * abs(whole)
        self.divide = nearest if exact else 0
        self.times = item.factor


class BlockReader:
    """Takes the answers of one block."""

    def __init__(
        self,
        block: Block,
        readings: Mapping[str, PointReading],
        stale_us: int,
        on_out_of_range: OutOfRange,
    ) -> None:
        """Take a block, the readings that it brings values to, and when they are too old."""
        self.block = block
        self.request = block.request
        self.once = block.poll_s == ONCE_S
        self.period_us = FOREVER_US if self.once else to_us(block.poll_s)
        if not self.once:
            # Callers' clocks are not exact.
            self.period_us -= min(self.period_us // 10, _EARLY_US)
        self._stale_us = max(stale_us, to_us(3.0 * block.poll_s))
        self.due_us = DUE
        """When it is to be read next."""
        self.received_us = NEVER
        self._on_out_of_range = on_out_of_range
        self._decoder = None if block.table in {"coil", "discrete"} else BlockDecoder(block)
        places = {item.name: index for index, item in enumerate(block.fields)}
        self._factors = [
            (index, item.name) for index, item in enumerate(block.fields) if item.type == "sunssf"
        ]
        self._channels: list[tuple[int, _Channel]] = []
        for index, item in enumerate(block.fields):
            reading = readings.get(item.quantity or "")
            if reading is not None:
                name = item.scale_name
                scale = None if name is None else places.get(name, name)
                self._channels.append((index, _Channel(item, reading, scale)))
        self._last = b""
        self._clean = False

    def take(self, answer: bytes, t_us: int, exponents: dict[str, int | None]) -> bool:
        """Take function and data of an answer that came at `t_us`; return whether it is new.

        Scale factors go into, and where they are of another block come from, `exponents`.
        """
        self.received_us = t_us
        if answer == self._last and self._clean:
            for _, channel in self._channels:
                channel.reading.received_us = t_us
                channel.reading.quality = "good"
            return False
        new, self._last = answer != self._last, answer
        if self._decoder is None:
            raws = bits(answer, self.block.count)
            offset = self.block.address
            values = [raws[item.address - offset] for item in self.block.fields]
            self._clean = self._accept(values, t_us, exponents)
            return new
        raw = self._decoder.raw(answer[2:])
        for index, name in self._factors:
            exponent = raw[index]
            known = exponent in codec.SCALE_FACTORS
            exponents[name] = int(exponent) if known else None
        self._clean = self._accept(raw, t_us, exponents)
        return new

    def _accept(
        self, raws: Sequence[codec.Raw], t_us: int, exponents: dict[str, int | None]
    ) -> bool:
        """Put raw values into readings; return whether all were accepted."""
        clean = True
        for index, channel in self._channels:
            raw = raws[index]
            reading = channel.reading
            value: Value | None
            if isinstance(raw, str):
                value = raw or None
            elif raw == channel.missing:
                value = None
            elif channel.labels:
                value = channel.labels.get(int(raw), str(int(raw)))
            else:
                value = raw / channel.divide if channel.divide else raw * channel.times
                if channel.scale is not None:
                    value = _scaled(value, _exponent(channel.scale, raws, exponents))
                if value is not None and not channel.low <= value <= channel.high:
                    clean = False
                    if value - value == 0.0:  # finite
                        self._refuse(channel, value)
                        continue
                    value = None
            if value is None:
                clean = False
                reading.quality = "missing"
            else:
                reading.quality = "good"
            if value != reading.value:
                reading.value = value
                reading.changed_us = t_us
            reading.received_us = t_us
        return clean

    def _refuse(self, channel: _Channel, value: float) -> None:
        if channel.reading.quality != "out_of_range":
            channel.reading.quality = "out_of_range"
            self._on_out_of_range(channel.name, value)

    def age(self, now_us: int, heard_us: int) -> None:
        """Mark every value as stale that came too long ago.

        What is read once is as old as anything that the device said, at `heard_us`.
        """
        if now_us - (heard_us if self.once else self.received_us) <= self._stale_us:
            return
        for _, channel in self._channels:
            if channel.reading.value is not None:
                channel.reading.quality = "stale"
        self._clean = False


def _exponent(
    scale: int | str, raws: Sequence[codec.Raw], exponents: Mapping[str, int | None]
) -> int | None:
    """Return the power of ten that a scale factor says, None if it says none."""
    if isinstance(scale, str):
        return exponents.get(scale)
    raw = raws[scale]
    return int(raw) if raw in codec.SCALE_FACTORS else None


def _scaled(value: float, exponent: int | None) -> float | None:
    return None if exponent is None else codec.scale(value, 1.0, exponent)
