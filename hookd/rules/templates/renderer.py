"""The second half: values into a compiled message. The hot path; every event passes once per delivery.

Must never: search for variables, or fail on values that came through `intake` and `config`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime, tzinfo
from functools import lru_cache
from typing import Any

from hookd.domain.data_json import data_json
from hookd.domain.events import Event
from hookd.domain.json_text import json_string
from hookd.domain.message_templates import Escaping, Placeholder, Template
from hookd.domain.times import date_time, read_seconds
from hookd.domain.value_class import value_class
from hookd.rules.templates.escapes import escape_for
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


_WriteSlot = Callable[[Values], str]
"""Writes what stands in a placeholder's place."""


class Renderer:
    """Fills one template: what is to be written where is decided once, here, and not for each event."""

    def __init__(self, template: Template) -> None:
        self._template = template
        self._pieces = tuple(part if isinstance(part, str) else _writer(part) for part in template.parts)
        self._length = sum(len(part) for part in template.parts if isinstance(part, str))
        self._writers = tuple(each for each in self._pieces if not isinstance(each, str))
        literals = (part.replace("%", "%%") if isinstance(part, str) else "%s" for part in template.parts)
        self._format = "".join(literals)

    def fill(self, values: Values, limit: int) -> bytes:
        """The message's bytes; of one that would have more than `limit`, what stands in its place (`size_bound`).

        Never fails on values that came through `intake` and `config`, and never holds much more than `limit`.
        """
        if self._template.secrets:
            return self._with_secrets(values, limit)
        texts, size = [], self._length
        for write in self._writers:
            text = write(values)
            texts.append(text)
            size += len(text)
            if size > limit:
                return in_place_of(limit)
        body = (self._format % tuple(texts)).encode()
        return body if len(body) <= limit else in_place_of(limit)

    def _with_secrets(self, values: Values, limit: int) -> bytes:
        written, size = [], 0
        for part, piece in zip(self._template.parts, self._pieces, strict=True):
            if isinstance(piece, str):
                raw = piece.encode()
            elif isinstance(part, Placeholder) and part.name == SECRET:
                raw = mark(part)
            else:
                raw = piece(values).encode()
            written.append(raw)
            size += len(raw)
            if size > limit:
                return in_place_of(limit)
        return b"".join(written)


def fill(template: Template, values: Values, limit: int) -> bytes:
    """As `Renderer.fill`, for a template that is filled once."""
    return Renderer(template).fill(values, limit)


def _writer(slot: Placeholder) -> _WriteSlot:
    """What writes the value of one placeholder."""
    if slot.name == SECRET:
        return _nothing
    if slot.name == "data":
        return _data_writer(slot)
    text_of, fill = TEXTS[slot.name], slot.fill
    is_number = slot.name in _NUMBERS
    if is_number and fill is _VALUE:
        return text_of
    escape = escape_for(fill)
    if slot.prefix == "json" and not is_number and fill is not _VALUE:
        return lambda values: escape(json_string(text_of(values)))
    return lambda values: escape(text_of(values))


def _data_writer(slot: Placeholder) -> _WriteSlot:
    steps, default = slot.steps, slot.default
    otherwise = _writer(default) if isinstance(default, Placeholder) else None
    write = _value_writer(slot)

    def written(values: Values) -> str:
        value = look_up(values.event.data, steps)
        if value is not MISSING:
            return write(value)
        return write(default) if otherwise is None else otherwise(values)

    return written


def _value_writer(slot: Placeholder) -> Callable[[Any], str]:
    """What writes a value of an event's data, whatever it is."""
    if slot.fill is _VALUE:
        return data_json
    escape = escape_for(slot.fill)
    if slot.prefix == "json":
        return lambda value: escape(data_json(value))

    def as_text(value: Any) -> str:
        if isinstance(value, str):
            return escape(value)
        return escape("" if value is None else data_json(value))

    return as_text


def _nothing(_values: Values) -> str:
    """For a secret: a mark stands for it."""
    return ""
