"""Moments: Debian's cron across changes of the clock, `every`, `at`, windows, and the texts of what is refused."""

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise, takewhile
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from hookd.domain.definitions import ScheduleDef, Timing
from hookd.domain.times import date_time
from hookd.rules.calendar import (
    CronError,
    check_cron,
    last_moment,
    likely_meant,
    local_instant,
    moments,
    next_moment,
)

MINUTE_S = 60.0
DAY_S = 86_400.0
FIRST_INSTANT = datetime(1, 1, 1, tzinfo=UTC).timestamp()
LAST_INSTANT = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC).timestamp()


def cron(expression: str, timezone: str = "UTC", **fields: Any) -> ScheduleDef:
    return ScheduleDef("schedules.s", ("t",), Timing.CRON, expression, timezone, **fields)


def days_from(days: int, start: str, timezone: str) -> ScheduleDef:
    """`every` in whole days with a local `from`."""
    starts_at = local_instant(datetime.fromisoformat(start), timezone)
    return ScheduleDef(
        "schedules.s", ("t",), Timing.EVERY, f"{days}d", timezone,
        every_s=days * DAY_S, starts_at=starts_at, days_from=start,
    )  # fmt: skip


def every(every_s: float, **fields: Any) -> ScheduleDef:
    return ScheduleDef("schedules.s", ("t",), Timing.EVERY, f"{every_s}s", "UTC", every_s=every_s, **fields)


def at(instant: float, **fields: Any) -> ScheduleDef:
    return ScheduleDef("schedules.s", ("t",), Timing.AT, date_time(instant), "UTC", at=instant, **fields)


def instant(text: str) -> float:
    """Of an RFC 3339 time."""
    return datetime.fromisoformat(text).timestamp()


def shown(schedule: ScheduleDef, first: str, last: str) -> list[str]:
    """The moments of a span, both ends included, as times of the schedule's zone with its offset."""
    found = takewhile(lambda m: m <= instant(last), moments(schedule, instant(first) - 1e-6))
    zone = ZoneInfo(schedule.timezone)
    return [datetime.fromtimestamp(moment, zone).strftime("%d %H:%M%z") for moment in found]


# Berlin: 2026-03-29 02:00 +01:00 becomes 03:00 +02:00; 2026-10-25 03:00 +02:00 becomes 02:00 +01:00.
# New York: 2026-03-08 02:00 -05:00 becomes 03:00 -04:00; 2026-11-01 02:00 -04:00 becomes 01:00 -05:00.
# Lord Howe: 2026-10-04 02:00 +10:30 becomes 02:30 +11:00; 2026-04-05 02:00 +11:00 becomes 01:30 +10:30.
# Sao Paulo: 2018-11-04 00:00 -03:00 becomes 01:00 -02:00; 2018-02-18 00:00 -02:00 becomes 17th 23:00 -03:00.
# Apia: the whole of 2011-12-30 was skipped.
SPANS = {
    "berlin-spring": ("Europe/Berlin", "2026-03-29T00:00+01:00", "2026-03-29T05:00+02:00"),
    "berlin-autumn": ("Europe/Berlin", "2026-10-25T00:00+02:00", "2026-10-25T05:00+01:00"),
    "new-york-spring": ("America/New_York", "2026-03-08T00:00-05:00", "2026-03-08T05:00-04:00"),
    "new-york-autumn": ("America/New_York", "2026-11-01T00:00-04:00", "2026-11-01T05:00-05:00"),
    "lord-howe-spring": ("Australia/Lord_Howe", "2026-10-04T00:00+10:30", "2026-10-04T05:00+11:00"),
    "lord-howe-autumn": ("Australia/Lord_Howe", "2026-04-05T00:00+11:00", "2026-04-05T05:00+10:30"),
    "sao-paulo-spring": ("America/Sao_Paulo", "2018-11-03T22:00-03:00", "2018-11-04T03:00-02:00"),
    "sao-paulo-autumn": ("America/Sao_Paulo", "2018-02-17T22:00-02:00", "2018-02-18T01:00-03:00"),
    "apia": ("Pacific/Apia", "2011-12-29T00:00-10:00", "2011-12-31T23:59+14:00"),
    "tokyo": ("Asia/Tokyo", "2026-03-29T00:00+09:00", "2026-03-29T05:00+09:00"),
}


@pytest.mark.parametrize(
    ("span", "expression", "expected"),
    [
        # A fixed time in the skipped hour runs once, right after it.
        ("berlin-spring", "30 2 * * *", ["29 03:00+0200"]),
        ("berlin-spring", "0 2 * * *", ["29 03:00+0200"]),
        ("berlin-spring", "0 3 * * *", ["29 03:00+0200"]),
        ("berlin-spring", "15,45 2 * * *", ["29 03:00+0200"]),
        ("berlin-spring", "30 1-3 * * *", ["29 01:30+0100", "29 03:00+0200", "29 03:30+0200"]),
        ("berlin-spring", "0 1,2,3,4 * * *", ["29 01:00+0100", "29 03:00+0200", "29 04:00+0200"]),
        ("berlin-spring", "30 2 29 3 *", ["29 03:00+0200"]),
        ("berlin-spring", "30 2 * * MON", []),
        ("new-york-spring", "30 2 * * *", ["08 03:00-0400"]),
        ("lord-howe-spring", "15 2 * * *", ["04 02:30+1100"]),
        ("lord-howe-spring", "30 2 * * *", ["04 02:30+1100"]),
        ("lord-howe-spring", "0,15,45 2 * * *", ["04 02:30+1100", "04 02:45+1100"]),
        ("sao-paulo-spring", "0 0 * * *", ["04 01:00-0200"]),
        ("apia", "0 12 * * *", ["29 12:00-1000", "31 00:00+1400", "31 12:00+1400"]),
        ("apia", "0 0 30 12 *", ["31 00:00+1400"]),
        # Wildcards keep running by the clock: what it never shows does not come.
        ("berlin-spring", "*/20 2 * * *", []),
        ("berlin-spring", "30 */2 * * *", ["29 00:30+0100", "29 04:30+0200"]),
        (
            "berlin-spring",
            "30 * * * *",
            ["29 00:30+0100", "29 01:30+0100", "29 03:30+0200", "29 04:30+0200"],
        ),
        ("lord-howe-spring", "*/15 2 * * *", ["04 02:30+1100", "04 02:45+1100"]),
        (
            "lord-howe-spring",
            "*/20 3 * * *",
            ["04 03:00+1100", "04 03:20+1100", "04 03:40+1100"],
        ),
        ("sao-paulo-spring", "*/30 0 * * *", []),
        # A fixed time in the repeated hour runs once, at its first occurrence.
        ("berlin-autumn", "30 2 * * *", ["25 02:30+0200"]),
        (
            "berlin-autumn",
            "0,30 1-3 * * *",
            [
                f"25 0{t}"
                for t in ("1:00+0200", "1:30+0200", "2:00+0200", "2:30+0200", "3:00+0100", "3:30+0100")
            ],
        ),
        ("new-york-autumn", "30 1 * * SUN", ["01 01:30-0400"]),
        ("lord-howe-autumn", "45 1 * * *", ["05 01:45+1100"]),
        ("lord-howe-autumn", "0 2 * * *", ["05 02:00+1030"]),
        ("sao-paulo-autumn", "30 23 * * *", ["17 23:30-0200"]),
        ("sao-paulo-autumn", "0 0 * * *", ["18 00:00-0300"]),
        # Wildcards keep running by the clock: what it shows twice comes twice.
        (
            "berlin-autumn",
            "*/30 2 * * *",
            [f"25 02:{t}" for t in ("00+0200", "30+0200", "00+0100", "30+0100")],
        ),
        (
            "new-york-autumn",
            "30 * * * *",
            [
                f"01 0{t}"
                for t in ("0:30-0400", "1:30-0400", "1:30-0500", "2:30-0500", "3:30-0500", "4:30-0500")
            ],
        ),
        (
            "lord-howe-autumn",
            "*/15 1 * * *",
            [f"05 01:{t}" for t in ("00+1100", "15+1100", "30+1100", "45+1100", "30+1030", "45+1030")],
        ),
        (
            "lord-howe-autumn",
            "40 * * * *",
            [
                f"05 0{t}"
                for t in ("0:40+1100", "1:40+1100", "1:40+1030", "2:40+1030", "3:40+1030", "4:40+1030")
            ],
        ),
        (
            "sao-paulo-autumn",
            "*/30 23 * * SAT",
            [f"17 23:{t}" for t in ("00-0200", "30-0200", "00-0300", "30-0300")],
        ),
        # Without daylight saving nothing happens.
        ("tokyo", "30 2 * * *", ["29 02:30+0900"]),
        ("tokyo", "0 */2 * * *", ["29 00:00+0900", "29 02:00+0900", "29 04:00+0900"]),
    ],
)
def test_cron_across_changes_of_the_clock(span: str, expression: str, expected: list[str]) -> None:
    timezone, first, last = SPANS[span]
    assert shown(cron(expression, timezone), first, last) == expected


def days(expression: str, year: int, timezone: str = "UTC") -> list[str]:
    begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    found = takewhile(
        lambda m: m < end.timestamp(), moments(cron(expression, timezone), begin.timestamp() - 1)
    )
    return [datetime.fromtimestamp(moment, UTC).strftime("%m-%d") for moment in found]


@pytest.mark.parametrize(
    ("expression", "year", "expected"),
    [
        (
            "0 0 13 3 FRI",
            2026,
            ["03-06", "03-13", "03-20", "03-27"],
        ),  # either, where neither begins with a star
        ("0 0 13 2-3 *", 2026, ["02-13", "03-13"]),
        ("0 0 * 3 FRI", 2026, ["03-06", "03-13", "03-20", "03-27"]),
        ("0 0 */2 3 FRI", 2026, ["03-13", "03-27"]),  # both, where one begins with a star
        ("0 0 1 3 */3", 2026, ["03-01"]),
        ("0 0 29 2 *", 2026, []),
        ("0 0 29 2 *", 2028, ["02-29"]),
        ("0 0 31 * *", 2026, ["01-31", "03-31", "05-31", "07-31", "08-31", "10-31", "12-31"]),
        ("0 0 1 JAN,jul *", 2026, ["01-01", "07-01"]),
        (
            "0 0 1-7 5 0",
            2026,
            [
                "05-01",
                "05-02",
                "05-03",
                "05-04",
                "05-05",
                "05-06",
                "05-07",
                *[f"05-{day}" for day in (10, 17, 24, 31)],
            ],
        ),
        ("0 0 * 5 7", 2026, ["05-03", "05-10", "05-17", "05-24", "05-31"]),
        ("0 0 L 1-3 *", 2028, ["01-31", "02-29", "03-31"]),
        ("0 0 LW 5 *", 2026, ["05-29"]),
        ("0 0 * 5 5L", 2026, ["05-29"]),
        ("0 0 * 5 5#2", 2026, ["05-08"]),
        ("0 0 10/10 5 *", 2026, ["05-10", "05-20", "05-30"]),
    ],
)
def test_days_of_cron(expression: str, year: int, expected: list[str]) -> None:
    assert days(expression, year) == expected


@pytest.mark.parametrize(
    ("expression", "expected"),
    [
        ("0 0 */2 5 MON", ["05-11", "05-25"]),
        ("0 0 1 * */2", ["01-01", "02-01", "03-01", "08-01", "09-01", "10-01", "11-01", "12-01"]),
        ("0 0 1-31/8 5 MON", ["05-01", "05-04", "05-09", "05-11", "05-17", "05-18", "05-25"]),
    ],
)
def test_a_field_that_begins_with_a_star_restricts_no_choice_between_the_two_day_fields(
    expression: str, expected: list[str]
) -> None:
    """As in Debian's cron: both must hold then; where neither begins with one, either is enough."""
    assert days(expression, 2026) == expected


@pytest.mark.parametrize("expression", ["0 0 30 2 *", "0 0 31 4,6 *", "0 0 */15 2 MON#5"])
def test_a_date_that_never_comes_is_an_expression_without_moments(expression: str) -> None:
    check_cron(expression)
    assert next_moment(cron(expression), 0.0) is None
    assert last_moment(cron(expression), FIRST_INSTANT, 0.0) is None


@pytest.mark.parametrize(
    "expression",
    ["* * * * *", " 0\t3 * *  * \n", "0-59/2 0,23 1-31 jan-DEC sun-SAT", "0 3 * * 7", "0 0 L,LW * 5L,1#5"],
)
def test_expressions(expression: str) -> None:
    check_cron(expression)


@pytest.mark.parametrize("expression", ["*/60 */24 */31 */12 */7", "0/60 * * * *"])
def test_a_step_may_be_as_large_as_its_field(expression: str) -> None:
    check_cron(expression)


@pytest.mark.parametrize(
    ("expression", "meant"),
    [
        ("0 3 1-7 * MON", "0 3 * * MON#1"),
        ("0 3 22-28 2 0", "0 3 * 2 0#4"),
        ("0 3 1-7 * *", None),
        ("0 3 1-7 * 1-5", None),
        ("0 3 13 * FRI", None),
    ],
)
def test_what_looks_like_the_first_monday(expression: str, meant: str | None) -> None:
    assert likely_meant(expression) == meant


OTHERWISE = "so it is not that period; write `every: DURATION`, or several times"
FIVE = "five fields (minute, hour, day of month, month, day of week)"
UPWARDS = "a range in the day of week must run upwards"


@pytest.mark.parametrize(
    ("expression", "complaint"),
    [
        ("0 25 * * *", "the hour must be 0 to 23, not '25'"),
        ("60 * * * *", "the minute must be 0 to 59, not '60'"),
        ("0 3 0 * *", "the day of month must be 1 to 31, not '0'"),
        ("0 3 * 13 *", "the month must be 1 to 12 or JAN to DEC, not '13'"),
        ("0 3 * * 8", "the day of week must be 0 to 7 or SUN to SAT, not '8'"),
        ("0 3 * MÄR *", "the month must be 1 to 12 or JAN to DEC, not 'MÄR'"),
        ("0 8,25,26 * * *", "the hour must be 0 to 23, not '25'"),
        ("0 8,,9 * * *", "the hour must be 0 to 23, not ''"),
        ("0 3 * * 1#6", "the day of week must be 0 to 7 or SUN to SAT, not '1#6'"),
        ("0 20-25 * * *", "the hour must be 0 to 23, not '20-25'"),
        ("0 22-2 * * *", "a range in the hour must run upwards, not '22-2'; write the values with commas"),
        (
            "0 22-2/2 * * *",
            "a range in the hour must run upwards, not '22-2/2'; write the values with commas",
        ),
        (
            "0 3 * * fri-sun",
            f"{UPWARDS}, not 'fri-sun'; write the values with commas (7 stands for Sunday too)",
        ),
        (
            "0 3 * * 5-1",
            f"{UPWARDS}, not '5-1'; write the values with commas",
        ),
        (
            "*/90 * * * *",
            f"the step of '*/90' is larger than the minute (0 to 59), {OTHERWISE}",
        ),
        (
            "0 5,1/25 * * *",
            f"the step of '1/25' is larger than the hour (0 to 23), {OTHERWISE}",
        ),
        ("*/0 * * * *", "a step in the minute must be a whole number, 1 or more, not '*/0'"),
        ("*/x * * * *", "a step in the minute must be a whole number, 1 or more, not '*/x'"),
        (
            "61 3 * FOO *",
            "the minute must be 0 to 59, not '61'; the month must be 1 to 12 or JAN to DEC, not 'FOO'",
        ),
        ("9" * 5000 + " 3 * * *", f"the minute must be 0 to 59, not '{'9' * 60}…'"),
        ("\x1b[2J 3 * * *", r"the minute must be 0 to 59, not '\x1b[2J'"),
        ("0 0 3 * * *", f"a cron expression has {FIVE}, such as '0 3 * * *'; '0 0 3 * * *' has 6"),
        ("", f"a cron expression has {FIVE}, such as '0 3 * * *'; '' has none"),
        ("@reboot", f"a cron expression has {FIVE}, such as '0 3 * * *'; '@reboot' has 1"),
        ("@Daily", f"write '0 0 * * *', not '@Daily': {FIVE}"),
    ],
)
def test_refused_expressions(expression: str, complaint: str) -> None:
    with pytest.raises(CronError, match=f"^{re.escape(complaint)}$"):
        check_cron(expression)


TERMS = st.sampled_from(
    [
        "*",
        "*/2",
        "0",
        "1",
        "5",
        "1-3",
        "1,3",
        "3-1",
        "*/0",
        "60",
        "L",
        "LW",
        "5L",
        "1#2",
        "MON",
        "JAN",
        "",
        "x",
        "-1",
        "1/9",
    ]
)


@given(st.lists(TERMS, min_size=1, max_size=6).map(" ".join))
def test_whatever_is_accepted_can_be_asked_for_moments(expression: str) -> None:
    try:
        check_cron(expression)
    except CronError:
        return
    moment = next_moment(cron(expression, "Europe/Berlin"), 1.77e9)
    assert moment is None or moment > 1.77e9


# Brute force: every minute of a span, by an own reading of simple expressions.

VALUES = {
    "minute": (range(60), ["*", "*/7", "*/30", "0", "30", "15,45", "0-59/20"]),
    "hour": (range(24), ["*", "*/2", "0", "1", "2", "3", "23", "1-3", "0,2"]),
    "day": (range(1, 32), ["*", "*/2", "4", "25,29"]),
    "weekday": (range(7), ["*", "0", "6", "1-5"]),
}
EXPRESSIONS = st.tuples(*(st.sampled_from(choices) for _, choices in VALUES.values()))


def values_of(text: str, allowed: range) -> set[int]:
    found: set[int] = set()
    for term in text.split(","):
        span, _, step = term.partition("/")
        low, _, high = span.partition("-")
        chosen = allowed if low == "*" else range(int(low), int(high or low) + 1)
        found.update(chosen[:: int(step or 1)])
    return found


class Oracle:
    """Debian's rules, minute after minute."""

    def __init__(self, fields: tuple[str, ...], timezone: str) -> None:
        self.minute, self.hour, self.day, self.weekday = (
            values_of(text, allowed) for text, (allowed, _) in zip(fields, VALUES.values(), strict=True)
        )
        self.fixed = not fields[0].startswith("*") and not fields[1].startswith("*")
        self.both = fields[2].startswith("*") or fields[3].startswith("*")
        self.zone = ZoneInfo(timezone)
        self.schedule = cron(f"{fields[0]} {fields[1]} {fields[2]} * {fields[3]}", timezone)

    def matches(self, local: datetime) -> bool:
        day, weekday = local.day in self.day, local.isoweekday() % 7 in self.weekday
        on_day = (day and weekday) if self.both else (day or weekday)
        return on_day and local.hour in self.hour and local.minute in self.minute

    def moments(self, begin: datetime, end: datetime) -> Iterator[float]:
        minute, seen, now = timedelta(minutes=1), set(), begin
        before = now.astimezone(self.zone).replace(tzinfo=None) - minute
        while now <= end:
            local = now.astimezone(self.zone).replace(tzinfo=None)
            skipped = [before + minute * n for n in range(1, max(1, (local - before) // minute))]
            if self.fixed:
                due = any(map(self.matches, skipped)) or (local not in seen and self.matches(local))
            else:
                due = self.matches(local)
            if due:
                yield now.timestamp()
            seen.add(local)
            before, now = local, now + minute


CHANGES = [
    ("Europe/Berlin", datetime(2026, 3, 29, 1, tzinfo=UTC)),
    ("Europe/Berlin", datetime(2026, 10, 25, 1, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 3, 8, 7, tzinfo=UTC)),
    ("America/New_York", datetime(2026, 11, 1, 6, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 10, 3, 15, 30, tzinfo=UTC)),
    ("Australia/Lord_Howe", datetime(2026, 4, 4, 15, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 11, 4, 3, tzinfo=UTC)),
    ("America/Sao_Paulo", datetime(2018, 2, 18, 2, tzinfo=UTC)),
    ("Asia/Tokyo", datetime(2026, 3, 29, 1, tzinfo=UTC)),
]


@given(EXPRESSIONS, st.sampled_from(CHANGES), st.integers(-150, 150), st.floats(0, 8 * 3600))
@example(("*/30", "1", "*", "*"), CHANGES[5], -20, 3600.0)  # from the first pass into the second
@example(("*/7", "*", "*", "*"), CHANGES[1], -30, 7200.0)
@example(("0", "*/2", "*", "*"), CHANGES[5], -90, 36000.0)
@example(
    ("30", "2", "*", "*"), CHANGES[1], -90, 6000.0
)  # until the second pass, at a time before the first's
@example(("45", "1", "*", "*"), CHANGES[5], -40, 2700.0)
@example(("*/30", "2", "*", "*"), CHANGES[1], -90, 2700.0)  # until the first pass
@example(("*/30", "1,2", "*", "*"), CHANGES[0], -60, 7200.0)  # across the gap
@example(("*/30", "2", "*", "*"), CHANGES[1], 20, 7200.0)  # from the second pass
def test_moments_and_the_last_of_them_by_brute_force(
    fields: tuple[str, ...], change: tuple[str, datetime], offset_min: int, span_s: float
) -> None:
    timezone, changed = change
    oracle = Oracle(fields, timezone)
    after = (changed + timedelta(minutes=offset_min)).timestamp()
    until = after + span_s
    known = oracle.moments(changed - timedelta(hours=8), datetime.fromtimestamp(until, UTC))
    expected = [moment for moment in known if moment > after]

    found = list(takewhile(lambda m: m <= until, moments(oracle.schedule, after)))
    assert found == expected
    assert last_moment(oracle.schedule, after, until) == (expected[-1] if expected else None)


SCHEDULES = st.one_of(
    st.builds(
        lambda fields, zone: Oracle(fields, zone).schedule,
        EXPRESSIONS,
        st.sampled_from([zone for zone, _ in CHANGES]),
    ),
    st.builds(every, st.integers(1_000_000, 90_000_000).map(lambda us: us / 1e6)),
    st.builds(
        lambda days, from_, zone: days_from(days, from_.isoformat(), zone),
        st.integers(1, 40),
        st.datetimes(datetime(2025, 12, 1), datetime(2026, 3, 1)),  # noqa: DTZ001
        st.sampled_from([zone for zone, _ in CHANGES]),
    ),
    st.builds(at, st.integers(1_770_000_000, 1_770_100_000).map(float)),
)
INSTANTS = st.floats(1_769_900_000, 1_770_200_000)
EDGES = st.none() | st.integers(1_769_900_000_000_000, 1_770_200_000_000_000).map(lambda us: us / 1e6)


@given(SCHEDULES, EDGES, EDGES, INSTANTS, st.floats(0, 1_000))
def test_laws(
    schedule: ScheduleDef, starts_at: float | None, ends_at: float | None, after: float, span_s: float
) -> None:
    bounded = ScheduleDef(
        schedule.place,
        schedule.tasks,
        schedule.timing,
        schedule.expression,
        schedule.timezone,
        every_s=schedule.every_s,
        at=schedule.at,
        starts_at=starts_at,
        ends_at=ends_at,
        days_from=schedule.days_from,
    )
    found = list(islice(moments(bounded, after), 20))
    assert all(moment > after for moment in found)
    assert found == sorted(set(found))
    assert all((starts_at is None or m >= starts_at) and (ends_at is None or m <= ends_at) for m in found)
    assert next_moment(bounded, after) == (found[0] if found else None)
    for moment, following in pairwise(found):
        assert next_moment(bounded, moment) == following

    until = after + span_s
    inside = list(takewhile(lambda m: m <= until, moments(bounded, after)))
    last = last_moment(bounded, after, until)
    assert last == (inside[-1] if inside else None)
    if last is not None:
        beyond = next_moment(bounded, last)
        assert beyond is None or beyond > until


@given(st.integers(1_000_000, 10**13), st.integers(0, 2 * 10**15), st.integers(0, 10**9))
def test_every_counts_in_microseconds_whatever_the_distance(step_us: int, base_us: int, steps: int) -> None:
    target_us = base_us + steps * step_us
    assume(target_us < 4 * 10**15)  # beyond, an instant as a float is less exact than a microsecond
    schedule = every(step_us / 1e6, starts_at=base_us / 1e6)
    assert next_moment(schedule, target_us / 1e6) == (target_us + step_us) / 1e6
    assert last_moment(schedule, 0.0 - 1, target_us / 1e6) == target_us / 1e6


def test_every_counts_from_the_epoch_or_the_start() -> None:
    assert list(islice(moments(every(900.0), 1000.0), 3)) == [1800.0, 2700.0, 3600.0]
    assert list(islice(moments(every(900.0, starts_at=100.0), 1000.0), 3)) == [1900.0, 2800.0, 3700.0]
    assert list(islice(moments(every(900.0, starts_at=100.0), -1e12), 2)) == [100.0, 1000.0]
    assert list(islice(moments(every(900.0), -1000.0), 2)) == [-900.0, 0.0]
    assert list(islice(moments(every(1.5), 0.0), 3)) == [1.5, 3.0, 4.5]


def following(schedule: ScheduleDef, after: str, number: int) -> list[str]:
    """The next moments after a local time, as local times with their offset."""
    zone = ZoneInfo(schedule.timezone)
    start = datetime.fromisoformat(after).replace(tzinfo=zone).timestamp()
    return [
        datetime.fromtimestamp(moment, zone).isoformat()
        for moment in islice(moments(schedule, start), number)
    ]


@pytest.mark.parametrize(
    ("days", "start", "timezone", "after", "expected"),
    [
        (14, "2026-01-05T03:00:00", "Europe/Berlin", "2026-03-10T00:00", [
            "2026-03-16T03:00:00+01:00", "2026-03-30T03:00:00+02:00", "2026-04-13T03:00:00+02:00"]),
        (1, "2026-03-27T02:30:00", "Europe/Berlin", "2026-03-27T00:00", [
            "2026-03-27T02:30:00+01:00", "2026-03-28T02:30:00+01:00", "2026-03-29T03:00:00+02:00",
            "2026-03-30T02:30:00+02:00"]),  # skipped: right after the gap
        (1, "2026-10-24T02:30:00", "Europe/Berlin", "2026-10-24T00:00", [
            "2026-10-24T02:30:00+02:00", "2026-10-25T02:30:00+02:00", "2026-10-26T02:30:00+01:00"]),  # comes twice
        (7, "2025-10-26T02:30:00", "Europe/Berlin", "2025-10-01T00:00", [
            "2025-10-26T02:30:00+02:00", "2025-11-02T02:30:00+01:00"]),
        (1, "2026-03-29T02:30:00", "Europe/Berlin", "2026-03-01T00:00", [
            "2026-03-29T03:00:00+02:00", "2026-03-30T02:30:00+02:00"]),
        (1, "2011-12-29T03:00:00", "Pacific/Apia", "2011-12-28T00:00", [
            "2011-12-29T03:00:00-10:00", "2011-12-31T00:00:00+14:00", "2011-12-31T03:00:00+14:00"]),
        (1, "2026-04-04T02:00:00", "Australia/Lord_Howe", "2026-04-03T00:00", [
            "2026-04-04T02:00:00+11:00", "2026-04-05T02:00:00+10:30"]),
    ],
)  # fmt: skip
def test_every_in_days_keeps_the_local_time(
    days: int, start: str, timezone: str, after: str, expected: list[str]
) -> None:
    schedule = days_from(days, start, timezone)
    assert following(schedule, after, len(expected)) == expected
    instants = [datetime.fromisoformat(text).timestamp() for text in expected]
    for before, moment in pairwise(instants):
        assert last_moment(schedule, 0.0, moment) == moment
        assert last_moment(schedule, 0.0, moment - 1) == before


def test_every_in_days_to_the_calendars_end() -> None:
    schedule = days_from(3650, "9990-01-01T00:00:00", "UTC")
    assert following(schedule, "9980-01-01T00:00", 5) == [
        "9990-01-01T00:00:00+00:00",
        "9999-12-30T00:00:00+00:00",
    ]
    ancient = days_from(1, "0002-01-01T00:00:00", "UTC")
    assert following(ancient, "2026-01-01T00:00", 1) == ["2026-01-02T00:00:00+00:00"]


def test_a_year_of_seconds_behind_costs_nothing() -> None:
    now = 1.77e9
    assert last_moment(every(1.0), now - 366 * DAY_S, now) == now
    assert next_moment(every(1.0), now) == now + 1
    assert last_moment(cron("* * * * *"), now - 366 * DAY_S, now) == now // MINUTE_S * MINUTE_S


def test_every_just_before_a_moment() -> None:
    assert last_moment(every(1.0), 0.0, 10 - 1e-7) == 9.0
    assert last_moment(every(1.0), 0.0, 10 + 1e-7) == 10.0
    assert next_moment(every(1.0), 10 - 1e-7) == 10.0
    assert next_moment(every(1.0), 10 + 1e-7) == 11.0


def test_cron_just_before_a_moment() -> None:
    assert last_moment(cron("* * * * *"), 0.0, 119.5) == 60.0
    assert last_moment(cron("* * * * *"), 0.0, 120.0) == 120.0
    assert next_moment(cron("* * * * *"), 119.9999999) == 120.0
    assert next_moment(cron("* * * * *"), 120.0000001) == 180.0


def test_windows_include_both_ends() -> None:
    window: dict[str, Any] = {"starts_at": 3600.0, "ends_at": 7200.0}
    hourly = cron("0 * * * *", **window)
    assert list(moments(hourly, -1e9)) == [3600.0, 7200.0]
    assert list(moments(hourly, 3600.0)) == [7200.0]
    assert last_moment(hourly, 0.0, 1e9) == 7200.0
    assert last_moment(hourly, 7200.0, 1e9) is None
    assert last_moment(hourly, 0.0, 3599.0) is None
    assert list(moments(every(1800.0, **window), 0.0)) == [3600.0, 5400.0, 7200.0]
    assert last_moment(every(1800.0, **window), 0.0, 3600.0) == 3600.0
    assert [list(moments(at(m, **window), 0.0)) for m in (3599.0, 3600.0, 7200.0, 7201.0)] == [
        [],
        [3600.0],
        [7200.0],
        [],
    ]
    assert last_moment(at(3599.0, **window), 0.0, 1e9) is None


def test_at_is_one_moment() -> None:
    once = at(1000.5)
    assert list(moments(once, 0.0)) == [1000.5]
    assert next_moment(once, 1000.5) is None
    assert last_moment(once, 0.0, 1000.5) == 1000.5
    assert last_moment(once, 0.0, 1000.0) is None
    assert last_moment(once, 1000.5, 2000.0) is None


@pytest.mark.parametrize("schedule", [cron("0 0 1 1 *", "Asia/Tokyo"), cron("* * * * *"), every(1.5)])
def test_the_calendar_ends_without_an_error(schedule: ScheduleDef) -> None:
    assert next_moment(schedule, LAST_INSTANT) is None
    assert next_moment(schedule, 1e300) is None
    near = list(moments(schedule, LAST_INSTANT - 90))
    assert all(LAST_INSTANT - 90 < moment <= LAST_INSTANT for moment in near)
    first = next_moment(schedule, -1e300)
    assert first is not None
    assert first >= FIRST_INSTANT
    assert last_moment(schedule, -1e300, FIRST_INSTANT) is None
    last = last_moment(schedule, 0.0, 1e300)
    assert last is not None
    assert LAST_INSTANT - 366 * DAY_S < last <= LAST_INSTANT


def test_the_last_date_of_the_calendar_comes_twice_too() -> None:
    schedule = cron("*/30 1 4 4 *", "Australia/Lord_Howe")
    assert shown(schedule, "9999-04-01T00:00Z", "9999-12-01T00:00Z") == [
        "04 01:00+1100",
        "04 01:30+1100",
        "04 01:30+1030",
    ]


def test_cron_before_the_calendar_is_never() -> None:
    assert last_moment(cron("0 0 31 12 *"), -1e300, FIRST_INSTANT + DAY_S) is None


@pytest.mark.parametrize(
    ("local", "timezone", "expected"),
    [
        ("2026-01-01T00:00", "UTC", "2026-01-01T00:00:00Z"),
        ("2026-07-01T12:00:00.25", "Europe/Berlin", "2026-07-01T10:00:00.25Z"),
        ("2026-03-29T02:00", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("2026-03-29T02:59:59.999999", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("2026-03-29T03:00", "Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("2026-10-25T02:30", "Europe/Berlin", "2026-10-25T00:30:00Z"),
        ("2026-10-25T03:00", "Europe/Berlin", "2026-10-25T02:00:00Z"),
        ("2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00Z"),
        ("2011-12-30T12:00", "Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("1893-03-31T23:55", "Europe/Berlin", "1893-03-31T23:01:32Z"),
        ("1893-04-01T00:01", "Europe/Berlin", "1893-03-31T23:06:32Z"),
        ("0001-01-01T00:00", "America/New_York", "0001-01-01T04:56:02Z"),
        ("9999-12-31T23:59:59", "Asia/Tokyo", "9999-12-31T14:59:59Z"),
        ("9999-12-31T23:59:59.5", "UTC", "9999-12-31T23:59:59.5Z"),
    ],
)
def test_local_times(local: str, timezone: str, expected: str) -> None:
    assert date_time(local_instant(datetime.fromisoformat(local), timezone)) == expected


@pytest.mark.parametrize(
    ("local", "timezone"), [("0001-01-01T00:00", "Asia/Tokyo"), ("9999-12-31T23:00", "America/New_York")]
)
def test_local_times_outside_the_calendar(local: str, timezone: str) -> None:
    with pytest.raises(ValueError, match="outside the years 1 to 9999"):
        local_instant(datetime.fromisoformat(local), timezone)


@given(st.datetimes(), st.sampled_from([zone for zone, _ in CHANGES]))
def test_a_local_time_is_the_instant_at_which_the_clock_shows_it_or_has_passed_it(
    local: datetime, timezone: str
) -> None:
    assume(2 <= local.year <= 9998)
    moment = local_instant(local, timezone)
    assert shown_by(moment, timezone) >= local - timedelta(
        microseconds=100
    )  # a float of the year 9998 is coarse
    assert shown_by(moment - 0.001, timezone) < local


def shown_by(moment: float, timezone: str) -> datetime:
    exact = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=moment)
    return exact.astimezone(ZoneInfo(timezone)).replace(tzinfo=None)
