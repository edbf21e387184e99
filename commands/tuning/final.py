"""The final: which points meet again on further seeds, which of them is chosen, and its gain."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from .score import ranked

if TYPE_CHECKING:
    from ...evaluation.statistics import Interval
    from .found import Tried, Tuned
    from .plan import Plan


def finalists_of(tried: Sequence[Tried], plan: Plan) -> list[int]:
    """Return the indices of the points of the search that come into the final, ascending.

    They are the defaults, which the others are compared with, and of the points that kept the
    limits the other starts and those with the least J, each once.
    """
    order = ranked([point.score for point in tried])
    starts = {0, *(k for k in order if tried[k].origin == "rule")}
    seen = [tried[k].parameters for k in starts]
    best: list[int] = []
    for k in order:
        if len(best) < plan.finalists - len(plan.starts) and tried[k].parameters not in seen:
            best.append(k)
            seen.append(tried[k].parameters)
    return sorted({*starts, *best})


def chosen_of(tried: Sequence[Tried], finals: Mapping[int, Tried]) -> int | None:
    """Return the index of the point with the least J in the final; None: all broke a limit.

    Only points count that kept the limits in the search, too. Of two that are alike the first one
    is taken.
    """
    kept = [k for k in finals if (score := tried[k].score) is not None and score.feasible]
    order = ranked([finals[k].score for k in kept])
    return kept[order[0]] if order else None


def reduction_of(tuned: Tuned) -> Interval | None:
    """Return by how much J of the chosen point is below the defaults' in the final, as a share.

    1 − exp(mean over scenarios and seeds of ln(J / J of the defaults)), with the bootstrap's
    interval of that mean. None: the defaults failed in a run.
    """
    import numpy as np

    from ...evaluation.statistics import mean_interval

    chosen, defaults = tuned.finals[tuned.chosen], tuned.finals[0]
    if not defaults.ratios:
        return None
    logs = np.log(np.array(chosen.ratios) / np.array(defaults.ratios))
    parts = np.split(logs, len(tuned.plan.training))
    samples = {
        f"{k} {part.scenario.name}": values
        for k, (part, values) in enumerate(zip(tuned.plan.training, parts, strict=True))
    }
    found = mean_interval(samples)
    return replace(
        found,
        estimate=-math.expm1(found.estimate),
        low=-math.expm1(found.high),
        high=-math.expm1(found.low),
    )
