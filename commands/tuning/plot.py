"""The front as a picture: export against import, colour for command changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .found import Tried, Tuned


def write_front(path: Path, tuned: Tuned) -> None:
    """Write the front with what lies near it, the start and the chosen point as PNG.

    Raises:
        OSError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 5.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes: Any = figure.subplots()
    tried = tuned.tried
    feasible = [point for point in tried if point.score is not None and point.score.feasible]
    axes.scatter(*_shares(feasible), s=12, color="0.75", label="tried, limits kept")
    front = [tried[index] for index in tuned.front]
    changes = [point.score.changes_per_min for point in front if point.score is not None]
    drawn = axes.scatter(*_shares(front), s=36, c=changes, cmap="viridis", label="front")
    figure.colorbar(drawn, ax=axes, label="command changes (1/min, mean)")
    shown = list(front)
    marks = (("defaults", "s", "tab:blue"), ("rule", "^", "tab:orange"))
    for origin, marker, colour in marks:
        points = [point for point in tried if point.origin == origin and point.score is not None]
        if points:
            style = {"marker": marker, "s": 90, "facecolors": "none", "edgecolors": colour}
            axes.scatter(*_shares(points), **style, linewidths=1.8, label=_LABELS[origin])
            shown += points
    chosen = _shares([tried[tuned.chosen]])
    axes.scatter(*chosen, marker="*", s=220, color="tab:red", label="chosen in the final")
    kind = tuned.plan.kind
    runs = len(tuned.plan.search_runs)
    axes.set_title(f"{kind}: search of {len(tried)} points, {runs} simulations each")
    axes.set_xlabel("export, % of that without loads (mean over the search's runs)")
    axes.set_ylabel("added import, % of the same")
    # Bad points are far away, and would leave the front a corner of the picture.
    axes.set_xlim(*_around(_shares(shown)[0]))
    axes.set_ylim(*_around(_shares(shown)[1]))
    axes.grid(visible=True, alpha=0.3)
    axes.legend()
    figure.savefig(path, dpi=120)


_LABELS = {"defaults": "start: defaults", "rule": "start: published rule"}


def _around(values: list[float]) -> tuple[float, float]:
    """Return a range that holds all values with a margin."""
    margin = 0.1 * (max(values) - min(values)) or 1.0
    return min(values) - margin, max(values) + margin


def _shares(points: list[Tried]) -> tuple[list[float], list[float]]:
    """Return export and added import in percent."""
    scores = [point.score for point in points if point.score is not None]
    return (
        [100.0 * score.export_share for score in scores],
        [100.0 * score.added_import_share for score in scores],
    )
