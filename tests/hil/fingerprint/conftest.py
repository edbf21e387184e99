"""Emulated devices with parameters that the estimators are not told, in virtual time."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from wattbench.hil.devices.emulated import EmulatedDevice
from wattbench.hil.devices.model import DeviceProfile
from wattbench.hil.devices.standalone import StandaloneSource
from wattbench.hil.fingerprint.limits import limits_of
from wattbench.hil.fingerprint.modbus_probe import ModbusProbe
from wattbench.hil.fingerprint.plan import Findings, Plan
from wattbench.hil.fingerprint.profile import blind
from wattbench.hil.fingerprint.session import Fingerprint
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
            "identity": {
                "manufacturer": "Test",
                "model": "Heater",
                "serial": changes.get("serial", "1"),
            },
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
        "idle_s": float(rng.uniform(20, 60)),
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


class Watched(StandaloneSource):
    """Remembers what was commanded."""

    def __init__(self, profile: DeviceProfile, seed: int) -> None:
        super().__init__(profile, seed)
        self.commands: list[tuple[float, float]] = []

    def command(self, quantity: str, value: float, t_us: int) -> None:
        self.commands.append((t_us / 1e6, value))
        super().command(quantity, value, t_us)


class Bench:
    """One emulated device and what measures it."""

    def __init__(self, profile: DeviceProfile, seed: int = 1) -> None:
        self.profile, self.seed = profile, seed
        self.clock = VirtualClock()
        self.source = Watched(profile, seed)
        self.device = EmulatedDevice(profile, self.source, self.clock, phase_us=123_457)
        self.server = ModbusServer({1: self.device}, self.clock)
        self.session: Fingerprint | None = None

    def measure(
        self, *, passive: bool = False, highest: float | None = None, **plan: Any
    ) -> Findings:
        told = blind(self.profile)
        probe_limits = None
        if not passive:
            probe_limits = limits_of(told, told.actuators[0], ("power_w",), highest)

        async def work() -> Findings:
            client = ModbusClient.in_memory(
                self.clock, self.server.protocol, name="heater", one_way_us=100, timeout_s=2.0
            )
            probe = ModbusProbe(self.clock, client, told, 1)
            plan.setdefault("seed", self.seed)
            self.session = Fingerprint(probe, probe_limits, Plan(**plan))
            return await self.session.run()

        with self.clock:
            return self.clock.run(work())


@pytest.fixture
def devices() -> SimpleNamespace:
    return SimpleNamespace(heater=heater, drawn=drawn, bench=Bench, high_w=HIGH_W)
