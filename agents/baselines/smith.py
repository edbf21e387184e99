"""A Smith predictor with a send/hold gate.

The features hold the surplus: grid power with the site's own actuators taken out, by a model of
what has been commanded and is still under way (O. J. M. Smith, Closer control of loops with dead
time, 1957). So a new command need not wait for the last one to show. What changes of surplus to
expect until a command takes effect, the optional slope term says.

Every change costs a part of the budget, so a gate decides whether the new target is worth it. It
is asymmetric: export is what the site is judged by, so it reacts to that at once, to import only
when it lasts. The nearer the budget's end, the more a change must bring.

A meter that counts the other way would turn all of this round, so the meter's sign is checked
against what the own commands should have caused (:mod:`.sign_check`).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from ...sim.config import DurationS, PowerW
from ..feature_names import (
    COMMAND_A,
    COMMAND_TOTAL,
    GRID_TOTAL,
    HEAD,
    OWN_A,
    OWN_TOTAL,
    PV,
    SURPLUS_A,
    SURPLUS_LAGS,
    SURPLUS_LAGS_S,
    SURPLUS_TOTAL,
)
from ..policy import Observation, SiteInfo, register
from ..tuning import Tunable
from .control import Controller, ControllerConfig
from .sign_check import SignCheck

_SLOPE_LAG = SURPLUS_LAGS + SURPLUS_LAGS_S.index(3)
_SLOPE_S = 3.0


class SmithConfig(ControllerConfig):
    """Dead-time compensation, optional slope term, asymmetric send/hold gate."""

    kind: Literal["smith"] = "smith"
    tunables: ClassVar[Mapping[str, Tunable]] = {
        **ControllerConfig.tunables,
        "min_interval_s": Tunable(1.0, 10.0),
        "slope_s": Tunable(0.0, 6.0),
        "export_gate_w": Tunable(20.0, 600.0, log=True),
        "import_gate_w": Tunable(20.0, 1000.0, log=True),
        "import_hold_s": Tunable(0.0, 15.0),
        "scarcity": Tunable(0.0, 20.0),
        "mismatch": Tunable(0.0, 1.0),
    }
    min_interval_s: DurationS = Field(3.0, ge=0, le=600)
    """Least time between two changes; 8 broadcasts within 9 s fill a coordinator's table."""
    slope_s: DurationS = Field(0.0, ge=0, le=60)
    """How far ahead the surplus is extrapolated with its slope over the last 3 s; 0: not at all."""
    export_gate_w: PowerW = Field(110.0, ge=0, le=100_000)
    """More export to come than this: send."""
    import_gate_w: PowerW = Field(150.0, ge=0, le=100_000)
    """More import to come than this, for `import_hold_s`: send."""
    import_hold_s: DurationS = Field(2.0, ge=0, le=600)
    scarcity: float = Field(5.0, ge=0, le=100)
    """By how much the gates rise, in multiples, as the budget goes from full to spent (squared)."""
    mismatch: float = Field(0.7, ge=0, le=1)
    """How wrong the model may be while a change shows, or showed one step ago: this part of the
    model's step widens the gates. With 1, a change that comes a second late misleads nobody."""
    check_sign: bool = True
    """Whether to compare the changes of grid power with those that the own commands should have
    caused, and to read the meter the other way while they go against each other."""


class Smith(Controller):
    """Smith predictor on net power, or on each phase."""

    def __init__(self, config: SmithConfig, site: SiteInfo) -> None:
        """Take limits and set-point from the site."""
        super().__init__(config, site)
        self._config = config
        self._limit = config.max_changes_per_min
        self._sign = SignCheck(self._total_low_w, self._total_high_w, site.control_period_s)
        self.reset(0)

    def reset(self, seed: int) -> None:
        """Forget changes and waits; nothing is drawn."""
        super().reset(seed)
        self._import_since_us: int | None = None
        self._own_w = self._moved_w = 0.0
        self._sign.reset()

    def decide(self, observation: Observation) -> NDArray[np.float64]:
        """Return the phase targets [3]."""
        config = self._config
        now_us = observation.t_us
        head = observation.values[:HEAD].tolist()
        own = head[OWN_TOTAL]
        moved = abs(own - self._own_w)
        doubt = config.mismatch * max(moved, self._moved_w)
        self._own_w, self._moved_w = own, moved
        surplus_w, surplus_total_w = head[SURPLUS_A : SURPLUS_A + 3], head[SURPLUS_TOTAL]
        ahead = 0.0
        if config.check_sign and self._sign.update(
            now_us, observation.age_s, head[GRID_TOTAL], own, head[PV]
        ):
            # surplus is own minus grid power; with the other sign it is own plus grid power
            surplus_w = [2.0 * head[OWN_A + phase] - surplus_w[phase] for phase in range(3)]
            surplus_total_w = 2.0 * own - surplus_total_w
        elif config.slope_s > 0.0:
            past = float(observation.values[_SLOPE_LAG])
            ahead = (surplus_total_w - past) * config.slope_s / _SLOPE_S
        if self._each:
            share = (ahead + self._setpoint_w) / 3.0
            targets = [
                min(max(surplus_w[phase] + share, self._low_w[phase]), self._high_w[phase])
                for phase in range(3)
            ]
            gaps = [targets[phase] - head[COMMAND_A + phase] for phase in range(3)]
            if self._worth(now_us, max(0.0, *gaps), max(0.0, *(-gap for gap in gaps)), doubt):
                self._ask(now_us, targets)
            return self._targets_w
        total = surplus_total_w + ahead + self._setpoint_w
        total = min(max(total, self._total_low_w), self._total_high_w)
        gap = total - head[COMMAND_TOTAL]
        if self._worth(now_us, gap, -gap, doubt):
            self._ask_total(now_us, total, surplus_w)
        return self._targets_w

    def _worth(self, now_us: int, export_w: float, import_w: float, doubt_w: float) -> bool:
        """Return whether the export or the import to come is worth a change of command."""
        config = self._config
        used = self._budget.used(now_us) / self._limit
        scale = 1.0 + config.scarcity * used * used
        if import_w <= config.import_gate_w:
            self._import_since_us = None
        elif self._import_since_us is None:
            self._import_since_us = now_us
        if not self._budget.allows(now_us):
            return False
        if export_w > config.export_gate_w * scale + doubt_w:
            return True
        if self._import_since_us is None:
            return False
        held_s = (now_us - self._import_since_us) * 1e-6
        enough = config.import_gate_w * scale + doubt_w
        return import_w > enough and held_s >= config.import_hold_s


register(SmithConfig, Smith)
