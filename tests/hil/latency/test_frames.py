"""A step is split where frames pass."""

from __future__ import annotations

import asyncio
import time
from types import SimpleNamespace

import numpy as np
import pytest

from wattbench.hil.latency.frames import NONE, FrameWatch, TimedDriver
from wattbench.sim.clock import WallClock

MS = 1_000_000


def busy(milliseconds: float) -> None:
    end_ns = time.perf_counter_ns() + milliseconds * MS
    while time.perf_counter_ns() < end_ns:
        pass


class Slow:
    """A driver whose parts take known times at least."""

    name = "slow"

    def __init__(self, watch: FrameWatch | None) -> None:
        self.watch = watch
        self.closed = False

    async def open(self) -> None:
        return

    async def close(self) -> None:
        self.closed = True

    def _frame(self, direction) -> None:
        if self.watch is not None:
            self.watch.frame("bus", direction, 0, b"x")

    async def read(self, t_us: int):
        for _ in range(2):
            self._frame("request")
            await asyncio.sleep(0.01)
            self._frame("answer")
        busy(3)

    async def write(self, power_w):
        busy(2)
        self._frame("request")
        busy(1)
        self._frame("request")
        await asyncio.sleep(0.015)
        self._frame("answer")
        return 0, 0


def measured(watch: FrameWatch | None, beside=None) -> SimpleNamespace:
    driver = Slow(watch)
    timed = TimedDriver(driver, watch or FrameWatch(), 3, beside)

    async def session() -> None:
        await timed.open()
        for step in range(3):
            await timed.read(step * 1000)
            if step != 1:
                await timed.write(np.zeros(1))
        await timed.close()

    with WallClock() as clock:
        clock.run(session())
    return SimpleNamespace(driver=driver, timed=timed, table=timed.table())


def test_spans_begin_and_end_with_frames() -> None:
    table = measured(FrameWatch()).table
    assert table["t_us"].tolist() == [0, 1000, 2000]
    assert (table["bus_read_ns"] >= 19 * MS).all()
    assert (table["decode_ns"] >= 3 * MS).all()
    # Sums of parts are the whole, whatever the machine does meanwhile.
    assert (table["bus_read_ns"] + table["decode_ns"] <= table["read_ns"]).all()
    wrote = np.array([0, 2])
    assert (table["encode_ns"][wrote] >= 2 * MS).all()
    assert (table["bus_write_ns"][wrote] >= 1 * MS).all()
    assert (table["ack_ns"][wrote] >= 10 * MS).all()
    parts = sum(table[f"{name}_ns"][wrote] for name in ("encode", "bus_write", "ack"))
    assert (parts <= table["write_ns"][wrote]).all()
    assert (table["written_ns"][wrote] > table["answered_ns"][wrote]).all()


def test_a_step_without_a_command_has_none_of_its_spans() -> None:
    table = measured(FrameWatch()).table
    for name in ("write_ns", "encode_ns", "bus_write_ns", "ack_ns", "written_ns"):
        assert table[name][1] == NONE


def test_without_bytes_only_the_whole_is_known() -> None:
    table = measured(None).table
    assert (table["bus_read_ns"] == NONE).all()
    assert (table["read_ns"] >= 23 * MS).all()
    assert (table["written_ns"][[0, 2]] - table["answered_ns"][[0, 2]] >= 18 * MS).all()


def test_what_is_not_timed_is_the_drivers_own() -> None:
    found = measured(FrameWatch())
    assert found.timed.name == "slow"
    assert found.driver.closed


def test_what_runs_beside_ends_with_the_driver() -> None:
    ran = []

    async def beside() -> None:
        while True:
            ran.append(1)
            await asyncio.sleep(0.005)

    assert measured(FrameWatch(), beside).driver.closed
    assert ran


def test_what_fails_beside_is_told() -> None:
    async def beside() -> None:
        raise RuntimeError("the echo went away")

    with pytest.raises(RuntimeError, match="echo"):
        measured(FrameWatch(), beside)
