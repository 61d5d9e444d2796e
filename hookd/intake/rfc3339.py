"""Dates with times as RFC 3339, section 5.6, writes them.

Must never: be more lenient than the grammar.
"""

import re
from datetime import datetime, timedelta

LONGEST = 64
"""Characters; the grammar bounds everything but the fraction of a second."""

_DATE_TIME = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)T(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:Z|([+-])([01]\d|2[0-3]):([0-5]\d))",
    re.ASCII | re.IGNORECASE,
)


def is_date_time(text: str) -> bool:
    """Whether the text is a moment that exists; a leap second may end any day in UTC."""
    found = _DATE_TIME.fullmatch(text)
    if not found or len(text) > LONGEST:
        return False
    year, month, day, hour, minute, second = map(int, found.groups()[:6])
    leap = second == 60
    try:
        moment = datetime(year, month, day, hour, minute, 59 if leap else second)  # noqa: DTZ001 - the offset is apart
        return not leap or _utc(moment, found).strftime("%H:%M") == "23:59"
    except (ValueError, OverflowError):
        return False


def _utc(moment: datetime, found: re.Match[str]) -> datetime:
    sign, hours, minutes = found.groups()[6:]
    offset = timedelta(hours=int(hours or 0), minutes=int(minutes or 0))
    return moment + offset if sign == "-" else moment - offset
