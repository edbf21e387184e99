"""Rig files: which devices there are, where they are, and how they are made safe."""
