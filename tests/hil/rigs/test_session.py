"""A run's time on a rig, up to arming: what refuses it, in one line."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.modbus.server import ModbusServer
from wattbench.hil.modbus.tls import create_certificates, server_context
from wattbench.hil.modbus.unit import ILLEGAL_ADDRESS, ModbusRefusal
from wattbench.hil.rig import RigError
from wattbench.hil.rigs import lock
from wattbench.hil.rigs.errors import (
    ArmingError,
    LeaseLostError,
    RigBrokenError,
    RigLockedError,
    StateError,
)
from wattbench.hil.rigs.session import RigSession
from wattbench.hil.rigs.state import RigState
from wattbench.sim.clock import WallClock


class Registers:
    """Holding registers, and no more."""

    functions = frozenset({3, 16})
    max_read_registers = 125

    def __init__(self, serial: str = "H-1", temperature_c: float = 45.0) -> None:
        text = serial.encode().ljust(16, b"\0")
        self.values = {1000: 0, 1001: 0, 1002: round(temperature_c * 10)}
        for k in range(8):
            self.values[1010 + k] = int.from_bytes(text[2 * k : 2 * k + 2], "big")
        self.writes = 0

    def read_registers(self, table: str, address: int, count: int, t_us: int) -> bytes:
        try:
            wanted = [self.values[address + k] for k in range(count)]
        except KeyError:
            raise ModbusRefusal(ILLEGAL_ADDRESS) from None
        return b"".join(value.to_bytes(2, "big") for value in wanted)

    def write_registers(self, address: int, data: bytes, t_us: int, function: int) -> None:
        self.writes += 1

    def identification(self) -> dict[int, bytes]:
        return {}

    def hold_us(self, t_us: int, function: int) -> int | None:
        return 0


@pytest.fixture
def clock() -> Iterator[WallClock]:
    with WallClock() as clock:
        yield clock


@pytest.fixture
def state(tmp_path: Path) -> RigState:
    return RigState(tmp_path / "state")


Bench = Callable[[Registers, Callable[[RigSession], Coroutine[Any, Any, Any]]], Any]


@pytest.fixture
def with_heater(
    clock: WallClock, state: RigState, make_rig: Callable[..., Any], profiles: dict[str, Any]
) -> Callable[..., Any]:
    """Serve a heater, make a session of a rig with it, and run something with that."""

    def run(registers: Registers, work: Any, **rig: Any) -> Any:
        async def main() -> Any:
            server = ModbusServer({1: registers}, clock)
            host, port = await server.serve_tcp()
            buses = [
                {"id": "lan", "kind": "modbus-tcp", "host": host, "port": port},
                {"id": "meter_lan", "kind": "modbus-tcp", "host": host, "port": 1},
            ]
            session = RigSession(make_rig(buses=buses, **rig), profiles, "test", state=state)
            try:
                return await work(session)
            finally:
                await server.close()

        return clock.run(main())

    return run


WARM = [
    {
        "kind": "range",
        "device": "heater",
        "point": "temperature_c",
        "high": 60,
        "remedy": "draw some water",
    }
]


def test_preconditions(with_heater: Any, clock: WallClock) -> None:
    async def check(session: RigSession) -> None:
        await session.check(clock)

    with_heater(Registers(), check, preconditions=WARM)
    with pytest.raises(ArmingError) as refused:
        with_heater(Registers(temperature_c=71.5), check, preconditions=WARM)
    assert str(refused.value) == (
        "precondition not met: heater.temperature_c is 71.5; wanted: at most 60 (draw some water)"
    )


def test_another_serial_number(with_heater: Any, clock: WallClock, state: RigState) -> None:
    registers = Registers(serial="H-7")

    async def check(session: RigSession) -> None:
        await session.check(clock)

    with pytest.raises(RigBrokenError, match="H-7"):
        with_heater(registers, check)
    assert registers.writes == 0
    assert state.broken is not None
    state.clear_broken("Ada", "put the right one there")


def test_a_device_that_is_not_there(with_heater: Any, clock: WallClock, state: RigState) -> None:
    async def check(session: RigSession) -> None:
        await session.check(clock)

    conditions = [{"kind": "range", "device": "meter", "point": "power_w", "high": 1}]
    with pytest.raises(RigError, match="rig lab: meter"):
        with_heater(Registers(), check, preconditions=conditions)
    assert state.broken is None


def test_nothing_is_written_before_arming(with_heater: Any) -> None:
    async def write(session: RigSession) -> None:
        session.may_write()

    with pytest.raises(LeaseLostError, match="not armed"):
        with_heater(Registers(), write)


def test_a_rig_that_cannot_be_armed_is_not_locked(
    with_heater: Any, profiles: dict[str, Any], without_watchdog: Any, state: RigState
) -> None:
    profiles["test_heater"] = without_watchdog

    async def start(session: RigSession) -> None:
        await session.open()

    with pytest.raises(ArmingError) as refused:
        with_heater(Registers(), start)
    assert "rig lab cannot be armed: device 'heater' has neither" in str(refused.value)
    assert lock.status(state)["state"] == "free"


def test_a_broken_rig_is_refused(with_heater: Any, state: RigState) -> None:
    state.mark_broken("smoke")

    async def start(session: RigSession) -> None:
        await session.open()

    with pytest.raises(RigBrokenError, match="smoke"):
        with_heater(Registers(), start)


def test_what_the_record_says(with_heater: Any) -> None:
    async def identity(session: RigSession) -> dict[str, Any]:
        return session.identity()

    calibration = [{"point": "power_w", "gain": 1.01, "expires": "2027-01-01"}]
    waived = {"name": "Grace", "reason": "somebody stands by"}
    heater = {"calibration": calibration, "firmware": "1.2", "safe": {"waived": waived}}
    found = with_heater(Registers(), identity, heater=heater, operator="Ada")
    assert json.loads(json.dumps(found)) == found
    assert (found["name"], found["station"], found["operator"]) == ("lab", "bench 3", "Ada")
    assert found["unpaired"]
    device = found["devices"][0]
    assert (device["serial"], device["firmware"]) == ("H-1", "1.2")
    assert device["calibration"][0]["expires"] == "2027-01-01"
    assert found["waived"] == [], "it has a watchdog, so nothing was waived"


@pytest.mark.slow
def test_a_whole_session_with_a_full_disk_at_the_end(
    with_heater: Any, clock: WallClock, state: RigState, tmp_path: Path
) -> None:
    """The guardian's outcome reaches the run though it can be written nowhere."""

    async def session_of(session: RigSession) -> dict[str, Any]:
        await session.open(tmp_path / "nowhere")
        with pytest.raises(RigLockedError):
            await lock.acquire(state, "second")
        await session.check(clock)
        session.arm()
        session.may_write()
        outcome = await session.end()
        with pytest.raises(LeaseLostError):
            session.may_write()
        return outcome

    outcome = with_heater(Registers(), session_of, quantities={"grid": "played"})
    assert outcome["confirmed"]
    assert outcome["actuators"][0]["writes"] == 0
    assert lock.status(state)["state"] == "free"


@pytest.mark.slow
def test_a_full_disk_before_arming(
    with_heater: Any, state: RigState, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.open

    def full(path: Any, flags: int, *rest: Any, **more: Any) -> int:
        if "armed-" in str(path):
            raise OSError(28, "No space left on device")
        return real(path, flags, *rest, **more)

    async def start(session: RigSession) -> None:
        await session.open()
        monkeypatch.setattr(os, "open", full)
        try:
            session.arm()
        finally:
            monkeypatch.undo()
            assert (await session.end())["confirmed"] is None

    with pytest.raises(StateError, match="No space left on device"):
        with_heater(Registers(), start)
    assert state.broken is None


def test_a_device_over_tls(
    clock: WallClock, state: RigState, make_rig: Callable[..., Any], profiles: Any, tmp_path: Path
) -> None:
    made = create_certificates(tmp_path / "certificates")

    async def check() -> None:
        server = ModbusServer({1: Registers(temperature_c=71.5)}, clock)
        context = server_context(made.server, made.server_key, made.authority)
        host, port = await server.serve_tls(context)
        bus = {"id": "lan", "kind": "modbus-tls", "host": host, "port": port}
        files = {
            "ca_path": str(made.authority),
            "certificate_path": str(made.client),
            "key_path": str(made.client_key),
        }
        meter = {"id": "meter_lan", "kind": "modbus-tcp", "host": host, "port": 1}
        rig = make_rig(buses=[bus | files, meter], preconditions=WARM)
        try:
            await RigSession(rig, profiles, "test", state=state).check(clock)
        finally:
            await server.close()

    with pytest.raises(ArmingError, match=r"heater.temperature_c is 71\.5"):
        clock.run(check())
