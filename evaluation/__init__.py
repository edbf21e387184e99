"""Records of runs, metrics, limits, verdicts, comparison and reports."""
