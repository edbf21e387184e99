"""What two runs have in common: scenario, policy, seed, rig, versions; and what they do not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from .header import RecordHeader
from .model import Model, content_hash

#: Keys of a scenario that say who takes part and how it is judged, not what happens to them.
_NOT_THE_EXPERIMENT = {
    *("name", "title", "kind", "audit"),
    *("policies", "baselines", "seeds", "limits", "decision_rule"),
}
_JUDGING = ("limits", "decision_rule")
_NAMED = 4


class Identity(Model):
    """Who and what took part in a run."""

    scenario: str
    """Its name."""
    experiment_sha256: str
    """Of the resolved scenario without policies, seeds, limits: plant, weather, faults, clock."""
    limits_sha256: str
    policy: str
    policy_sha256: str
    seed: int
    rig: str
    rig_sha256: str
    profiles_sha256: str
    start_utc: str
    duration_s: float
    control_period_s: float
    wattbench_version: str
    packages: dict[str, str]


def identity_of(header: RecordHeader) -> Identity:
    """Return who and what took part in a recorded run."""
    return Identity(
        scenario=header.scenario_name,
        experiment_sha256=content_hash(_experiment(header.scenario)),
        limits_sha256=content_hash([header.scenario.get(key) for key in _JUDGING]),
        policy=header.policy_name,
        policy_sha256=header.policy_hash,
        seed=header.seed,
        rig=header.rig_name,
        rig_sha256=header.rig_hash,
        profiles_sha256=header.profiles_hash,
        start_utc=header.start_utc,
        duration_s=header.duration_s,
        control_period_s=header.site.control_period_s,
        wattbench_version=header.wattbench_version,
        packages=header.packages,
    )


def unlike(a: Identity, b: Identity, keys: tuple[str, ...] = ()) -> tuple[str, ...]:
    """Say in what two runs differ, most telling first; nothing that follows from something else.

    ``keys`` are those of the scenario that differ, where they are known (`scenario_keys`).
    """
    return tuple(_unlike(a, b, keys))


def _unlike(a: Identity, b: Identity, keys: tuple[str, ...]) -> Iterator[str]:
    if a.experiment_sha256 != b.experiment_sha256:
        names = a.scenario if a.scenario == b.scenario else f"{a.scenario}, {b.scenario}"
        shown = f": {some_of(keys)}" if keys else ""
        yield f"scenario ({names}{shown})"
    if a.limits_sha256 != b.limits_sha256:
        yield "limits"
    if a.policy != b.policy:
        yield f"policy ({a.policy}, {b.policy})"
    elif a.policy_sha256 != b.policy_sha256:
        yield f"parameters of policy {a.policy}"
    if a.seed != b.seed:
        yield f"seed ({a.seed}, {b.seed})"
    if a.rig_sha256 != b.rig_sha256:
        yield f"rig ({a.rig}, {b.rig})" if a.rig != b.rig else f"rig {a.rig}"
    for what, unit in (("start_utc", ""), ("duration_s", " s"), ("control_period_s", " s")):
        one, other = getattr(a, what), getattr(b, what)
        if one != other:
            values = [f"{x:g}{unit}" if isinstance(x, float) else str(x) for x in (one, other)]
            yield f"{what.rpartition('_')[0].replace('_', ' ')} ({', '.join(values)})"
    same_weather = a.experiment_sha256 == b.experiment_sha256 and a.seed == b.seed
    if same_weather and a.profiles_sha256 != b.profiles_sha256:
        yield "profiles, though scenario and seed are the same"
    yield from other_versions(
        {"wattbench": a.wattbench_version}, {"wattbench": b.wattbench_version}
    )
    yield from other_versions(a.packages, b.packages)


def other_versions(a: Mapping[str, str], b: Mapping[str, str]) -> Iterator[str]:
    """Yield what has another version in ``b``, by name."""
    for name in sorted(a.keys() | b.keys()):
        one, other = a.get(name, "none"), b.get(name, "none")
        if one != other:
            yield f"{name} ({one}, {other})"


def some_of(names: Sequence[str]) -> str:
    """Return a few names, and how many more there are."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more


def scenario_keys(a: RecordHeader, b: RecordHeader) -> tuple[str, ...]:
    """Return the keys in which the scenarios of two runs differ, such as ``plant.pv``."""
    return tuple(changed_keys(_experiment(a.scenario), _experiment(b.scenario)))


def _experiment(scenario: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in scenario.items() if key not in _NOT_THE_EXPERIMENT}


def changed_keys(a: Any, b: Any, path: str = "") -> Iterator[str]:
    """Yield where two contents of a file differ: ``clock.duration_s``, ``scenarios[0].name``."""
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        for key in sorted(a.keys() | b.keys()):
            yield from changed_keys(a.get(key), b.get(key), f"{path}.{key}" if path else str(key))
    elif isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            yield from changed_keys(one, other, f"{path}[{index}]")
    elif a != b:
        yield path
