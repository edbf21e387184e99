"""Little-endian reading and writing for the Zigbee codecs: bounded, with errors that say where."""

from __future__ import annotations

from typing import Final

U64_MASK: Final = (1 << 64) - 1


class CodecError(ValueError):
    """Bytes that are not the message they should be: too short, or of an unknown type."""


class Reader:
    """Takes fields from the front of a message; `CodecError` says which field is missing."""

    def __init__(self, data: bytes, what: str = "message") -> None:
        self._data = data
        self._at = 0
        self._what = what

    @property
    def left(self) -> int:
        """Number of bytes not yet taken."""
        return len(self._data) - self._at

    def take(self, count: int) -> bytes:
        """Take `count` bytes as they are."""
        if count > self.left:
            raise CodecError(
                f"{self._what} ends at byte {len(self._data)}; {count} more were due from byte "
                f"{self._at}"
            )
        start, self._at = self._at, self._at + count
        return self._data[start : self._at]

    def rest(self) -> bytes:
        """Take everything that is left."""
        return self.take(self.left)

    def unsigned(self, size: int) -> int:
        """Take an unsigned integer of `size` bytes, lowest byte first."""
        return int.from_bytes(self.take(size), "little")

    def signed(self, size: int) -> int:
        """Take a two's-complement integer of `size` bytes, lowest byte first."""
        return int.from_bytes(self.take(size), "little", signed=True)

    def u8(self) -> int:
        """Take one byte."""
        return self.unsigned(1)

    def u16(self) -> int:
        """Take two bytes."""
        return self.unsigned(2)

    def u32(self) -> int:
        """Take four bytes."""
        return self.unsigned(4)

    def u64(self) -> int:
        """Take eight bytes; IEEE addresses are numbers here."""
        return self.unsigned(8)

    def words(self, count: int) -> tuple[int, ...]:
        """Take `count` times two bytes."""
        return tuple(self.u16() for _ in range(count))


def u8(value: int) -> bytes:
    """Return one byte."""
    return value.to_bytes(1, "little")


def u16(value: int) -> bytes:
    """Return two bytes, lowest first."""
    return value.to_bytes(2, "little")


def u32(value: int) -> bytes:
    """Return four bytes, lowest first."""
    return value.to_bytes(4, "little")


def u64(value: int) -> bytes:
    """Return eight bytes, lowest first."""
    return value.to_bytes(8, "little")


def words(values: tuple[int, ...]) -> bytes:
    """Return two bytes a value."""
    return b"".join(u16(value) for value in values)


def ieee_text(ieee: int) -> str:
    """Return an IEEE address as hosts write it: ``0x00124b0000000001``."""
    return f"0x{ieee:016x}"
