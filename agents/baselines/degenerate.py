"""Policies that no objective may reward, and one that crashes.

A scenario that lets one of them pass is broken. All of them answer with set-points for each
actuator; batteries and PV limits stay out of it (0 W, fully open).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...sim.config import Fraction
from ...sim.random import generator
from ..policy import ActionKind, Observation, Policy, PolicyConfig, SiteInfo, register


class ZeroConfig(PolicyConfig):
    """All loads and chargers off, always."""

    kind: Literal["zero"] = "zero"


class AlwaysOnConfig(PolicyConfig):
    """All loads and chargers at full power, always."""

    kind: Literal["always_on"] = "always_on"


class FrozenConfig(PolicyConfig):
    """All loads and chargers at the same part of full power, always."""

    kind: Literal["frozen"] = "frozen"
    share: Fraction = Field(0.5, gt=0, le=1)
    """Of full power."""


class RandomConfig(PolicyConfig):
    """A new random set-point for every load and charger at every step."""

    kind: Literal["random"] = "random"


class DitherConfig(PolicyConfig):
    """All on, all off, in turn at every step."""

    kind: Literal["dither"] = "dither"


class CrashEarlyConfig(PolicyConfig):
    """Off, until it raises an exception."""

    kind: Literal["crash_early"] = "crash_early"
    steps: int = Field(5, ge=0, le=1_000_000)
    """Control steps that go well."""


def sinks_w(site: SiteInfo, share: float) -> NDArray[np.float64]:
    """Return [A] with all loads and chargers at ``share`` of full power."""
    shares = {"load": share, "charger": share, "battery": 0.0, "pv_limit": 1.0}
    return np.array([shares[actuator.kind] * actuator.high_w for actuator in site.actuators])


class Constant(Policy):
    """The same set-points at every step."""

    action: ActionKind = "actuator_power"

    def __init__(self, power_w: NDArray[np.float64]) -> None:
        """Answer with ``power_w`` [A]."""
        self._power_w = power_w

    def reset(self, seed: int) -> None:
        """Nothing is remembered."""

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the set-points [A]."""
        return self._power_w


class RandomPolicy(Policy):
    """Uniform set-points between off and full power."""

    action: ActionKind = "actuator_power"

    def __init__(self, site: SiteInfo) -> None:
        """Draw for the site's loads and chargers."""
        self._low_w = sinks_w(site, 0.0)
        self._span_w = sinks_w(site, 1.0) - self._low_w
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Start the draws that belong to ``seed``."""
        self._rng = generator(seed, "policy", "random")

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the set-points [A]."""
        return self._low_w + self._span_w * self._rng.random(self._low_w.size)


class Dither(Policy):
    """Full power at even steps, off at odd ones."""

    action: ActionKind = "actuator_power"

    def __init__(self, site: SiteInfo) -> None:
        """Flip the site's loads and chargers."""
        self._powers_w = (sinks_w(site, 1.0), sinks_w(site, 0.0))

    def reset(self, seed: int) -> None:
        """Nothing is remembered."""

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the set-points [A]."""
        return self._powers_w[observation.step % 2]


class CrashEarly(Constant):
    """Off, then an exception."""

    def __init__(self, site: SiteInfo, steps: int) -> None:
        """Raise at step number ``steps``, counted from 0."""
        super().__init__(sinks_w(site, 0.0))
        self._steps = steps

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the set-points [A]; raise RuntimeError from step ``steps`` on."""
        if observation.step >= self._steps:
            raise RuntimeError("crashed on purpose")
        return super().decide(observation)


register(ZeroConfig, lambda config, site: Constant(sinks_w(site, 0.0)))
register(AlwaysOnConfig, lambda config, site: Constant(sinks_w(site, 1.0)))
register(FrozenConfig, lambda config, site: Constant(sinks_w(site, config.share)))
register(RandomConfig, lambda config, site: RandomPolicy(site))
register(DitherConfig, lambda config, site: Dither(site))
register(CrashEarlyConfig, lambda config, site: CrashEarly(site, config.steps))
