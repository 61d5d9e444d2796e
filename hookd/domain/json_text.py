"""JSON as hookd writes it where no other form is asked for.

Must never: write what is no JSON, such as NaN.
"""

import json
from collections.abc import Callable
from json.encoder import (  # type: ignore[attr-defined]
    c_make_encoder,
    encode_basestring,
    encode_basestring_ascii,
)


def json_fault(error: ValueError) -> str:
    """What is wrong with a text that `json.loads` refused, and where: without Python's advice for programmers."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
    return "an integer has too many digits"


def json_encoder(
    *,
    ensure_ascii: bool = True,
    separators: tuple[str, str] = (", ", ": "),
    sort_keys: bool = False,
    allow_nan: bool = True,
    default: Callable[[object], object] | None = None,
) -> Callable[[object], str]:
    """`json.JSONEncoder(…).encode`, byte for byte, but with its inner encoder made once and not for each text.

    That a value contains itself is not looked for: then a RecursionError says so.
    """
    item, key = separators
    made = json.JSONEncoder(
        ensure_ascii=ensure_ascii,
        separators=separators,
        sort_keys=sort_keys,
        allow_nan=allow_nan,
        default=default,
        check_circular=False,
    )
    if c_make_encoder is None:  # an interpreter without json's part in C
        return made.encode
    escape = encode_basestring_ascii if ensure_ascii else encode_basestring
    pieces = c_make_encoder(None, made.default, escape, None, key, item, sort_keys, False, allow_nan)
    join = "".join
    return lambda value: join(pieces(value, 0))


compact_json = json_encoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False)
"""One line without spaces, keys in the order they have."""

json_string: Callable[[str], str] = encode_basestring
"""A text as a JSON string, quotes and all; only what JSON requires is escaped."""
