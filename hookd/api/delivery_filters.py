"""Which deliveries a request means, by a listing's query or by the body of `POST /v1/deliveries/retry` (spec 9).

Must never: ask the store.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from hookd.domain.deliveries import State
from hookd.domain.errors import EventRejected, Fault
from hookd.domain.history import DeliveryFilter
from hookd.domain.text import did_you_mean, shown
from hookd.domain.times import is_date_time, read_seconds
from hookd.domain.value_class import value_class
from hookd.intake.validation import Faults, kind
from hookd.server.query import bad_query

DEFAULT_LIMIT = 50
MOST_ITEMS = 500
PAGING = frozenset({"limit", "cursor"})
FILTERS = frozenset({"state", "webhook", "task", "event", "since", "until"})

RETRYABLE = (State.DEAD, State.CANCELLED, State.DELIVERED, State.PENDING)
"""The states that a retry by filter may ask for; an attempt under way is not to be disturbed."""

_LONGEST = 256
_INSTANT = "must be RFC 3339 with an offset, such as 2026-01-31T08:00:00Z"
_BARE_PLUS = "; in a URL its + is written %2B, for a bare one is a space"
_REVERSED = "is later than until: nothing can be between them; swap the two"


@value_class
class RetryOrder:
    """What to retry; `dry_run`: only count it; `cursor`: from the part before."""

    where: DeliveryFilter
    dry_run: bool
    cursor: str | None


def queried(query: Mapping[str, str]) -> DeliveryFilter:
    """The filter of a listing. Raises Problem (400) for a value that cannot be."""
    where = DeliveryFilter(
        state=queried_state(query),
        webhook=query.get("webhook"),
        task=query.get("task"),
        event_id=query.get("event"),
        since=_queried_instant(query, "since"),
        until=_queried_instant(query, "until"),
    )
    if _is_reversed(where):
        raise bad_query("since", _REVERSED)
    return _inclusive(where)


def queried_limit(query: Mapping[str, str]) -> int:
    """How many items a listing may have. Raises Problem (400)."""
    given = query.get("limit", str(DEFAULT_LIMIT))
    if not (given.isascii() and given.isdigit() and len(given) < 6 and 1 <= int(given) <= MOST_ITEMS):
        raise bad_query("limit", f"must be a whole number from 1 to {MOST_ITEMS}")
    return int(given)


def queried_state(query: Mapping[str, str]) -> State | None:
    """The state that is asked for, if one is. Raises Problem (400)."""
    given = query.get("state")
    if given is None:
        return None
    try:
        return State(given)
    except ValueError:
        raise bad_query("state", f"must be one of {', '.join(State)}") from None


def _queried_instant(query: Mapping[str, str], name: str) -> float | None:
    given = query.get(name)
    if given is None:
        return None
    at = _seconds(given)
    if at is None:
        bare_plus = _seconds("+".join(given.rsplit(" ", 1))) is not None
        raise bad_query(name, f"{_INSTANT}{_BARE_PLUS if bare_plus else ''}")
    return at


def decode_retry(value: Any) -> RetryOrder:
    """The body of a retry by filter; what is not given does not restrict, but `state` is then dead (spec 8).

    Raises:
        EventRejected: 422, with every fault.
    """
    faults = Faults("Invalid request")
    body = faults.mapping("", value)
    faults.fields("", body, [*sorted(FILTERS), "dry_run", "cursor"])
    dry_run = body.get("dry_run", False)
    if not isinstance(dry_run, bool):
        faults.add("/dry_run", f"must be true or false, not {kind(dry_run)}")
    where = DeliveryFilter(
        state=_wanted_state(body, faults),
        webhook=_wanted_text(body, "webhook", faults),
        task=_wanted_text(body, "task", faults),
        event_id=_wanted_text(body, "event", faults),
        since=_wanted_instant(body, "since", faults),
        until=_wanted_instant(body, "until", faults),
    )
    if _is_reversed(where):
        faults.add("/since", _REVERSED)
    cursor = _wanted_text(body, "cursor", faults)
    faults.raise_any()
    return RetryOrder(_inclusive(where), dry_run is True, cursor)


def foreign_cursor() -> EventRejected:
    """The refusal (422) of a cursor in a body that no answer had."""
    fault = Fault("/cursor", "is not one that an answer to such a request had")
    return EventRejected(422, "Invalid request", f"{fault.pointer}: {fault.message}", (fault,))


def _wanted_state(body: Mapping[str, Any], faults: Faults) -> State:
    given = body.get("state", State.DEAD)
    if given in RETRYABLE:
        return State(given)
    if isinstance(given, str):
        meant = did_you_mean(given, RETRYABLE)
        faults.add("/state", f'must be one of {", ".join(RETRYABLE)}, not "{shown(given)}"{meant}')
    else:
        faults.add("/state", f"must be a string, not {kind(given)}")
    return State.DEAD


def _wanted_text(body: Mapping[str, Any], name: str, faults: Faults) -> str | None:
    return faults.text(f"/{name}", body[name], _LONGEST) if name in body else None


def _wanted_instant(body: Mapping[str, Any], name: str, faults: Faults) -> float | None:
    given = _wanted_text(body, name, faults)
    at = _seconds(given) if given else None
    if given and at is None:
        faults.add(f"/{name}", f'{_INSTANT}; it is "{shown(given)}"')
    return at


def _is_reversed(where: DeliveryFilter) -> bool:
    """Whether the window ends before it begins."""
    return where.since is not None and where.until is not None and where.since > where.until


def _inclusive(where: DeliveryFilter) -> DeliveryFilter:
    """The filter with all of the millisecond that `until` names: answers show no more digits of an instant."""
    if where.until is None:
        return where
    return replace(where, until=(round(where.until * 1e6) // 1000 + 1) / 1000)


def _seconds(text: str) -> float | None:
    """An RFC 3339 date-time as seconds since the epoch; None for any other text."""
    return read_seconds(text) if is_date_time(text) else None
