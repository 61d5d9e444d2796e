"""JSON as hookd writes it: byte for byte what `json.JSONEncoder` writes; digests of it are kept in stores."""

import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.domain.deliveries import State
from hookd.domain.json_text import compact_json, json_encoder
from hookd.intake.event_format import _canonical

TEXT = st.text(st.characters())  # lone surrogates too
PLAIN = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(10**30, 10**31)
    | st.floats()
    | TEXT
    | st.sampled_from(State)
)
KEYS = TEXT | st.integers() | st.booleans() | st.floats()


def nested(leaves: st.SearchStrategy[Any], keys: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.lists(inner) | st.lists(inner).map(tuple) | st.dictionaries(keys, inner),
        max_leaves=20,
    )


JSON_VALUES = nested(PLAIN, TEXT)
ANY_VALUES = nested(PLAIN | st.sampled_from([Path("/a"), datetime(2026, 1, 1, tzinfo=UTC), object]), KEYS)

FORMS: list[dict[str, Any]] = [
    {"ensure_ascii": False, "separators": (",", ":"), "allow_nan": False},
    {"sort_keys": True, "separators": (",", ":")},
    {"default": str},
    {"default": str, "separators": (",", ":")},
    {},
]


@pytest.mark.parametrize("form", FORMS, ids=str)
@given(values=st.lists(JSON_VALUES | ANY_VALUES, min_size=1, max_size=3))
def test_an_encoder_writes_what_the_standard_library_writes(form: dict[str, Any], values: list[Any]) -> None:
    """Also several times, and after a value that it refused."""
    encode = json_encoder(**form)
    for value in [*values, *values]:
        assert outcome(encode, value) == outcome(json.JSONEncoder(**form).encode, value)


def outcome(encode: Any, value: Any) -> Any:
    try:
        return encode(value)
    except (TypeError, ValueError) as exc:
        return type(exc), str(exc)


@given(JSON_VALUES)
def test_the_text_whose_digest_is_kept_does_not_change(value: Any) -> None:
    expected = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert _canonical(value) == expected


def test_what_an_encoder_refuses_leaves_nothing_behind() -> None:
    inner: list[object] = [object()]
    for _ in range(3):
        with pytest.raises(TypeError, match="Object of type object is not JSON serializable"):
            compact_json([inner])
    inner[0] = 1
    assert compact_json([inner]) == "[[1]]"


def test_a_value_that_contains_itself_is_refused() -> None:
    loop: list[object] = []
    loop.append(loop)
    with pytest.raises(RecursionError):
        compact_json(loop)


def test_an_interpreter_without_the_part_in_c_writes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("hookd.domain.json_text.c_make_encoder", None)
    assert json_encoder(default=str)({"é": [1.5, Path("/a")]}) == '{"\\u00e9": [1.5, "/a"]}'
