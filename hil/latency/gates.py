"""Gates: what a comparison with an earlier measurement must not exceed.

A rule is ``[SPAN.]STATISTIC:FACTOR``, for instance ``p50:1.3x`` or ``step.ratio:1.2x``:

p50
    the median may be at most this many times the earlier one. For one and the same machine.
ratio
    the median in units of the machine's speed at that time (median of the step over median of the
    reference) may be at most this many times the earlier one. For machines that differ or wander.

Without a span, the rule is about ``answer_to_command``, the loop's own part of a step.

Nothing gates on p95 or p99: on a shared machine they say what the neighbours do. They are shown.

A gate has three outcomes. With the 95 % interval of the factor (block bootstrap over both
measurements): the whole interval above the limit is a *fail*, the whole of it at or below a *pass*,
and *inconclusive* is what straddles it. It is inconclusive too where the machine cannot be trusted:
a fail, or a pass by ratio, on a machine whose speed wandered by more than `NOISY` within a run; and
a fail by p50 on a machine that was slower than the earlier one by more than `SLOWER`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal

import numpy as np

from ...sim import random
from .statistics import Floats, Interval, bootstrap, medians, spread

Verdict = Literal["pass", "fail", "inconclusive"]

NOISY: Final = 1.5
"""Largest over least median of the reference in eighths of a run: above, the machine wanders."""
SLOWER: Final = 1.15
"""Of the reference's medians: above, it is another machine, or the same one under load."""
DEFAULT_SPAN: Final = "answer_to_command"
STATISTICS: Final = ("p50", "ratio")
_RULE: Final = re.compile(r"^(?:([a-z_]+)\.)?([a-z0-9_]+):(\d+(?:\.\d+)?)x$")


class RuleError(ValueError):
    """A text that is no rule; one line says what is allowed."""


class ComparisonError(ValueError):
    """The earlier measurement cannot be used; one line says why."""


@dataclass(frozen=True, slots=True)
class Rule:
    """One gate."""

    span: str
    statistic: Literal["p50", "ratio"]
    factor: float

    def __str__(self) -> str:
        return f"{self.span}.{self.statistic}:{self.factor:g}x"


@dataclass(frozen=True, slots=True)
class Measured:
    """One span of one measurement: values and reference of each tick, s."""

    values: Floats
    reference: Floats


@dataclass(frozen=True, slots=True)
class Judged:
    """What came of a rule."""

    rule: Rule
    factor: Interval
    verdict: Verdict
    reason: str


def parse_rule(text: str, spans: tuple[str, ...]) -> Rule:
    """Return the rule that a text states.

    Raises:
        RuleError: it is none.
    """
    match = _RULE.match(text.strip())
    allowed = "allowed: [SPAN.]p50:1.3x, [SPAN.]ratio:1.2x"
    if match is None:
        raise RuleError(f"'{text}' is no rule; {allowed}")
    span, statistic, number = match[1] or DEFAULT_SPAN, match[2], float(match[3])
    if statistic not in STATISTICS:
        hint = " (tails are shown but not judged)" if re.match(r"^(p\d+|max)$", statistic) else ""
        raise RuleError(f"'{text}': '{statistic}' cannot be judged{hint}; {allowed}")
    if span not in spans:
        raise RuleError(f"'{text}': no span '{span}'; allowed: {', '.join(spans)}")
    if not 1.0 <= number <= 100.0:
        raise RuleError(f"'{text}': the factor must be from 1 to 100")
    return Rule(span, statistic, number)  # type: ignore[arg-type]  # one of STATISTICS


def judge(rule: Rule, now: Measured, before: Measured, seed: int = 1) -> Judged:
    """Return what comes of a rule.

    Args:
        rule: the gate.
        now: what was measured.
        before: what it is compared with.
        seed: of the bootstrap.
    """
    rng = random.generator(seed, "latency gate", str(rule))
    if rule.statistic == "p50":
        found = bootstrap(
            lambda a, b: medians(b) / medians(a), rng, (before.values,), (now.values,)
        )
    else:
        found = bootstrap(
            lambda a, r, b, s: (medians(b) / medians(s)) / (medians(a) / medians(r)),
            rng,
            (before.values, before.reference),
            (now.values, now.reference),
        )
    if found.low > rule.factor:
        verdict: Verdict = "fail"
    elif found.high <= rule.factor:
        verdict = "pass"
    else:
        return Judged(rule, found, "inconclusive", "the interval straddles the limit")
    doubt = _doubt(rule, verdict, now, before)
    return Judged(rule, found, "inconclusive" if doubt else verdict, doubt)


def _doubt(rule: Rule, verdict: Verdict, now: Measured, before: Measured) -> str:
    """Return why the machine lets nothing be said, empty if it does."""
    for when, measured in (("now", now), ("in the earlier measurement", before)):
        wander = spread(measured.reference)
        # A disturbed machine is never faster: what passes in absolute time has passed.
        if wander > NOISY and (verdict == "fail" or rule.statistic == "ratio"):
            return f"the machine's speed wandered by {wander:.2g}x {when}"
    slower = float(np.median(now.reference) / np.median(before.reference))
    if rule.statistic == "p50" and verdict == "fail" and slower > SLOWER:
        return f"the machine is {slower:.2g}x slower than in the earlier measurement; use ratio"
    return ""


def measured_of(document: Mapping[str, Any], span: str) -> Measured:
    """Return a span of a document that `report.document` wrote.

    Raises:
        ComparisonError: it is not in there.
    """
    for entry in document.get("benchmarks", ()):
        if isinstance(entry, dict) and entry.get("name") == span:
            try:
                values = np.asarray(entry["stats"]["data"], np.float64)
                reference = np.asarray(entry["extra_info"]["reference_s"], np.float64)
            except (KeyError, TypeError, ValueError):
                break
            sound = values.ndim == 1 and len(values) == len(reference) and len(values) >= 2
            if sound and np.all(values >= 0) and np.median(values) > 0 and np.all(reference > 0):
                return Measured(values, reference)
            break
    raise ComparisonError(f"there is no measurement of '{span}' with its reference")
