"""Loads that refuse power: noticed from their power reports, left out for a while.

A hot tank's thermostat is open, or no car is plugged in. The set-point then stands for power that
nobody draws, and the allocator should ask somebody else.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..sim.compiled import compiled
from .policy import SiteInfo

#: A load that draws less than this share of its set-point refuses.
REFUSED_SHARE = 0.2
#: So long must the command have stood before a report counts: dead time, ramp, report's latency.
PATIENCE_US = 15_000_000
#: After this time it is asked again.
RETRY_US = 300_000_000


@compiled
def _take(
    t_us: int,
    reports_w: Any,
    sent_w: Any,
    sinks: Any,
    consumption: Any,
    since_us: Any,
    until_us: Any,
    usable: Any,
    out: Any,
) -> None:
    """Take reports of all instances in; see :meth:`RefusalWatch.take`."""
    reporting = reports_w.shape[0]
    for phase in range(3):
        # a phase without actuators has nothing to report
        out[phase, :] = np.nan
        for k in sinks:
            if consumption[phase, k] > 0.0:
                out[phase, :] = 0.0
    for k in sinks:
        for i in range(sent_w.shape[1]):
            report, sent = reports_w[k, i] if k < reporting else math.nan, sent_w[k, i]
            # false for NaN: who does not report does not refuse
            if not (sent > 0.0 and report < REFUSED_SHARE * sent):
                since_us[k, i] = -1
            elif since_us[k, i] < 0:
                since_us[k, i] = t_us
            elif t_us - since_us[k, i] >= PATIENCE_US:
                until_us[k, i] = t_us + RETRY_US
            usable[k, i] = 1.0 if t_us >= until_us[k, i] else 0.0
            for phase in range(3):
                if consumption[phase, k] > 0.0:
                    out[phase, i] += consumption[phase, k] * report


class RefusalWatch:
    """Watches the reports of ``n`` instances of a site."""

    def __init__(self, site: SiteInfo, n: int = 1) -> None:
        """Watch loads and chargers; batteries have limits of their own that are not refusals."""
        sinks = [k for k, a in enumerate(site.actuators) if a.kind in {"load", "charger"}]
        self._sinks = np.array(sinks, dtype=np.int64)
        self._consumption = site.consumption()
        self._since_us = np.zeros((len(site.actuators), n), dtype=np.int64)
        self._until_us = np.zeros((len(site.actuators), n), dtype=np.int64)
        self._reported_w = np.zeros((3, n))
        self.reset()

    def reset(self) -> None:
        """Forget all refusals."""
        self._since_us[:] = -1
        self._until_us[:] = 0

    def take(
        self,
        t_us: int,
        reports_w: NDArray[np.float64],
        sent_w: NDArray[np.float64],
        usable: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Take reports [A, N] in; update ``usable`` [A, N]; return each phase's power [3, N].

        ``reports_w`` may end early: actuators beyond its end do not report. A phase's power is NaN
        unless all of its actuators report. The result is overwritten at the next call.
        """
        _take(
            t_us,
            reports_w,
            sent_w,
            self._sinks,
            self._consumption,
            self._since_us,
            self._until_us,
            usable,
            self._reported_w,
        )
        return self._reported_w
