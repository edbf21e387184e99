"""The wheel: it holds the whole package and works in an environment of its own."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = [
    name
    for name in ("agents", "commands", "evaluation", "fixtures", "hil", "scenarios", "sim")
    if (ROOT / name).exists()
]

pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path) -> str:
    words = [str(part) for part in command]
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build in a copy, so that no build folder appears beside the sources."""
    pytest.importorskip("setuptools", minversion="77", reason="part of the extra `dev`")
    source = tmp_path_factory.mktemp("source") / "wattbench"
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", "py.typed"):
        shutil.copy(ROOT / name, source)
    for module in ROOT.glob("*.py"):
        shutil.copy(module, source)
    for room in (*ROOMS, "tests"):
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    target = tmp_path_factory.mktemp("wheel")
    pip = (sys.executable, "-m", "pip", "--disable-pip-version-check")
    run(*pip, "wheel", "--no-deps", "--no-build-isolation", "-w", target, source, cwd=target)
    (built,) = target.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with the wheel; its dependencies are borrowed from the one running this."""
    home = tmp_path_factory.mktemp("venv")
    venv.create(home, with_pip=True)
    python = home / "bin" / "python"
    run(python, "-m", "pip", "install", "--no-deps", "--no-index", wheel, cwd=home)
    # A folder named by a .pth file is searched, but its own .pth files (the editable install of
    # this very package) are not read.
    site = Path(
        run(python, "-c", "import site; print(site.getsitepackages()[0])", cwd=home).strip()
    )
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return home


def test_wheel_holds_every_file_of_the_package_and_no_other(wheel: Path) -> None:
    shipped = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    files = [path for path in ROOT.iterdir() if path.suffix in {".py", ".typed"}]
    for room in ROOMS:
        files += [path for path in (ROOT / room).rglob("*") if path.is_file()]
    wanted = {
        f"wattbench/{path.relative_to(ROOT)}"
        for path in files
        # golden traces are the tests' own
        if "__pycache__" not in path.parts and "golden" not in path.parts
    }
    assert shipped == wanted


def test_wheel_states_licence_and_torch_only_as_an_extra(wheel: Path) -> None:
    archive = zipfile.ZipFile(wheel)
    (metadata,) = [name for name in archive.namelist() if name.endswith(".dist-info/METADATA")]
    lines = archive.read(metadata).decode().splitlines()
    assert "License-Expression: MIT" in lines
    torch = [line for line in lines if line.startswith("Requires-Dist: torch")]
    assert torch == ['Requires-Dist: torch==2.13.0; extra == "train"']
    assert any(name.endswith("/licenses/LICENSE") for name in archive.namelist())


def test_installed_package_imports_and_answers(installed: Path, tmp_path: Path) -> None:
    python = installed / "bin" / "python"
    code = "import wattbench.sim.edge, wattbench.cli; print(wattbench.__file__)"
    assert Path(run(python, "-c", code, cwd=tmp_path).strip()).is_relative_to(installed)
    command = installed / "bin" / "wattbench"
    assert "run" in run(command, "--help", cwd=tmp_path)
    assert "partly_cloudy" in run(command, "list", cwd=tmp_path)


def test_pytest_of_an_environment_with_the_package_knows_scenarios(
    installed: Path, tmp_path: Path
) -> None:
    (tmp_path / "scenarios").mkdir()
    (tmp_path / "scenarios" / "mine.yaml").write_text("extends: clear_day\nseeds: [4]\n")
    python = installed / "bin" / "python"
    shown = run(python, "-m", "pytest", "--collect-only", "-q", "scenarios", cwd=tmp_path)
    assert "scenarios/mine.yaml::smith[seed 4]" in shown.splitlines()
    assert "wattbench_run" in run(python, "-m", "pytest", "--fixtures", cwd=tmp_path)
