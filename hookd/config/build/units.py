"""Durations within bounds, sizes, rates and time zones of the configuration (spec 1).

Must never: accept a truth value as a number.
"""

import math
import re
import zoneinfo
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from hookd.config.yaml.cursor import Cursor
from hookd.config.yaml.tree import read_as
from hookd.domain.definitions import RateLimit
from hookd.domain.durations import UNITS_S, parse_duration
from hookd.domain.text import quoted
from hookd.domain.value_class import value_class

_SIZE = re.compile(r"([1-9][0-9]*)(KiB|MiB|GiB)")
_RATE = re.compile(r"([1-9][0-9]*)/([smh])")
_OFFSET = re.compile(r"(?:UTC|GMT)?([+-])0?([0-9]{1,2})(?::?00)?")
_ABBREVIATION = re.compile(r"[A-Z]{2,5}")
_FIXED = {
    "EST": "America/New_York (or Etc/GMT+5)",
    "MST": "America/Denver (or Etc/GMT+7)",
    "HST": "Pacific/Honolulu",
}
"""Abbreviations that are zones, of one offset all year, and what they are taken for."""
_BYTES = {"KiB": 1 << 10, "MiB": 1 << 20, "GiB": 1 << 30}


def parse_size(value: int | str) -> int:
    """Bytes of a number, or of `64KiB`, `1MiB`, `1GiB`.

    Raises:
        ValueError: it is neither.
    """
    if not isinstance(value, str):
        return int(value)
    match = _SIZE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return int(match[1]) * _BYTES[match[2]]


def parse_rate(value: str) -> RateLimit:
    """The rate of `20/s`, `100/m`, `1000/h`.

    Raises:
        ValueError: it is not of that form.
    """
    match = _RATE.fullmatch(value)
    if match is None:
        raise ValueError(value)
    return RateLimit(count=int(match[1]), period_s=UNITS_S[match[2]])


@value_class
class Range:
    """The least and the greatest value allowed; `expected` names them: `a duration from 3 to 120 seconds`."""

    least: float
    most: float
    expected: str


def read_duration(cursor: Cursor | None, default_s: float, bounds: Range) -> float:
    """Seconds of a duration within bounds; reports one that is out of them."""
    return _read(cursor, default_s, parse_duration, bounds)


def read_size(cursor: Cursor | None, default: int, bounds: Range) -> int:
    """Bytes of a size within bounds; reports one that is out of them."""
    return int(_read(cursor, default, parse_size, bounds))


def _read(cursor: Cursor | None, default: float, parse: Callable[[Any], float], bounds: Range) -> float:
    if cursor is None:
        return default
    odd = f"; {read_as(cursor.node)}" if ":" in cursor.node.text else ""
    try:
        value = math.nan if odd else parse(cursor.value)
    except (ValueError, OverflowError):
        value = math.nan
    if bounds.least <= value <= bounds.most:
        return value
    given = quoted(cursor.value) if isinstance(cursor.value, str) else str(cursor.value)
    cursor.error(f"must be {bounds.expected}, not {given}{odd}")
    return default


def read_timezone(cursor: Cursor | None, default: str) -> str:
    """The name of a time zone; one that does not exist is reported, and the default stands in for it."""
    if cursor is None:
        return default
    name = str(cursor.value)
    if is_zone(name):
        if name in _FIXED:
            cursor.warn(f"{name} is one offset all year, without daylight saving; write {_FIXED[name]}")
        return name
    cursor.error(
        f"there is no time zone {quoted(name)}{_zone_hint(cursor, name)} "
        "(IANA names, such as Europe/Berlin; timedatectl list-timezones lists them)"
    )
    return default


def _zone_hint(cursor: Cursor, name: str) -> str:
    if offset := _OFFSET.fullmatch(name):
        sign = "+" if offset[1] == "-" else "-"
        return f"; an offset is written Etc/GMT{sign}{int(offset[2])} (the sign is the other way round)"
    if _ABBREVIATION.fullmatch(name):
        return "; an abbreviation names no zone, since several share it"
    return cursor.scope.meant(name, _zone_names())


def is_zone(name: str) -> bool:
    """Whether this system, or the tzdata package, knows a time zone of this name."""
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        return False
    return True


@lru_cache(maxsize=1)
def _zone_names() -> frozenset[str]:
    # Walks the whole database: once for the misspelt names of a load, not once for each.
    return frozenset(zoneinfo.available_timezones())
