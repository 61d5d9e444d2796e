"""Events out of parsed JSON: every field checked, every fault collected, nothing accepted in part (spec 2).

Values are taken as `parse_json` returns them: every text in them is valid UTF-8.

Must never: stop at the first fault, or change what was posted.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import field
from hashlib import sha256
from typing import Any

from hookd.domain.definitions import TypeDef
from hookd.domain.events import Event, EventObject
from hookd.domain.json_text import json_encoder
from hookd.domain.operator_events import OWN, OWN_TYPES, is_own_id
from hookd.domain.times import LONGEST_DATE_TIME, is_date_time
from hookd.domain.value_class import value_class
from hookd.intake.validation import Faults, kind
from hookd.rules.calendar import is_firing_id

_EVENT_FIELDS = ("type", "event", "object", "id", "time", "data")
_OPTIONAL_FIELDS = frozenset({"object", "id", "time", "data"})
_OBJECT_FIELDS = ("id", "name", "tags")
LONGEST_ID = 256
"""Characters of an event's id."""

LONGEST_NAME = 256
"""Characters of an object's name, and of its id."""

_CLOUDEVENT = (
    "this is a CloudEvent: it is posted with Content-Type: application/cloudevents+json, "
    "an array of them with application/cloudevents-batch+json"
)

OWN_TYPE = f'a type that begins with "{OWN}" is hookd\'s own'

_canonical = json_encoder(sort_keys=True, separators=(",", ":"))
"""One text for one content, whatever the order of its keys. Its digests are kept in the store: it must not change."""

Types = Mapping[str, TypeDef] | None
"""The catalogue, or None where the configuration has none."""


def decode_event(
    value: Any,
    *,
    index: int | None,
    types: Types,
    default_id: str | None,
    make_id: Callable[[], str],
    own: bool = False,
) -> Event:
    """One posted event.

    Args:
        value: as `parse_json` returned it.
        index: its position in a batch, from 0; leads the pointers. None for a single event.
        types: the catalogue.
        default_id: the decoded `Idempotency-Key`, which serves as id where the body has none.
        make_id: makes an id where the client gave none.
        own: hookd's own events are let through as well: to explain one, never to take it in.

    Raises:
        EventRejected: 422, with every fault.
    """
    reader = _EventReader(types, make_id, own)
    event = reader.event(value, "" if index is None else f"/{index}", default_id)
    reader.faults.raise_any()
    return event


def decode_batch(
    values: list[Any],
    *,
    types: Types,
    make_id: Callable[[], str],
    default_id: str | None = None,
    own: bool = False,
) -> list[Event]:
    """Every event of a batch, in order; arguments as `decode_event`.

    Where there are several, `default_id` serves each with a dot and its index behind it.

    Raises:
        EventRejected: 422, with every fault of every event; the batch is empty.
    """
    reader = _EventReader(types, make_id, own)
    if not values:
        reader.faults.add("", "there is no event in the batch")
    events = []
    for index, value in enumerate(values):
        own_default = default_id if default_id is None or len(values) == 1 else f"{default_id}.{index}"
        events.append(reader.event(value, f"/{index}", own_default))
        if reader.faults.full:
            break
    reader.faults.raise_any()
    return events


def decode_key(key: str) -> str:
    """An `Idempotency-Key`; it is looked at also where nothing needs it.

    Raises:
        EventRejected: 422.
    """
    faults = Faults("Invalid event")
    if not (1 <= len(key) <= LONGEST_ID and key.isprintable()):
        faults.add("", f"the Idempotency-Key must be 1 to {LONGEST_ID} printable characters")
    faults.raise_any()
    return key


def decode_trigger(value: Any) -> tuple[EventObject | None, dict[str, Any]]:
    """The body of a trigger request: the object, if any, and the data.

    Raises:
        EventRejected: 422, with every fault.
    """
    faults = Faults("Invalid request")
    body = faults.mapping("", value)
    faults.fields("", body, ("object", "data"))
    body = without_nulls(body, _OPTIONAL_FIELDS)
    decoded = _object(body, "", faults), _data(body, "", faults)
    faults.raise_any()
    return decoded


def decode_send(value: Any) -> Any:
    """The body of a send request: the message, a string, object or array.

    Raises:
        EventRejected: 422, with every fault.
    """
    faults = Faults("Invalid request")
    body = faults.mapping("", value)
    faults.fields("", body, ("message",))
    message = body.get("message", {"text": "Webhook"})
    if not isinstance(message, str | dict | list):
        faults.add("/message", f"must be a string, an object or an array, not {kind(message)}")
    faults.raise_any()
    return message


@value_class
class _EventReader:
    """Reads the events of one request."""

    types: Types
    make_id: Callable[[], str]
    own: bool = False
    faults: Faults = field(default_factory=lambda: Faults("Invalid event"))

    def event(self, value: Any, pointer: str, default_id: str | None = None) -> Event:
        """The event at a pointer; where it has faults, one that must not be used."""
        faults = self.faults
        if not isinstance(value, dict):
            faults.add(pointer, f"an event must be an object, not {kind(value)}")
            return Event("")
        if "specversion" in value:
            faults.add(f"{pointer}/specversion", _CLOUDEVENT)
            return Event("")
        faults.fields(pointer, value, _EVENT_FIELDS)
        value = without_nulls(value, _OPTIONAL_FIELDS)
        type_name = _name(value, "type", pointer, faults)
        event_name = _name(value, "event", pointer, faults)
        places = Places(
            f"{pointer}/type", f"{pointer}/event", f"{pointer}/object" if "object" in value else ""
        )
        check_type(type_name, event_name, self._types_for(type_name), places, faults)
        obj = _object(value, pointer, faults)
        time = _time(value, pointer, faults)
        data = _data(value, pointer, faults)
        given_id = _given_id(value, pointer, default_id, faults)
        if not self.own and given_id is not None and is_own_id(given_id):
            faults.add(f"{pointer}/id", "ids of this form belong to hookd's own events; choose another")
        return Event(
            id=self.make_id() if given_id is None else given_id,
            type=type_name,
            event=event_name,
            object=obj,
            time=time,
            data=data,
            digest=None if given_id is None else digest_of(type_name, event_name, obj, time, data),
        )

    def _types_for(self, type_name: str) -> Types:
        return OWN_TYPES if self.own and type_name.startswith(OWN) else self.types


@value_class
class Places:
    """The pointers of a posted event's type, event and object; `object` is empty where it has none."""

    type: str
    event: str
    object: str


def check_type(type_name: str, event_name: str, types: Types, places: Places, faults: Faults) -> None:
    """Reserved and catalogued names; an empty name has its fault already."""
    if type_name.startswith(OWN) and types is not OWN_TYPES:
        faults.add(places.type, OWN_TYPE)
    elif type_name and types is not None:
        known = types.get(type_name)
        if known is None:
            faults.add(places.type, faults.unknown("type", type_name, types))
        else:
            _check_catalogued(known, event_name, places, faults)


def are_good_names(type_name: str, event_name: str, has_object: bool, types: Types) -> bool:
    """Whether an event of this type and name may be posted, with an object or without."""
    faults = Faults("Invalid event")
    names = {"type": type_name, "event": event_name}
    places = Places("/type", "/event", "/object" if has_object else "")
    check_type(_name(names, "type", "", faults), _name(names, "event", "", faults), types, places, faults)
    return not faults


def _check_catalogued(known: TypeDef, event_name: str, places: Places, faults: Faults) -> None:
    if event_name and event_name not in known.events:
        message = faults.unknown(f"event of type {known.name}", event_name, known.events)
        faults.add(places.event, message)
    if places.object and not known.objects:
        message = f"the type {known.name} is generic: it has neither object nor tags"
        faults.add(places.object, message)


def without_nulls(value: dict[str, Any], optional: Collection[str]) -> dict[str, Any]:
    """The fields that are there: many serializers write null for an optional one that is not."""
    if None not in value.values():
        return value
    return {key: each for key, each in value.items() if each is not None or key not in optional}


def _name(value: dict[str, Any], key: str, pointer: str, faults: Faults) -> str:
    if key in value:
        return faults.text(f"{pointer}/{key}", value[key], 128, trimmed=True)
    faults.add(f"{pointer}/{key}", "is required")
    return ""


def _object(value: dict[str, Any], pointer: str, faults: Faults) -> EventObject | None:
    if "object" not in value:
        return None
    pointer, obj = f"{pointer}/object", value["object"]
    if isinstance(obj, str):
        return EventObject(name=faults.text(pointer, obj, LONGEST_NAME))
    if not isinstance(obj, dict):
        faults.add(pointer, f"must be a name or an object with id, name and tags, not {kind(obj)}")
        return None
    faults.fields(pointer, obj, _OBJECT_FIELDS)
    obj = without_nulls(obj, _OBJECT_FIELDS)
    if "id" not in obj and "name" not in obj:
        faults.add(pointer, "must have an id or a name")
    return EventObject(
        id=faults.text(f"{pointer}/id", obj["id"], LONGEST_NAME) if "id" in obj else None,
        name=faults.text(f"{pointer}/name", obj["name"], LONGEST_NAME) if "name" in obj else None,
        tags=_tags(obj.get("tags", []), f"{pointer}/tags", faults),
    )


def _tags(tags: Any, pointer: str, faults: Faults) -> tuple[str, ...]:
    if not isinstance(tags, list):
        faults.add(pointer, f"must be an array of strings, not {kind(tags)}")
        return ()
    return faults.tags((f"{pointer}/{index}", tag) for index, tag in enumerate(tags))


def _time(value: dict[str, Any], pointer: str, faults: Faults) -> str | None:
    return read_time(value["time"], f"{pointer}/time", faults) if "time" in value else None


def read_time(given: Any, pointer: str, faults: Faults) -> str:
    """A moment by RFC 3339, as it was posted."""
    time = faults.text(pointer, given, LONGEST_DATE_TIME)
    if time and not is_date_time(time):
        message = "must be an RFC 3339 date-time with an offset, such as 2026-01-02T03:04:05Z"
        faults.add(pointer, message)
    return time


def _data(value: dict[str, Any], pointer: str, faults: Faults) -> dict[str, Any]:
    return faults.mapping(f"{pointer}/data", value["data"]) if "data" in value else {}


def _given_id(value: dict[str, Any], pointer: str, default_id: str | None, faults: Faults) -> str | None:
    """The id the client chose, or None."""
    if "id" in value:
        chosen = faults.text(f"{pointer}/id", value["id"], LONGEST_ID)
    elif default_id is None:
        return None
    else:
        chosen = default_id
        if len(chosen) > LONGEST_ID:
            faults.add(
                f"{pointer}/id",
                f"would be the Idempotency-Key and the event's index, {len(chosen)} characters; "
                f"at most {LONGEST_ID} are allowed",
            )
    check_id(chosen, f"{pointer}/id", faults)
    return chosen


def check_id(chosen: str, pointer: str, faults: Faults) -> None:
    """Refuse the ids that schedules' moments have."""
    if is_firing_id(chosen):
        faults.add(pointer, "ids of this form belong to schedules' moments; choose another")


def digest_of(
    type_name: str, event_name: str, obj: EventObject | None, time: str | None, data: dict[str, Any]
) -> bytes:
    """SHA-256 over the content; the order of keys and the form of the object do not count."""
    parts = None if obj is None else [obj.id, obj.name, obj.tags]
    return sha256(_canonical([type_name, event_name, parts, time, data]).encode()).digest()
