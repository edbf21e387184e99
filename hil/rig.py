"""Rigs: how the loop reaches the plant's points.

`direct`
    Function calls on the plant; no bytes.
`echo`
    The meter is read over Modbus: a client in use (pymodbus) talks to an SDM630-like meter in
    memory. Commands go to the plant by function call. The same scenario runs on either, in both
    clocks; readings agree within the float32 of the wire.
"""

from __future__ import annotations

from typing import Any, Final, Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from ..sim.clock import US_PER_S, Clock, to_us
from ..sim.edge.meter import METER_FIELDS, MeterReading
from ..sim.plant import Plant

RigName = Literal["direct", "echo"]
RIGS: Final[tuple[RigName, ...]] = get_args(RigName)

SENT: Final = 0
"""Status of a command that the coordinator took."""


class RigError(Exception):
    """A rig is not available, or a device of it is lost; never the fault of a policy."""


class ReadingError(Exception):
    """One reading did not come; the loop goes on with the age of the last one."""


class Events(Protocol):
    """Where events go."""

    def event(self, t_sim_us: int, kind: str, **data: Any) -> None:
        """Append one event."""


class Driver(Protocol):
    """The client side of a rig."""

    async def open(self) -> None:
        """Connect; raises `RigError` when the rig is not available."""

    async def read(self, t_us: int) -> MeterReading | None:
        """Return the meter's newest sample, None before the first.

        Raises `ReadingError` when no answer came, `RigError` when the device is given up.
        """

    async def write(self, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Send a set-point for each actuator now; return (sequence number, status)."""

    async def close(self) -> None:
        """Disconnect."""

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return the loads' own power reports that had arrived by `t_us`; None if they send none.

        One value a load, NaN where none has come yet.
        """

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to a command arrived; −1: it has not."""

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acted on a command; −1: it has not, or nobody can tell."""

    def listen(self, events: Events) -> None:
        """Tell from now on what happens to devices."""

    def identity(self) -> dict[str, Any]:
        """Return what the record says about the rig."""


class DirectDriver:
    """Function calls on the plant."""

    def __init__(self, clock: Clock, plant: Plant) -> None:
        self._clock = clock
        self._plant = plant

    async def open(self) -> None:
        """Nothing to connect."""

    async def read(self, t_us: int) -> MeterReading | None:
        """Return the newest sample published at `t_us`."""
        self._plant.advance(t_us)
        return self._plant.reading(t_us)

    async def write(self, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Broadcast set-points now."""
        t_us = self._clock.now_us
        self._plant.advance(t_us)
        return self._plant.send(t_us, power_w)

    async def close(self) -> None:
        """Nothing to disconnect."""

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return the loads' own power reports that had arrived by `t_us`."""
        return self._plant.reports_w(t_us)

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to a broadcast arrives; −1: never."""
        return self._plant.acked_us(seq)

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acts on a broadcast; −1: never."""
        return self._plant.effective_us(seq)

    def listen(self, events: Events) -> None:
        """Nothing happens to what is not there."""

    def identity(self) -> dict[str, Any]:
        """Return the rig's name."""
        return {"name": "direct"}


class EchoDriver(DirectDriver):
    """Reads the meter as Modbus bytes in memory; commands as in `DirectDriver`.

    A sample takes several requests. When the meter's stamp before and after them differs, a new
    sample came in between and they are repeated. `published_us` of a reading is when this driver
    first saw its stamp: over the wire nothing else is known.
    """

    ONE_WAY_US: Final = 1000
    """Delay of a message in each direction: a local network."""
    TIMEOUT_S: Final = 0.5
    LOST_AFTER_S: Final = 30.0
    """A meter that has not answered for this long is given up."""
    _ATTEMPTS: Final = 3

    def __init__(self, clock: Clock, plant: Plant) -> None:
        # Late: the client's library takes a while to load, and only this rig needs it.
        from .modbus import sdm630
        from .modbus.client import ModbusClient, ModbusError, ModbusSilentError
        from .modbus.echo import EchoMeter

        super().__init__(clock, plant)

        def sample() -> MeterReading | None:
            t_us = clock.now_us
            plant.advance(t_us)
            return plant.reading(t_us)

        self._server = lambda: EchoMeter(sample)
        self._map = sdm630
        self._client_class = ModbusClient
        self._error, self._silent = ModbusError, ModbusSilentError
        self._client: ModbusClient | None = None
        self._newest: MeterReading | None = None
        self._silent_since_us: int | None = None

    async def open(self) -> None:
        """Connect to the meter."""
        self._client = self._client_class.in_memory(
            self._clock,
            self._server,
            name="grid meter",
            one_way_us=self.ONE_WAY_US,
            timeout_s=self.TIMEOUT_S,
        )
        try:
            await self._client.connect()
        except self._silent as error:
            raise RigError(f"rig 'echo' is not available: {error}") from error

    async def read(self, t_us: int) -> MeterReading | None:
        """Read stamp, every block, and the stamp again."""
        try:
            reading = await self._sample()
        except self._error as error:
            if self._silent_since_us is None:
                self._silent_since_us = t_us
            silent_us = self._clock.now_us - self._silent_since_us
            if silent_us >= to_us(self.LOST_AFTER_S):
                seconds = silent_us // US_PER_S
                raise RigError(f"lost the meter: no answer for {seconds} s") from error
            raise ReadingError(str(error)) from error
        self._silent_since_us = None
        return reading

    async def close(self) -> None:
        """Disconnect."""
        if self._client is not None:
            self._client.close()

    def identity(self) -> dict[str, Any]:
        """Return the rig's name and what its bus is like."""
        return {
            "name": "echo",
            "meter": "SDM630-like, Modbus TCP in memory",
            "one_way_s": self.ONE_WAY_US / US_PER_S,
            "timeout_s": self.TIMEOUT_S,
        }

    async def _sample(self) -> MeterReading | None:
        assert self._client is not None
        stamp = await self._stamp()
        if stamp < 0:
            return None
        for _ in range(self._ATTEMPTS):
            values = np.empty(METER_FIELDS)
            for block in self._map.BLOCKS:
                data = await self._client.read_input(block.unit, block.address, block.count)
                self._map.decode_block(block, data, values)
            before, stamp = stamp, await self._stamp()
            if stamp == before:
                return self._seen(values, stamp)
        raise self._error("grid meter: a new sample came during each of several readings")

    def _seen(self, values: NDArray[np.float64], stamp: int) -> MeterReading:
        last = self._newest
        # The values count too: a clock that steps back can repeat a stamp.
        if last is None or last.sampled_us != stamp or not np.array_equal(last.values, values):
            self._newest = last = MeterReading(values, stamp, self._clock.now_us)
        return last

    async def _stamp(self) -> int:
        assert self._client is not None
        block = self._map.STAMP_ADDRESS, self._map.STAMP_REGISTERS
        return self._map.decode_stamp(await self._client.read_holding(self._map.GRID_UNIT, *block))


def build_driver(rig: RigName, clock: Clock, plant: Plant) -> Driver:
    """Return the driver of a rig."""
    return DirectDriver(clock, plant) if rig == "direct" else EchoDriver(clock, plant)
