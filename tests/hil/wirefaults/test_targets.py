"""Targets of faults: by name, for a time, refused where they cannot act."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wattbench.hil import memory
from wattbench.hil.wirefaults.bus import BusFaults
from wattbench.hil.wirefaults.targets import FaultTargetError, FaultTargets
from wattbench.sim.clock import Clock, VirtualClock
from wattbench.sim.faults import BUS_FAULTS, needs_bytes, refusal_without_bytes

S = 1_000_000


class Device:
    """Notes what faults ask of it."""

    def __init__(self) -> None:
        self.asked: list[Any] = []

    def reset(self, factory: bool) -> None:
        self.asked.append("factory" if factory else "reset")

    def back(self) -> None:
        self.asked.append("back")

    def stuck(self, quantity: str | None, on: bool) -> None:
        if quantity not in {None, "power_w"}:
            raise KeyError("power_w")
        self.asked.append((quantity, on))


class Port:
    def __init__(self) -> None:
        self.there = True

    def vanish(self) -> None:
        self.there = False

    def restore(self) -> None:
        self.there = True


class Site:
    """A Modbus TCP bus with one device, a line with two, a coordinator with one."""

    def __init__(self, clock: Clock) -> None:
        self.clock = clock
        self.faults = BusFaults(1, clock)
        self.told: list[tuple[str, bool]] = []
        self.targets = FaultTargets(
            clock, self.faults, lambda fault, on: self.told.append((fault.kind, on))
        )
        self.device, self.port = Device(), Port()
        self.targets.add_bus("lan", "modbus-tcp", endpoint=self.port)
        self.targets.add_bus("line", "modbus-rtu")
        self.targets.add_bus("mesh", "znp", coordinator=Device())
        self.targets.add_device("meter", "lan", 1, self.device)
        self.targets.add_device("heater", "line", 2, Device())
        self.targets.add_device("charger", "line", 3, Device())
        self.targets.add_device("plug", "mesh", None, Device())


@pytest.fixture
def site() -> Site:
    return Site(VirtualClock())


def test_a_fault_of_a_scenario_comes_and_goes(site: Site) -> None:
    clock = site.clock
    given = {"kind": "bus_drop", "target": "lan", "start_s": 2, "duration_s": 3}
    site.targets.schedule([BUS_FAULTS["bus_drop"].model_validate(given)])
    passed = []

    async def run() -> None:
        for second in range(7):
            await clock.sleep_until(second * S + 1)
            passed.append(bool(site.faults.requests("lan", clock.now_us, b"x" * 8)))

    clock.run(run())
    assert passed == [True, True, False, False, False, True, True]
    assert site.told == [("bus_drop", True), ("bus_drop", False)]
    assert site.targets.effects == []


def test_a_reboot_resets_the_device_and_silences_it_alone(site: Site) -> None:
    effect = site.targets.on("meter", "device_reboot", {})
    assert site.device.asked == ["reset"]
    assert not site.faults.accepts("lan", 0)  # the only device there: its connection goes
    effect.end()
    assert site.device.asked == ["reset", "back"]
    site.targets.on("heater", "device_reboot", {"factory": True})
    assert site.faults.accepts("line", 0)
    assert not site.faults.requests("line", 0, b"\x02....")
    assert site.faults.requests("line", 0, b"\x03....")


def test_a_stuck_value_is_let_go(site: Site) -> None:
    site.targets.on("meter", "value_stuck", {"quantity": "power_w"})
    assert site.targets.off("meter") == 1
    assert site.device.asked == [("power_w", True), ("power_w", False)]


def test_a_port_vanishes_and_comes_back(site: Site) -> None:
    effect = site.targets.on("lan", "port_vanish", {}, 5.0)
    assert not site.port.there
    assert not site.faults.accepts("lan", 0)
    effect.end()
    assert site.port.there


def test_the_same_kind_once_more_replaces_the_first(site: Site) -> None:
    site.targets.on("lan", "bus_delay", {"delay_s": 1})
    site.targets.on("lan", "bus_delay", {"delay_s": "20 ms"})
    (one,) = site.faults.answers("lan", 0, b"x")
    assert one.delay_us == 20_000
    assert [row["faults"] for row in site.targets.listing() if row["target"] == "lan"] == [
        [{"kind": "bus_delay", "direction": "both", "delay_s": 0.02, "left_s": None}
         | {"frames_bent": 1}]
    ]  # fmt: skip
    site.targets.end_all()
    assert site.targets.effects == []


@pytest.mark.parametrize(
    ("target", "kind", "parameters", "for_s", "message"),
    [
        ("metre", "bus_drop", {}, None, "no target 'metre'; .*did you mean 'meter'"),
        ("meter", "bus_drip", {}, None, "no kind 'bus_drip'; .*did you mean 'bus_drop'"),
        ("meter", "bus_drop", {"probabilty": 1}, None, "no parameter of bus_drop 'probabilty'"),
        ("meter", "bus_drop", {"probability": 2}, None, "bus_drop, probability: .*less than"),
        ("meter", "bus_delay", {}, None, "bus_delay, delay_s: field required"),
        ("meter", "bus_drop", {}, -1.0, "--for is -1 s"),
        ("lan", "bus_bad_crc", {}, None, "modbus-tcp has no check"),
        ("line", "bus_wrong_transaction", {}, None, "only modbus-tcp"),
        ("lan", "slow_client", {}, None, "takes no further connections"),
        ("lan", "device_reboot", {}, None, "'lan' is no emulated device; allowed: meter"),
        ("mesh", "value_stuck", {}, None, "'mesh' is no emulated device"),
        ("meter", "value_stuck", {"quantity": "w"}, None, "no quantity 'w'; allowed: power_w"),
        ("plug", "bus_drop", {}, None, "allowed: target 'mesh'"),
    ],
)
def test_what_cannot_be_is_refused(
    site: Site, target: str, kind: str, parameters: Any, for_s: float | None, message: str
) -> None:
    with pytest.raises(FaultTargetError, match=message):
        site.targets.on(target, kind, parameters, for_s)
    assert site.targets.effects == []


def test_what_is_listed_as_possible_can_be_switched_on(site: Site) -> None:
    rows = site.targets.listing()
    assert [row["target"] for row in rows] == [
        "lan", "line", "mesh", "meter", "heater", "charger", "plug",
    ]  # fmt: skip
    for row in rows:
        for kind in row["possible"]:
            more = {"delay_s": 0.1} if "delay_s" in BUS_FAULTS[kind].model_fields else {}
            site.targets.on(row["target"], kind, more)
    assert rows[-1]["possible"] == ["device_reboot", "value_stuck"]
    site.targets.end_all()


def test_slow_clients_hold_their_connections() -> None:
    class Server(asyncio.Protocol):
        got: list[bytes] = []  # noqa: RUF012

        def data_received(self, data: bytes) -> None:
            self.got.append(data)

    clock = VirtualClock()
    site = Site(clock)

    async def connect(protocol: asyncio.Protocol) -> asyncio.BaseTransport:
        return memory.connect(clock, protocol, Server(), 100)

    site.targets.add_bus("lan", "modbus-tcp", connect=connect)

    async def run() -> None:
        effect = site.targets.on("lan", "slow_client", {"connections": 4, "period_s": 0.5}, 60.0)
        await clock.sleep_until(50 * S)
        assert not effect.over
        await clock.sleep_until(70 * S)

    with clock:
        clock.run(run())
    assert {len(data) for data in Server.got} == {1}
    assert len(Server.got) == 4 * 11  # of 12 bytes; the last one never comes


def test_rigs_without_bytes_refuse_them() -> None:
    given = {"kind": "bus_drop", "target": "lan", "start_s": 2, "duration_s": 3}
    bus = BUS_FAULTS["bus_drop"].model_validate(given)
    assert needs_bytes([bus]) == [bus]
    assert refusal_without_bytes([], "direct") is None
    assert "rig 'direct' has no bytes" in (refusal_without_bytes([bus], "direct") or "")
