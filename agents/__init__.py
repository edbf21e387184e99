"""Policies and what surrounds them: observation, features, allocator, guard.

Importing the package registers every kind of policy.
"""

from . import baselines, onnx_policy

__all__ = ["baselines", "onnx_policy"]
