"""The driver under each nuisance that a bus has."""

import asyncio

import pytest

from wattbench.hil.modbus.client import LineSettings
from wattbench.hil.rig import ReadingError
from wattbench.hil.wire import Delivery

from .driver_bench import S, run


def flipped(at: int, mask: int = 0xFF):
    def bend(frame: bytes) -> list[Delivery]:
        data = bytearray(frame)
        data[at] ^= mask
        return [Delivery(0, bytes(data))]

    return bend


NUISANCES = {
    "delay": lambda frame: [Delivery(700_000, frame)],
    "duplicate": lambda frame: [Delivery(0, frame), Delivery(0, frame), Delivery(300_000, frame)],
    "drop": lambda frame: [],
    "truncated": lambda frame: [Delivery(0, frame[:-3])],
    "longer": lambda frame: [Delivery(0, frame + b"\0\0\0")],
    "garbage": lambda frame: [Delivery(0, b"\x13\x37\x42" * 5), Delivery(0, frame)],
    "garbage behind": lambda frame: [Delivery(0, frame + b"\xff" * 40)],
    "wrong transaction id": flipped(0, 0x40),
    "wrong unit": flipped(6),
    "wrong protocol id": flipped(3),
    "wrong function": flipped(7, 0x07),
    "exception": lambda frame: [Delivery(0, frame[:4] + b"\0\3" + frame[6:7] + b"\x83\x04")],
    "byte by byte": lambda frame: [Delivery(1000 * k, frame[k : k + 1]) for k in range(len(frame))],
}


LINE = LineSettings(baud=38400, burst_s=0.0)
ONLY_TCP = {"wrong transaction id", "wrong protocol id"}


@pytest.mark.parametrize(
    ("nuisance", "line"),
    [
        *((nuisance, None) for nuisance in NUISANCES),
        *((nuisance, LINE) for nuisance in NUISANCES if nuisance not in ONLY_TCP),
    ],
)
def test_no_nuisance_brings_a_wrong_value_or_outlives_itself(nuisance, line) -> None:
    """Power and temperature say the same second in different words, so that a mix would show."""
    bend = NUISANCES[nuisance]

    async def use(bench):
        seen: list[tuple[int, dict]] = []

        async def count():
            for k in range(41):
                bench.source.values |= {"power_w": float(k), "temperature_c": k / 10}
                await bench.clock.sleep_until((k + 1) * S - 200_000)

        counting = asyncio.ensure_future(count())
        for k in range(1, 41):
            bench.faults.bend = bend if 10 <= k < 20 else lambda frame: [Delivery(0, frame)]
            await bench.clock.sleep_until(k * S)
            try:
                await bench.driver.poll(k * S)
            except ReadingError:
                continue
            reading = bench.driver.readings["power_w"]
            if reading.received_us >= k * S:
                # Polled at k s, the device shows k; a late answer would show less.
                assert (k, reading.value) == (k, float(k))
                assert bench.driver.readings["temperature_c"].value == k / 10
                seen.append(k)
        await counting
        assert set(range(1, 10)) <= set(seen)
        # Back-off lasts at most twice as long as the trouble.
        assert set(range(38, 41)) <= set(seen)
        assert bench.values()["serial"] == "4711"

    run(use, line=line)


def test_a_broken_connection_is_made_again_and_fails_one_poll_at_most() -> None:
    async def use(bench):
        for k in range(1, 20):
            await bench.clock.sleep_until(k * S)
            if k == 10:
                bench.server.switch(False)
                bench.server.switch(True)
                await bench.clock.sleep_until(k * S + 10_000)
            await bench.driver.poll(k * S)
        assert bench.bus.generation == 2
        assert bench.driver.readings["power_w"].received_us > 19 * S

    run(use)


def test_a_connection_that_breaks_under_a_request() -> None:
    async def use(bench):
        await bench.poll_until(1)

        def cut(frame):
            bench.server.switch(False)
            bench.server.switch(True)
            bench.faults.bend = lambda frame: [Delivery(0, frame)]
            return []

        bench.faults.bend = cut
        raised = await bench.poll_until(4)
        assert [type(error) for error in raised] == [ReadingError, type(None), type(None)]

    run(use)


def test_the_same_run_twice_is_the_same_to_the_microsecond() -> None:
    async def use(bench):
        times = []
        for k in range(1, 30):
            bench.faults.bend = NUISANCES["delay" if k % 7 == 3 else "duplicate"]
            await bench.clock.sleep_until(k * S)
            try:
                await bench.driver.poll(k * S)
            except ReadingError as error:
                times.append(str(error))
            times.append(bench.clock.now_us)
        return times

    assert run(use) == run(use)
