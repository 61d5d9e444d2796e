"""The second half: values into a compiled message. The hot path; every event passes once per delivery.

Must never: search for variables, or fail on values that came through `intake` and `config`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import lru_cache

from hookd.domain.events import Event
from hookd.domain.json_text import compact_json, json_string
from hookd.domain.message_templates import Escaping, Placeholder, Template
from hookd.domain.times import date_time, read_seconds
from hookd.domain.value_class import value_class
from hookd.rules.templates.escapes import escaped
from hookd.rules.templates.lookup import MISSING, look_up
from hookd.rules.templates.secret_marks import mark
from hookd.rules.templates.size_bound import in_place_of

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_VALUE = Escaping.VALUE


@value_class
class Values:
    """Everything a message may be filled with.

    Attributes:
        task: the task's name, or empty where there is none.
        webhook: the webhook's name.
        now: the instant of rendering, seconds since the epoch.
        timezone: the zone that `${DATE}` is written in.
        random: 0 to 2147483647.
    """

    event: Event
    task: str
    webhook: str
    now: float
    timezone: tzinfo
    random: int


def fill(template: Template, values: Values, limit: int) -> bytes:
    """The message's bytes; of one that would have more than `limit`, what stands in its place (`size_bound`).

    Never fails on values that came through `intake` and `config`, and never holds much more than `limit`.
    """
    written, size = [], 0
    for part in template.parts:
        if isinstance(part, str):
            text = part
        elif part.name == SECRET:
            return _with_secrets(template, values, limit)
        else:
            text = _write(part, values)
        written.append(text)
        size += len(text)
        if size > limit:
            return in_place_of(limit)
    body = "".join(written).encode()
    return body if len(body) <= limit else in_place_of(limit)


def _with_secrets(template: Template, values: Values, limit: int) -> bytes:
    written, size = [], 0
    for part in template.parts:
        if isinstance(part, str):
            raw = part.encode()
        else:
            raw = mark(part) if part.name == SECRET else _write(part, values).encode()
        written.append(raw)
        size += len(raw)
        if size > limit:
            return in_place_of(limit)
    return b"".join(written)


@lru_cache(maxsize=16)
def _date(second: int, timezone: tzinfo) -> str:
    """`%a, %d %b %Y %H:%M:%S %Z` with English names whatever the locale."""
    moment = datetime.fromtimestamp(second, timezone)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year:04d} "
        f"{moment:%H:%M:%S} {moment.tzname()}"
    )


def _time(posted: str | None, now: float) -> str:
    """When the event happened, in UTC: as it was posted, else `now`, to the millisecond."""
    if posted is None:
        return date_time(int(now * 1000) / 1000, "milliseconds")
    return posted.upper() if posted[-1] in "Zz" else date_time(read_seconds(posted))


def _object_name(event: Event) -> str:
    return (event.object.name or "") if event.object else ""


def _object_id(event: Event) -> str:
    return (event.object.id or "") if event.object else ""


TEXTS: Mapping[str, Callable[[Values], str]] = {
    "DATE": lambda values: _date(int(values.now), values.timezone),
    "TIME": lambda values: _time(values.event.time, values.now),
    "TIMESTAMP": lambda values: str(int(values.now)),
    "TIMESTAMP_MS": lambda values: str(int(values.now * 1000)),
    "RANDOM": lambda values: str(values.random),
    "NAME": lambda values: _object_name(values.event) or _object_id(values.event) or values.task,
    "ID": lambda values: values.event.id,
    "TYPE": lambda values: values.event.type,
    "EVENT": lambda values: values.event.event,
    "OBJECT_ID": lambda values: _object_id(values.event),
    "TAGS": lambda values: ",".join(values.event.object.tags) if values.event.object else "",
    "TASK": lambda values: values.task,
    "WEBHOOK": lambda values: values.webhook,
}
"""Every variable but `data`, in the order of spec 4."""

SECRET = "secret"  # noqa: S105 - a name in the grammar

_NUMBERS = frozenset({"TIMESTAMP", "TIMESTAMP_MS", "RANDOM"})


def _write(slot: Placeholder, values: Values) -> str:
    fill = slot.fill
    if slot.name != "data":
        text = TEXTS[slot.name](values)
        if fill is _VALUE:
            return text if slot.name in _NUMBERS else json_string(text)
        if slot.prefix == "json" and slot.name not in _NUMBERS:
            text = json_string(text)
    else:
        value = look_up(values.event.data, slot.steps)
        if value is MISSING:
            if isinstance(slot.default, Placeholder):
                return _write(slot.default, values)
            value = slot.default
        if fill is _VALUE:
            return compact_json(value)
        if slot.prefix == "json":
            text = compact_json(value)
        elif isinstance(value, str):
            text = value
        else:
            text = "" if value is None else compact_json(value)
    return escaped(text, fill)
