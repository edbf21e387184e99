"""Emulated devices behind which a plant, or power of their own, flows."""
