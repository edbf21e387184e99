"""Packed numbers come back within half a quantum; JSON is strict and safe in a page."""

import base64
import json
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from wattbench.evaluation.report.packing import Packer, script_json


def unpack(text, reference):
    """Read an array back as the page's script does."""
    data = zlib.decompress(base64.b64decode(text))
    count, width = reference["n"], reference["b"]
    part = np.frombuffer(data, np.uint8, count * width, reference["o"])
    deltas = np.ascontiguousarray(part.reshape(width, count).T).view(f"<i{width}").ravel()
    numbers = np.cumsum(deltas, dtype=f"<i{width}")
    missing = numbers == np.iinfo(numbers.dtype).min
    return np.where(missing, np.nan, numbers * reference["q"])


NUMBERS = st.one_of(st.floats(-1e7, 1e7), st.just(float("nan")))


@given(
    arrays(np.float64, st.integers(0, 200), elements=NUMBERS),
    arrays(np.float64, st.integers(0, 200), elements=st.floats(-3e4, 3e4)),
)
def test_round_trip(first, second):
    packer = Packer()
    references = [packer.add(first, 1.0), packer.add(second, 1.0)]
    text = packer.text()
    for values, reference in zip((first, second), references, strict=True):
        back = unpack(text, reference)
        assert np.array_equal(np.isnan(back), np.isnan(values))
        np.testing.assert_allclose(back, values, atol=0.5 + 1e-9)


def test_a_range_beyond_32_bits_gets_a_larger_quantum():
    packer = Packer()
    values = np.array([-1e12, 0.0, 1e12])
    reference = packer.add(values, 1.0)
    np.testing.assert_allclose(unpack(packer.text(), reference), values, rtol=1e-8)


def test_infinity_is_missing():
    packer = Packer()
    reference = packer.add(np.array([1.0, np.inf, 2.0]), 1.0)
    assert np.isnan(unpack(packer.text(), reference)[1])


def test_json_cannot_leave_its_script_element():
    text = script_json({"name": "</script><script>alert(1)</script>&"})
    assert "<" not in text
    assert json.loads(text)["name"].startswith("</script>")


def test_json_refuses_nan():
    with pytest.raises(ValueError, match="JSON"):
        script_json({"value": float("nan")})
