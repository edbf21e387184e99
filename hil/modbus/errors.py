"""What can be wrong with a Modbus request."""

from __future__ import annotations


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
