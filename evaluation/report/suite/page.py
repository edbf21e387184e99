"""The suite's page: one HTML file without any script, drawn by nothing but HTML and SVG."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...files import write_at_once
from ...suite.judgement import SuiteJudgement
from ...verdict import Verdict
from .. import format as fmt
from ..markup import SEVERITY, sign, text
from ..model import IdentityRow
from ..page import asset, filled
from ..record_part import identity_groups
from . import bracket, intervals, matrix, runs

REPORT_FILE = "report.html"
_PARTS = {
    "matrix": "Verdicts",
    "intervals": "Limits on intervals",
    "comparisons": "Against baselines",
    "brackets": "Bracket",
    "rates": "Rates",
    "worst": "Worst seeds",
    "runs": "All runs",
    "identity": "Identity",
}
"""Sections of the page in their order, and what the links to them say."""


def write_suite_report(judgement: SuiteJudgement) -> Path:
    """Write ``report.html`` into the suite's folder and return its path.

    The page needs no network, no script and no other file; its links into the folder are relative.
    The same judgement of the same folder gives the same bytes.

    Raises:
        OSError: the file cannot be written.

    """
    parts = [
        matrix.verdicts(judgement),
        intervals.interval_limits(judgement.interval_limits),
        intervals.comparisons(judgement.comparisons),
        bracket.brackets(judgement.brackets),
        intervals.rates(judgement.rates),
        runs.worst(judgement),
        runs.all_runs(judgement),
        _identity(judgement),
    ]
    title = judgement.identity.title or judgement.identity.name
    page = filled(
        "suite.html",
        {
            "title": text(f"{title} · wattbench"),
            "css": asset("report.css") + asset("suite.css"),
            "body": "\n".join([_head(judgement, title), _nav(parts), *filter(None, parts)]),
        },
    )
    path = judgement.folder / REPORT_FILE
    write_at_once(path, page)
    return path


def _nav(parts: Sequence[str]) -> str:
    links = "".join(
        f'<a href="#{place}">{name}</a>'
        for (place, name), part in zip(_PARTS.items(), parts, strict=True)
        if part
    )
    return f'<nav aria-label="Parts of this page">{links}</nav>'


def _head(judgement: SuiteJudgement, title: str) -> str:
    plan = judgement.identity.plan
    hours = sum(row.duration_s for row in judgement.rows) / 3600
    seeds = sorted({cell.seed for cell in plan})
    facts = [
        ("suite", judgement.identity.name),
        ("scenarios", len(judgement.strata)),
        ("policies", ", ".join(judgement.policies) or "none"),
        ("seeds", f"{len(seeds)}: {_ranges(seeds)}" if seeds else "none"),
        ("runs", f"{len(judgement.rows)} of {len(plan)} planned"),
        ("simulated", f"{fmt.number(hours)} h" if math.isfinite(hours) else fmt.NONE),
        ("decision rule", judgement.decision_rule),
        ("exit code", int(judgement.exit_code)),
    ]
    items = "".join(f"<li><b>{name}</b>{text(value)}</li>" for name, value in facts if value != "")
    word = judgement.verdict.name
    told = "".join(f"<li>{text(n)}</li>" for n in (*judgement.problems, *judgement.warnings))
    notes = f'<ul class="notes">{told}</ul>' if told else ""
    return (
        f'<header class="head" id="verdict"><div class="head-text"><h1>{text(title)}</h1>'
        f'<ul class="facts">{items}</ul></div><div class="banner {word}" role="status">'
        f'{sign(word)}<span class="word">{word}</span>'
        f'<span class="why">{text(why(judgement))}</span></div>{notes}</header>'
    )


def why(judgement: SuiteJudgement) -> str:
    """Return one or two sentences that give the suite's verdict a reason."""
    if judgement.problems:
        return f"{judgement.problems[0]}."
    judged = [row for row in judgement.rows if not row.cell.baseline]
    by_run = Counter(matrix.word_of(row) for row in judged)
    by_limit = Counter(result.verdict.name for result in judgement.interval_limits)
    said = [f"{_counted(by_run)} of {_number(len(judged), 'judged run')}"] if judged else []
    if by_limit:
        count = _number(
            len(judgement.interval_limits), "limit on an interval", "limits on intervals"
        )
        said.append(f"{_counted(by_limit)} of {count}")
    if judgement.missing:
        said.append(f"{_number(len(judgement.missing), 'run')} not finished")
    if not said:
        return "No run was judged."
    more = [r.further_seeds for r in judgement.interval_limits if r.further_seeds is not None]
    settled = judgement.verdict is Verdict.INCONCLUSIVE and more
    told = intervals.more_seeds(max(more)) if settled else ""
    hint = f" {told.capitalize()} a scenario would probably settle it." if settled else ""
    return f"{'; '.join(said)}.{hint}"


def _counted(found: Mapping[str, int]) -> str:
    """Return ``2 FAIL, 7 PASS``, the worst first."""
    words = [word for word in reversed(SEVERITY) if found.get(word)]
    words += [word for word in found if word not in SEVERITY]
    return ", ".join(f"{found[word]} {word}" for word in words)


def _number(count: int, one: str, many: str = "") -> str:
    return f"{count} {one if count == 1 else many or f'{one}s'}"


def _ranges(seeds: list[int]) -> str:
    """Return numbers that rise as ranges: ``1–10, 12``."""
    parts: list[list[int]] = []
    for seed in seeds:
        if parts and seed == parts[-1][-1] + 1:
            parts[-1][1:] = [seed]
        else:
            parts.append([seed])
    return ", ".join("–".join(str(end) for end in part) for part in parts)


def _identity(judgement: SuiteJudgement) -> str:
    """Return who and what took part, and how to judge and look again."""
    identity = judgement.identity
    groups: dict[str, Mapping[str, Any]] = {
        "Suite": {"name": identity.name, "runs planned": len(identity.plan)},
        "Hashes": {"suite": identity.suite_hash, "git revision": identity.git_revision},
        "Versions": {"wattbench": identity.wattbench_version, **identity.packages},
        "Machine": identity.machine,
    }
    facts = [
        IdentityRow(group, str(name).replace("_", " "), str(value))
        for group, values in groups.items()
        for name, value in values.items()
        if value is not None and value != ""
    ]
    return (
        '<section id="identity" class="long"><h2>Identity of the suite</h2>'
        f"{identity_groups(facts)}</section>"
        '<section id="files"><h2>Files</h2><p>'
        "<code>suite.json</code>: the plan and the identity; <code>results.jsonl</code>: a line a "
        "run, with its hash of the trace; <code>runs/</code>: the records. Each of them is judged "
        "again, and its report made, from a shell in this folder:</p><pre><code>"
        "wattbench judge RUN\nwattbench report RUN</code></pre></section>"
    )
