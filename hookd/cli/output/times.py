"""Durations as people write and read them on the command line.

Must never: read a clock.
"""

import re

_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `250ms`, `10s`, `5m`, `2h`, `7d`, or a plain number of seconds (spec 1).

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 250ms, 10s, 5m, 2h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def span(seconds: float) -> str:
    """A length of time in its two largest units: `4s`, `3m 20s`, `2h 5m`, `8d 1h`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
