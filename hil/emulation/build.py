"""A rig, its profiles and faults as plain values, for a process that is told them in JSON."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pydantic import TypeAdapter

from ...sim.faults import FaultConfig
from ..devices.model import DeviceProfile
from ..rigs.concrete import RigSetup
from ..rigs.model import Rig

FOLDER: Final = "wattbench-emulator-"
"""How the names of folders begin in which a run and its emulator hand over arrays."""
_FAULTS: TypeAdapter[tuple[FaultConfig, ...]] = TypeAdapter(tuple[FaultConfig, ...])


def plain_setup(setup: RigSetup) -> dict[str, Any]:
    """Return a rig and the profiles of its devices as plain values."""
    return {
        "rig": setup.rig.model_dump(mode="json"),
        "profiles_of": {
            name: profile.model_dump(mode="json") for name, profile in setup.profiles.items()
        },
    }


def setup_from(content: dict[str, Any]) -> RigSetup:
    """Return the rig of plain values."""
    profiles = {
        name: DeviceProfile.model_validate(profile)
        for name, profile in content["profiles_of"].items()
    }
    return RigSetup(Rig.model_validate(content["rig"]), profiles)


def plain_faults(faults: Sequence[FaultConfig]) -> list[dict[str, Any]]:
    """Return faults as plain values."""
    return [fault.model_dump(mode="json") for fault in faults]


def faults_from(content: Sequence[dict[str, Any]]) -> tuple[FaultConfig, ...]:
    """Return the faults of plain values."""
    return _FAULTS.validate_python(content)
