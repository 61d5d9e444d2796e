from datetime import UTC, datetime, timedelta

import pytest

from hookd.domain.times import date_time, is_date_time, read_date_time, read_seconds


@pytest.mark.parametrize(
    ("moment", "text"),
    [
        (0.0, "1970-01-01T00:00:00Z"),
        (1772330400.0, "2026-03-01T02:00:00Z"),
        (1772330401.5, "2026-03-01T02:00:01.5Z"),
        (1772330400.1, "2026-03-01T02:00:00.1Z"),
        (1772330410.000001, "2026-03-01T02:00:10.000001Z"),
        (-1.25, "1969-12-31T23:59:58.75Z"),
    ],
)
def test_seconds_are_written_in_utc_with_the_digits_they_need(moment: float, text: str) -> None:
    assert date_time(moment) == text


@pytest.mark.parametrize(
    ("moment", "timespec", "text"),
    [
        (1772330401.5, "auto", "2026-03-01T02:00:01.500000Z"),
        (1772330401.0, "auto", "2026-03-01T02:00:01Z"),
        (1772330401.0009, "milliseconds", "2026-03-01T02:00:01.000Z"),
    ],
)
def test_digits_may_be_asked_for(moment: float, timespec: str, text: str) -> None:
    assert date_time(moment, timespec) == text


@pytest.mark.parametrize("moment", [1e12, -1e12, float("inf"), float("nan")])
def test_what_is_outside_the_years_is_not_written(moment: float) -> None:
    with pytest.raises((OverflowError, ValueError)):
        date_time(moment)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("1970-01-01T00:00:01Z", 1),
        ("1970-01-01t01:00:01.25+01:00", 1.25),
        ("2016-12-31T23:59:60Z", 1483228800),
        ("2017-01-01T01:59:60.5+02:00", 1483228800.5),
    ],
)
def test_instants_are_read_as_seconds(text: str, seconds: float) -> None:
    assert is_date_time(text)
    assert read_seconds(text) == seconds


def test_a_leap_second_keeps_its_date() -> None:
    assert read_date_time("2016-12-31T23:59:60Z") == datetime(2016, 12, 31, 23, 59, 59, tzinfo=UTC)
    assert read_date_time("2017-01-01T01:59:60+02:00").utcoffset() == timedelta(hours=2)
