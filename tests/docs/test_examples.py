"""The examples of README and docs are run as they stand.

A marker, in a comment on the line before a fenced block, says what the block is for:

``<!-- test: exit=0 -->``
    Run each command of the block (lines after ``$ `` in a ``console`` block); the last must end
    with this code, those before it with 0.
``<!-- test: file=my.yaml -->``
    Write the block into this file, for the commands that follow on the page.
``<!-- test: skip, WHY -->``
    Do not run it.

All blocks of a page share one new folder. A shell block that calls ``wattbench`` must be marked.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
BLOCK = re.compile(
    r"(?:^<!-- test: (?P<marker>.*?) -->\n)?^```(?P<language>\w*)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
SHELL = {"bash", "console", "sh", "shell"}
LINK = re.compile(r"\[[^\]]*\]\(([^)#\s]+)(?:#[^)]*)?\)")


@dataclass(frozen=True)
class Block:
    line: int
    language: str
    marker: str
    body: str

    @property
    def commands(self) -> list[str]:
        """The commands, with continued lines joined; a console's output lines are left out."""
        text = self.body.replace("\\\n", " ")
        if self.language == "console":
            return [line[2:] for line in text.splitlines() if line.startswith("$ ")]
        return [line for line in text.splitlines() if line.strip() and not line.startswith("#")]


def blocks(text: str) -> list[Block]:
    return [
        Block(
            line=text[: match.start()].count("\n") + 1,
            language=match["language"],
            marker=match["marker"] or "",
            body=match["body"],
        )
        for match in BLOCK.finditer(text)
    ]


def page_id(page: Path) -> str:
    return str(page.relative_to(ROOT))


def runnable(page: Path) -> bool:
    return any(block.marker.startswith("exit=") for block in blocks(page.read_text()))


@pytest.mark.slow
@pytest.mark.parametrize("page", [page for page in PAGES if runnable(page)], ids=page_id)
def test_examples_run_as_stated(page: Path, tmp_path: Path) -> None:
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {**os.environ, "PATH": path, "NO_COLOR": "1", "COLUMNS": "120"}
    for block in blocks(page.read_text()):
        if block.marker.startswith("file="):
            target = tmp_path / block.marker.removeprefix("file=")
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.body)
        elif block.marker.startswith("exit="):
            wanted = int(block.marker.removeprefix("exit="))
            for number, command in enumerate(block.commands, start=1):
                done = subprocess.run(
                    ["bash", "-c", command],
                    cwd=tmp_path,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    capture_output=True,
                    text=True,
                    timeout=300,
                    check=False,
                )
                expected = wanted if number == len(block.commands) else 0
                assert done.returncode == expected, (
                    f"{page_id(page)}:{block.line}: `{command}` ended with {done.returncode}, "
                    f"expected {expected}\n{done.stdout}\n{done.stderr}"
                )


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_examples_are_marked(page: Path) -> None:
    known = re.compile(r"exit=\d|file=[\w./-]+|skip, .+")
    for block in blocks(page.read_text()):
        where = f"{page_id(page)}:{block.line}"
        if block.marker:
            assert known.fullmatch(block.marker), f"{where}: unknown marker '{block.marker}'"
        elif block.language in SHELL:
            calls = [command for command in block.commands if command.startswith("wattbench")]
            assert not calls, f"{where}: not marked, so never run: {calls}"


@pytest.mark.parametrize("page", PAGES, ids=page_id)
def test_links_lead_somewhere(page: Path) -> None:
    targets = [link for link in LINK.findall(page.read_text()) if "://" not in link]
    missing = [link for link in targets if not (page.parent / link).exists()]
    assert not missing, f"{page_id(page)}: {missing}"


def test_blocks_are_read() -> None:
    page = (
        "<!-- test: exit=3 -->\n```console\n$ wattbench run a \\\n  --json\nout\n```\n"
        "text\n```yaml\nname: a\n```\n"
    )
    first, second = blocks(page)
    assert (first.marker, first.commands) == ("exit=3", ["wattbench run a    --json"])
    assert (second.language, second.marker, second.line) == ("yaml", "", 8)
