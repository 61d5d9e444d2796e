"""The second half: values into a compiled message. The hot path; every event passes once per delivery.

Must never: search for variables, or fail on values that came through `intake` and `config`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, tzinfo
from functools import lru_cache
from json.encoder import encode_basestring
from typing import Any

from hookd.domain.definitions import Escaping, Placeholder, Template
from hookd.domain.events import Event
from hookd.domain.json_text import compact_json

_DAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")

_MISSING = object()

json_string: Callable[[str], str] = encode_basestring
"""A text as a JSON string, quotes and all; only what JSON requires is escaped."""


@dataclass(frozen=True, slots=True)
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


def fill(template: Template, values: Values) -> bytes:
    """The message's bytes. Never fails on values that came through `intake` and `config`."""
    return "".join(
        [part if isinstance(part, str) else _write(part, values) for part in template.parts]
    ).encode()


@lru_cache(maxsize=16)
def _date(second: int, timezone: tzinfo) -> str:
    """`%a, %d %b %Y %H:%M:%S %Z` with English names whatever the locale."""
    moment = datetime.fromtimestamp(second, timezone)
    return (
        f"{_DAYS[moment.weekday()]}, {moment.day:02d} {_MONTHS[moment.month - 1]} {moment.year:04d} "
        f"{moment:%H:%M:%S} {moment.tzname()}"
    )


def _object_name(event: Event) -> str:
    return (event.object.name or "") if event.object else ""


def _object_id(event: Event) -> str:
    return (event.object.id or "") if event.object else ""


TEXTS: Mapping[str, Callable[[Values], str]] = {
    "DATE": lambda values: _date(int(values.now), values.timezone),
    "TIMESTAMP": lambda values: str(int(values.now)),
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

_NUMBERS = frozenset({"TIMESTAMP", "RANDOM"})


def _write(slot: Placeholder, values: Values) -> str:
    if slot.name != "data":
        text = TEXTS[slot.name](values)
        if slot.fill is Escaping.IN_STRING:
            return inside(text)
        return json_string(text) if slot.fill is Escaping.VALUE and slot.name not in _NUMBERS else text
    value = _look_up(values.event.data, slot.path)
    if value is _MISSING:
        value = slot.default
    if slot.fill is Escaping.VALUE:
        return compact_json(value)
    return inside(_as_text(value)) if slot.fill is Escaping.IN_STRING else _as_text(value)


def _look_up(value: Any, path: tuple[str, ...]) -> Any:
    """Follow the steps into a value; `_MISSING` where one leads nowhere. Digits count into lists from 0."""
    for step in path:
        if isinstance(value, dict):
            value = value.get(step, _MISSING)
        elif isinstance(value, list):
            value = _item(value, step)
        else:
            return _MISSING
    return value


def _item(items: list[Any], step: str) -> Any:
    if not (step.isascii() and step.isdecimal()):
        return _MISSING
    digits = step.lstrip("0") or "0"
    if len(digits) > len(str(len(items))):  # far past the end; `int` would refuse thousands of digits
        return _MISSING
    index = int(digits)
    return items[index] if index < len(items) else _MISSING


def _as_text(value: Any) -> str:
    if isinstance(value, str):
        return value
    return "" if value is None else compact_json(value)


def inside(text: str) -> str:
    """Text escaped to stand inside a JSON string."""
    return json_string(text)[1:-1]
