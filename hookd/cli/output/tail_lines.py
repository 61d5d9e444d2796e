"""Facts of `GET /v1/tail` as lines for people, and as they are found in the history.

Must never: print or ask the daemon.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from hookd.cli.output.terminal import UNBOUNDED, columns_of, cut, short_id, shortened, to_the_second
from hookd.domain.text import printable

TailRecord = Mapping[str, Any]

_HEAD = ("timestamp", "level", "event", "cursor")
_LONGEST_NAME = 18
_IDS = {"delivery_id", "event_id"}
_LEAST_FIRST = (
    "history", "kind", "duplicate", "trace_id", "resent", "duration_s", "commit", "dirty", "path", "place", "state",
    "event_id", "attempt", "task", "reason", "delivery_id",
)  # fmt: skip
"""Keys that a narrow terminal goes without, the least important first; what they say is known otherwise as well."""

_LEAST_TEXT = 40
"""Characters of a value that are worth another key; what is longer is cut at the end of the line."""

_ENDS = ("delivered", "dead", "cancelled")


def line_of(fact: TailRecord, width: int = UNBOUNDED) -> str:
    """A fact in one line: when, what, and its keys with their values; where `width` is too little, with fewer."""
    values = {
        name: f"{name}={_value(value)}"
        for name, value in fact.items()
        if name not in _HEAD and value is not None
    }
    at = to_the_second(fact["timestamp"])
    if columns_of(line := _line(fact, at, values, pad=_LONGEST_NAME)) <= width:
        return line
    for name in _IDS & values.keys():
        values[name] = f"{name}={_value(short_id(str(fact[name])))}"
    at = at.partition("T")[2] or at
    for name in (*_LEAST_FIRST, ""):
        least = {key: shortened(value, _LEAST_TEXT) for key, value in values.items()}
        if columns_of(_line(fact, at, least)) <= width:
            break
        values.pop(name, None)
    return cut(_line(fact, at, values), width)


def _line(fact: TailRecord, at: str, values: Mapping[str, str], *, pad: int = 0) -> str:
    grave = f"{fact['level']}: " if fact["level"] in {"warning", "error"} else ""
    line = f"{at}  {fact['event']!s:<{pad}}  {grave}{' '.join(values.values())}"
    return printable(line).rstrip()


def _value(value: Any) -> str:
    if isinstance(value, str):
        plain = value and not any(char in ' "=' or not char.isprintable() for char in value)
        return value if plain else json.dumps(value, ensure_ascii=False)
    if isinstance(value, list):
        return _value("; ".join(map(str, value)))
    return json.dumps(value, ensure_ascii=False)


def of_history(delivery: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """What the history says of a delivery, as facts: that it was made, and how it ended."""
    about = {name: delivery[name] for name in ("webhook", "task")}
    known = {"delivery_id": delivery["id"], **about, "event_id": delivery["event_id"], "history": True}
    yield {"timestamp": delivery["created_at"], "level": "info", "event": "delivery.made", **known}
    if delivery["state"] in _ENDS:
        ending = {"attempt": delivery["attempt"], "status": delivery["last_status"]}
        if delivery["state"] == "dead":
            ending["detail"] = delivery["detail"]
        level = "error" if delivery["state"] == "dead" else "info"
        name = f"delivery.{delivery['state']}"
        yield {"timestamp": delivery["finished_at"], "level": level, "event": name, **known, **ending}


def key_of(fact: TailRecord) -> tuple[Any, ...] | None:
    """The key by which a fact of the history and the same one that came live are one; None for any other fact."""
    name = str(fact["event"])
    if name == "delivery.made":
        return (name, fact["delivery_id"])
    if name.removeprefix("delivery.") in _ENDS:
        return (name, fact["delivery_id"], fact["attempt"])
    return None
