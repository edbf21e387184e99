"""What a guardian is told by the run that starts it."""

from __future__ import annotations

from pathlib import Path

from ...sim.config import Model
from ..devices.model import DeviceProfile
from .lease import LEASE_S
from .model import Rig


class Orders(Model):
    """What the guardian needs to know, all of it before the run's first write."""

    rig: Rig
    profiles: dict[str, DeviceProfile]
    token: str
    """Of the run's lease."""
    pid: int
    """The run's process."""
    state_folder: Path
    run_folder: Path | None
    """Where the outcome is written too; renaming the folder meanwhile does not matter."""
    lease_s: float = LEASE_S
