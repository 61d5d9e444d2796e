"""Durations as the configuration and the command line write them: read, and written.

Must never: read a clock.
"""

import re
from collections.abc import Iterable

UNITS_S = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}
"""The units that a duration is written in, in seconds."""

LONGEST_S = 1e12
"""What is longer is no duration: no instant is that far away."""

_WHOLE_UNITS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_DURATION = re.compile(r"((?:0|[1-9][0-9]*)(?:\.[0-9]+)?)(ms|s|m|h|d|w)?")


def parse_duration(value: float | str, *, bare: str = "") -> float:
    """Seconds of a number, or of `250ms`, `10s`, `5m`, `2h`, `7d`, `2w`.

    Args:
        value: a number, or text.
        bare: the unit of text without one; without it such text is none.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, str):
        return float(value)
    found = _DURATION.fullmatch(value)
    unit = found[2] or bare if found else ""
    seconds = float(found[1]) * UNITS_S[unit] if found and unit else LONGEST_S
    if seconds >= LONGEST_S:
        raise ValueError(f"{value!r} is not a duration such as 250ms, 10s, 5m, 2h, 7d or 2w")
    return seconds


def is_whole_days(value: float | str) -> bool:
    """Whether a duration is written in days or weeks, and is a whole number of days: `14d`, `2w`, but not `24h`."""
    return isinstance(value, str) and value.endswith(("d", "w")) and parse_duration(value) % UNITS_S["d"] == 0


def format_duration(seconds: float) -> str:
    """A duration as it may be written: `15s`, `7d`, `250ms`."""
    if seconds != int(seconds):
        return f"{seconds * 1000:g}ms"
    return in_largest_unit(int(seconds), _WHOLE_UNITS) or "0s"


def format_span(seconds: float) -> str:
    """A length of time in its two largest units: `4s`, `3m 20s`, `2h 5m`, `8d 1h`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in _WHOLE_UNITS:
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"


def in_largest_unit(amount: int, units: Iterable[tuple[str, int]]) -> str:
    """The amount in the first unit of which it is a multiple; empty where it is none."""
    return next((f"{amount // size}{unit}" for unit, size in units if amount and amount % size == 0), "")
