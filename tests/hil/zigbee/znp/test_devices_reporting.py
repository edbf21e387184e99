"""What end devices measure, and when they report it."""

from __future__ import annotations

import asyncio

from wattbench.hil.zigbee import mt, zcl
from wattbench.hil.zigbee.mt_messages import AfIncoming
from wattbench.hil.zigbee.zcl import ReportingRecord, ZclFrame

from .host import bind, joined

EM = zcl.ELECTRICAL_MEASUREMENT


async def configure(host, nwk, cluster, *records):
    frame = ZclFrame(99, zcl.CONFIGURE_REPORTING, zcl.encode_reporting(records))
    answer = await host.ask(nwk, cluster, frame)
    return zcl.decode_reporting_statuses(answer.payload)


async def report(host, timeout_s):
    _, frame = await host.incoming(
        lambda _, frame: frame.command == zcl.REPORT_ATTRIBUTES and not frame.cluster_command,
        timeout_s,
    )
    return zcl.decode_attributes(frame.payload)[0].value


def test_measurements_and_their_limits(bench):
    one = bench()
    one.add("plug")
    one.add("heater", 0x102)
    host = one.start()

    async def work():
        await host.form()
        nwks = dict([reversed(await host.join()), reversed(await host.join())])
        values = one.values["plug"].values
        values["power_w"], values["energy_wh"] = 123.44, 4321.6
        records = await host.read(nwks[0x101], EM, 0x050B, 0x0505, 0x0508, 0x0605)
        assert [record.value for record in records] == [1234, 2301, 1250, 10]
        assert (await host.read(nwks[0x101], zcl.METERING, 0))[0].value == 4322
        # 16 bits with a divisor of 10 end at 3276.7 W; a heater has a divisor of 1.
        values["power_w"] = one.values["heater"].values["power_w"] = 3500.0
        assert (await host.read(nwks[0x101], EM, 0x050B))[0].value == 32767
        assert (await host.read(nwks[0x102], EM, 0x050B))[0].value == 3500
        values["power_w"] = None
        assert (await host.read(nwks[0x101], EM, 0x050B))[0].value == -32768

    one.run(work())


def test_reports_compare_with_the_last_reported_value(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        power = ReportingRecord(0x050B, 0x29, 10, 60, 50)
        assert await configure(host, nwk, EM, power) == []
        values = one.values["plug"].values
        values["power_w"] = 100.0
        await asyncio.sleep(30)
        arrived = [f for _, f in host.frames if f.command == mt.AF_INCOMING_MSG]
        clusters = [AfIncoming.decode(frame.data).cluster for frame in arrived]
        assert EM not in clusters  # nothing is bound yet
        await bind(host, one, nwk, 0x101, EM)
        assert await report(host, 5) == 1000
        begun_us = one.clock.now_us
        values["power_w"] = 104.9
        assert await report(host, 80) == 1049  # the maximum interval
        assert 59e6 < one.clock.now_us - begun_us < 62e6
        begun_us = one.clock.now_us
        values["power_w"] = 200.0
        assert await report(host, 30) == 2000  # a change, after the minimum interval
        assert 9e6 < one.clock.now_us - begun_us < 12e6
        # A pulse that is over before the minimum interval is never reported.
        values["power_w"] = 2000.0
        await asyncio.sleep(5)
        values["power_w"] = 200.0
        begun_us = one.clock.now_us
        assert await report(host, 80) == 2000
        assert one.clock.now_us - begun_us > 50e6

    one.run(work())


def test_configuration_of_reporting_is_checked_and_can_be_read(bench):
    one = bench()
    one.add("plug")
    host = one.start()

    async def work():
        nwk = await joined(host)
        failed = await configure(
            host,
            nwk,
            EM,
            ReportingRecord(0x050B, 0x29, 1, 300, 5),
            ReportingRecord(0x0777, 0x29, 1, 300, 5),
            ReportingRecord(0x0505, 0x29, 1, 300, 5),
            ReportingRecord(0x0508, 0x21, 300, 10, 5),
        )
        statuses = {record.attribute: record.status for record in failed}
        assert statuses == {
            0x0777: zcl.UNSUPPORTED_ATTRIBUTE,
            0x0505: zcl.INVALID_DATA_TYPE,
            0x0508: zcl.INVALID_VALUE,
        }
        asked = zcl.encode_read_reporting([0x050B, 0x0505])
        answer = await host.ask(nwk, EM, ZclFrame(98, zcl.READ_REPORTING, asked))
        told = zcl.decode_reporting_configurations(answer.payload)
        assert told[0] == ReportingRecord(0x050B, 0x29, 1, 300, 5)
        assert told[1].status == zcl.NOT_FOUND

    one.run(work())
