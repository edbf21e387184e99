"""Whatever is done to a valid file: a scenario or lines of file:line:column, nothing else."""

from __future__ import annotations

import random
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.load import load_scenario

VALUES = [
    "null", "true", "''", "-1", "1e999", ".nan", "-.inf", "99999999999999999999", "[]", "{}",
    "[[]]", "{kind: zero}", "[{}]", "3 kW", "3 parsec", "2025-99-99", "*x", "&x [*x]", "!!set {a}",
    "\t", "'", "{", "Ω", "kind", "../x", "~", "0x", "1_0", "- 1", "? a", "|", ">-", "%", "@", "`",
]  # fmt: skip


def drop(lines: list[str], rng: random.Random) -> None:
    del lines[rng.randrange(len(lines))]


def rename(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    keys = re.findall(r"\w+(?=:)", lines[at])
    if keys:
        key = rng.choice(keys)
        other = rng.choice(
            [key[1:], key + "x", key[::-1], "kind", "name", key.rpartition("_")[0], ""]
        )
        lines[at] = lines[at].replace(f"{key}:", f"{other}:", 1)


def retype(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    values = re.findall(r"(?<=: )[^,{}\[\]]+", lines[at])
    if values:
        lines[at] = lines[at].replace(rng.choice(values), rng.choice(VALUES), 1)


def garble(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    position = rng.randrange(len(lines[at]) + 1)
    letter = rng.choice("{}[]:,-#&*!|>'\"%@`\t \n\0\x85\ufeffaz09é")
    lines[at] = lines[at][:position] + letter + lines[at][position + rng.randrange(3) :]


def indent(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    lines[at] = rng.choice(["", " ", "  ", "    ", "- "]) + lines[at].lstrip()


def duplicate(lines: list[str], rng: random.Random) -> None:
    at = rng.randrange(len(lines))
    lines.insert(rng.randrange(len(lines)), lines[at])


def swap(lines: list[str], rng: random.Random) -> None:
    one, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    lines[one], lines[other] = lines[other], lines[one]


MUTATIONS: list[Callable[[list[str], random.Random], None]] = [
    drop, rename, retype, garble, indent, duplicate, swap,
]  # fmt: skip


def holds(path: Path) -> bool:
    """Load a file; return whether it is valid. Anything but a scenario or its errors fails."""
    try:
        scenario = load_scenario(path)
    except ScenarioErrors as problem:
        check_lines(problem, path)
        return False
    assert len(scenario.hash()) == 64
    return True


def check_lines(problem: ScenarioErrors, path: Path) -> None:
    lines = str(problem).splitlines()
    assert lines
    assert len(lines) == len(problem.errors) == len(set(lines))
    for line in lines:
        match = re.match(rf"{re.escape(str(path))}:(\d+):(\d+): \S", line)
        assert match, line
        assert int(match[1]) >= 1
        assert int(match[2]) >= 1
        assert "Input should" not in line
        assert "pydantic" not in line


def mutated(text: str, seed: int) -> str:
    rng = random.Random(seed)
    lines = text.splitlines()
    for _ in range(rng.choice([1, 1, 2, 3, 8])):
        rng.choice(MUTATIONS)(lines, rng)
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("block", range(4))
def test_mutated_files(valid: str, tmp_path: Path, block: int) -> None:
    path = tmp_path / "case.yaml"
    verdicts = []
    for seed in range(block * 60, block * 60 + 60):
        path.write_text(mutated(valid, seed), encoding="utf-8")
        verdicts.append(holds(path))
    assert not all(verdicts)


@pytest.mark.slow
def test_many_mutated_files(valid: str, tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    for seed in range(10_000, 13_000):
        path.write_text(mutated(valid, seed), encoding="utf-8")
        holds(path)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    data=st.one_of(
        st.binary(max_size=200), st.text(max_size=200).map(lambda t: t.encode("utf-8", "replace"))
    )
)
def test_any_bytes(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "case.yaml"
    path.write_bytes(data)
    assert not holds(path)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4)
    ),
    max_leaves=12,
)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    section=st.sampled_from(
        [
            "plant",
            "edge",
            "profiles",
            "clock",
            "policies",
            "faults",
            "limits",
            "seeds",
            "audit",
            "objective",
            "rig",
            "name",
            "extends",
        ]
    ),
    value=JSON,
)
def test_any_value_for_a_section(valid: str, tmp_path: Path, section: str, value: object) -> None:
    from ruamel.yaml import YAML

    yaml = YAML(typ="safe", pure=True)
    content = yaml.load(valid)
    content["clock"]["start"] = "2025-06-21T10:00:00"
    content[section] = value
    path = tmp_path / "case.yaml"
    with path.open("w", encoding="utf-8") as file:
        yaml.dump(content, file)
    holds(path)
