"""A mesh of emulated heaters behind an emulated coordinator, over the plant's own channel."""


class EmulatedMesh:
    """Placeholder until the coordinator is there."""
