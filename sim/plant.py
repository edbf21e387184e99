"""What the bench asks of a plant, and which plants there are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from .config import Model
from .edge.config import EdgeConfig
from .edge.meter import MeterReading
from .export.config import ExportPlantConfig
from .faults import FaultConfig
from .points import Actuator


class Plant(Protocol):
    """Simulated physics with its edge: knows no protocol and no policy."""

    actuators: tuple[Actuator, ...]

    @property
    def now_us(self) -> int:
        """Time up to which the plant has been simulated, on its grid of sub-steps."""

    def advance(self, to_us: int) -> None:
        """Simulate up to the last grid time that is not later than ``to_us``."""

    def send(self, t_us: int, power_w: NDArray[np.float64]) -> tuple[int, int]:
        """Send set-points [actuator] at ``t_us``; return (sequence number, status)."""

    def reading(self, t_us: int) -> MeterReading | None:
        """Return the newest meter sample published by ``t_us``."""

    def reports_w(self, t_us: int) -> NDArray[np.float64] | None:
        """Return the loads' own power reports that arrived by ``t_us``; None if they send none."""

    def acked_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator's reply to a broadcast arrives; −1: never."""

    def effective_us(self, seq: int) -> NDArray[np.int64]:
        """Return when each actuator acted on a broadcast; −1: never."""

    def truth(self) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
        """Return the truth stream: columns and their units."""

    def meta(self) -> dict[str, Any]:
        """Return what judging needs to know of the plant (fuse, loads, stored energy at start)."""

    def within_safe_band(self) -> bool:
        """Return whether the truth shows every actuator at its safe value."""


@dataclass(frozen=True, slots=True)
class PlantKind:
    """A plant that scenarios can name: its configuration model and how to build it."""

    config_model: type[Model]
    build: Callable[..., Plant]
    actuators: Callable[[Any, EdgeConfig], tuple[Actuator, ...]]
    """Its actuators, from configuration and edge, without building it."""


def _build_export(
    config: ExportPlantConfig,
    edge: EdgeConfig,
    profiles: NDArray[np.float32],
    faults: Sequence[FaultConfig],
    seed: int,
    duration_us: int,
) -> Plant:
    # The kernel's module loads numba; validating a scenario must not.
    from .export.plant import ExportPlant

    return ExportPlant(config, edge, profiles, faults, seed, duration_us)


def _export_actuators(config: ExportPlantConfig, edge: EdgeConfig) -> tuple[Actuator, ...]:
    from .export.compilation import actuators

    return actuators(config, edge)


PLANTS: dict[str, PlantKind] = {
    "export": PlantKind(ExportPlantConfig, _build_export, _export_actuators)
}


def build(kind: str, *args: Any) -> Plant:
    """Build a plant: ``build(kind, config, edge, profiles, faults, seed, duration_us)``."""
    return PLANTS[kind].build(*args)
