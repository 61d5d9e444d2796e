"""From the content of a spooled file to its events, or to why it holds none, worded for the reader of the file.

Must never: do I/O, or accept in part.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hookd import intake
from hookd.domain.definitions import TypeDef
from hookd.domain.errors import EventRejected, Fault, IdConflict
from hookd.domain.events import Event
from hookd.domain.spool_layout import NDJSON
from hookd.intake import NotJson

MOST_FAULTS = 20
"""Faults that a reason lists."""


class FileRefused(Exception):
    """A file that cannot be events; the reason is fit for an operator."""


def events_of(
    name: str,
    raw: bytes,
    *,
    limit: int,
    types: Mapping[str, TypeDef] | None,
    make_id: Callable[[], str],
) -> list[Event]:
    """A file's events, as `POST /v1/events` would take them; each must have an id.

    Args:
        name: the file's; its ending says what it holds.
        raw: its content.
        limit: the most bytes that a line of NDJSON may have.
        types: the catalogue.
        make_id: as `intake.decode_event` wants it.

    Raises:
        FileRefused: it is not that.
    """
    if not raw.strip():
        raise FileRefused("the file is empty")
    try:
        if not name.endswith(NDJSON):
            return _decoded(intake.parse_json(raw), types, make_id)
        _require_short_lines(raw, limit)
        return _decoded(intake.parse_ndjson(raw), types, make_id)
    except NotJson as exc:
        raise FileRefused(_malformed(exc, raw)) from None
    except EventRejected as exc:
        raise FileRefused(_listed(exc.faults, name, raw) or exc.detail) from None


def conflict(exc: IdConflict, name: str, raw: bytes) -> str:
    """The refusal of a file whose event has an id that is taken, with its line."""
    return _listed((Fault(f"/{exc.index}", str(exc)),), name, raw) if name.endswith(NDJSON) else str(exc)


def _decoded(value: Any, types: Mapping[str, TypeDef] | None, make_id: Callable[[], str]) -> list[Event]:
    _require_ids(value)
    if isinstance(value, list):
        return intake.decode_batch(value, types=types, make_id=make_id)
    return [intake.decode_event(value, index=None, types=types, default_id=None, make_id=make_id)]


def _require_ids(value: Any) -> None:
    events = enumerate(value) if isinstance(value, list) else ((None, value),)
    lacking = [
        Fault(
            "/id" if index is None else f"/{index}/id",
            "is required: without an id it could be taken in twice",
        )
        for index, event in events
        if isinstance(event, dict) and event.get("id") is None
    ]
    if lacking:
        raise EventRejected(422, "Invalid event", lacking[0].message, tuple(lacking))


def _require_short_lines(raw: bytes, limit: int) -> None:
    for number, line in enumerate(raw.split(b"\n"), start=1):
        if len(line) > limit:
            raise FileRefused(f"line {number} is larger than {limit} bytes (daemon.limits.event_size)")


def _malformed(exc: NotJson, raw: bytes) -> str:
    if not exc.cut:
        return f"the file is not strict JSON: {exc.reason}"
    lines = raw.split(b"\n")
    number = exc.line or len(lines)
    column = len(lines[number - 1].decode(errors="replace")) + 1
    what = "the file" if number == len(lines) else f"line {number}"
    return f"{what} ends in the middle (line {number}, column {column})"


def _listed(faults: Sequence[Fault], name: str, raw: bytes) -> str:
    """A line for each of the first faults; those of NDJSON are named by their lines in the file."""
    numbers = (
        [number for number, line in enumerate(raw.split(b"\n"), start=1) if line.strip()]
        if name.endswith(NDJSON)
        else []
    )
    told = [_told(fault, numbers) for fault in faults[:MOST_FAULTS]]
    hidden = len(faults) - MOST_FAULTS
    return "\n".join([*told, *([f"and {hidden} more"] if hidden > 0 else [])])


def _told(fault: Fault, numbers: Sequence[int]) -> str:
    index, _, rest = fault.pointer.removeprefix("/").partition("/")
    if not (numbers and index):
        return ": ".join(filter(None, (fault.pointer, fault.message)))
    return ": ".join(filter(None, (f"line {numbers[int(index)]}", f"/{rest}" if rest else "", fault.message)))
