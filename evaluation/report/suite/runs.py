"""The runs of a suite: the worst with what went wrong, and all of them scenario by scenario."""

from __future__ import annotations

import math
import shlex
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import quote

from ...metrics import METRICS
from ...suite.judgement import SuiteJudgement
from ...suite.results import Cell, RunRow
from ...suite.text import shown
from ...suite.worst import WorstRun, worst_runs
from .. import format as fmt
from ..markup import SEVERITY, badge, table, text
from ..model import LimitRow
from ..verdict_part import closeness, share
from .intervals import title_of
from .matrix import MISSING, counts, word_of

_WORST = 5
"""So many of each policy's runs are among the worst,"""
_WORST_IN_ALL = 60
"""and no more than this in all."""


def command_for(cell: Cell) -> str:
    """Return the command that writes a run's report, for a shell in the suite's folder."""
    return f"wattbench report {shlex.quote(cell.folder)}"


def worst(judgement: SuiteJudgement) -> str:
    """Return each policy's worst runs: by verdict, then by the objective against baselines."""
    order = worst_runs(judgement, len(judgement.rows))
    rows: list[str] = []
    for policy in judgement.policies:
        runs = [found for found in order if found.row.cell.policy == policy]
        rows += [_worst_row(judgement.folder, found) for found in runs[:_WORST]]
    if not rows:
        return ""
    heads = [("Verdict", False), ("Policy", False), ("Scenario", False), ("Seed", True),
             ("J below the best baseline", True), ("Why", False), ("Record", False),
             ("Its report, made on demand", False)]  # fmt: skip
    caption = (
        f"Up to {_WORST} of each policy. Commands are for a shell in this page's folder; the "
        "reports share one copy of the plotting library, in assets/."
    )
    body = table(caption, heads, rows[:_WORST_IN_ALL])
    return f'<section id="worst" class="long"><h2>Worst seeds</h2>{body}</section>'


def _limit_rows(row: RunRow) -> list[LimitRow]:
    return [_limit_row(limit) for limit in row.limits]


def _limit_row(limit: Mapping[str, Any]) -> LimitRow:
    return LimitRow(
        metric=str(limit.get("metric", "")),
        unit=str(limit.get("unit", "")),
        measured=_known(limit.get("measured")),
        bound=_known(limit.get("bound")),
        direction="min" if limit.get("direction") == "min" else "max",
        verdict=str(limit.get("verdict") or "not judged"),
    )


def _known(value: Any) -> float | None:
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def why(row: RunRow) -> str:
    """Return why a run's verdict is what it is; of a PASS, which limit is the tightest."""
    if row.reason:
        return row.reason
    judged = [limit for limit in _limit_rows(row) if limit.verdict in SEVERITY]
    if not judged:
        return row.status if row.status != "completed" else ""
    # Nothing of what must not happen at all: kept, but not a close thing.
    close = [limit for limit in judged if limit.bound != 0 or limit.measured != 0]
    if not close:
        return "nothing happened that must not"
    tight = max(close, key=closeness)
    return f"tightest: {title_of(tight.metric)}, {share(tight) or 'far from its bound'}"


def _worst_row(suite: Path, found: WorstRun) -> str:
    row, cell = found.row, found.row.cell
    below = fmt.NONE if math.isnan(found.reduction) else shown(found.reduction, "1")
    return (
        f'<tr><td>{badge(word_of(row))}</td><th scope="row">{text(cell.policy)}</th>'
        f'<td>{text(cell.stratum)}</td><td class="n">{cell.seed}</td>'
        f'<td class="n">{text(below)}</td><td>{text(why(row))}</td>'
        f"<td>{links(suite, cell)}</td><td><code>{text(command_for(cell))}</code></td></tr>"
    )


def links(suite: Path, cell: Cell) -> str:
    """Return links to a run's folder and its report, as far as they are there now."""
    folder = suite / cell.folder
    if not folder.is_dir():
        return '<span class="note">gone</span>'
    place = quote(cell.folder)
    found = [f'<a href="{place}/">folder</a>']
    if (folder / "report.html").is_file():
        found.append(f'<a href="{place}/report.html">report</a>')
    return " ".join(found)


def all_runs(judgement: SuiteJudgement) -> str:
    """Return every run, folded away scenario by scenario."""
    keys = _columns(judgement.rows)
    by_stratum: dict[str, list[RunRow]] = {name: [] for name in judgement.strata}
    for row in judgement.rows:
        by_stratum[row.cell.stratum].append(row)
    missing: dict[str, list[Cell]] = {}
    for cell in judgement.missing:
        missing.setdefault(cell.stratum, []).append(cell)
    parts = [
        _stratum(judgement.folder, index, name, rows, missing.get(name, []), keys)
        for index, (name, rows) in enumerate(by_stratum.items())
    ]
    return (
        '<section id="runs" class="long"><h2>All runs</h2><p class="note">Scenario by scenario; '
        f"baselines are not judged.</p>{''.join(parts)}</section>"
    )


def _columns(rows: Sequence[RunRow]) -> list[str]:
    """Return the headline metrics that any run has a value of, the objective first."""
    present = {key for row in rows for key, value in row.measurements.items() if value is not None}
    keys = [key for key, entry in METRICS.items() if entry.headline and key in present]
    return sorted(keys, key=lambda key: not key.startswith("objective@"))


def _stratum(
    suite: Path,
    index: int,
    name: str,
    rows: Sequence[RunRow],
    missing: Sequence[Cell],
    keys: Sequence[str],
) -> str:
    found = Counter(word_of(row) for row in rows if not row.cell.baseline)
    found.update({MISSING: len(missing)})
    like = {
        key: max(
            (
                abs(value)
                for row in rows
                if row.status == "completed"
                and (value := _known(row.measurements.get(key))) is not None
            ),
            default=0.0,
        )
        for key in keys
    }
    heads = [("Verdict", False), ("Policy", False), ("Seed", True)]
    heads += [(text(title_of(key)), True) for key in keys]
    heads += [("Why", False), ("Record", False)]
    lines = [_run(suite, row, keys, like) for row in rows]
    lines += [
        f'<tr><td><span class="note">– {MISSING}</span></td><th scope="row">{text(cell.policy)}'
        f'</th><td class="n">{cell.seed}</td><td colspan="{len(keys) + 2}"></td></tr>'
        for cell in missing
    ]
    return (
        f'<details id="runs-{index}"><summary>{text(name)} {counts(found)}</summary>'
        f"{table('', heads, lines)}</details>"
    )


def _run(suite: Path, row: RunRow, keys: Sequence[str], like: Mapping[str, float]) -> str:
    cell = row.cell
    tag = '<span class="tag">baseline</span>' if cell.baseline else ""
    whole = row.status == "completed"  # else its values are of a part of the run, unlike others'
    cells = [
        fmt.significant(_known(row.measurements.get(key)), METRICS[key].unit, like[key])
        if whole
        else fmt.NONE
        for key in keys
    ]
    values = "".join(f'<td class="n">{text(value)}</td>' for value in cells)
    verdict = fmt.NONE if cell.baseline else badge(word_of(row))
    return (
        f'<tr><td>{verdict}</td><th scope="row">{text(cell.policy)}{tag}</th>'
        f'<td class="n">{cell.seed}</td>{values}<td>{text(why(row))}</td>'
        f"<td>{links(suite, cell)}</td></tr>"
    )
