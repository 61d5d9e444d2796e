"""What follows from an attempt's outcome: delivered, again later, or dead (spec 5).

Pure: the instant and the randomness come in, a `Settlement` goes out. Must never: be asked about anything but
one delivery; lanes, seats and holds are the worker's.
"""

import re
from calendar import timegm
from collections.abc import Sequence
from datetime import UTC, date, datetime
from http import HTTPStatus

from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import Outcome, Reason, Settlement, State
from hookd.domain.text import counted

LONGEST_RETRY_AFTER_S = 86_400.0
"""A receiver may ask for at most a day (spec 5)."""

JITTER = 0.2
"""The share of a pause added at random: deliveries that failed together do not return together."""

CONFIG_PAUSE_S = 60.0
"""Until a message is tried again whose webhook lacks a secret: only another configuration can help."""

LOCAL_PAUSE_S = 1.0
"""Pause after hookd's own lack (descriptors, memory): long enough for some to come free."""

LENIENT_RETRIES = 3
"""So many retries of a delivery that its receiver refused for its rate come after the first pause: a refusal says
little of the delivery, and the lane keeps the rate."""

UNFORESEEN_PAUSE_S = 30.0
"""Pause after an attempt at which hookd itself failed: it may well fail again."""

_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = "|".join(_MONTHS)
_SHORT_DAY = "(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = "(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_HTTP_DATES = (
    re.compile(rf"{_SHORT_DAY}, (?P<day>[0-9]{{2}}) (?P<month>{_MONTH}) (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-(?P<month>{_MONTH})-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(rf"{_SHORT_DAY} (?P<month>{_MONTH}) (?P<day>[ 0-9][0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)
"""IMF-fixdate, the obsolete RFC 850 format and asctime's (RFC 9110, 5.6.7)."""


def retry_after(values: Sequence[str], *, now: float) -> float | None:
    """Read `Retry-After` (RFC 9110, 10.2.3) as seconds from now, 0 to 86,400; None where no value is valid.

    Valid is a whole, non-negative number of seconds or an HTTP-date; a date that has passed is 0. Of several
    values the largest counts, so that the receiver is not called before any instant it named.

    Args:
        values: every `Retry-After` header of the answer, as received.
        now: seconds since the epoch.
    """
    waits = [wait for value in values if (wait := _wait_s(value.strip(" \t"), now)) is not None]
    return min(max(waits), LONGEST_RETRY_AFTER_S) if waits else None


def decide(
    outcome: Outcome,
    *,
    webhook: WebhookDef,
    failures: int,
    now: float,
    jitter: float,
    probe: bool = False,
    rate_limited: bool = False,
) -> Settlement:
    """Say what becomes of a delivery after one attempt.

    Args:
        outcome: what the world said to the attempt.
        webhook: the definition the attempt was made with.
        failures: earlier attempts of the delivery that counted against `retries`.
        now: seconds since the epoch.
        jitter: a random number from 0 to 1; at 1 the pause is a fifth longer.
        probe: the attempt was made to see whether a parked webhook is up again; its failure costs no retry.
        rate_limited: the receiver takes others meanwhile, and refused this one for its rate.
    """
    if outcome.reason is Reason.OK:
        return Settlement(State.DELIVERED, counted=False)
    if outcome.reason is Reason.SIZE:
        return Settlement(State.DEAD, counted=False, detail=outcome.error)
    if not outcome.reason.is_remote:
        pause_s = {Reason.LOCAL: LOCAL_PAUSE_S, Reason.CONFIG: CONFIG_PAUSE_S}.get(outcome.reason, 0.0)
        return Settlement(State.PENDING, counted=False, due_at=now + pause_s)
    if probe and outcome.status != HTTPStatus.GONE:
        return _probed(outcome, webhook, failures, now, jitter)
    return _failed(outcome, webhook, failures + 1, now, jitter, rate_limited=rate_limited)


def _probed(outcome: Outcome, webhook: WebhookDef, failures: int, now: float, jitter: float) -> Settlement:
    asked_s = _asked_s(outcome)
    hold_until = now + asked_s if asked_s else None
    pause_s = _pause_s(webhook, max(failures, 1), jitter)
    return Settlement(State.PENDING, counted=False, due_at=now + pause_s, hold_until=hold_until)


def _pause_s(webhook: WebhookDef, failures: int, jitter: float) -> float:
    """The delivery's own pause. What its receiver asked for holds its webhook: it is over when that is lifted."""
    return _step_s(webhook, failures) * (1 + JITTER * jitter)


def _failed(
    outcome: Outcome, webhook: WebhookDef, failures: int, now: float, jitter: float, *, rate_limited: bool
) -> Settlement:
    if outcome.status == HTTPStatus.GONE:
        return _dead("the receiver answered 410 Gone, which is final", None)
    asked_s = _asked_s(outcome)
    hold_until = now + asked_s if asked_s else None
    if failures > webhook.retries:
        return _dead(_exhausted(outcome, failures), hold_until)
    nth = max(1, failures - LENIENT_RETRIES + 1) if rate_limited else failures
    pause_s = _pause_s(webhook, nth, jitter)
    return Settlement(State.PENDING, counted=True, due_at=now + pause_s, hold_until=hold_until)


def _dead(detail: str, hold_until: float | None) -> Settlement:
    return Settlement(State.DEAD, counted=True, detail=detail, hold_until=hold_until)


def _exhausted(outcome: Outcome, failures: int) -> str:
    attempts = counted(failures, "attempt")
    return f"{attempts} failed, no retries left; the last: {outcome.error or outcome.reason.value}"


def _asked_s(outcome: Outcome) -> float:
    """Seconds the receiver asked for; 0 on every status but 429 and 503 (spec 14)."""
    is_asked = outcome.status in {HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.SERVICE_UNAVAILABLE}
    return (outcome.retry_after_s or 0.0) if is_asked else 0.0


def _step_s(webhook: WebhookDef, nth: int) -> float:
    """The pause before the n-th retry, n from 1; the last step repeats."""
    return webhook.backoff_s[min(nth, len(webhook.backoff_s)) - 1]


def _wait_s(value: str, now: float) -> float | None:
    if value.isascii() and value.isdigit():
        digits = value.lstrip("0") or "0"
        return float(digits) if len(digits) < 10 else LONGEST_RETRY_AFTER_S
    instant = _http_date(value, now)
    return None if instant is None else max(0.0, instant - now)


def _http_date(value: str, now: float) -> float | None:
    match = next((found for form in _HTTP_DATES if (found := form.fullmatch(value))), None)
    if match is None:
        return None
    year = int(match["year"]) if len(match["year"]) == 4 else _full_year(int(match["year"]), now)
    month, day = _MONTHS.index(match["month"]) + 1, int(match["day"])
    hour, minute, second = int(match["hour"]), int(match["minute"]), int(match["second"])
    if hour > 23 or minute > 59 or second > 60 or not _is_date(year, month, day):
        return None
    return float(timegm((year, month, day, hour, minute, second)))


def _full_year(two_digits: int, now: float) -> int:
    """The year with these digits that is nearest; none is more than 50 years ahead (RFC 9110, 5.6.7)."""
    this_year = datetime.fromtimestamp(now, UTC).year
    earliest = this_year - 49
    return earliest + (two_digits - earliest) % 100


def _is_date(year: int, month: int, day: int) -> bool:
    try:
        date(year, month, day)
    except ValueError:
        return False
    return True
