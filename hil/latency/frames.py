"""Where a control step spends its time, seen from outside the drivers.

`FrameWatch` stands beside a rig's drivers as their tap: it is told of each frame just before it is
handed over to the transport, and of each answer as soon as it is there. `TimedDriver` stands around
the rig's driver and says which frames belong to reading and which to commanding. Together they
split a step; no driver needs to know, and without them a frame costs nothing more.

==============  ====================================================================================
span            from … to
==============  ====================================================================================
bus_read        first request of the reading … its last answer
decode          last answer … the reading is returned to the loop
encode          set-points are handed to the driver … its first frame is ready
bus_write       first frame … last frame is with the transport
ack             last frame … last answer to the command that the driver waits for
==============  ====================================================================================
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from time import perf_counter_ns
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...sim.edge.meter import MeterReading
from ..rig import Driver
from ..wire import Direction

NONE: Final = -1
"""Of a time that was not measured in a step."""

COLUMNS: Final = (
    *("t_us", "read_ns", "bus_read_ns", "decode_ns", "answered_ns"),
    *("write_ns", "encode_ns", "bus_write_ns", "ack_ns", "written_ns"),
)
"""Of a step: its time in µs of the clock; spans; when the last answer of the reading was there and
when the first command was with the transport, by the machine's monotonic clock."""


class FrameWatch:
    """Takes note of when frames pass; a `hil.wire.Tap`."""

    def __init__(self) -> None:
        self.first_request_ns = self.last_request_ns = NONE
        self.first_sent_ns = self.last_sent_ns = NONE
        self.last_answer_ns = NONE
        self._loop: asyncio.AbstractEventLoop | None = None
        self._phase = 0

    def begin(self) -> None:
        """Forget what has passed; frames that follow belong to what begins now."""
        self._loop = asyncio.get_running_loop()
        self.first_request_ns = self.last_request_ns = NONE
        self.first_sent_ns = self.last_sent_ns = NONE
        self.last_answer_ns = NONE
        self._phase += 1

    def frame(self, bus: str, direction: Direction, t_us: int, data: bytes) -> None:
        """Take note of a frame."""
        now_ns = perf_counter_ns()
        if direction == "answer":
            self.last_answer_ns = now_ns
            return
        if self.first_request_ns == NONE:
            self.first_request_ns = now_ns
        self.last_request_ns = now_ns
        if self._loop is not None:
            # The driver writes it next, before it lets anybody else have the loop.
            self._loop.call_soon(self._sent, self._phase)

    def _sent(self, phase: int) -> None:
        if phase != self._phase:
            return
        self.last_sent_ns = perf_counter_ns()
        if self.first_sent_ns == NONE:
            self.first_sent_ns = self.last_sent_ns


class TimedDriver:
    """A driver that writes down what each step spent where; otherwise the one it stands for."""

    def __init__(
        self,
        driver: Driver,
        watch: FrameWatch,
        steps: int,
        beside: Callable[[], Any] | None = None,
    ) -> None:
        """Stand around a driver.

        Args:
            driver: of the rig.
            watch: its tap; without bytes it stays empty.
            steps: how many there will be at most.
            beside: makes a coroutine that runs from opening to closing.
        """
        self._driver, self._watch, self._beside = driver, watch, beside
        self._task: asyncio.Task[Any] | None = None
        self._rows = np.full((steps + 2, len(COLUMNS)), NONE, np.int64)
        self._row = -1

    def __getattr__(self, name: str) -> Any:
        """What is not timed is the driver's own."""
        return getattr(self._driver, name)

    async def open(self) -> None:
        """Open the rig, and start what runs beside."""
        await self._driver.open()
        if self._beside is not None:
            self._task = asyncio.ensure_future(self._beside())

    async def close(self) -> None:
        """Stop what runs beside, close the rig."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
            task, self._task = self._task, None
            if not task.cancelled() and task.exception() is not None:
                raise task.exception()  # type: ignore[misc]
        await self._driver.close()

    async def read(self, t_us: int) -> MeterReading | None:
        """Read the meter: a step begins."""
        watch = self._watch
        self._row = min(self._row + 1, len(self._rows) - 1)
        row = self._rows[self._row]
        row[:] = NONE
        row[0] = t_us
        watch.begin()
        begin_ns = perf_counter_ns()
        reading = await self._driver.read(t_us)
        end_ns = perf_counter_ns()
        row[1] = end_ns - begin_ns
        row[4] = end_ns
        if NONE not in {watch.first_request_ns, watch.last_answer_ns}:
            row[2] = watch.last_answer_ns - watch.first_request_ns
            row[3] = end_ns - watch.last_answer_ns
            row[4] = watch.last_answer_ns
        return reading

    async def write(self, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Command set-points."""
        watch, row = self._watch, self._rows[max(self._row, 0)]
        watch.begin()
        begin_ns = perf_counter_ns()
        result = await self._driver.write(power_w)
        end_ns = perf_counter_ns()
        row[5] = end_ns - begin_ns
        row[9] = end_ns
        if watch.first_request_ns != NONE:
            row[6] = watch.first_request_ns - begin_ns
            first = watch.first_sent_ns if watch.first_sent_ns != NONE else end_ns
            last = watch.last_sent_ns if watch.last_sent_ns != NONE else end_ns
            row[7] = last - watch.first_request_ns
            row[8] = max(0, watch.last_answer_ns - last) if watch.last_answer_ns != NONE else NONE
            row[9] = first
        return result

    def table(self) -> dict[str, NDArray[np.int64]]:
        """Return the columns of every step so far; the last one may be incomplete."""
        rows = self._rows[: self._row + 1]
        return {name: rows[:, k].copy() for k, name in enumerate(COLUMNS)}
