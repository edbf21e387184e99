"""Canonical JSON and its hash."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wattbench.evaluation.model import content_hash, content_hash_of_json

json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(json_values)
def test_what_was_read_from_json_has_the_same_hash(value: Any) -> None:
    try:
        read = json.loads(json.dumps(value))
        expected = content_hash(read)
    except UnicodeEncodeError:  # half of a character, which no file holds
        return
    assert content_hash_of_json(read) == expected
