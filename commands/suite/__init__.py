"""`wattbench suite`: plan, workers, resuming, progress, and what comes out of it."""
