"""Counter-based random numbers for compiled kernels.

A draw is a pure function of (key, stream, counter): how far a kernel advances in one call, who
looks at a meter and how many instances run beside this one cannot change it. The mixer is the
finaliser of SplitMix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators,
OOPSLA 2014), applied twice so that neighbouring counters share nothing.
"""

from __future__ import annotations

import numpy as np

from ..compiled import compiled

STREAM_MESH_STATE = 1
STREAM_COMMAND = 2
STREAM_ACK = 3
STREAM_METER = 4
STREAM_MISSING = 5
STREAM_REPORT = 6

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX_A = np.uint64(0xBF58476D1CE4E5B9)
_MIX_B = np.uint64(0x94D049BB133111EB)
_S30, _S27, _S31 = np.uint64(30), np.uint64(27), np.uint64(31)
_STREAM_SHIFT = np.uint64(56)
_U16 = np.uint64(0xFFFF)
_S16, _S32, _S48 = np.uint64(16), np.uint64(32), np.uint64(48)
_S11 = np.uint64(11)
_TO_UNIT = 1.0 / (1 << 53)
#: Standard deviation of the sum of four independent uniforms on 0…65535.
_SIGMA_4 = float(np.sqrt(4 * ((1 << 32) - 1) / 12.0))
_MEAN_4 = 2.0 * 65535.0


@compiled
def _mix(z: np.uint64) -> np.uint64:
    z = (z ^ (z >> _S30)) * _MIX_A
    z = (z ^ (z >> _S27)) * _MIX_B
    return z ^ (z >> _S31)


@compiled
def bits(key: int, stream: int, counter: int) -> np.uint64:
    """Return 64 random bits for a key (int64), a stream number (0–255) and a counter (int64)."""
    z = np.uint64(key) ^ (np.uint64(stream) << _STREAM_SHIFT)
    return _mix(_mix(z) + np.uint64(counter) * _GOLDEN)


@compiled
def uniform(key: int, stream: int, counter: int) -> float:
    """Return a uniform draw on [0, 1) with 53 bits."""
    return float(bits(key, stream, counter) >> _S11) * _TO_UNIT


@compiled
def bell(key: int, stream: int, counter: int) -> float:
    """Return a bell-shaped draw with mean 0 and standard deviation 1, bounded by ±3.47.

    The sum of four uniforms (Irwin-Hall): close to normal up to 3 σ, exact in floating point and
    free of logarithms, whose scalar and vector versions may differ in the last bit.
    """
    z = bits(key, stream, counter)
    total = (z & _U16) + ((z >> _S16) & _U16) + ((z >> _S32) & _U16) + (z >> _S48)
    return (float(total) - _MEAN_4) / _SIGMA_4
