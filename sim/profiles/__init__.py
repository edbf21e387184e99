"""Profiles of a site at one row a second: PV, household load and hot-water draws."""
