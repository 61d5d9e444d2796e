"""CloudEvents 1.0 as events (spec 2): in the JSON event format, and out of the headers and body of binary mode.

`type` is parted at its last dot into type and event, `subject` is the object's name, the extension `tags` its tags,
source and id make the event's id. What else an event carries (`dataschema`, other extensions) is checked by the form of
CloudEvents and then left out.

Rules: CloudEvents 1.0.2, its JSON event format and its HTTP protocol binding.

Must never: stop at the first fault, or accept in part.
"""

import re
from base64 import b64decode, b64encode
from binascii import Error as NotBase64
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import field
from hashlib import sha256
from typing import Any
from urllib.parse import unquote_to_bytes

from hookd.domain.errors import EventRejected
from hookd.domain.events import Event, EventObject
from hookd.domain.operator_events import OWN
from hookd.domain.text import shown
from hookd.domain.tracing import Trace, read_trace
from hookd.domain.value_class import value_class
from hookd.intake.event_format import (
    LONGEST_ID,
    OWN_TYPE,
    Places,
    Types,
    check_id,
    check_type,
    digest_of,
    read_time,
)
from hookd.intake.fast_json import parse_json
from hookd.intake.validation import Faults, escaped, kind

VERSION = "1.0"

HEADER_PREFIX = "ce-"
"""What the names of the headers of binary mode begin with, in any case (HTTP binding, section 3.1.3.1)."""

_REQUIRED = ("specversion", "id", "source", "type")
_OLD = ("cloudeventsversion", "eventtype")
_ONLY_1 = f"; this is a CloudEvent of an older version, and only {VERSION} is taken"
"""Said of what has the attributes of CloudEvents 0.1."""

_DATA = ("data", "data_base64")
_READ = (*_REQUIRED, "datacontenttype", "dataschema", "subject", "tags", "time")
"""Attributes whose values are looked at one by one."""

_NAME = re.compile(r"[a-z0-9]+")
_JSON = re.compile(r"[^/\s]+/(?:json|[^/\s]+\+json)")
_WORD = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_FORMS = (
    (
        "datacontenttype",
        re.compile(rf"{_WORD}/{_WORD}\s*(?:;.*)?"),
        "a media type, such as application/json",
    ),
    ("dataschema", re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:\S*"), "a URI, such as https://example.com/schema"),
)
"""The forms of attributes that are left out (RFC 2046; RFC 3986, section 3)."""

_SIMPLE = "must be a string, a boolean or a whole number of 32 bits"
"""CloudEvents, "Type System"."""

_QUOTED = re.compile(r'"((?:[^"\\]|\\.)*)"', re.DOTALL)
_QUOTED_PAIR = re.compile(r"\\(.)", re.DOTALL)
_CHARSET = re.compile(r""";\s*charset\s*=\s*"?([^";\s]*)""", re.IGNORECASE)
_NO_TYPE = (
    "the request has no Content-Type, so the body is read as JSON; "
    "name the data's type, such as text/plain or application/octet-stream"
)
_CLIENTS_OWN = frozenset({"application/x-www-form-urlencoded", "application/octet-stream"})
"""What HTTP clients add to a body that is given to them without a type (urllib, curl; aiohttp): says nothing of it."""

_NO_SPACE = "must be a URI reference, which holds no space; in a header %20 is one, and %2520 stands for %20"
_LONGEST = 65_536


def decode_cloudevent(value: Any, *, types: Types) -> Event:
    """One event of the JSON event format.

    Args:
        value: as `parse_json` returned it.
        types: the catalogue.

    Raises:
        EventRejected: 422, with every fault.
    """
    reader = _CloudEventReader(types)
    if isinstance(value, list):
        reader.faults.add(
            "", "a CloudEvent must be an object; application/cloudevents-batch+json takes an array"
        )
    event = Event("") if isinstance(value, list) else reader.event(value, "")
    reader.faults.raise_any()
    return event


def decode_cloudevents(values: Any, *, types: Types) -> list[Event]:
    """Every event of the JSON batch format, in order; there may be none (section 4). Raises as `decode_cloudevent`."""
    reader = _CloudEventReader(types)
    events = []
    if not isinstance(values, list):
        reader.faults.add("", f"a batch must be an array of CloudEvents, not {kind(values)}")
        values = []
    for index, value in enumerate(values):
        events.append(reader.event(value, f"/{index}"))
        if reader.faults.full:
            break
    reader.faults.raise_any()
    return events


def decode_binary(
    headers: Iterable[tuple[str, str]], content_type: str | None, body: bytes, *, types: Types
) -> Event:
    """One event in binary mode.

    Args:
        headers: the request's, of which those that begin with `ce-` are the attributes.
        content_type: the Content-Type as it came, or None.
        body: the data; empty for none.
        types: the catalogue.

    Raises:
        EventRejected: 400, the data is said to be JSON, or looks like it, and is not; 422, with every fault.
    """
    reader = _CloudEventReader(types)
    attributes = _attributes(headers, reader.faults)
    reader.faults.raise_any()
    data = {} if not body else _data_of_body(body, content_type)
    event = reader.event({**attributes, "datacontenttype": content_type, **data}, "")
    reader.faults.raise_any()
    return event


def is_json(content_type: str) -> bool:
    """Whether a content type says JSON (JSON format, section 3.1)."""
    return _JSON.fullmatch(media_type(content_type)) is not None


@value_class
class _CloudEventReader:
    """Reads the events of one request."""

    types: Types
    faults: Faults = field(default_factory=lambda: Faults("Invalid CloudEvent"))

    def event(self, value: Any, pointer: str) -> Event:
        """The event at a pointer; where it has faults, one that must not be used."""
        faults = self.faults
        if not isinstance(value, dict):
            faults.add(pointer, f"a CloudEvent must be an object, not {kind(value)}")
            return Event("")
        given = {name: each for name, each in value.items() if not _is_missing(name, each)}
        _check_attributes(given, pointer, faults)
        type_name, event_name = self._occurrence(given, pointer)
        obj = _object(given, pointer, faults)
        time = read_time(given["time"], f"{pointer}/time", faults) if "time" in given else None
        data = _data(given, pointer, faults)
        return Event(
            id=_event_id(given, pointer, faults),
            type=type_name,
            event=event_name,
            object=obj,
            time=time,
            data=data,
            digest=digest_of(type_name, event_name, obj, time, data),
            trace=_trace(given),
        )

    def _occurrence(self, given: Mapping[str, Any], pointer: str) -> tuple[str, str]:
        """The type and the event that `type` names."""
        place, faults = f"{pointer}/type", self.faults
        whole = faults.text(place, given["type"], _LONGEST) if "type" in given else ""
        type_name, dot, event_name = whole.rpartition(".")
        if not whole:
            return "", ""
        if whole.startswith(OWN):
            faults.add(place, OWN_TYPE)
        elif not dot:
            faults.add(
                place,
                f'"{shown(whole)}" has no dot: before its last one stands the type, behind it the event',
            )
        elif (named := _names(type_name, event_name, place, faults)) is not None:
            owned = next((f"{pointer}/{name}" for name in ("subject", "tags") if name in given), "")
            check_type(*named, self.types, Places(place, place, owned), faults)
            return named
        return "", ""


def _is_missing(name: str, value: Any) -> bool:
    """Whether an attribute, or the data, is as good as missing: null, or tags of which there is none."""
    return value is None or (name == "tags" and isinstance(value, str) and not _parted(value))


def _names(type_name: str, event_name: str, place: str, faults: Faults) -> tuple[str, str] | None:
    for what, name, where in (("type", type_name, "before"), ("event", event_name, "behind")):
        if not 1 <= len(name) <= 128 or name != name.strip():
            message = (
                f"the {what}, {where} the last dot, must have 1 to 128 characters and no space at either end"
            )
            faults.add(place, message)
            return None
    return type_name, event_name


def _check_attributes(given: Mapping[str, Any], pointer: str, faults: Faults) -> None:
    """Required ones, names and kinds of values (CloudEvents, "Naming Conventions" and "Type System")."""
    for name in _REQUIRED:
        if name not in given:
            old = name == "specversion" and any(each.lower() in _OLD for each in given)
            faults.add(f"{pointer}/{name}", f"is required{_ONLY_1 if old else ''}")
    if (version := given.get("specversion", VERSION)) != VERSION:
        said = f'not "{shown(version)}"' if isinstance(version, str) else f"a string, not {kind(version)}"
        faults.add(f"{pointer}/specversion", f'must be "{VERSION}", {said}')
    for name, value in given.items():
        if name in _DATA:
            continue
        if not _NAME.fullmatch(name):
            message = f'"{shown(name)}" names no attribute: lower-case letters and digits only'
            faults.add(f"{pointer}/{escaped(name)}", message)
        elif name not in _READ:
            _check_extension(value, f"{pointer}/{name}", faults)
    for name, form, meant in _FORMS:
        if name in given and not (isinstance(value := given[name], str) and form.fullmatch(value)):
            faults.add(f"{pointer}/{name}", f"must be {meant}")


def _check_extension(value: Any, pointer: str, faults: Faults) -> None:
    if isinstance(value, dict | list):
        faults.add(pointer, f"{_SIMPLE}, not {kind(value)}")
    elif isinstance(value, int | float) and (value % 1 or not -(2**31) <= value < 2**31):
        faults.add(pointer, f"{_SIMPLE}; send another number as a string")


def _event_id(given: Mapping[str, Any], pointer: str, faults: Faults) -> str:
    """Source and id together name an occurrence, so they are the event's id (CloudEvents, "id")."""
    source, own = (
        faults.text(f"{pointer}/{name}", given[name], _LONGEST) if name in given else ""
        for name in ("source", "id")
    )
    if " " in source:
        faults.add(f"{pointer}/source", _NO_SPACE)
    event_id = f"{source} {own}"
    check_id(event_id, f"{pointer}/id", faults)
    return (
        event_id if len(event_id) <= LONGEST_ID else sha256(event_id.encode("utf-8", "replace")).hexdigest()
    )


def _object(given: Mapping[str, Any], pointer: str, faults: Faults) -> EventObject | None:
    name = faults.text(f"{pointer}/subject", given["subject"], 256) if "subject" in given else None
    tags = _tags(given["tags"], f"{pointer}/tags", faults) if "tags" in given else ()
    return None if name is None and not tags else EventObject(name=name, tags=tags)


def _tags(given: Any, pointer: str, faults: Faults) -> tuple[str, ...]:
    """Comma-separated text; spaces around a tag do not count, nor does what is empty."""
    if not isinstance(given, str):
        faults.add(pointer, f"must be a string of tags with commas between them, not {kind(given)}")
        return ()
    return faults.tags((pointer, tag) for tag in _parted(given))


def _parted(tags: str) -> list[str]:
    return [tag for part in tags.split(",") if (tag := part.strip())]


def _data(given: Mapping[str, Any], pointer: str, faults: Faults) -> dict[str, Any]:
    """An object as it is; any other value, and binary data, in an object."""
    if "data_base64" not in given:
        data = given.get("data", {})
        return data if isinstance(data, dict) else {"value": data}
    place, text = f"{pointer}/data_base64", given["data_base64"]
    if "data" in given:
        faults.add(place, "stands beside data; an event has one of them")
    elif not isinstance(text, str):
        faults.add(place, f"must be a string, not {kind(text)}")
    else:
        try:
            return _binary(b64decode(text, validate=True))
        except (NotBase64, ValueError):
            faults.add(place, "must be Base64 (RFC 4648, section 4)")
    return {}


def _binary(raw: bytes) -> dict[str, Any]:
    return {"base64": b64encode(raw).decode()}


def _data_of_body(body: bytes, content_type: str | None) -> dict[str, Any]:
    """The data of binary mode, as a member of the JSON format: JSON and text as such, all else as Base64.

    The CNCF's SDK for Python names no type for its JSON, so what arrives with a client's own may be JSON.
    """
    if content_type is None:
        return _data_by_look(body)
    if is_json(content_type):
        return {"data": parse_json(body)}
    if media_type(content_type) in _CLIENTS_OWN:
        with suppress(EventRejected):
            return {"data": parse_json(body)}
    if media_type(content_type).startswith("text/") and _is_utf8(content_type):
        try:
            return {"data": body.decode()}
        except UnicodeDecodeError:
            pass
    return {"data_base64": b64encode(body).decode()}


def _data_by_look(body: bytes) -> dict[str, Any]:
    """The data of a body without a content type; what looks like an object or an array is one, or refused."""
    try:
        text = body.decode()
    except UnicodeDecodeError:
        return {"data_base64": b64encode(body).decode()}
    try:
        return {"data": parse_json(body)}
    except EventRejected as refusal:
        if text.lstrip("\ufeff \t\r\n").startswith(("{", "[")):
            raise refusal.adding(_NO_TYPE) from None
        return {"data": text}


def media_type(content_type: str) -> str:
    """A Content-Type without its parameters, in lower case."""
    return content_type.partition(";")[0].strip().lower()


def _is_utf8(content_type: str) -> bool:
    found = _CHARSET.search(content_type)
    return found is None or found[1].lower() in ("utf-8", "utf8", "us-ascii")


def _attributes(headers: Iterable[tuple[str, str]], faults: Faults) -> dict[str, str]:
    """The attributes in the headers (HTTP binding, section 3.1.3)."""
    found: dict[str, str] = {}
    for header, value in headers:
        if header[: len(HEADER_PREFIX)].lower() != HEADER_PREFIX:
            continue
        name = header[len(HEADER_PREFIX) :].lower()
        pointer = f"/{escaped(name)}"
        if name in found:
            faults.add(pointer, f"the header {HEADER_PREFIX}{shown(name)} is there twice")
        elif name == "datacontenttype":
            faults.add(pointer, "in binary mode the Content-Type says it")
        elif name in _DATA:
            faults.add(pointer, "in binary mode the body is the data")
        else:
            found[name] = _header_value(value, pointer, faults)
    return found


def _header_value(text: str, pointer: str, faults: Faults) -> str:
    """A header's value, unquoted, then percent-decoded once (HTTP binding, section 3.1.3.2)."""
    quoted = _QUOTED.fullmatch(text)
    plain = _QUOTED_PAIR.sub(r"\1", quoted[1]) if quoted else text
    try:
        return unquote_to_bytes(plain).decode()
    except (UnicodeDecodeError, UnicodeEncodeError):
        faults.add(pointer, "is not UTF-8 when it is percent-decoded")
        return ""


def _trace(given: Mapping[str, Any]) -> Trace | None:
    """The trace of the extension for distributed tracing; an invalid one is ignored (spec 10)."""
    parent, state = given.get("traceparent"), given.get("tracestate", "")
    if not (isinstance(parent, str) and isinstance(state, str)):
        return None
    return read_trace((parent,), (state,))
