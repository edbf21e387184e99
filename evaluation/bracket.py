"""Where a policy stands between doing nothing and the best possible: ``bracket.json`` of a run.

The objective J, in Wh, of `zero`, a tuned PI, the policy itself, the replayed optimum (commands
that a clairvoyant chose, through the real plant) and the bound, which no policy can be below. Lower
is better, so that on the axis::

    zero … tuned PI … policy … replayed optimum … bound

J falls from left to right. What follows from these numbers is computed here and nowhere stored.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any, Final, Literal, Self

from pydantic import Field, ValidationError, model_validator

from .files import RecordError, first_line, replace_text
from .model import Model, content_hash, json_text
from .units import format_quantity

#: Version of the file.
SCHEMA_VERSION: Final = 1
BRACKET_FILE: Final = "bracket.json"

#: Keys of `Bracket.objective_wh` beside the labels of policies.
ZERO: Final = "zero"
REPLAY: Final = "replayed optimum"
BOUND: Final = "bound"
BUDGET_BOUND: Final = "bound within budget"

Restriction = Literal["dead_time", "command_rate"]
RESTRICTIONS: Final[tuple[Restriction, ...]] = ("dead_time", "command_rate")
RESTRICTION_NAMES: Final[dict[Restriction, str]] = {
    "dead_time": "dead time",
    "command_rate": "command-rate limit",
}

LEAST_RANGE: Final = 0.01
"""The bound must improve J of `zero` by this share of it, or a score would say nothing: n/a."""
LEAST_WH: Final = 1.0
"""Regrets and improvements below this many Wh are nothing to take shares of."""
LEAST_SHARE: Final = 0.01
"""Smaller shares of a regret are not told in words."""
TOLERANCE: Final = 1e-6
TOLERANCE_WH: Final = 0.01
"""A J below the bound by no more than `TOLERANCE` of the bound plus this is rounding."""


class Bracket(Model):
    """``bracket.json``: values of J around one run; all on one seed, weather and household."""

    schema_version: int = SCHEMA_VERSION
    trace_sha256: str
    """Identity of the run's trace: a bracket of another run is refused."""
    policy: str
    """The judged policy's key in `objective_wh`."""
    tuned_pi: str | None = None
    """The PI's key in `objective_wh`."""
    objective_wh: dict[str, float]
    """J of `zero`, the PI, the policy, `replayed optimum`, `bound` and `bound within budget`;
    what is missing is not there."""
    changes_per_min_worst: dict[str, float] = Field(default_factory=dict)
    """Command changes in the worst sliding minute, of those of the above that send commands."""
    max_changes_per_min: float | None = None
    """The budget of `bound within budget`: it binds those who keep it."""
    lifted: dict[Restriction, float] = Field(default_factory=dict)
    """J of the same policy with one restriction lifted."""
    lifted_how: dict[Restriction, str] = Field(default_factory=dict)
    """What exactly was lifted; where `lifted` has no value, why it could not be."""
    no_bracket: str = ""
    """Why there can be no bracket; then `objective_wh` holds the policy's own J and no other."""
    notes: tuple[str, ...] = ()
    """What a reader of the numbers should know."""
    warnings: tuple[str, ...] = ()
    """What failed, such as a solver."""

    @model_validator(mode="after")
    def _has_its_policy(self) -> Self:
        if self.policy not in self.objective_wh:
            raise ValueError("J of the policy itself is missing")
        return self

    @property
    def range_wh(self) -> float | None:
        """What there is to win: J of `zero` minus the bound; None where either is missing."""
        zero, bound = self.objective_wh.get(ZERO), self.objective_wh.get(BOUND)
        return None if zero is None or bound is None else zero - bound

    @property
    def gap_wh(self) -> float | None:
        """J of the replayed optimum minus the bound: the true optimum lies between them."""
        return self.regret_wh(REPLAY)

    def regret_wh(self, name: str) -> float | None:
        """Return how far a J lies above the bound; None where either is missing."""
        value, bound = self.objective_wh.get(name), self.objective_wh.get(BOUND)
        if value is None or bound is None:
            return None
        # Sums of floating-point numbers that should be equal: no tenth of a picowatt-hour.
        return 0.0 if math.isclose(value, bound, rel_tol=1e-12) else value - bound

    def score(self, name: str) -> float | None:
        """Return 100·(J_zero − J) / (J_zero − J_bound): 0 is `zero`, 100 the bound.

        None (n/a) where a value is missing, or the bound improves J_zero by less than
        `LEAST_RANGE` of it or `LEAST_WH`.
        """
        value, zero, span = self.objective_wh.get(name), self.objective_wh.get(ZERO), self.range_wh
        if value is None or zero is None or span is None:
            return None
        if span < max(LEAST_RANGE * abs(zero), LEAST_WH):
            return None
        return 100.0 * (zero - value) / span

    def regret_ratio(self, name: str) -> float | None:
        """Return a regret as a multiple of the PI's; None where that is missing or next to none."""
        own = self.regret_wh(name)
        reference = None if self.tuned_pi is None else self.regret_wh(self.tuned_pi)
        if own is None or reference is None or reference < LEAST_WH:
            return None
        return own / reference

    def share(self, restriction: Restriction) -> float | None:
        """Return the part of the policy's regret that goes when a restriction is lifted.

        (J − J lifted) / regret. Negative: the policy does worse without the restriction. Above 1:
        it gets below the bound, which holds for a site with the restriction. None where a value is
        missing or the regret is next to none.
        """
        without, regret = self.lifted.get(restriction), self.regret_wh(self.policy)
        if without is None or regret is None or regret < LEAST_WH:
            return None
        return (self.objective_wh[self.policy] - without) / regret

    def breaches(self) -> tuple[str, ...]:
        """Return who is below a bound that holds for him: each says that the bound is none."""
        found = []
        for name, value in self.objective_wh.items():
            if name in {BOUND, BUDGET_BOUND}:
                continue
            for bound_name in (BOUND, BUDGET_BOUND):
                bound = self.objective_wh.get(bound_name)
                if bound is None or (bound_name == BUDGET_BOUND and not self._keeps_budget(name)):
                    continue
                if value < bound - TOLERANCE * abs(bound) - TOLERANCE_WH:
                    found.append(
                        f"J of {name} ({_exact(value)}) is below the {bound_name} "
                        f"({_exact(bound)}), which no policy can be: the bound is wrong, or the "
                        f"plant is; please report it"
                    )
                    break
        return tuple(found)

    def _keeps_budget(self, name: str) -> bool:
        changes, most = self.changes_per_min_worst.get(name), self.max_changes_per_min
        return changes is not None and most is not None and changes <= most

    def figures(self) -> dict[str, Any]:
        """Return what follows from the numbers as plain data; None: there is no value."""
        return {
            "score": self.score(self.policy),
            "regret_wh": self.regret_wh(self.policy),
            "regret_ratio_to_tuned_pi": self.regret_ratio(self.policy),
            "gap_wh": self.gap_wh,
            "share_of_regret": {name: self.share(name) for name in RESTRICTIONS},
            "no_bracket": self.no_bracket,
        }

    def summary(self) -> str:
        """Return score, regret ratio and gap in one line for people."""
        if self.no_bracket:
            return f"no bracket: {self.no_bracket}"
        if BOUND not in self.objective_wh:
            return self.warnings[0] if self.warnings else "no bracket: there is no bound"
        score, ratio = self.score(self.policy), self.regret_ratio(self.policy)
        parts = [f"score {score_text(score)}" + ("" if score is not None else self._why_no_score())]
        if ratio is not None and self.policy != self.tuned_pi:
            parts.append(f"regret {ratio:.2f} × {self.tuned_pi}'s")
        if self.gap_wh is not None:
            parts.append(f"gap {_energy(self.gap_wh)} (replayed optimum above the bound)")
        return ", ".join(parts)

    def _why_no_score(self) -> str:
        zero, bound = self.objective_wh.get(ZERO), self.objective_wh.get(BOUND)
        if zero is None:
            return f" (J of {ZERO} is missing)"
        return f" (next to nothing to win: J of {ZERO} {_energy(zero)}, bound {_energy(bound)})"

    def explained(self, restriction: Restriction) -> str:
        """Return in words what lifting a restriction does to the policy."""
        what, how = RESTRICTION_NAMES[restriction], self.lifted_how.get(restriction, "")
        without = self.lifted.get(restriction)
        if without is None:
            return f"{what}: {how or 'not lifted'}"
        own = self.objective_wh[self.policy]
        change = f"J {_energy(own)}, without it {_energy(without)}"
        share = self.share(restriction)
        if share is None:
            return f"{what}: {change}; there is next to no regret to take a share of"
        if abs(share) < LEAST_SHARE:
            return f"{what}: next to none of the regret ({change})"
        told = f"{what}: {100 * share:.0f} % of the regret ({change})"
        if share < 0:
            return (
                f"{told}: this policy does worse without it. Its parameters were chosen with the "
                "restriction in place, and their best without it are others"
            )
        if share > 1:
            return f"{told}: without it the policy gets below the bound, which holds with it"
        return told


def score_text(score: float | None) -> str:
    """Return a score with one decimal, ``n/a`` for none."""
    return "n/a" if score is None else f"{score:.1f}"


def _energy(value_wh: float | None) -> str:
    return format_quantity(value_wh, "Wh")


def _exact(value_wh: float) -> str:
    return f"{value_wh:.3f} Wh"


def write_bracket(folder: Path, bracket: Bracket) -> None:
    """Write ``bracket.json`` into a record's folder, whole or not at all.

    Raises:
        RecordError: the disk refuses.

    """
    content = bracket.model_dump(mode="json")
    content["content_sha256"] = content_hash(content)
    replace_text(folder / BRACKET_FILE, json_text(content))


def read_bracket(folder: Path) -> Bracket | None:
    """Read the ``bracket.json`` of a record's folder; None if there is none.

    Raises:
        RecordError: it is damaged, was changed, or is newer than this version reads.

    """
    path = folder / BRACKET_FILE
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordError(f"cannot read {path}: {first_line(error)}") from error
    except ValueError as error:
        raise RecordError(f"{path} is damaged: {first_line(error)}") from error
    if not isinstance(content, dict) or not isinstance(content.get("schema_version"), int):
        raise RecordError(f"{path} is damaged: no schema_version")
    if content["schema_version"] > SCHEMA_VERSION:
        raise RecordError(f"{path} was written by a newer wattbench: update wattbench")
    if content.pop("content_sha256", None) != content_hash(content):
        raise RecordError(f"{path} was changed after it was written")
    try:
        return Bracket.model_validate(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise RecordError(f"{path} is damaged: {where}: {first['msg'].lower()}") from error
