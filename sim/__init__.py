"""Simulated physics: the clock, points, plants and what lies between truth and reading."""
