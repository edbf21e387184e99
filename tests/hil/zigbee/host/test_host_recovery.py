"""A stick that is unplugged, swapped or reset, and how the host comes back."""

from __future__ import annotations

import asyncio

import pytest

from wattbench.hil.rig import ReadingError, RigError
from wattbench.hil.zigbee import mt, zcl
from wattbench.hil.zigbee.host.link import LinkDownError

from .plug import NWK, commands, with_plug

S = 1_000_000


def test_an_unplugged_stick_fails_requests_at_once_and_comes_back(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp, lambda message: [])
        await b.host.network.find(plug)
        asked = asyncio.ensure_future(b.host.request(plug, zcl.ON_OFF, 0x01))
        await asyncio.sleep(0.5)
        b.unplug()
        with pytest.raises(LinkDownError):
            await asked
        assert b.clock.now_us < 2 * S
        with pytest.raises(ReadingError, match="the coordinator is down"):
            await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert (await b.host.broadcast(zcl.ON_OFF, 0x00))[1] == 2
        b.plugged = True
        b.stick.state = 9
        await asyncio.sleep(10)
        b.stick.devices[NWK] = znp.obedient
        await b.host.request(plug, zcl.ON_OFF, 0x01)
        assert b.host.counters.reconnects == 1

    run(work)


def test_a_stick_that_stays_away_is_given_up(run, znp) -> None:
    async def work(b):
        b.unplug()
        await asyncio.sleep(120)
        assert b.host.state == "given up"
        assert b.connects < 20
        for _ in range(2):
            with pytest.raises(RigError, match="gave up the coordinator"):
                await b.host.request(znp.PLUG, zcl.ON_OFF, 0x01)
            with pytest.raises(RigError):
                await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


def test_what_nobody_foresaw_gives_the_coordinator_up(run) -> None:
    async def work(b):
        async def broken(protocol):
            raise ZeroDivisionError

        b.host._connect = broken
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        b.unplug()
        await asyncio.sleep(2)
        with pytest.raises(RigError, match="ZeroDivisionError"):
            await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


def test_another_stick_on_the_same_port_is_not_used(run, znp) -> None:
    async def work(b):
        b.unplug()
        await asyncio.sleep(0.1)
        b.plugged = True
        b.stick.ieee += 1
        await asyncio.sleep(5)
        with pytest.raises(RigError, match="another coordinator is on the port"):
            await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)


def test_after_a_reset_the_endpoint_is_registered_again(run, znp) -> None:
    async def work(b):
        plug = with_plug(b, znp)
        b.stick.reset()
        await asyncio.sleep(0.15)
        assert b.host.state == "down"
        _, status = await b.host.broadcast(zcl.ON_OFF, 0x00)
        assert status == 2
        await asyncio.sleep(3)
        assert commands(b).count(mt.AF_REGISTER) == 2
        assert b.host.counters.resets == 1
        await b.host.request(plug, zcl.ON_OFF, 0x01)

    run(work)


def test_a_stick_that_lost_its_network_is_not_used(run) -> None:
    async def work(b):
        del b.stick.nv[0x21]
        b.stick.reset()
        await asyncio.sleep(5)
        with pytest.raises(RigError, match="has no network"):
            await b.host.broadcast(zcl.ON_OFF, 0x00)

    run(work)
