"""The header of a run's tape: buses and devices of the rig, patterns resolved."""

from __future__ import annotations

import datetime as dt

from wattbench.hil.rigs.concrete import RigSetup
from wattbench.hil.tape.model import TapeHeader
from wattbench.hil.tape.of_rig import header_of
from wattbench.scenarios.rigs import load_profiles, load_rig


def test_every_device_of_a_rig_is_in_the_header() -> None:
    rig = load_rig("zoo")
    start = dt.datetime(2025, 6, 21, 8, tzinfo=dt.UTC)
    header = header_of(RigSetup(rig, load_profiles(rig)), (), start, "virtual", {"seed": 3})
    assert header.start_utc_us == 1_750_492_800_000_000
    assert [device.id for device in header.devices] == [device.id for device in rig.devices]
    by_id = {device.id: device for device in header.devices}
    assert by_id["sdm630"].unit == 1
    assert by_id["sdm630"].ieee is None
    assert by_id["plug"].unit is None
    assert by_id["plug"].ieee is not None
    assert {bus.name: bus.detail for bus in header.buses}["line"].startswith("9600 baud")
    assert TapeHeader.parse(header.text()) == header
