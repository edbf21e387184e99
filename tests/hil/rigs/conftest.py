"""A heater on Modbus TCP, its profile, and rigs with it."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.rigs import lock
from wattbench.hil.rigs.model import Rig

HEATER: dict[str, Any] = {
    "name": "test_heater",
    "kind": "heater",
    "identity": {"manufacturer": "Test", "model": "Heater", "serial": "H-1"},
    "ratings": {"power_w": 3500.0},
    "timing": {"refresh_s": 0.1},
    "actuators": [
        {
            "quantity": "power_setpoint_w",
            "high": 3500.0,
            "dead_time_s": 0.2,
            "watchdog": {"timeout_s": 60.0},
            "safe": {"low": -20.0, "high": 20.0},
            "danger": "a heater at full power overheats",
        }
    ],
    "modbus": {
        "functions": [3, 16],
        "points": [
            {"quantity": "power_setpoint_w", "address": 1000, "access": "rw"},
            {"quantity": "power_w", "address": 1001},
            {"quantity": "temperature_c", "address": 1002, "scale": 0.1},
            {"quantity": "serial", "address": 1010, "type": "string", "length": 8},
        ],
    },
}

METER: dict[str, Any] = {
    "name": "test_meter",
    "kind": "meter",
    "identity": {"manufacturer": "Test", "model": "Meter", "serial": "M-1"},
    "modbus": {"points": [{"quantity": "power_w", "address": 0, "type": "int32"}]},
}


def _profile(base: dict[str, Any] = HEATER, **changes: Any) -> DeviceProfile:
    return DeviceProfile.model_validate({**base, **changes})


@pytest.fixture
def profile() -> Callable[..., DeviceProfile]:
    """The heater's profile, with changes."""
    return _profile


@pytest.fixture
def without_watchdog() -> DeviceProfile:
    actuator = {**HEATER["actuators"][0], "watchdog": None}
    return _profile(actuators=[actuator])


@pytest.fixture
def profiles() -> dict[str, DeviceProfile]:
    return {"test_heater": _profile(), "test_meter": _profile(METER)}


RigMaker = Callable[..., Rig]


@pytest.fixture
def make_rig() -> RigMaker:
    def make(
        heater: dict[str, Any] | None = None, meter: dict[str, Any] | None = None, **more: Any
    ) -> Rig:
        content: dict[str, Any] = {
            "name": "lab",
            "station": "bench 3",
            "buses": [
                {"id": "lan", "kind": "modbus-tcp", "host": "127.0.0.1", "port": 1502},
                {"id": "meter_lan", "kind": "modbus-tcp", "host": "127.0.0.1", "port": 1503},
            ],
            "devices": [
                {
                    "id": "heater",
                    "profile": "test_heater",
                    "bus": "lan",
                    "serves": ["load.a1"],
                    "serial": "H-1",
                    **(heater or {}),
                },
                {
                    "id": "meter",
                    "profile": "test_meter",
                    "bus": "meter_lan",
                    "serves": ["grid"],
                    **(meter or {}),
                },
            ],
            **more,
        }
        return Rig.model_validate(content)

    return make


@pytest.fixture
def state_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = tmp_path / "state"
    monkeypatch.setenv("WATTBENCH_STATE", str(root))
    return root


@pytest.fixture
def unguarded() -> Callable[[Path], None]:
    """A function that waits until nobody guards the rig of a state folder any more.

    To be called before the devices end: a guardian goes on looking for them for a while, at ports
    and pseudo terminals that others may have been given.
    """

    def wait(folder: Path, patience_s: float = 40.0) -> None:
        end_s = time.monotonic() + patience_s
        while lock.is_locked(folder / lock.GUARDIAN_LOCK):
            assert time.monotonic() < end_s, "a guardian that does not end"
            time.sleep(0.02)

    return wait
