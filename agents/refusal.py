"""Loads that refuse power: noticed from their power reports, left out for a while.

A hot tank's thermostat is open, or no car is plugged in. The set-point then stands for power that
nobody draws, and the allocator should ask somebody else.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from .policy import SiteInfo

#: A load that draws less than this share of its set-point refuses.
REFUSED_SHARE = 0.2
#: So long must the command have stood before a report counts: dead time, ramp, report's latency.
PATIENCE_US = 15_000_000
#: After this time it is asked again.
RETRY_US = 300_000_000


class RefusalWatch:
    """Watches the reports of one site."""

    def __init__(self, site: SiteInfo) -> None:
        """Watch loads and chargers; batteries have limits of their own that are not refusals."""
        self._sinks = [k for k, a in enumerate(site.actuators) if a.kind in {"load", "charger"}]
        self._consumption = site.consumption()
        self._phases = [
            [k for k in self._sinks if self._consumption[phase, k] > 0.0] for phase in range(3)
        ]
        self._count = len(site.actuators)
        self.reset()

    def reset(self) -> None:
        """Forget all refusals."""
        self._since_us: list[int | None] = [None] * self._count
        self._until_us = [0] * self._count

    def take(
        self,
        t_us: int,
        reports_w: NDArray[np.float64],
        sent_w: NDArray[np.float64],
        usable: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Take reports [A] in; update ``usable`` [A]; return reported power of each phase [3].

        ``reports_w`` may end early: actuators beyond its end do not report. A phase's power is NaN
        unless all of its actuators report.
        """
        reports, sent = reports_w.tolist(), sent_w.tolist()
        reports += [math.nan] * (self._count - len(reports))
        for k in self._sinks:
            # false for NaN: who does not report does not refuse
            if not (sent[k] > 0.0 and reports[k] < REFUSED_SHARE * sent[k]):
                self._since_us[k] = None
            elif (since := self._since_us[k]) is None:
                self._since_us[k] = t_us
            elif t_us - since >= PATIENCE_US:
                self._until_us[k] = t_us + RETRY_US
            usable[k] = float(t_us >= self._until_us[k])
        shares = self._consumption
        phases = [
            sum(shares[phase, k] * reports[k] for k in members) if members else np.nan
            for phase, members in enumerate(self._phases)
        ]
        return np.array(phases)
