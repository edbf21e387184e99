"""No message, of whatever bytes, breaks an end device."""

from __future__ import annotations

import asyncio
import json

from hypothesis import given
from hypothesis import strategies as st

from wattbench.hil.zigbee import zdo
from wattbench.hil.zigbee.radio import RadioMessage
from wattbench.hil.zigbee.zcl import ZclFrame

from .conftest import Bench

CLUSTERS = [0, 1, 3, 4, 5, 6, 8, 0x19, 0x0402, 0x0405, 0x0702, 0x0B04, 0xFC57, 0x0300]


def keeps_its_state(device):
    """Whatever it was told, what it keeps over a restart can be written down and read again."""
    state = json.loads(json.dumps(device.state()))
    device.restore(state)
    assert json.loads(json.dumps(device.state())) == state


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["plug", "heater", "sensor"]),
            st.sampled_from(CLUSTERS),
            st.one_of(
                st.binary(max_size=80),
                st.builds(
                    lambda command, payload, general, server, maker: ZclFrame(
                        1, command, payload, not general, server, maker
                    ).encode(),
                    st.integers(0, 0x44),
                    st.binary(max_size=40),
                    st.booleans(),
                    st.booleans(),
                    st.sampled_from([None, 0x1257, 0x1037]),
                ),
            ),
            st.sampled_from([0, 1, 7, 255]),
            st.sampled_from([1, 0xFFFD]),
        ),
        max_size=8,
    )
)
def test_no_message_breaks_a_device(messages):
    one = Bench()
    with one.clock:
        made = {kind: one.add(kind, 0x100 + n) for n, kind in enumerate(one.values)}
        one.network.identity = "network"
        for number, device in enumerate(made.values()):
            device.joined("network", number + 1)
        one.start()

        async def work():
            for kind, cluster, payload, endpoint, destination in messages:
                message = RadioMessage(destination, cluster, payload, 1, endpoint)
                made[kind].receive(message)
            await asyncio.sleep(2)

        one.run(work())
        for device in made.values():
            keeps_its_state(device)


@given(st.integers(0, 0x40), st.binary(max_size=40), st.booleans())
def test_no_zdo_message_breaks_a_device(cluster, payload, broadcast):
    one = Bench()
    with one.clock:
        device = one.add("plug")
        one.network.identity = "network"
        device.joined("network", 1)
        destination = 0xFFFD if broadcast else 1
        message = RadioMessage(destination, cluster, payload, 0, 0, zdo.PROFILE)

        async def work():
            device.receive(message)
            await asyncio.sleep(3)

        one.run(work())
        keeps_its_state(device)
