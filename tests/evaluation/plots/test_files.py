"""Pictures as files: the same bytes, names that never collide, errors in one line."""

from __future__ import annotations

import errno
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, cast
from xml.etree import ElementTree

import matplotlib as mpl
import pytest

from wattbench.commands.plot import PlotOptions, plot
from wattbench.evaluation.plots import (
    KINDS,
    Subject,
    UnknownKindError,
    catalogue,
    read_subject,
    write_plots,
)
from wattbench.evaluation.record import RecordError

from .conftest import MakeRun


def command(runs: list[Path], out: Path, *kinds: str, form: str = "svg") -> int:
    return plot(PlotOptions(tuple(runs), kinds, out, form))


def test_all_kinds_by_default(
    subject: Subject, other: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "save", lambda _figure, path: path.touch())
    written, missing = write_plots([subject, other], [], tmp_path, "svg")
    assert missing == []
    names = [path.stem for path in written]
    for run in (subject, other):
        stem = f"{run.folder.parent.name}-{run.folder.name}"
        assert [n for n in names if n.startswith(f"{stem}-") and "-and-" not in n] == [
            f"{stem}-{kind}" for kind in KINDS if kind != "comparison"
        ]
    both = [f"{run.folder.parent.name}-{run.folder.name}" for run in (subject, other)]
    assert names[-1] == f"{both[0]}-and-{both[1]}-comparison"
    assert sorted(tmp_path.iterdir()) == sorted(written)


@pytest.mark.parametrize("form", ["png", "svg"])
def test_same_record_same_bytes_whatever_the_users_settings(
    folder: Path, tmp_path: Path, form: catalogue.Format
) -> None:
    (first,), _ = write_plots([read_subject(folder)], ["power"], tmp_path / "one", form)
    with mpl.rc_context({"font.size": 20, "lines.linewidth": 9, "svg.fonttype": "none"}):
        (again,), _ = write_plots([read_subject(folder)], ["power"], tmp_path / "two", form)
        assert mpl.rcParams["font.size"] == 20
    assert again.read_bytes() == first.read_bytes()


def test_files_do_not_say_when_or_by_which_version(folder: Path, tmp_path: Path) -> None:
    forms: tuple[catalogue.Format, ...] = ("png", "svg")
    for form in forms:
        (path,), _ = write_plots([read_subject(folder)], ["duration"], tmp_path, form)
        content = path.read_bytes()
        assert b"dc:date" not in content
        assert b"Software" not in content
    assert ElementTree.fromstring(content).tag.endswith("svg")


def test_pyplot_is_never_imported(folder: Path, tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path; from wattbench.evaluation.plots import *; "
        f"write_plots([read_subject(Path({str(folder)!r}))], ['power'], Path({str(tmp_path)!r}), "
        "'png'); assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


def test_runs_of_one_name_have_files_of_their_own(folder: Path, tmp_path: Path) -> None:
    copies = []
    for place in ("before", "after"):
        copies.append(tmp_path / place / "site" / folder.name)
        shutil.copytree(folder, copies[-1])
    subjects = [read_subject(copy) for copy in copies]
    written, _ = write_plots(subjects, ["tanks"], tmp_path / "out", "svg")
    assert [path.name for path in written] == [
        "site-pi-seed1-tanks.svg", "site-pi-seed1-2-tanks.svg",
    ]  # fmt: skip


def test_command_prints_the_files(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([folder.parent], tmp_path / "new" / "out", "tanks", "duration") == 0
    printed = capsys.readouterr().out.splitlines()
    assert len(printed) == 2
    assert all(Path(line).is_file() for line in printed)


def told(capsys: pytest.CaptureFixture[str]) -> str:
    captured = capsys.readouterr()
    (line,) = captured.err.splitlines()
    assert captured.out == ""
    return line


def test_unknown_kind_names_the_nearest(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([folder], tmp_path, "imbalanse") == 2
    assert "no picture 'imbalanse'; allowed: power, " in told(capsys)
    with pytest.raises(UnknownKindError, match=r"no picture 'nosuch'; allowed: .*, comparison$"):
        write_plots([], ["nosuch"], tmp_path, "svg")
    with pytest.raises(UnknownKindError, match=r"; did you mean 'power'\?$"):
        write_plots([], ["powr"], tmp_path, "svg")


def test_unknown_format(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([folder], tmp_path, form="pdf") == 2
    assert "--format is 'pdf'; allowed: png, svg" in told(capsys)


def test_kind_without_data(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run(without=("battery.",))
    assert command([run], tmp_path, "battery") == 2
    assert f"{run}: nothing to draw as 'battery', it has no battery" in told(capsys)


def test_record_without_traces(
    make_run: MakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert command([make_run(streams=(), timed=False)], tmp_path) == 2
    assert "the records hold no data for any picture" in told(capsys)


def test_folder_that_cannot_be_made(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").write_text("")
    assert command([folder], tmp_path / "file" / "out") == 2
    assert "cannot make the folder (Not a directory); choose another" in told(capsys)


def test_damaged_records_are_told_and_drawn_by_nobody(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "site" / "copy"
    shutil.copytree(folder, copy)
    header = copy / "record.json"
    header.write_text(header.read_text().replace('"seed": 1', '"seed": 9'))
    with pytest.raises(RecordError, match="changed after the run; nothing is drawn"):
        read_subject(copy)
    header.write_text("{")
    assert command([copy], tmp_path / "out", "tanks") == 2
    assert "record.json is damaged" in told(capsys)
    # The others are drawn all the same.
    assert command([copy, folder], tmp_path / "out", "tanks") == 2
    assert len(capsys.readouterr().out.splitlines()) == 1


def test_folder_without_records(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert command([tmp_path], tmp_path / "out") == 2
    assert "is no record and holds none" in told(capsys)


def test_half_a_file_is_never_left(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_args: object, **_more: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", full)
    with pytest.raises(OSError, match="No space"):
        write_plots([subject], ["tanks"], tmp_path, "svg")
    assert list(tmp_path.iterdir()) == []


def test_help_lists_every_kind() -> None:
    code = "from wattbench.cli import main; main()"
    arguments = [sys.executable, "-c", code, "plot", "--help"]
    shown = subprocess.run(arguments, capture_output=True, text=True, check=True, timeout=60)
    for kind in KINDS:
        assert kind in shown.stdout


def test_comparisons_of_other_runs_have_other_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(catalogue, "save", lambda _figure, path: path.touch())
    subjects = []
    for name in ("smith-seed1", "pi-seed1", "zero-seed1", *(f"{'x' * 40}-seed{k}" for k in "12")):
        shutil.copytree(folder, tmp_path / "roof" / name)
        subjects.append(read_subject(tmp_path / "roof" / name))
    first, second, third, *long = subjects

    def compared(*runs: Subject) -> str:
        (path,), _ = write_plots(runs, ["comparison"], tmp_path / "out", "png")
        return path.name

    assert compared(first, second) == "roof-smith-seed1-and-roof-pi-seed1-comparison.png"
    assert compared(first, third) == "roof-smith-seed1-and-roof-zero-seed1-comparison.png"
    shortened = compared(*subjects), compared(first, third, second, *long)
    assert len(set(shortened)) == 2
    assert all(len(name) <= 200 for name in shortened)


def test_a_full_disk_names_the_picture(tmp_path: Path) -> None:
    class Full:
        def savefig(self, *_given: object, **_named: object) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    path = tmp_path / "roof-power.png"
    with pytest.raises(OSError, match="No space left") as caught:
        catalogue.save(cast("Any", Full()), path)
    assert caught.value.filename == str(path)
    assert list(tmp_path.iterdir()) == []


def test_a_suites_folder_means_the_judged_runs_in_it(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    suite = tmp_path / "runs" / "my_suite"
    for name in ("pi-seed1", "baseline-zero-seed1"):
        shutil.copytree(folder, suite / "runs" / "roof@plain" / name)
    (suite / "suite.json").write_text("{}")
    assert command([suite], tmp_path / "out", "tanks") == 0
    assert capsys.readouterr().out == f"{tmp_path / 'out'}/roof@plain-pi-seed1-tanks.svg\n"
    assert command([suite.parent], tmp_path / "out", "tanks") == 2
    assert f"holds no records but suites; name one: {suite}" in told(capsys)


def test_dead_time_says_that_what_was_drawn_are_means(subject: Subject) -> None:
    figure = catalogue.draw("dead_time", [subject])
    labels = figure.axes[0].get_legend_handles_labels()[1]
    assert "drawn (truth, means of 1 s)" in labels
