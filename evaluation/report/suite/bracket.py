"""The bracket: where policies stand between doing nothing and the best possible."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...bracket import BOUND, RESTRICTIONS, ZERO, Bracket, score_text
from .. import format as fmt
from ..markup import table, text
from .scale import picture, scale_over

_LOST = (
    "No run of this suite has a <code>bracket.json</code>: the zero baseline, a tuned PI, the "
    "replayed optimum and the bound are computed at the end of <code>wattbench suite</code>."
)
_HOW = (
    "Objective J of each, lower is better, from the worst at the top to the bound, below which no "
    "policy can be. The line to the bound is the regret. Score: 0 is doing nothing, 100 the bound; "
    "the regret as a multiple of the tuned PI's stands beside it, for the score alone squeezes "
    "good policies together. Each is of one seed."
)


def brackets(found: Mapping[str, Sequence[Bracket]]) -> str:
    """Return one axis a scenario with zero, policies, replayed optimum and bound on it."""
    if not found:
        body = f'<p class="note">{_LOST}</p>'
    else:
        body = f'<p class="note">{_HOW}</p>'
        body += "".join(_one(name, of_stratum) for name, of_stratum in found.items())
    return f'<section id="brackets" class="long"><h2>Bracket</h2>{body}</section>'


def _one(stratum: str, found: Sequence[Bracket]) -> str:
    """Return the axis of a scenario; its brackets share all but the judged policy."""
    known = [bracket for bracket in found if not bracket.no_bracket]
    if not known:
        why = found[0].no_bracket
        return f'<h3>{text(stratum)}</h3><p class="note">No bracket: {text(why)}.</p>'
    source = {name: bracket for bracket in known for name in bracket.objective_wh}
    values = {name: bracket.objective_wh[name] for name, bracket in source.items()}
    judged = {bracket.policy for bracket in known}
    scale = scale_over(values.values(), "Wh", 440)
    like = max(abs(value) for value in values.values())
    ends = [values[name] for name in (ZERO, BOUND) if name in values]
    heads = [("Who", False), ("Objective J", False), ("J", True), ("Score", True),
             ("Regret", True), ("× tuned PI's", True)]  # fmt: skip
    rows = []
    for name, value in sorted(values.items(), key=lambda item: -item[1]):
        bracket = source[name]
        span = (values[BOUND], value) if BOUND in values else None
        regret, ratio = bracket.regret_wh(name), bracket.regret_ratio(name)
        score = score_text(bracket.score(name)).replace("-", "\u2212")
        rows.append(
            f"<tr{' class=judged' if name in judged else ''}>"
            f'<th scope="row">{text(name)}</th>'
            f"<td>{picture(scale, at=value, span=span, lines=ends)}</td>"
            f'<td class="n">{text(fmt.significant(value, "Wh", like))}</td>'
            f'<td class="n">{text(score)}</td>'
            f'<td class="n">{text(fmt.significant(regret, "Wh", like))}</td>'
            f'<td class="n">{fmt.NONE if ratio is None else f"{ratio:.2f}"}</td></tr>'
        )
    axis = f'<tr class="axis"><td></td><td>{scale.axis()}</td><td colspan="4"></td></tr>'
    said = "".join(_said(bracket) for bracket in known)
    return table(f"<b>{text(stratum)}</b>", heads, [*rows, axis]) + said


def _said(bracket: Bracket) -> str:
    """Return what the same policy reaches with one restriction lifted, and what failed."""
    lines = [
        f"{bracket.policy}, {bracket.explained(restriction)}"
        for restriction in RESTRICTIONS
        if restriction in bracket.lifted or restriction in bracket.lifted_how
    ]
    lines += bracket.warnings
    items = "".join(f"<li>{text(line)}</li>" for line in lines)
    return f'<ul class="note">{items}</ul>' if items else ""
