"""JSON as hookd writes it where no other form is asked for.

Must never: write what is no JSON, such as NaN.
"""

import json
from collections.abc import Callable


def json_fault(error: ValueError) -> str:
    """What is wrong with a text that `json.loads` refused, and where: without Python's advice for programmers."""
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg.removesuffix(' at')} at line {error.lineno}, column {error.colno}"
    return "an integer has too many digits"


compact_json: Callable[[object], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False
).encode
"""One line without spaces, keys in the order they have. Made once: `json.dumps` makes an encoder for every call."""
