"""The moments of a schedule: cron, every, at, in time zones and windows (spec 1, `schedules`).

Cron follows Debian's `cron(8)` across changes of the zone's offset. A fixed time (neither minute nor hour begins with
`*`) that is skipped comes right after the gap, one that comes twice is taken at its first occurrence. With a wildcard
in minute or hour, every minute that the clock really shows counts, as often as it shows it.

The calendar is cronsim's, asked without a zone. The zone is applied here: cronsim itself is off where the clocks move
by half an hour (Lord Howe) or at midnight, and when it searches backwards.

Must never: read a clock.
"""

import hashlib
import re
from collections import deque
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from math import ceil, floor, inf, nextafter
from typing import assert_never
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from hookd.domain.definitions import ScheduleDef, Timing
from hookd.domain.text import shown
from hookd.domain.times import date_time

_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - a local time: the zone is applied to it
_UTC_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND = timedelta(seconds=1)
_EARLIEST = (datetime.min.replace(tzinfo=UTC) - _UTC_EPOCH).total_seconds()
_LATEST = (datetime.max.replace(tzinfo=UTC, microsecond=0) - _UTC_EPOCH).total_seconds()
_MARGIN_S = 3 * 86_400
"""So far from the calendar's ends, local times are dates in every zone, and their neighbours too."""
_MICROS = 1_000_000

_FIELDS = (
    ("minute", "0 to 59"),
    ("hour", "0 to 23"),
    ("day of month", "1 to 31"),
    ("month", "1 to 12 or JAN to DEC"),
    ("day of week", "0 to 7 or SUN to SAT"),
)
_VALUES = (60, 24, 31, 12, 7)
"""How many values each field has: a larger step never takes a second one."""
_STEP = re.compile(r"(?:\*|\w+)/([0-9]+)")
_NTH_DAYS = {"1-7": 1, "8-14": 2, "15-21": 3, "22-28": 4}
_NICKNAMES = {
    "@hourly": "0 * * * *",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@weekly": "0 0 * * 0",
    "@monthly": "0 0 1 * *",
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
}

_FIRING_ID = re.compile(r"(schedules|tasks)\..+@\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}(\.\d+)?Z", re.DOTALL)


class CronError(ValueError):
    """Text that is no five-field cron expression; the message says which field, and what may stand there."""


def check_cron(expression: str) -> None:
    """Raise CronError unless this is a cron expression of five fields.

    Each field is `*`, a number, a name (month, day of week), a range upwards, any of these with a `/step`, or a list.
    Beyond Debian's cron: `L` (last day) and `LW` (last weekday) as the day of month; `5L` (last Friday) and `5#2`
    (second Friday) as the day of week. A date that never comes (`0 0 30 2 *`) is an expression all the same.
    """
    fields = expression.split()
    if len(fields) != len(_FIELDS):
        raise CronError(_not_five(expression.strip(), len(fields)))
    complaints = [_complaint(index, field) for index, field in enumerate(fields) if not _fits(index, field)]
    complaints += [_wide_step(index, field) for index, field in enumerate(fields)] if not complaints else []
    if any(complaints):
        raise CronError("; ".join(filter(None, complaints)))


def likely_meant(expression: str) -> str | None:
    """The expression that the author of `0 3 1-7 * MON` meant, as "every first Monday"; None of any other.

    Cron takes either day where both fields are restricted, so that one also runs on each day from the 1st to the 7th.
    """
    minute, hour, day, month, weekday = expression.split()
    number = _NTH_DAYS.get(day)
    if number is None or re.fullmatch(r"[0-7]|[A-Za-z]{3}", weekday) is None:
        return None
    return f"{minute} {hour} * {month} {weekday}#{number}"


def local_instant(local: datetime, timezone: str) -> float:
    """The instant (seconds since the epoch) of a naive local time.

    A time that is skipped means the first instant after the gap; one that comes twice, its first occurrence.

    Args:
        local: without a zone.
        timezone: IANA name, known to exist.

    Raises:
        ValueError: the instant is outside the years 1 to 9999 in UTC.
    """
    instant = _first_occurrence(local, ZoneInfo(timezone))
    if not _EARLIEST <= instant < _LATEST + 1:
        raise ValueError(f"{local.isoformat()} in {timezone} is outside the years 1 to 9999 (UTC)")
    return instant


def moments(schedule: ScheduleDef, after: float) -> Iterator[float]:
    """The schedule's moments after an instant, in order, whether it is enabled or not.

    Seconds since the epoch; strictly increasing, strictly after `after`, within the window, both its ends included.
    Costs nothing for the past, however long. A date that does not come within 50 years never comes.
    """
    begin, end = _begin(schedule, after), _end(schedule)
    for moment in _from_about(schedule, begin):
        if moment > end:
            return
        if moment > begin:
            begin = moment
            yield moment


def next_moment(schedule: ScheduleDef, after: float) -> float | None:
    """The first moment after an instant, or None."""
    return next(moments(schedule, after), None)


def last_moment(schedule: ScheduleDef, after: float, until: float) -> float | None:
    """The last moment after `after` and not after `until`, or None; costs nothing for the moments between."""
    begin, end = _begin(schedule, after), min(_end(schedule), until)
    near = _shortly_before(schedule, end) if begin < end else None
    if near is None:
        return None
    last = near if near > begin else None
    for moment in moments(schedule, max(begin, near)):
        if moment > end:
            break
        last = moment
    return last


def signature(schedule: ScheduleDef) -> str:
    """What a schedule is known by: its owner and its timing; one on a task is the task's, whatever its number."""
    timing = (schedule.timing.value, schedule.expression, schedule.timezone)
    return repr((_owner(schedule), *timing, schedule.starts_at, schedule.ends_at))


def firing_id(schedule: ScheduleDef, moment: float) -> str:
    """The id of the event that a schedule's moment is; nobody else may post such a one (`is_firing_id`).

    The number of one written on a task is not in it: another trigger put before it must not let a moment fire again.
    """
    owner = _owner(schedule)
    if owner != schedule.place:
        owner += f"~{hashlib.sha256(signature(schedule).encode()).hexdigest()[:8]}"
    return f"{owner}@{date_time(moment)}"


def _owner(schedule: ScheduleDef) -> str:
    place = schedule.place
    return place[: place.rindex(".triggers[")] if place.startswith("tasks.") else place


def is_firing_id(event_id: str) -> bool:
    """Whether an id looks like that of a schedule's moment."""
    return _FIRING_ID.fullmatch(event_id) is not None


def _begin(schedule: ScheduleDef, after: float) -> float:
    """The instant that every moment asked for is after; the window's start itself may be a moment."""
    start = -inf if schedule.starts_at is None else nextafter(schedule.starts_at, -inf)
    return max(after, start, _EARLIEST + _MARGIN_S)


def _end(schedule: ScheduleDef) -> float:
    return _LATEST if schedule.ends_at is None else min(schedule.ends_at, _LATEST)


def _from_about(schedule: ScheduleDef, begin: float) -> Iterator[float]:
    """Every moment after `begin` in order, and perhaps some before; the window's end is not looked at."""
    match schedule.timing:
        case Timing.CRON:
            yield from _cron(schedule, begin)
        case Timing.EVERY if schedule.days_from is not None:
            yield from _every_day(schedule, schedule.days_from, begin)
        case Timing.EVERY:
            base, step, first = _grid(schedule, begin)
            yield from ((base + k * step) / _MICROS for k in count(first))
        case Timing.AT:
            yield from () if schedule.at is None else (schedule.at,)
        case _:  # pragma: no cover
            assert_never(schedule.timing)


def _shortly_before(schedule: ScheduleDef, end: float) -> float | None:
    """A moment, of the window or not, that is not after `end` and has few others between; None where there is none."""
    match schedule.timing:
        case Timing.CRON:
            return _cron_before(schedule, end)
        case Timing.EVERY if schedule.days_from is not None:
            near = next(_every_day(schedule, schedule.days_from, end), inf)
            return None if near > end else near
        case Timing.EVERY:
            base, step, first = _grid(schedule, end)
            return (base + first * step) / _MICROS
        case Timing.AT:
            return None if schedule.at is None or schedule.at > end else schedule.at
        case _:  # pragma: no cover
            assert_never(schedule.timing)


def _grid(schedule: ScheduleDef, instant: float) -> tuple[int, int, int]:
    """Base and step of `every` in microseconds, and the number of a step just before an instant.

    Whole numbers, so that no error adds up over the years.
    """
    base = round((schedule.starts_at or 0.0) * _MICROS)
    step = round(schedule.every_s * _MICROS)
    return base, step, (round(_representable(instant) * _MICROS) - base) // step - 1


def _every_day(schedule: ScheduleDef, days_from: str, begin: float) -> Iterator[float]:
    """The moments of an `every` in whole days, from the first or the second last one before an instant on.

    The local time of day stays, as RFC 5545 counts days; one that is skipped or repeated is treated as in `cron`.
    """
    zone, base = ZoneInfo(schedule.timezone), datetime.fromisoformat(days_from)
    step = timedelta(seconds=schedule.every_s)
    local, _ = _local(begin, zone)
    with suppress(OverflowError):  # the calendar's end
        for number in count(max(0, (local - base) // step - 1)):
            yield _first_occurrence(base + number * step, zone)


def _cron(schedule: ScheduleDef, begin: float) -> Iterator[float]:
    zone, fixed = ZoneInfo(schedule.timezone), _has_fixed_time(schedule.expression)
    local, ambiguity = _local(begin, zone)
    again: deque[float] = deque()
    for match in _matches(schedule.expression, local - ambiguity - _SECOND):
        instants = _instants(match, zone, fixed=fixed)
        while again and instants and again[0] < instants[0]:
            yield again.popleft()
        yield from instants[:1]
        again.extend(instants[1:])
    yield from again


def _cron_before(schedule: ScheduleDef, end: float) -> float | None:
    zone, fixed = ZoneInfo(schedule.timezone), _has_fixed_time(schedule.expression)
    local, _ = _local(end, zone)
    for match in _matches(schedule.expression, local + _SECOND, reverse=True):
        instants = _instants(match, zone, fixed=fixed)
        if instants and instants[0] <= end:
            return instants[0]
    return None


def _matches(expression: str, start: datetime, *, reverse: bool = False) -> Iterator[datetime]:
    """The local times that match, after (reverse: before) a local time, as if no clock ever moved."""
    try:
        yield from CronSim(expression, start, reverse)
    except (CronSimError, OverflowError):  # a date that never comes; the calendar's end
        return


def _has_fixed_time(expression: str) -> bool:
    minute, hour = expression.split()[:2]
    return not minute.startswith("*") and not hour.startswith("*")


def _instants(local: datetime, zone: ZoneInfo, *, fixed: bool) -> tuple[float, ...]:
    """When a matching local time is a moment: not at all, once or twice."""
    if fixed:
        return (_first_occurrence(local, zone),)
    first, second = _passes(local, zone)
    if first > second:
        return ()
    return (first,) if first == second else (first, second)


def _first_occurrence(local: datetime, zone: ZoneInfo) -> float:
    first, second = _passes(local, zone)
    return first if first <= second else _gap_end(second, first, zone)


def _passes(local: datetime, zone: ZoneInfo) -> tuple[float, float]:
    """The instants of a local time by the offset before and by the one after a change near it (PEP 495, `fold`).

    Equal: no change is near. First < second: the time comes twice. First > second: the time is skipped; the second is
    then before the change, the first not before it.
    """
    before, after = (zone.utcoffset(local.replace(fold=fold)) for fold in (0, 1))
    assert before is not None
    assert after is not None
    since = local - _EPOCH
    return (since - before).total_seconds(), (since - after).total_seconds()


def _gap_end(before: float, after: float, zone: ZoneInfo) -> float:
    """The second at which the zone's offset changes, between two instants."""
    low, high = floor(before), ceil(after)
    new = datetime.fromtimestamp(high, zone).utcoffset()
    while high - low > 1:
        middle = (low + high) // 2
        if datetime.fromtimestamp(middle, zone).utcoffset() == new:
            high = middle
        else:
            low = middle
    return float(high)


def _local(instant: float, zone: ZoneInfo) -> tuple[datetime, timedelta]:
    """The local time of an instant, and how far apart its two occurrences are (zero where it comes once)."""
    local = (_UTC_EPOCH + timedelta(seconds=_representable(instant))).astimezone(zone).replace(tzinfo=None)
    first, second = _passes(local, zone)
    return local, timedelta(seconds=second - first)


def _representable(instant: float) -> float:
    """The instant, or one shortly before the calendar's end."""
    return min(instant, _LATEST - _MARGIN_S)


def _not_five(expression: str, fields: int) -> str:
    names = ", ".join(name for name, _ in _FIELDS)
    instead = _NICKNAMES.get(expression.lower())
    if instead is not None:
        return f"write {instead!r}, not {expression!r}: five fields ({names})"
    return (
        f"a cron expression has five fields ({names}), such as '0 3 * * *'; "
        f"'{shown(expression)}' has {fields or 'none'}"
    )


def _fits(index: int, field: str) -> bool:
    fields = ["*"] * len(_FIELDS)
    fields[index] = field
    try:
        CronSim(" ".join(fields), _EPOCH)
    except (CronSimError, ValueError):  # ValueError: a number of thousands of digits
        return False
    return True


def _wide_step(index: int, field: str) -> str:
    """What is wrong with a step that takes one value only, though it looks like a period; empty where nothing is."""
    for term in field.split(","):
        step = _STEP.fullmatch(term)
        if step is not None and int(step[1]) > _VALUES[index]:
            name, allowed = _FIELDS[index]
            return (
                f"the step of '{shown(term)}' is larger than the {name} ({allowed}), so it is not that period; "
                "write `every: DURATION`, or several times"
            )
    return ""


def _complaint(index: int, field: str) -> str:
    name, allowed = _FIELDS[index]
    term = next(term for term in field.split(",") if not _fits(index, term))
    base, slash, _ = term.partition("/")
    if slash and _fits(index, base):
        return f"a step in the {name} must be a whole number, 1 or more, not '{shown(term)}'"
    low, dash, high = base.partition("-")
    if dash and _fits(index, low) and _fits(index, high):
        sunday = (
            " (7 stands for Sunday too)" if high.upper() in {"0", "SUN"} and _fits(index, f"{low}-7") else ""
        )
        return f"a range in the {name} must run upwards, not '{shown(term)}'; write the values with commas{sunday}"
    return f"the {name} must be {allowed}, not '{shown(term)}'"
