"""Scenarios and suites as tests: what pytest's plugin runs, once it has found some."""
