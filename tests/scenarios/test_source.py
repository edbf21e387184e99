"""Whatever a file holds, reading it ends in lines of file:line:column."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from wattbench.scenarios.errors import ScenarioErrors
from wattbench.scenarios.load import load_scenario
from wattbench.scenarios.source import MAX_BYTES, read_document

BOMB = "a: &a [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{chr(98 + i)}: &{chr(98 + i)} [{', '.join(['*' + chr(97 + i)] * 10)}]\n" for i in range(12)
)

UNREADABLE = {
    "empty": (b"", "1:1: the file is empty"),
    "only a comment": (b"# nothing\n", "1:1: the file is empty"),
    "a list": (b"- a\n- b\n", "1:1: the file holds a list; allowed: a mapping"),
    "a text": (b"hello\n", "1:1: the file holds a single value; allowed: a mapping"),
    "binary": (b"\x7fELF\x02\x01\x00\x00", "1:1: control character 0x7f"),
    "nul": (b"name: x\ntitle: \x00\n", "2:8: control character 0x00"),
    "latin-1": (b"name: x\ntitle: M\xfcnchen\n", "2:9: byte 0xfc is not UTF-8"),
    "tab": (b"clock:\n\tstart: 1\n", "2:1: tab character used as indentation"),
    "open bracket": (b"clock: {start: 1\nname: x\n", "2:5: YAML syntax"),
    "bad indent": (b"clock:\n  start: 1\n duration_s: 2\n", "3:2: YAML syntax"),
    "two documents": (b"name: x\n---\nname: y\n", "2:1: YAML syntax"),
    "undefined alias": (b"name: *nobody\n", "1:7: YAML syntax"),
    "bomb": (BOMB.encode(), "more than 50000 values"),
    "too deep": (b"x: " + b"[" * 1200, "1:1: nested too deeply"),
    "too large": (b"# " + b"x" * MAX_BYTES, "1:1: the file is larger than 512 KiB"),
}


@pytest.mark.parametrize("case", UNREADABLE)
def test_unreadable_file_is_one_line_with_its_place(case: str, tmp_path: Path) -> None:
    data, expected = UNREADABLE[case]
    path = tmp_path / "case.yaml"
    path.write_bytes(data)
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(path)
    lines = str(raised.value).splitlines()
    assert len(lines) == 1
    assert lines[0].startswith(f"{path}:")
    assert expected in lines[0]


def test_missing_file_and_folder(tmp_path: Path) -> None:
    with pytest.raises(ScenarioErrors, match=r"nowhere\.yaml:1:1: no such file"):
        load_scenario(tmp_path / "nowhere.yaml")
    with pytest.raises(ScenarioErrors, match=":1:1: cannot be read"):
        load_scenario(tmp_path)


@pytest.mark.parametrize(
    ("text", "field", "place", "message"),
    [
        ("a: 1\na: 2\n", "a", (2, 1), "key stands twice in one mapping; first in line 1"),
        ("a:\n  - b: 1\n    b: 2\n", "a[0].b", (3, 5), "key stands twice"),
        ("a: !!python/object:os.system x\n", "a", (1, 4), "is not allowed"),
        ("a: !secret x\n", "a", (1, 4), "tag '!secret' is not allowed"),
        ("a: !!binary aGk=\n", "a", (1, 4), "is not allowed"),
        ("a: &x [1, *x]\n", "a[1]", (1, 4), "alias of a value that contains itself"),
        (f"a: {'9' * 30}\n", "a", (1, 4), "is too large; allowed: at most 18 digits"),
        (f"a: {'9' * 9000}\n", "a", (1, 4), "is too large"),
        ("? [1, 2]\n: 3\n", "", (1, 3), "a key must be a text"),
        ("base: &b {x: 1}\na:\n  <<: *b\n", "a.<<", (3, 3), "merge keys are not supported"),
        ("a: " + "[" * 60 + "]" * 60, "", None, "more than 40 levels deep"),
    ],
)
def test_what_is_not_plain_data_is_refused(
    text: str, field: str, place: tuple[int, int] | None, message: str, tmp_path: Path
) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(text)
    (error,) = read_document(path).errors
    assert message in error.message
    if place is not None:
        assert (error.field, error.line, error.column) == (field, *place)


def test_plain_values_keep_their_type_and_place(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(
        "int: 12\nhex: 0x1F\nfloat: 1e3\ntext: '12'\nyes: yes\ntrue: true\nnull: ~\n"
        "nan: .nan\ninf: -.inf\ndate: 2025-06-21T10:00:00\nlist: [1_000, {x: y}]\n"
    )
    document = read_document(path)
    assert document.errors == []
    assert document.root is not None
    plain = document.root.plain()
    assert plain.pop("nan") != 0
    assert plain == {
        "int": 12,
        "hex": 31,
        "float": 1000.0,
        "text": "12",
        "yes": "yes",
        "true": True,
        "null": None,
        "inf": float("-inf"),
        "date": "2025-06-21T10:00:00",
        "list": [1000, {"x": "y"}],
    }
    node, depth = document.root.find(("list", 1, "x"))
    assert depth == 3
    assert (node.place.line, node.place.column, node.key_place.column) == (11, 19, 16)


def test_errors_are_printable(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text('"a\\nb\\e[31m": 1\n')
    with pytest.raises(ScenarioErrors) as raised:
        load_scenario(path)
    assert all(
        re.match(rf"{re.escape(str(path))}:\d+:\d+: ", line)
        for line in str(raised.value).splitlines()
    )
    assert "\x1b" not in str(raised.value)
