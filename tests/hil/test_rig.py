import asyncio
import contextlib

import numpy as np
import pytest

from wattbench.hil.rig import RIGS, EchoDriver, ReadingError, RigError, build_driver
from wattbench.sim.clock import VirtualClock

S = 1_000_000


def test_every_rig_has_a_driver_that_says_who_it_is(fakes) -> None:
    with VirtualClock() as clock:
        drivers = [build_driver(rig, clock, fakes.plant()) for rig in RIGS]
    assert [driver.identity()["name"] for driver in drivers] == list(RIGS)


def test_echo_reads_what_the_plant_has_published(fakes) -> None:
    async def main():
        await driver.open()
        assert await driver.read(0) is None
        await clock.sleep_until(3 * S)
        first = await driver.read(clock.now_us)
        again = await driver.read(clock.now_us)
        await driver.close()
        return first, again

    plant = fakes.plant()
    with VirtualClock() as clock:
        driver = EchoDriver(clock, plant)
        first, again = clock.run(main())
    wanted = plant.reading(3 * S)
    np.testing.assert_allclose(first.values, wanted.values, rtol=2**-23)
    assert first.sampled_us == wanted.sampled_us
    # Over the wire it counts when an answer with that stamp first came.
    assert first.published_us == again.published_us == 3 * S + 6 * 2000


def test_sample_that_comes_between_two_requests_is_not_torn(fakes) -> None:
    """Half past three a new sample is published, while blocks of the old one are being read."""

    async def main():
        await driver.open()
        await clock.sleep_until(3 * S + S // 2 - 3000)
        reading = await driver.read(clock.now_us)
        await driver.close()
        return reading

    with VirtualClock() as clock:
        driver = EchoDriver(clock, fakes.plant())
        reading = clock.run(main())
    assert reading.sampled_us == 3 * S
    assert reading.values[3] == 300.0


def test_meter_that_falls_silent_is_given_up_after_half_a_minute(fakes) -> None:
    async def try_on() -> None:
        for k in range(1, 100):
            await clock.sleep_until(k * S)
            with contextlib.suppress(ReadingError):
                await driver.read(clock.now_us)

    async def main() -> float:
        driver._server = asyncio.Protocol  # takes everything, answers nothing
        await driver.open()
        with pytest.raises(ReadingError, match="no answer"):
            await driver.read(clock.now_us)
        with pytest.raises(RigError, match="lost the meter"):
            await try_on()
        return clock.now_us / S

    with VirtualClock() as clock:
        driver = EchoDriver(clock, fakes.plant())
        assert 30 <= clock.run(main()) < 33
