"""What a suite of runs is worth: results as they come, intervals, limits, one verdict."""
