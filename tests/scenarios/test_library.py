"""How an argument names a scenario, and what the library lists."""

from __future__ import annotations

from pathlib import Path

import pytest

from wattbench.scenarios import library
from wattbench.scenarios.listing import entries


@pytest.fixture
def root(tmp_path: Path) -> Path:
    files = {
        "export/sunny.yaml": "extends: _base.yaml\ntitle: All sun\n",
        "export/_base.yaml": "title: base\nkind: robustness\n",
        "export/twice.yaml": "title: one\n",
        "feeder/twice.yaml": "title: two\n",
        "broken.yaml": "a: [\n",
    }
    for name, text in files.items():
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return tmp_path


def test_entries_have_name_kind_and_title(root: Path) -> None:
    found = [(entry.name, entry.kind, entry.title) for entry in entries(root)]
    assert found == [
        ("broken", "discriminating", ""),
        ("export/sunny", "robustness", "All sun"),
        ("export/twice", "discriminating", "one"),
        ("feeder/twice", "discriminating", "two"),
    ]


def test_find_with_and_without_folder(root: Path) -> None:
    assert library.find("sunny", root) == library.find("export/sunny", root)
    assert library.find("feeder/twice", root) == root / "feeder/twice.yaml"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("twice", "'twice' is ambiguous; allowed: export/twice, feeder/twice"),
        ("suny", "no scenario 'suny' in the library; did you mean 'export/sunny'?"),
        ("export/suny", "did you mean 'export/sunny'?"),
        ("_base", "no scenario '_base'"),
        ("", "no scenario ''"),
    ],
)
def test_unknown_name(root: Path, name: str, message: str) -> None:
    with pytest.raises(library.UnknownScenarioError) as raised:
        library.find(name, root)
    assert message in str(raised.value)


def test_locate_prefers_files(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)
    Path("sunny").write_text("a: 1\n")
    assert library.locate("sunny", root) == Path("sunny")
    assert library.locate("nowhere.yaml", root) == Path("nowhere.yaml")
    assert library.locate("export/sunny", root) == root / "export/sunny.yaml"
