"""What can be wrong with a Modbus request."""

from __future__ import annotations

from typing import Final

_ACKNOWLEDGED: Final = 5
_BUSY: Final = 6
_UNREACHED: Final = frozenset((10, 11))


class ModbusError(Exception):
    """A request brought no usable answer."""


class ModbusSilentError(ModbusError):
    """No answer within the time-out, or no connection."""


class ModbusLostError(ModbusSilentError):
    """There is no connection, or it broke before the answer was there."""


class ModbusRefusedError(ModbusError):
    """The device answered with an exception code."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code

    @property
    def passing(self) -> bool:
        """Whether the same request may be answered another time: busy, or not reached."""
        return self.code in {_ACKNOWLEDGED, _BUSY, *_UNREACHED}

    @property
    def unreached(self) -> bool:
        """Whether a gateway says that the device did not answer it."""
        return self.code in _UNREACHED
