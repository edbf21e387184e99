"""Verdicts of a suite as matrices: scenarios by policies, limits by policies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from ...suite.judgement import SuiteJudgement
from ...suite.results import RunRow
from ..markup import SEVERITY, table, text

MISSING = "missing"
_LETTERS = {
    "PASS": "P", "INCONCLUSIVE": "I", "FAIL": "F", "ABORTED": "A", "ERROR": "E",
    "not judged": "N", MISSING: "–",
}  # fmt: skip
_ORDER = (*reversed(SEVERITY), MISSING, "not judged")
"""The worst first."""

Counts = Counter[str]


def word_of(row: RunRow) -> str:
    """Return a run's verdict, ``not judged`` for a baseline's."""
    return row.verdict or "not judged"


def counts(found: Mapping[str, int]) -> str:
    """Return how many of each verdict, the worst first, as coloured letters with their numbers."""
    shown = [word for word in _ORDER if found.get(word)]
    shown += [word for word in found if word not in _ORDER and found[word]]
    return " ".join(
        f'<span class="count {text(word) if word in SEVERITY else "unjudged"}" '
        f'title="{text(word)}">{_LETTERS.get(word, "?")}\u202f{found[word]}</span>'
        for word in shown
    )


def verdicts(judgement: SuiteJudgement) -> str:
    """Return the matrix of verdicts, a scenario a row and a policy a column."""
    rows, columns = judgement.strata, judgement.policies
    cells: dict[tuple[str, str], Counts] = {}
    for row in judgement.rows:
        if not row.cell.baseline:
            key = row.cell.stratum, row.cell.policy
            cells.setdefault(key, Counter())[word_of(row)] += 1
    for cell in judgement.missing:
        if not cell.baseline:
            cells.setdefault((cell.stratum, cell.policy), Counter())[MISSING] += 1
    links = [f'<a href="#runs-{i}">{text(name)}</a>' for i, name in enumerate(rows)]
    body = _matrix("Scenario", list(zip(rows, links, strict=True)), columns, cells)
    legend = ", ".join(f"{letter} {word}" for word, letter in _LETTERS.items() if word != MISSING)
    return (
        '<section id="matrix" class="long narrow"><h2>Verdicts</h2>'
        f'<p class="note">Runs of each policy, by verdict: {legend}, – planned and not finished.'
        f"</p>{body}{_limits(judgement.rows, columns)}</section>"
    )


def _matrix(
    head: str,
    rows: Sequence[tuple[str, str]],
    columns: Sequence[str],
    cells: Mapping[tuple[str, str], Counts],
) -> str:
    """Return a table; ``rows`` are keys with the HTML that names them."""
    lines = []
    for key, name in rows:
        line = [f'<th scope="row">{name}</th>']
        line += [f"<td>{counts(cells.get((key, column), Counter()))}</td>" for column in columns]
        line.append(f"<td>{counts(_sum(cells.get((key, column)) for column in columns))}</td>")
        lines.append(f"<tr>{''.join(line)}</tr>")
    if len(rows) > 1:
        total = [_sum(cells.get((key, column)) for key, _ in rows) for column in columns]
        line = ['<th scope="row">all</th>', *(f"<td>{counts(found)}</td>" for found in total)]
        lines.append(f'<tr class="judged">{"".join(line)}<td>{counts(_sum(total))}</td></tr>')
    heads = [(head, False), *((text(column), False) for column in columns), ("all", False)]
    return table("", heads, lines)


def _sum(found: Iterable[Counts | None]) -> Counts:
    total: Counts = Counter()
    for counter in found:
        total.update(counter or {})
    return total


def _limits(rows: Iterable[RunRow], columns: Sequence[str]) -> str:
    """Return which limits are kept and which missed, folded away."""
    cells: dict[tuple[str, str], Counts] = {}
    for row in rows:
        for limit in row.limits:
            key = str(limit.get("limit") or limit.get("metric")), row.cell.policy
            cells.setdefault(key, Counter())[str(limit.get("verdict") or "not judged")] += 1
    names = list(dict.fromkeys(name for name, _ in cells))
    if not names:
        return ""
    body = _matrix("Limit", [(name, text(name)) for name in names], columns, cells)
    return f"<details><summary>Limit by limit</summary>{body}</details>"
