"""Ranges of search: declared with the configuration, and within what the keys may be."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from wattbench.agents.policy import POLICIES, PolicyConfig, SiteInfo
from wattbench.agents.tuning import Tunable
from wattbench.scenarios.slots import field_slot

TUNABLE = [kind for kind, entry in POLICIES.items() if entry.config.tunables]
KEYS = [(kind, key) for kind in TUNABLE for key in POLICIES[kind].config.tunables]


def config_of(kind: str) -> type[PolicyConfig]:
    return POLICIES[kind].config


def test_the_controllers_can_be_tuned() -> None:
    assert {"pi", "smith", "threshold"} <= set(TUNABLE)


@pytest.mark.parametrize(("kind", "key"), KEYS)
def test_a_range_lies_within_the_keys_own_limits(kind: str, key: str) -> None:
    tunable = config_of(kind).tunables[key]
    for value in (tunable.low, tunable.high):
        given = int(value) if tunable.integer else value
        assert getattr(config_of(kind).model_validate({key: given}), key) == given


@pytest.mark.parametrize(("kind", "key"), KEYS)
def test_whole_numbers_are_tried_where_the_key_takes_only_these(kind: str, key: str) -> None:
    annotation = field_slot(config_of(kind).model_fields[key]).annotation
    assert config_of(kind).tunables[key].integer == (annotation is int)


@pytest.mark.parametrize(("kind", "key"), KEYS)
def test_the_default_is_a_point_of_the_search(kind: str, key: str) -> None:
    tunable = config_of(kind).tunables[key]
    assert tunable.low <= getattr(config_of(kind)(), key) <= tunable.high


def test_limits_that_this_test_relies_on_are_enforced() -> None:
    with pytest.raises(ValidationError):
        config_of("pi").model_validate({"kp": 11.0})


@pytest.mark.parametrize("kind", [kind for kind in TUNABLE if POLICIES[kind].start is not None])
def test_a_rules_values_are_tunable_keys(kind: str) -> None:
    rule = POLICIES[kind].start
    assert rule is not None
    values = rule(SiteInfo(()))
    assert set(values) <= set(config_of(kind).tunables)
    config_of(kind).model_validate(dict(values))


@pytest.mark.parametrize(
    "arguments",
    [(1.0, 1.0), (2.0, 1.0), (0.0, 1.0, True), (0.5, 3.0, False, True)],
    ids=["empty", "reversed", "log from zero", "halves of whole numbers"],
)
def test_a_range_that_is_none_is_refused(arguments: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="range"):
        Tunable(*arguments)  # type: ignore[arg-type]
