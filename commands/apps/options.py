"""Options that several commands have."""

from __future__ import annotations

from typing import Annotated

import typer

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON object.")]
BracketOption = Annotated[
    bool,
    typer.Option(
        "--bracket/--no-bracket",
        help="Put what is judged between doing nothing and the best possible; takes time. Of a "
        "suite: each policy's runs on first seeds.",
    ),
]
