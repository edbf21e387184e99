"""Registers of a block to raw numbers, a whole block at a time.

Fields are unpacked by as few `struct` calls as their places allow: one for those whose high word
comes first, one for the others over the block's words in reverse order, in which their high words
come first too. The numbers are those that `devices.codec.decode_raw` returns field by field.
"""

from __future__ import annotations

import struct
from array import array
from collections.abc import Sequence
from typing import Final

from ..devices import codec
from ..devices.fields import Field
from ..devices.modbus_model import WordOrder
from .polling import Block

_CODES: Final = {
    **dict.fromkeys(("uint16", "enum16", "bitfield16", "acc16", "count", "raw16", "pad"), "H"),
    **dict.fromkeys(("int16", "sunssf"), "h"),
    **dict.fromkeys(("uint32", "enum32", "bitfield32", "acc32"), "I"),
    **dict.fromkeys(("uint64", "bitfield64", "acc64"), "Q"),
    "int32": "i",
    "int64": "q",
    "float32": "f",
    "float64": "d",
}


class BlockDecoder:
    """Takes the registers of a block apart."""

    def __init__(self, block: Block) -> None:
        self._layers: list[tuple[bool, struct.Struct, tuple[int, ...]]] = []
        self._texts: list[tuple[int, slice, WordOrder]] = []
        self._size = len(block.fields)
        numbers: list[tuple[int, bool, int, Field]] = []
        for index, item in enumerate(block.fields):
            if item.type == "string":
                start = 2 * (item.address - block.address)
                place = slice(start, start + 2 * item.width)
                self._texts.append((index, place, item.word_order))
                continue
            backwards = item.word_order == "little" and item.width > 1
            start = block.end - item.end if backwards else item.address - block.address
            numbers.append((start, backwards, index, item))
        for backwards in (False, True):
            self._add([n for n in numbers if n[1] is backwards], block.count, backwards)

    def _add(
        self, numbers: list[tuple[int, bool, int, Field]], count: int, backwards: bool
    ) -> None:
        """Spread fields over layers in which none overlaps another."""
        left = sorted(numbers, key=lambda number: (number[0], number[2]))
        while left:
            code, at, taken, rest = ">", 0, [], []
            for start, way, index, item in left:
                if start < at:
                    rest.append((start, way, index, item))
                    continue
                code += f"{2 * (start - at)}x" + _CODES[item.type]
                at = start + item.width
                taken.append(index)
            packer = struct.Struct(code + f"{2 * (count - at)}x")
            self._layers.append((backwards, packer, tuple(taken)))
            left = rest

    def raw(self, data: bytes) -> Sequence[codec.Raw]:
        """Return the raw number or text of each field, in their order."""
        layers = self._layers
        if len(layers) == 1 and not self._texts:
            backwards, packer, indices = layers[0]
            values = packer.unpack(_turned(data) if backwards else data)
            if not backwards:
                return values
            return self._spread([(indices, values)], data)
        found = [
            (indices, packer.unpack(_turned(data) if backwards else data))
            for backwards, packer, indices in layers
        ]
        return self._spread(found, data)

    def _spread(
        self, found: list[tuple[tuple[int, ...], tuple[codec.Raw, ...]]], data: bytes
    ) -> Sequence[codec.Raw]:
        result: list[codec.Raw] = [0] * self._size
        for indices, values in found:
            for index, value in zip(indices, values, strict=True):
                result[index] = value
        for index, place, word_order in self._texts:
            result[index] = codec.decode_raw("string", data[place], word_order)
        return result


def _turned(data: bytes) -> bytes:
    """Return the words of a block in reverse order."""
    return array("H", data)[::-1].tobytes()
