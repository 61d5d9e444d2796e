"""The timing of a schedule, under `schedules:` or on a task, to a `ScheduleDef` (spec 1, `schedules`).

Must never: read a clock, or raise for what is in the files.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from typing import Any, assert_never

from hookd.config.build.units import Range, read_duration, read_timezone
from hookd.config.yaml.cursor import Cursor
from hookd.domain.definitions import Missed, ScheduleDef, Timing
from hookd.domain.durations import is_whole_days
from hookd.domain.text import quoted
from hookd.domain.value_class import value_class
from hookd.rules.calendar import CronError, check_cron, likely_meant, local_instant, next_moment

_LONGEST_S = 3650 * 86400
_EVERY = Range(
    1, _LONGEST_S, "at least 1s and at most 3650d (seconds as a number, or a duration such as 15m, 2h, 1d)"
)
_DATE_LENGTH = len("2026-01-01")
_MICROSECOND = 1e-6


@value_class
class Calendar:
    """What schedules are judged by.

    Attributes:
        timezone: IANA name of the zone of schedules that name none.
        now: seconds since the epoch.
    """

    timezone: str
    now: float


def is_schedule(cursor: Cursor) -> bool:
    """Whether a trigger is a schedule, not an event rule."""
    return any(timing in cursor.node.value for timing in Timing)


def has_local_times(written: Mapping[str, Any]) -> bool:
    """Whether the time zone of a schedule, which has no diagnostics, changes its moments."""
    times = [written[key] for key in (Timing.AT, "from", "until") if key in written]
    return Timing.CRON in written or any(datetime.fromisoformat(text).tzinfo is None for text in times)


def build_schedule(
    place: str, cursor: Cursor, tasks: tuple[str, ...], calendar: Calendar
) -> ScheduleDef | None:
    """A schedule at a place, or None where it cannot be built; what is wrong is reported."""
    timezone = read_timezone(cursor.get("timezone"), calendar.timezone)
    written, window = _timing(cursor), _read_window(cursor, timezone)
    if written is None:
        return None
    timing, what = written
    timed = _read_timing(timing, what, timezone)
    if timed is None or window is None:
        return None
    days = timing is Timing.EVERY and is_whole_days(what.value)
    schedule = ScheduleDef(
        place,
        tasks,
        timing,
        what.node.text or what.value,
        timezone,
        description=cursor.plain("description", ""),
        every_s=timed.every_s,
        at=timed.at,
        starts_at=window.starts_at,
        ends_at=window.ends_at,
        days_from=window.local_start if days else None,
        missed=Missed(cursor.plain("missed", Missed.ONCE)),
        enabled=cursor.plain("enabled", default=True),
    )
    if schedule.enabled and next_moment(schedule, calendar.now) is None:
        key, reason = _silence(schedule, calendar.now)
        cursor.below((key,)).warn(f"never fires: {reason}")
    return schedule


@value_class
class _Timed:
    every_s: float = 0.0
    at: float | None = None


@value_class
class _Window:
    """From when and until when; the start also as the local time that it is written as, where it is one."""

    starts_at: float | None
    ends_at: float | None
    local_start: str | None


def _timing(cursor: Cursor) -> tuple[Timing, Cursor] | None:
    """The one key that gives the moments; None where it, or its number, has a diagnostic."""
    given = [timing for timing in Timing if timing in cursor.node.value]
    what = cursor.get(given[0]) if len(given) == 1 else None
    return None if what is None else (given[0], what)


def _read_timing(timing: Timing, what: Cursor, timezone: str) -> _Timed | None:
    match timing:
        case Timing.CRON:
            return _read_cron(what)
        case Timing.EVERY:
            every_s = read_duration(what, 0.0, _EVERY)
            return _Timed(every_s=every_s) if every_s else None
        case Timing.AT:
            at = _read_moment(what, timezone)
            return None if at is None else _Timed(at=at)
        case _:
            assert_never(timing)


def _read_cron(cursor: Cursor) -> _Timed | None:
    try:
        check_cron(cursor.value)
    except CronError as error:
        cursor.error(str(error))
        return None
    if (meant := likely_meant(cursor.value)) is not None:
        cursor.warn(
            "runs on each of these days of the month and on each such weekday, since either is enough; "
            f"for the one weekday of the month write {quoted(meant)}"
        )
    return _Timed()


def _read_window(cursor: Cursor, timezone: str) -> _Window | None:
    """From when and until when; None where no moment can be between them."""
    start, end = cursor.get("from"), cursor.get("until")
    starts_at = None if start is None else _read_moment(start, timezone)
    ends_at = None if end is None else _read_moment(end, timezone, to_the_end=True)
    if start is None or end is None or starts_at is None or ends_at is None or starts_at <= ends_at:
        return _Window(starts_at, ends_at, None if start is None else _local_text(start.value))
    start.error(f"the window is empty: from {quoted(start.value)} is after until {quoted(end.value)}")
    return None


def _read_moment(cursor: Cursor, timezone: str, *, to_the_end: bool = False) -> float | None:
    try:
        return _instant(cursor.value, timezone, to_the_end=to_the_end)
    except (ValueError, OverflowError):
        form = "year-month-day" if len(cursor.value) <= _DATE_LENGTH else "year-month-dayThour:minute"
        cursor.error(f"there is no such date or time: {quoted(cursor.value)}; the form is {form}")
        return None


def _local_text(text: str) -> str | None:
    """A date, or a date and a time, in one form; None where it has an offset, or is none."""
    try:
        local = datetime.fromisoformat(text)
    except ValueError:
        return None
    return local.isoformat() if local.tzinfo is None else None


def _instant(text: str, timezone: str, *, to_the_end: bool) -> float:
    """Seconds since the epoch; raises ValueError or OverflowError where there is no such date or time."""
    local = datetime.fromisoformat(text)
    if local.tzinfo is not None:
        return local.timestamp()
    if not to_the_end or len(text) > _DATE_LENGTH:
        return local_instant(local, timezone)
    if local.date() == date.max:
        return local.replace(hour=23, minute=59, second=59, tzinfo=UTC).timestamp()
    return local_instant(local + timedelta(days=1), timezone) - _MICROSECOND


def _silence(schedule: ScheduleDef, now: float) -> tuple[str, str]:
    """Why a schedule has no moment after `now`, and the key that is to blame."""
    if schedule.at is not None and schedule.at <= now:
        return Timing.AT, "it is in the past; remove it, or correct the date"
    if schedule.ends_at is not None and schedule.ends_at <= now:
        return "until", "its window is over; remove it, or correct the date"
    if next_moment(replace(schedule, starts_at=None, ends_at=None), now) is None:
        return schedule.timing, "no date satisfies it; remove it, or correct the day or the month"
    return (
        "from" if schedule.ends_at is None else "until",
        "its window holds no moment; remove it, or widen the window",
    )
