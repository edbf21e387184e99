"""The bracket: where policies stand between doing nothing and the best possible."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from .. import format as fmt
from ..markup import table, text
from .scale import picture, scale_over

_BOUND, _ZERO = "bound", "zero"
_NEXT_TO_NOTHING_WH = 1.0
"""A regret below this is nothing to take multiples of."""
_LEAST_RANGE = 0.01
"""Where the bound improves J of zero by a smaller share of it, a score says nothing."""
_LOST = (
    "No run of this suite has a <code>bracket.json</code>: the zero baseline, a tuned PI, the "
    "replayed optimum and the bound are computed where the suite asks for brackets."
)


def brackets(found: Mapping[str, Mapping[str, Any]]) -> str:
    """Return one axis a scenario with zero, policies, replayed optimum and bound on it."""
    if not found:
        body = f'<p class="note">{_LOST}</p>'
    else:
        body = (
            '<p class="note">Objective J of each, lower is better, from the worst at the top to '
            "the bound, below which no policy can be. The line to the bound is the regret. Score: "
            "0 is doing nothing, 100 the bound; regret against the tuned PI's stands beside it, "
            "for the score alone squeezes good policies together. Each is of one seed.</p>"
            + "".join(_one(name, content) for name, content in found.items())
        )
    return f'<section id="brackets" class="long"><h2>Bracket</h2>{body}</section>'


def _one(stratum: str, content: Mapping[str, Any]) -> str:
    given = content.get("objective_wh")
    values = _numbers(given if isinstance(given, Mapping) else {})
    if len(values) < 2:
        why = content.get("no_bracket") or "fewer than two values of J are known"
        return f'<h3>{text(stratum)}</h3><p class="note">No bracket: {text(why)}.</p>'
    bound = values.get(_BOUND)
    scale = scale_over(values.values(), "Wh", 440)
    like = max(abs(v) for v in values.values())
    ends = [v for v in (values.get(_ZERO), bound) if v is not None]
    heads = [("Who", False), ("Objective J", False), ("J", True), ("Score", True),
             ("Regret", True), ("× tuned PI's", True)]  # fmt: skip
    rows = []
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        span = None if bound is None else (bound, value)
        ratio = _regret_ratio(name, values, content)
        regret = None if bound is None else value - bound
        rows.append(
            f"<tr{' class=judged' if name == content.get('policy') else ''}>"
            f'<th scope="row">{text(name)}</th>'
            f"<td>{picture(scale, at=value, span=span, lines=ends)}</td>"
            f'<td class="n">{text(fmt.quantity(value, "Wh", like))}</td>'
            f'<td class="n">{text(_score(name, values, content))}</td>'
            f'<td class="n">{text(fmt.quantity(regret, "Wh", like))}</td>'
            f'<td class="n">{fmt.NONE if ratio is None else f"{ratio:.2f}"}</td></tr>'
        )
    axis = f'<tr class="axis"><td></td><td>{scale.axis()}</td><td colspan="4"></td></tr>'
    return table(f"<b>{text(stratum)}</b>", heads, [*rows, axis]) + _lifted(values, content)


def _numbers(given: Mapping[str, Any]) -> dict[str, float]:
    return {
        str(name): float(value)
        for name, value in given.items()
        if isinstance(value, int | float) and math.isfinite(value)
    }


def _score(name: str, values: Mapping[str, float], content: Mapping[str, Any]) -> str:
    """Return the score that the bracket gives, else 100·(J_zero − J)/(J_zero − J_bound)."""
    given = content.get("score")
    if isinstance(given, Mapping) and name in given:
        score = _numbers(given).get(name)
    else:
        score = _computed(name, values)
    return "n/a" if score is None else f"{score:.1f}".replace("-", "\u2212")


def _computed(name: str, values: Mapping[str, float]) -> float | None:
    zero, bound = values.get(_ZERO), values.get(_BOUND)
    if zero is None or bound is None:
        return None
    span = zero - bound
    if span < max(_LEAST_RANGE * abs(zero), _NEXT_TO_NOTHING_WH):
        return None
    return 100.0 * (zero - values[name]) / span


def _regret_ratio(
    name: str, values: Mapping[str, float], content: Mapping[str, Any]
) -> float | None:
    """Return a regret as a multiple of the tuned PI's; None where that is next to nothing."""
    bound, tuned = values.get(_BOUND), values.get(str(content.get("tuned_pi")))
    if bound is None or tuned is None or not tuned - bound > _NEXT_TO_NOTHING_WH:
        return None
    return (values[name] - bound) / (tuned - bound)


def _lifted(values: Mapping[str, float], content: Mapping[str, Any]) -> str:
    """Return what the same policy reaches with one restriction lifted, as far as it is known."""
    given, policy = content.get("lifted"), values.get(str(content.get("policy")))
    bound = values.get(_BOUND)
    if not isinstance(given, Mapping) or policy is None:
        return ""
    lines = []
    for restriction, without in _numbers(given).items():
        told = f"J {fmt.quantity(without, 'Wh')} instead of {fmt.quantity(policy, 'Wh')}"
        if bound is not None and policy - bound > _NEXT_TO_NOTHING_WH:
            told += f", {100 * (policy - without) / (policy - bound):.0f}\u202f% of the regret"
        lines.append(f"<li>Without the {text(restriction.replace('_', ' '))}: {text(told)}</li>")
    return f'<ul class="note">{"".join(lines)}</ul>' if lines else ""
