"""pysunspec2, unmodified, against our SunSpec devices over TCP."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from wattbench.hil.devices import fields, sunspec
from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.source import ConstantSource, DeviceSource
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.modbus.server import ModbusServer
from wattbench.scenarios.devices import load_device_profile
from wattbench.sim.clock import WallClock

from . import sunspec_layouts

client = pytest.importorskip("sunspec2.modbus.client")

DEVICES = {
    "sunspec_inverter": [1, 103, 120, 123, 124],
    "sunspec_meter": [1, 203],
    "sunspec_der": [1, 701, 702, 703, 704, 705, 706, 713, 802],
}


def serve(
    name: str, source: DeviceSource | None, visit: Callable[[Any, EmulatedDevice], Any]
) -> Any:
    """Serve a device and let pysunspec2, which blocks, visit it from a thread of its own."""
    profile = load_device_profile(name)
    fast = profile.model_copy(
        update={"timing": profile.timing.model_copy(update={"answer_s": 0.0})}
    )
    with WallClock() as clock:
        device = EmulatedDevice(fast, source or StandaloneSource(fast, 5), clock)
        assert fast.modbus is not None
        unit = fast.modbus.unit
        server = ModbusServer({unit: device}, clock)

        def blocking(port: int) -> Any:
            visitor = client.SunSpecModbusClientDeviceTCP(
                slave_id=unit, ipaddr="127.0.0.1", ipport=port, timeout=5.0
            )
            try:
                visitor.scan()
                return visit(visitor, device)
            finally:
                visitor.close()

        async def run() -> Any:
            _, port = await server.serve_tcp()
            try:
                return await asyncio.to_thread(blocking, port)
            finally:
                await server.close()

        return clock.run(run())


@pytest.mark.parametrize("number", sunspec_layouts.MODELS)
def test_layouts_are_those_of_the_published_models(number: int) -> None:
    file = sunspec.LAYOUTS_FOLDER / f"{number}.yaml"
    assert file.read_text(encoding="utf-8") == sunspec_layouts.layout_text(number)


@pytest.mark.parametrize("name", DEVICES)
def test_models_are_found(name: str) -> None:
    def visit(visitor: Any, _device: EmulatedDevice) -> Any:
        return [model.model_id for model in visitor.model_list], [
            model.error_info for model in visitor.model_list
        ]

    models, errors = serve(name, None, visit)
    assert models == DEVICES[name]
    assert not any(errors)


@pytest.mark.parametrize("name", DEVICES)
def test_every_point_reads_as_we_decode_it(name: str) -> None:
    """Name by name: groups, curves, texts, scale factors, points that are not implemented."""

    def visit(visitor: Any, device: EmulatedDevice) -> Any:
        theirs = {}
        for model in visitor.model_list:
            for point, value in points(model):
                theirs[f"{model.model_id}.{point}"] = value
        return theirs, device

    profile = load_device_profile(name)
    values: dict[str, float | str] = {
        str(item.quantity): 0.5 if item.high == 1 else 12.0
        for item in fields.resolve(profile).fields
        if item.quantity
    }
    values |= {"state": "producing", "battery_state": "holding"}
    theirs, device = serve(name, ConstantSource(values), visit)
    ours = {item.name: item for item in device.map.fields if not item.name.startswith("sunspec.")}
    assert theirs.keys() == {name for name, item in ours.items() if item.type != "pad"}
    for place, value in theirs.items():
        item = ours[place]
        data = device.read_registers("holding", item.address, item.width, 10**12)
        exponent = 0
        if item.scale_name is not None:
            scale = ours[item.scale_name]
            raw = device.read_registers("holding", scale.address, 1, 10**12)
            found = fields.decode(scale, raw)
            exponent = int(found) if isinstance(found, float) else None  # type: ignore[assignment]
        mine = fields.decode(item, data, exponent)
        if item.labels and mine is not None:
            mine = float(next(raw for raw, word in item.labels.items() if word == mine))
        elif isinstance(mine, float):
            mine = mine / item.factor
        if value is None:
            assert mine is None, place
        elif isinstance(value, str):
            assert (mine or "") == value, place
        else:
            assert mine == pytest.approx(value, abs=1e-6), place


def points(group: Any, prefix: str = "") -> list[tuple[str, Any]]:
    """Return pysunspec2's points as (name, scaled value)."""
    found = [(prefix + name, point.cvalue) for name, point in group.points.items()]
    found = [(name, value) for name, value in found if not name.lower().endswith("pad")]
    for name, inner in group.groups.items():
        if isinstance(inner, list):
            for index, one in enumerate(inner):
                found += points(one, f"{prefix}{name}[{index}].")
        else:
            found += points(inner, f"{prefix}{name}.")
    return found


def test_power_limit_of_the_inverter() -> None:
    """Ineffective until enabled, in force while it is, gone after the reversion time."""
    source = ConstantSource({"power_w": 5000.0})

    def visit(visitor: Any, device: EmulatedDevice) -> Any:
        controls = visitor.models[123][0]
        controls.WMaxLimPct.cvalue = 30.0
        controls.WMaxLimPct.write()
        before = list(source.commands)
        controls.WMaxLimPct_RvrtTms.cvalue = 1
        controls.WMaxLimPct_RvrtTms.write()
        controls.WMaxLim_Ena.cvalue = 1
        controls.WMaxLim_Ena.write()
        during = list(source.commands)
        time.sleep(1.3)
        controls.read()
        return before, during, list(source.commands), controls.WMaxLim_Ena.cvalue

    before, during, after, enabled = serve("sunspec_inverter", source, visit)
    assert before == []
    assert [(name, value) for name, value, _ in during] == [("power_limit_w", 3000.0)]
    assert [(name, value) for name, value, _ in after[1:]] == [("power_limit_w", 10000.0)]
    assert after[1][2] - after[0][2] == pytest.approx(1_000_000, abs=1000)
    assert enabled == 0


def test_set_point_of_the_battery() -> None:
    source = ConstantSource({"power_w": 0.0})

    def visit(visitor: Any, device: EmulatedDevice) -> Any:
        controls = visitor.models[704][0]
        controls.WSetMod.cvalue = 1
        controls.WSet.cvalue = -4200
        controls.WSetRvrtTms.cvalue = 30
        controls.WSetEna.cvalue = 1
        controls.write()
        controls.read()
        return controls.WSet.cvalue, controls.WSetRvrtRem.cvalue

    setpoint, left = serve("sunspec_der", source, visit)
    assert setpoint == -4200
    assert 28 <= left <= 30
    assert source.commands[-1][:2] == ("power_setpoint_w", -4200.0)


def test_illegal_values_are_refused() -> None:
    def visit(visitor: Any, device: EmulatedDevice) -> Any:
        controls = visitor.models[123][0]
        codes = []
        for point, value in (("WMaxLim_Ena", 7), ("WMaxLimPct", 101.0), ("Conn", 2)):
            controls.points[point].cvalue = value
            with pytest.raises(Exception) as refused:  # noqa: PT011 - whatever pysunspec2 raises
                controls.points[point].write()
            codes.append(str(refused.value))
        with pytest.raises(Exception) as refused:  # noqa: PT011
            visitor.write(visitor.models[103][0].model_addr + 14, b"\0\1")
        return [*codes, str(refused.value)]

    texts = serve("sunspec_inverter", ConstantSource({"power_w": 1.0}), visit)
    assert all("3" in text for text in texts[:3]), texts
    assert "2" in texts[3]


def test_energy_flows() -> None:
    def visit(visitor: Any, device: EmulatedDevice) -> Any:
        meter = visitor.models[203][0]
        return [meter.points[name].cvalue for name in ("W", "WphA", "WphB", "WphC", "TotWhImp")]

    total, *phases, energy = serve("sunspec_meter", None, visit)
    assert total == pytest.approx(sum(phases), abs=3)
    assert energy > 0


@pytest.mark.parametrize("name", DEVICES)
def test_mandatory_points_are_there_and_enumerations_are_of_the_model(name: str) -> None:
    def look(group: Any, prefix: str) -> list[str]:
        wrong = []
        for point in group.points.values():
            known, symbols = point.value is not None, point.pdef.get("symbols", ())
            if point.pdef.get("mandatory") == "M" and not known:
                wrong.append(f"{prefix}{point.pdef['name']} is missing")
            is_enum = known and point.pdef["type"].startswith("enum") and symbols
            if is_enum and point.value not in [symbol["value"] for symbol in symbols]:
                wrong.append(f"{prefix}{point.pdef['name']} is {point.value}")
        for label, inner in group.groups.items():
            for each in inner if isinstance(inner, list) else [inner]:
                wrong += look(each, f"{prefix}{label}.")
        return wrong

    def visit(visitor: Any, _device: EmulatedDevice) -> list[str]:
        numbers = [number for number in visitor.models if isinstance(number, int)]
        return [w for n in numbers for model in visitor.models[n] for w in look(model, f"{n}.")]

    assert serve(name, None, visit) == []
