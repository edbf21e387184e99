"""The clairvoyant optimum of the export plant: what no policy can beat, and a plan near it."""

from .model import Bound, BoundError, Schedule

__all__ = ["Bound", "BoundError", "Schedule"]
