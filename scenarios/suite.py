"""The suite: scenarios × variants × policies × seeds, and what all of their runs must keep.

`SuiteFile` is the model of a file; `suite_loading.load_suite` turns a file into a `Suite`.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from pydantic import BeforeValidator, Field
from pydantic_core import PydanticCustomError

from ..agents.policy import PolicyConfig as AnyPolicyConfig
from ..evaluation.limits import LimitConfig
from ..evaluation.suite.limits import IntervalLimitConfig
from ..evaluation.verdict import DecisionRule
from ..sim.config import Model
from .errors import shorten
from .messages import did_you_mean
from .model import PolicyConfig as AnyPolicy
from .model import Scenario
from .source import Step

if TYPE_CHECKING:
    PolicyConfig = AnyPolicyConfig
else:
    PolicyConfig = AnyPolicy

_NAME = r"^[a-z0-9][a-z0-9_.-]{0,63}$"
_LAST_SEED = 2**53
_MOST_SEEDS = 1000

#: Keys of a scenario that `set` does not change, and what to write instead.
_NOT_SET = {
    "name": "name, beside set",
    "extends": "scenario, beside set",
    "seeds": "seeds of the suite",
    "audit": "nothing: a suite does not read it",
    "title": "nothing: a suite has a title of its own",
}


class SeedRange(Model):
    """Seeds in a row."""

    first: int = Field(ge=0, le=_LAST_SEED - _MOST_SEEDS)
    count: int = Field(ge=1, le=_MOST_SEEDS)


def _seeds(value: Any) -> Any:
    """Write a range of seeds as a list; leave everything else to the model."""
    if isinstance(value, list):
        return tuple(value)
    if not isinstance(value, dict):
        return value
    allowed = {"first": (0, _LAST_SEED - _MOST_SEEDS), "count": (1, _MOST_SEEDS)}
    for key in value:
        if key not in allowed:
            hint = did_you_mean(str(key), allowed)
            raise _refused(f"unknown key; allowed: first, count{hint}", key)
    for key, (low, high) in allowed.items():
        number = value.get(key)
        if not isinstance(number, int) or isinstance(number, bool) or not low <= number <= high:
            got = f"got {shorten(number)}" if key in value else "required key is missing"
            raise _refused(f"{got}; allowed: a whole number, {low} … {high}", key)
    return tuple(range(value["first"], value["first"] + value["count"]))


def _each_once(seeds: tuple[int, ...]) -> tuple[int, ...]:
    twice = next((seed for k, seed in enumerate(seeds) if seed in seeds[:k]), None)
    if twice is not None:
        raise _refused(f"seed {twice} is there twice; allowed: each once")
    return seeds


def _refused(message: str, *at: str) -> PydanticCustomError:
    """Return an error of seeds; ``at`` is the key in them that it is about."""
    return PydanticCustomError("seeds", "{text}", {"text": message, "at": at})


Seed = Annotated[int, Field(ge=0, le=_LAST_SEED)]
Seeds = Annotated[
    tuple[Seed, ...],
    BeforeValidator(_seeds, json_schema_input_type=tuple[Seed, ...] | SeedRange),
]


class Entry(Model):
    """A scenario of the suite, and what is changed in it; a text alone is its `scenario`."""

    scenario: str = Field(min_length=1, max_length=500)
    """Name in the library, or the path of a file, relative to this one."""
    name: str | None = Field(None, pattern=_NAME)
    """What the suite calls it; null: the scenario's own name."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of the scenario to be changed, merged as `extends` merges: mappings key by key, lists
    and single values replace."""


class Variant(Model):
    """Parameter overrides that every scenario of the suite runs with."""

    name: str = Field(pattern=_NAME)
    """Of the variant, in tables and folders."""
    set: dict[str, Any] = Field(default_factory=dict)
    """Keys of the scenarios to be changed, merged as `extends` merges; none: as they are."""


def _entry(value: Any) -> Any:
    return {"scenario": value} if isinstance(value, str) else value


AnyEntry = Annotated[Entry, BeforeValidator(_entry, json_schema_input_type=Entry | str)]


class SuiteFile(Model):
    """A suite file: scenarios × variants × policies × seeds, and what all runs must keep."""

    name: str = Field(pattern=_NAME)
    """Of the suite and its folder; default: the file's name."""
    title: str = Field("", max_length=120, pattern=r"^[^\n]*$")
    """One line for `wattbench list`."""
    scenarios: tuple[AnyEntry, ...] = Field(min_length=1, max_length=200)
    """Names in the library, paths of files, or mappings that change something too."""
    variants: tuple[Variant, ...] = Field((), max_length=50)
    """Every scenario runs with each of them, and only with them: one without `set` is the
    scenario as it is. None: every scenario as it is."""
    policies: tuple[PolicyConfig, ...] = Field((), max_length=32)
    """The policies that are judged, in every scenario; none: each scenario's own."""
    baselines: tuple[PolicyConfig, ...] = Field((), max_length=32)
    """Policies that are measured beside them, in every scenario; none: each scenario's own."""
    seeds: Seeds = Field(min_length=1, max_length=_MOST_SEEDS)
    """A list, or `{first, count}`. Each policy runs on each."""
    training_seeds: Seeds = Field((), max_length=_MOST_SEEDS)
    """Those that `wattbench tune` may use; none of them is in `seeds`."""
    limits: tuple[LimitConfig, ...] = Field((), max_length=100)
    """What each run must keep, besides the limits of its scenario."""
    decision_rule: DecisionRule | None = None
    """How a limit's `uncertainty` enters, as in a scenario; null: as each scenario says."""
    interval_limits: tuple[IntervalLimitConfig, ...] = Field((), max_length=100)
    """What all runs of a policy together must keep, with confidence."""


def problems(parts: Any) -> Iterator[tuple[Step, str]]:
    """Yield the path and message of what does not fit together in a suite's file alone."""
    for section in ("scenarios", "variants"):
        for index, item in enumerate(getattr(parts, section, None) or ()):
            for key in item.set:
                if key in _NOT_SET:
                    message = f"cannot be set in a suite; allowed: {_NOT_SET[key]}"
                    yield (section, index, "set", key), message
    first: dict[str, int] = {}
    for index, variant in enumerate(getattr(parts, "variants", None) or ()):
        if variant.name in first:
            where = f"variants[{first[variant.name]}]"
            message = f"'{variant.name}' is also the name of {where}; allowed: unique names"
            yield ("variants", index, "name"), message
        first.setdefault(variant.name, index)
    yield from _seed_problems(parts)


def _seed_problems(parts: Any) -> Iterator[tuple[Step, str]]:
    found = {key: getattr(parts, key, None) or () for key in ("seeds", "training_seeds")}
    for key, seeds in found.items():
        try:
            _each_once(seeds)
        except PydanticCustomError as problem:
            yield (key,), problem.message()
    both = sorted(set(found["seeds"]) & set(found["training_seeds"]))
    if both:
        message = f"seed {both[0]} is in seeds too: what is tuned on is no test"
        yield ("training_seeds",), f"{message}; allowed: seeds that are not in seeds"


@dataclass(frozen=True, slots=True)
class Stratum:
    """A scenario of a suite in one variant: its runs on one seed are paired.

    Attributes:
        scenario: what the suite calls the scenario.
        variant: the variant's name; empty where the suite has none.
        experiment: the scenario with everything that the suite says put in.

    """

    scenario: str
    variant: str
    experiment: Scenario

    @property
    def name(self) -> str:
        """Scenario and variant."""
        return f"{self.scenario}@{self.variant}" if self.variant else self.scenario


@dataclass(frozen=True, slots=True)
class Suite:
    """A suite that was loaded: its file's content and its scenarios, ready to run."""

    path: Path
    config: SuiteFile
    strata: tuple[Stratum, ...]

    @property
    def name(self) -> str:
        """Of the suite."""
        return self.config.name

    def resolved(self) -> dict[str, Any]:
        """Return the suite as plain values, with the hash of each scenario but for its seeds."""
        strata = [
            {
                "scenario": stratum.scenario,
                "variant": stratum.variant,
                "hash": stratum.experiment.model_copy(update={"seeds": ()}).hash(),
                "duration_s": stratum.experiment.clock.duration_s,
                "policies": [policy.label for policy in stratum.experiment.policies],
                "baselines": [policy.label for policy in stratum.experiment.baselines],
            }
            for stratum in self.strata
        ]
        return {**self.config.model_dump(mode="json"), "strata": strata}

    def hash(self) -> str:
        """Return the SHA-256 of what decides the runs and how they are judged.

        Scenarios enter with what is in them and in the files they name, however that is written.
        `evaluation.suite.results.hash_of`, which this room may not import, finds the same from what
        `suite.json` keeps.
        """
        resolved = self.resolved()
        content = {key: resolved[key] for key in ("strata", "seeds", "interval_limits")}
        text = json.dumps(
            content, sort_keys=True, separators=(",", ":"), allow_nan=False, ensure_ascii=False
        )
        return hashlib.sha256(text.encode()).hexdigest()
