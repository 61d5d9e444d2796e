"""Instants as RFC 3339, section 5.6, writes them: read, and written in UTC.

A leap second is the last of a UTC day. It is read as the second before it, which has the same date; in seconds since
the epoch, which have no place for it, POSIX takes it for the one after.

Must never: be more lenient than the grammar, or read a clock.
"""

import re
from datetime import UTC, datetime, timedelta

LONGEST_DATE_TIME = 64
"""Characters; the grammar bounds everything but the fraction of a second."""

_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII | re.IGNORECASE,
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROS = 1_000_000


def is_date_time(text: str) -> bool:
    """Whether the text is an instant that exists; a leap second may end any day in UTC."""
    found = _DATE_TIME.fullmatch(text)
    if not found or len(text) > LONGEST_DATE_TIME:
        return False
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    leap = second == 60
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap else second)  # noqa: DTZ001 - the offset is apart
        return not leap or _utc(moment, found).strftime("%H:%M") == "23:59"
    except (ValueError, OverflowError):
        return False


def read_date_time(text: str) -> datetime:
    """The instant of a text that `is_date_time` has said yes to, with the offset it was written with."""
    written = f"{text[:17]}59{text[19:]}" if _is_leap(text) else text
    return datetime.fromisoformat(written.upper())


def read_seconds(text: str) -> float:
    """The same as seconds since the epoch."""
    return read_date_time(text).timestamp() + _is_leap(text)


def date_time(at: float, timespec: str = "") -> str:
    """Seconds since the epoch as a date-time in UTC.

    Args:
        at: rounded to whole microseconds.
        timespec: as `datetime.isoformat` takes it; default: as many digits of a second as are needed.

    Raises:
        OverflowError: it is outside the years 1 to 9999.
        ValueError: it is not a number.
    """
    moment = (_EPOCH + timedelta(microseconds=round(at * _MICROS))).replace(tzinfo=None)
    if timespec:
        return moment.isoformat(timespec=timespec) + "Z"
    text = moment.isoformat()
    return (text.rstrip("0") if "." in text else text) + "Z"


def _is_leap(text: str) -> bool:
    return text[17:19] == "60"


def _utc(moment: datetime, found: re.Match[str]) -> datetime:
    sign, hours, minutes = found.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return moment + offset if sign == "-" else moment - offset
