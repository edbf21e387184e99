"""Pictures of runs as files, for print and slides: PNG or SVG, drawn by matplotlib.

Importing this imports matplotlib: import it when a picture is wanted, not before.
"""

from __future__ import annotations

from .catalogue import KINDS, UnknownKindError, check_kinds, draw, save, write_plots
from .subject import NothingToDrawError, Subject, read_subject

__all__ = [
    "KINDS",
    "NothingToDrawError",
    "Subject",
    "UnknownKindError",
    "check_kinds",
    "draw",
    "read_subject",
    "save",
    "write_plots",
]
