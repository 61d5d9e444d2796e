"""Data is written as the encoder would, to the byte, whichever of the two writes it."""

import json
import math
import struct
from typing import Any

from hypothesis import example, given
from hypothesis import strategies as st

from hookd.domain.data_json import data_json
from hookd.domain.json_text import compact_json

FLOATS = st.one_of(
    st.floats(allow_nan=False, allow_infinity=False),
    st.floats(min_value=-1e-3, max_value=1e-3),
    st.integers(0, 2**64 - 1)
    .map(lambda bits: float(struct.unpack("d", struct.pack("Q", bits))[0]))
    .filter(math.isfinite),
)
TREES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), FLOATS, st.text(st.characters(exclude_categories=["Cs"]))
    ),
    lambda inner: st.one_of(
        st.lists(inner), st.dictionaries(st.text(st.characters(exclude_categories=["Cs"])), inner)
    ),
    max_leaves=15,
)


@given(TREES)
@example({"a": 1e16, "b": [1e-5, 0.0001, -0.0, 5e-324, 123456789.125]})
@example("".join(map(chr, range(0x300))))
@example([2**63, 2**64, -(2**63) - 1, 10**40])
def test_data_is_written_as_the_encoder_would(tree: Any) -> None:
    assert data_json(tree) == compact_json(tree)


@given(FLOATS)
def test_every_number_is_written_as_the_encoder_would(number: float) -> None:
    assert data_json(number) == json.dumps(number)
