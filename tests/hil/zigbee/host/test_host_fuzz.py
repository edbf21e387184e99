"""Whatever the stick says, the host lives and its requests end."""

from __future__ import annotations

import asyncio

from hypothesis import given, settings
from hypothesis import strategies as st

from wattbench.hil.rig import ReadingError
from wattbench.hil.zigbee import mt, zcl
from wattbench.sim.clock import VirtualClock

from .plug import NWK, with_plug

S = 1_000_000

indications = st.tuples(
    st.sampled_from(
        [
            *(mt.AF_INCOMING_MSG, mt.AF_DATA_CONFIRM, mt.ZDO_TC_DEV_IND, mt.ZDO_LEAVE_IND),
            *(mt.ZDO_END_DEVICE_ANNCE_IND, mt.ZDO_NWK_ADDR_RSP, mt.ZDO_STATE_CHANGE_IND),
            *(mt.ZDO_MSG_CB_INCOMING, mt.ZDO_NODE_DESC_RSP, mt.RPC_ERROR, 0x6401, 0x4FFF),
        ]
    ),
    st.binary(max_size=60),
)
zcl_frames = st.builds(
    zcl.ZclFrame,
    sequence=st.integers(0, 255),
    command=st.integers(0, 16) | st.integers(0, 255),
    payload=st.binary(max_size=24),
    cluster_command=st.booleans(),
    from_server=st.booleans(),
    manufacturer=st.none() | st.integers(0, 0xFFFF),
    no_default_response=st.booleans(),
).map(zcl.ZclFrame.encode)
zcl_payloads = st.tuples(
    st.sampled_from([zcl.ON_OFF, zcl.ELECTRICAL_MEASUREMENT, zcl.OTA, 0xFC57, 0xFFFF]),
    st.binary(max_size=40) | zcl_frames,
)


@settings(deadline=None, max_examples=80)
@given(st.lists(indications, max_size=12), st.lists(zcl_payloads, max_size=12))
def test_whatever_comes_the_host_lives_and_its_requests_end(znp, frames, payloads) -> None:
    reports = []
    with VirtualClock() as clock:
        b = znp.Bench(clock)

        async def main():
            await b.host.open(b.connect)
            plug = with_plug(b, znp)
            await b.host.network.find(plug)
            b.host.receiver.on_report.append(lambda *report: reports.append(report))
            for command, data in frames:
                b.stick.send(command, data)
            for cluster, payload in payloads:
                b.stick.incoming(NWK, cluster, payload)
            await asyncio.sleep(2)
            # A frame may have said that the plug moved or left; then it is found again.
            b.host.devices.place(plug, NWK)
            try:
                answer = await b.host.request(plug, zcl.ON_OFF, 0x01)
                assert answer.payload == b"\x01\x00"
            except ReadingError:
                pass
            await b.host.close()

        clock.run(main())
        assert clock.now_us < 30 * S
    for _, cluster, attribute, value, _ in reports:
        assert value is not None
        if (cluster, attribute) == (zcl.ELECTRICAL_MEASUREMENT, 0x050B):
            assert -32767 <= value <= 32767
