"""The bench: what joins a plant, a policy and a clock into a run."""
