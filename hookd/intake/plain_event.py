"""Single events that are plainly good, read in one go; `event_format` stays the judge of all others.

An event is plainly good where msgspec finds nothing but known fields of the right kinds in strict JSON, and no rule of
`event_format` has anything against them. Whether a type and an event's name are good and may stand together is what
costs most of them, so what the judge said of a pair is remembered, as long as the catalogue is the same.

Must never: accept what `event_format` refuses, or read anything otherwise.
"""

from collections.abc import Callable
from functools import partial
from typing import Any, Final

import msgspec

from hookd.domain.events import Event, EventObject, Kind
from hookd.domain.operator_events import is_own_id
from hookd.domain.times import is_date_time
from hookd.intake.event_format import (
    LONGEST_ID,
    LONGEST_NAME,
    Types,
    are_good_names,
    digest_of,
)
from hookd.intake.fast_json import FAILURES, has_every_key, is_deep
from hookd.intake.validation import LONGEST_TAG, fits
from hookd.rules.calendar import is_firing_id

MOST_PAIRS: Final = 1024
"""Pairs of type and event that are remembered; when there are more, all are forgotten."""


class _PlainObject(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    id: str | None = None
    name: str | None = None
    tags: list[str] | None = None


class _PlainEvent(msgspec.Struct, forbid_unknown_fields=True, omit_defaults=True, gc=False):
    """Nulls are left to the judge: what is omitted when it is written again counts as a key that is missing."""

    type: str
    event: str
    object: _PlainObject | str | None = None
    id: str | None = None
    time: str | None = None
    data: dict[str, Any] | None = None


_fits_tag = partial(fits, longest=LONGEST_TAG)
_decode = msgspec.json.Decoder(_PlainEvent).decode


class PlainEventReader:
    """Reads events, and remembers the good pairs of type and event."""

    def __init__(self) -> None:
        self._types: Types = None
        self._pairs: set[tuple[str, str, bool]] = set()

    def read(self, raw: bytes, types: Types, make_id: Callable[[], str]) -> Event | None:
        """The event of a body; None where the judge must look. Arguments as `event_format.decode_event`."""
        given = _read_fields(raw)
        if given is None:
            return None
        type_name, event_name, time, event_id = given.type, given.event, given.time, given.id
        obj, data = _object(given.object), given.data or {}
        if not self._are_good_names(type_name, event_name, given.object is not None, types):
            return None
        if (obj is None and given.object is not None) or (time is not None and not is_date_time(time)):
            return None
        if event_id is None:
            event_id, digest = make_id(), None
        elif fits(event_id, LONGEST_ID) and not is_firing_id(event_id) and not is_own_id(event_id):
            digest = digest_of(type_name, event_name, obj, time, data)
        else:
            return None
        return Event(event_id, Kind.EVENT, type_name, event_name, obj, time, data, digest)

    def _are_good_names(self, type_name: str, event_name: str, has_object: bool, types: Types) -> bool:
        """Whether type and event may be posted, with or without an object."""
        if types is not self._types or len(self._pairs) >= MOST_PAIRS:
            self._types = types
            self._pairs.clear()
        pair = (type_name, event_name, has_object)
        if pair in self._pairs:
            return True
        if not are_good_names(*pair, types):
            return False
        self._pairs.add(pair)
        return True


def _read_fields(raw: bytes) -> _PlainEvent | None:
    if is_deep(raw):
        return None
    try:
        given = _decode(raw)
        return given if has_every_key(raw, given) else None
    except FAILURES:
        return None


def _object(given: _PlainObject | str | None) -> EventObject | None:
    """The object; None where there is none, or none that is plainly good."""
    if given is None:
        return None
    if isinstance(given, str):
        return EventObject(name=given) if fits(given, LONGEST_NAME) else None
    object_id, name, tags = given.id, given.name, given.tags
    if object_id is None and name is None:
        return None
    if not (
        (object_id is None or fits(object_id, LONGEST_NAME)) and (name is None or fits(name, LONGEST_NAME))
    ):
        return None
    if not tags:
        return EventObject(object_id, name)
    are_tags = len(set(tags)) == len(tags) and all(map(_fits_tag, tags))
    return EventObject(object_id, name, tuple(tags)) if are_tags else None
