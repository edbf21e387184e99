"""Tuning: a search over the parameters of a policy, in simulations on training seeds."""
