"""Durations and instants as people write and read them on the command line.

Must never: read a clock; callers pass `now`.
"""

import re
from datetime import UTC, datetime, timedelta

_UNITS_S = {"": 1.0, "ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_DURATION = re.compile(r"(\d{1,9}(?:\.\d{1,6})?)(ms|s|m|h|d|)", re.ASCII)
_RFC3339 = re.compile(r"\d{4}-\d\d-\d\d[Tt ]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)", re.ASCII)


def parse_duration(text: str) -> float:
    """Seconds of a duration such as `250ms`, `10s`, `5m`, `2h`, `7d`, or a plain number of seconds (spec 1).

    Raises:
        ValueError: it is none.
    """
    found = _DURATION.fullmatch(text.strip())
    if not found:
        raise ValueError(f"{text!r} is not a duration such as 250ms, 10s, 5m, 2h or 7d")
    return float(found[1]) * _UNITS_S[found[2]]


def parse_moment(text: str, now: datetime) -> str:
    """An instant, RFC 3339 in UTC, from an RFC 3339 one or from a duration back from `now` (spec 8).

    Raises:
        ValueError: it is neither.
    """
    try:
        if _RFC3339.fullmatch(text):
            return rfc3339(datetime.fromisoformat(text.upper()))
        return rfc3339(now - timedelta(seconds=parse_duration(text)))
    except (ValueError, OverflowError):
        raise ValueError(
            f"{text!r} is neither an instant such as 2026-01-02T03:04:05Z nor a duration such as 10m or 2h"
        ) from None


def rfc3339(instant: datetime) -> str:
    """An aware instant as RFC 3339 in UTC, with microseconds only where there are any."""
    return instant.astimezone(UTC).isoformat().replace("+00:00", "Z")


def to_the_second(instant: str | None) -> str:
    """An RFC 3339 instant of the API without its fraction; `-` where there is none."""
    return re.sub(r"\.\d+", "", instant) if instant else "-"


def span(seconds: float) -> str:
    """A length of time in its two largest units: `4s`, `3m 20s`, `2h 5m`, `8d 1h`."""
    left = max(0, int(seconds))
    parts: list[str] = []
    for unit, size in (("d", 86400), ("h", 3600), ("m", 60), ("s", 1)):
        count, left = divmod(left, size)
        if count:
            parts.append(f"{count}{unit}")
    return " ".join(parts[:2]) or "0s"
