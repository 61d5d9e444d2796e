"""JSON as hookd writes it where no other form is asked for.

Must never: write what is no JSON, such as NaN.
"""

import json
from collections.abc import Callable

compact_json: Callable[[object], str] = json.JSONEncoder(
    ensure_ascii=False, separators=(",", ":"), allow_nan=False
).encode
"""One line without spaces, keys in the order they have. Made once: `json.dumps` makes an encoder for every call."""
