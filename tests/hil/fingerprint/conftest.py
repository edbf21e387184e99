"""Emulated devices with parameters that the estimators are not told, in virtual time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.modbus.client import ModbusClient
from wattbench.hil.modbus.server import ModbusServer
from wattbench.sim.clock import VirtualClock

HIGH_W = 3500.0


def heater(**changes: Any) -> DeviceProfile:
    """A heater of whole watts; `timing` and `actuator` are what the experiments must find out."""
    timing, actuator = changes.get("timing", {}), changes.get("actuator", {})
    return DeviceProfile.model_validate(
        {
            "name": "test-heater",
            "kind": "heater",
            "identity": {"manufacturer": "Test", "model": "Heater", "serial": changes.get("serial", "1")},
            "ratings": {"power_w": HIGH_W, "volume_l": 5000},
            "timing": timing,
            "actuators": [
                {
                    "quantity": "power_setpoint_w",
                    "low": 0,
                    "high": HIGH_W,
                    "safe": {"quantity": "power_w", "low": 0, "high": 50},
                    "danger": "overheats",
                    **actuator,
                }
            ],
            "modbus": {
                "functions": [3, 4, 6, 16],
                "points": [
                    {"quantity": "power_setpoint_w", "address": 1000, "access": "w"},
                    {"quantity": "power_w", "address": 1001},
                    {"quantity": "temperature_c", "address": 1002, "scale": 0.1},
                ],
            },
        }
    )


def drawn(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return random timing and actuator parameters."""
    rng = np.random.default_rng(seed)
    timing = {
        "refresh_s": float(rng.choice([0.0, rng.uniform(0.2, 2.0)])),
        "answer_s": float(rng.uniform(0.005, 0.08)),
        "answer_spread_s": float(rng.choice([0.0, rng.uniform(0.002, 0.05)])),
        "first_answer_s": float(rng.choice([0.0, rng.uniform(0.3, 2.0)])),
        "idle_s": float(rng.uniform(20, 80)),
        "min_gap_s": float(rng.choice([0.0, rng.uniform(0.02, 0.5)])),
        "min_command_gap_s": float(rng.choice([0.0, rng.uniform(0.6, 2.0)])),
        "too_early": str(rng.choice(["ignore", "busy"])),
    }
    actuator = {
        "resolution": float(rng.choice([5, 10, 25, 50, 100])),
        "dead_time_s": float(rng.uniform(0.1, 3.0)),
        "ramp_s": float(rng.choice([0.0, rng.uniform(0.5, 6.0)])),
        "watchdog": {
            "timeout_s": float(rng.uniform(15, 90)),
            "slack_s": float(rng.choice([0.0, rng.uniform(0.5, 10)])),
        },
    }
    return timing, actuator


@pytest.fixture
def emulated():
    """Return a function that runs a coroutine function of a client on an emulated device."""

    def run(profile: DeviceProfile, work, *, one_way_us: int = 100) -> SimpleNamespace:
        with VirtualClock() as clock:
            source = StandaloneSource(profile, seed=3)
            device = EmulatedDevice(profile, source, clock, phase_us=123_457)
            server = ModbusServer(clock, {1: device})

            async def session():
                client = ModbusClient.in_memory(
                    clock, server.protocol, name="heater", one_way_us=one_way_us, timeout_s=2.0
                )
                return await work(clock, client)

            result = clock.run(session())
            return SimpleNamespace(
                result=result, device=device, source=source, now_us=clock.now_us
            )

    return run
