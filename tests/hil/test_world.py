"""Where a run takes place: which clock, and whether its devices are in a process of their own."""

from __future__ import annotations

import contextlib
from types import SimpleNamespace
from typing import Any

import pytest

from wattbench.hil import world as worlds
from wattbench.hil.rig import RigError
from wattbench.hil.rigs.concrete import RigSetup
from wattbench.hil.rigs.model import Rig
from wattbench.hil.world import open_world
from wattbench.scenarios.rigs import load_profiles, load_rig

LAN = {"id": "lan", "kind": "modbus-tcp", "host": "192.0.2.1"}
METER = {"id": "meter", "profile": "eastron_sdm630", "bus": "lan", "serves": ["grid"]}


def experiment(mode: str, factor: float = 1.0) -> Any:
    return SimpleNamespace(clock=SimpleNamespace(mode=mode, factor=factor, duration_s=10.0))


def real() -> RigSetup:
    rig = Rig.model_validate({"name": "lab", "buses": [LAN], "devices": [METER]})
    return RigSetup(rig, load_profiles(rig))


def emulated() -> RigSetup:
    rig = load_rig("export")
    return RigSetup(rig, load_profiles(rig))


NO_PROFILES: Any = SimpleNamespace(values=None)


@pytest.mark.parametrize("mode", ["virtual", "wall"])
def test_direct_begins_at_zero(mode: str) -> None:
    with open_world(experiment(mode), None, 1, NO_PROFILES) as world:
        assert world.clock.mode == mode
        assert world.clock.now_us == 0
        assert world.process is None


def test_virtual_devices_are_opened_before_zero() -> None:
    with open_world(experiment("virtual"), emulated(), 1, NO_PROFILES) as world:
        assert world.clock.now_us == -30_000_000
        assert world.process is None


def test_real_devices_keep_no_virtual_time() -> None:
    with (
        pytest.raises(RigError, match=r"'lab' has real devices.*--clock wall"),
        open_world(experiment("virtual"), real(), 1, NO_PROFILES),
    ):
        raise AssertionError


def test_all_real_needs_no_process() -> None:
    with open_world(experiment("wall"), real(), 1, NO_PROFILES) as world:
        assert world.clock.mode == "wall"
        assert world.clock.now_us < 0
        assert world.process is None


def test_more_than_clients_can_follow_is_refused() -> None:
    with (
        pytest.raises(RigError, match="cannot keep up with --factor 50; allowed: at most 20"),
        open_world(experiment("wall", 50.0), emulated(), 1, NO_PROFILES),
    ):
        raise AssertionError


def test_emulated_devices_on_the_wall_clock_are_in_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[Any] = []

    class Process(contextlib.AbstractContextManager):  # type: ignore[type-arg]
        def __init__(self, content: Any, profiles: Any) -> None:
            told.append(content)

        def built(self) -> None:
            told.append("built")

        def start(self, lead_s: float, factor: float) -> int:
            import time

            told.append((lead_s, factor))
            return time.monotonic_ns() + 5_000_000_000

        def __exit__(self, *error: object) -> None:
            told.append("closed")

    monkeypatch.setattr(worlds, "EmulatorProcess", Process)
    monkeypatch.setattr(worlds, "_content", lambda *a: "content")
    with open_world(experiment("wall", 2.0), emulated(), 1, NO_PROFILES) as world:
        assert world.process is not None
        assert -10_000_000 <= world.clock.now_us < -5_000_000, "twice as fast towards zero"
        assert told[:2] == ["content", "built"]
    assert told[-1] == "closed"
