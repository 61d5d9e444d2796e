"""What expressions see of an event.

Must never: read a clock; or walk over an event's values but in steps.
"""

import math
from collections.abc import Generator, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

from hookd.domain.events import Event
from hookd.domain.times import read_date_time
from hookd.rules.conditions.condition_errors import CONTAINER, EvaluationError
from hookd.rules.conditions.cost import MOST, Path
from hookd.rules.conditions.environment import environment
from hookd.rules.conditions.sizes import AT_ONCE, SCALAR, Size, is_small, measure

DEEPEST = 500
"""Levels of nesting; an event's data have far fewer (spec 2)."""

_EARLIEST = datetime(1, 1, 1, 0, 0, 1, tzinfo=UTC)
_LATEST = datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)
"""The library takes the moments before and after for the beginning and the end of all time."""


class Facts:
    """What expressions see of one event. Made once for all the rules the event may match; costs nothing until asked.

    Of `data`, only the fields that an expression names are looked at. A NUL in a text is the replacement character
    (U+FFFD) here, since the library would end the text at it, and so find equal what is not. An integer beyond 64 bits
    is a float, since the library would refuse all of the data for it.
    """

    def __init__(self, event: Event, now: float) -> None:
        self._event = event
        self._now = now
        self._variables: dict[str, Any] = {}
        self._data: dict[str, Any] = {}
        self._whole = False
        self._sizes: dict[Path, Size] = {}
        self._activations: dict[frozenset[str] | None, Any] = {}
        self._spent = 0

    @cached_property
    def is_small(self) -> bool:
        """Whether the event as a whole is so small that its parts need not be measured."""
        event = self._event
        return is_small([event.type, event.event, dict(_object(event)), dict(event.data)])

    def prepare(self, paths: Iterable[Path], fields: frozenset[str] | None) -> Generator[None, None, None]:
        """Make ready, in steps, for an expression.

        Args:
            paths: the parts of the event it looks at.
            fields: the fields of `data` it looks at; None where it may be any.
        """
        if not self._variables:
            event = self._event
            self._variables.update(type=_scalar(event.type), event=_scalar(event.event))
            self._variables["object"] = yield from _storable(dict(_object(event)))
        given = self._given
        if fields is None and not self._whole:
            self._data, self._whole = (yield from _storable(given)), True
        elif not self._whole:
            for name in fields or ():
                if name in given and name not in self._data:
                    self._data[name] = yield from _storable(given[name])
        for path in paths:
            if path not in self._sizes:
                self._sizes[path] = yield from measure(self._part(path))

    def activation(self, fields: frozenset[str] | None) -> Any:
        """The variables and their values, as `prepare` was asked for.

        Raises whatever a value that is not JSON leads to.
        """
        if fields not in self._activations:
            data = self._data
            if fields is not None:
                data = {name: data[name] for name in fields if name in data}
            values = {**self._variables, "data": data, "time": _time(self._event.time, self._now)}
            seen = {f"{CONTAINER}.{name}": value for name, value in values.items()}
            self._activations[fields] = environment().Activation(seen)
        return self._activations[fields]

    def spend(self, cost: int) -> None:
        """Note what an evaluation is about to cost: the library keeps what it builds as long as the variables."""
        self._spent += cost
        if self._spent > MOST:
            self._spent = cost
            self._activations.clear()

    def size_of(self, path: Path) -> Size:
        """The size of a part that `prepare` was asked for."""
        return self._sizes.get(path, SCALAR)

    def text_of(self, path: Path) -> str | None:
        """The text that a part is."""
        part = self._part(path)
        return part if isinstance(part, str) else None

    @cached_property
    def _given(self) -> Mapping[str, Any]:
        """The event's data by the names that expressions see."""
        return _with_stored_names(self._event.data)

    def _part(self, path: Path) -> Any:
        name, *rest = path
        value = self._data if name == "data" else self._variables.get(name)
        for step in rest:
            value = value.get(step) if isinstance(value, Mapping) else None
        return value


def _object(event: Event) -> Iterator[tuple[str, Any]]:
    """The keys of `object`: `id` and `name` only where the event has them, so that `has(object.name)` tells."""
    if event.object is not None:
        for name, value in (("id", event.object.id), ("name", event.object.name)):
            if value is not None:
                yield name, value
    yield "tags", list(event.object.tags) if event.object is not None else []


def _time(text: str | None, now: float) -> datetime:
    """The moment of an RFC 3339 text, else `now`."""
    if text is None:
        return datetime.fromtimestamp(now, UTC)
    return min(max(read_date_time(text), _EARLIEST), _LATEST)


def _storable(value: Any) -> Generator[None, None, Any]:
    """A copy of JSON data in what the library can hold, made in steps; see `Facts`."""
    root = [value]
    level: list[dict[Any, Any] | list[Any]] = [root]
    seen = 0
    for _ in range(DEEPEST):
        below: list[dict[Any, Any] | list[Any]] = []
        for container in level:
            entries = container.items() if isinstance(container, dict) else enumerate(container)
            for key, item in entries:
                if isinstance(item, dict):
                    below.append(_with_stored_names(item))
                    container[key] = below[-1]
                elif isinstance(item, list):
                    below.append(item.copy())
                    container[key] = below[-1]
                elif isinstance(item, str | int):
                    container[key] = _scalar(item)
                seen += 1
                if seen % AT_ONCE == 0:
                    yield
        if not below:
            return root[0]
        level = below
    raise EvaluationError(f"the event's data are nested deeper than {DEEPEST} levels")


def _with_stored_names(given: Mapping[Any, Any]) -> dict[Any, Any]:
    """A copy of a map, not of what is in it."""
    if any(isinstance(name, str) and "\0" in name for name in given):
        return {_scalar(name): value for name, value in given.items()}
    return dict(given)


def _scalar(value: Any) -> Any:
    if isinstance(value, str):
        return value.replace("\0", "\ufffd")
    if isinstance(value, int):
        return value if -(2**63) <= value < 2**64 else _as_float(value)
    return value


def _as_float(value: int) -> float:
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf
