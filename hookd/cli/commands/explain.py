"""`hookd explain`: what an event leads to by the config alone, and which rules it just misses (spec 8).

Must never: talk to the daemon, send anything, or print a secret.
"""

import argparse
import os
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hookd.cli.config_option import add_config, read_config
from hookd.cli.failure import REFUSED, Failure
from hookd.cli.options import add_json
from hookd.cli.output.terminal import as_json, visible_block
from hookd.domain.text import error_text, printable

if TYPE_CHECKING:
    from hookd.domain.definitions import Config
    from hookd.domain.errors import EventRejected
    from hookd.domain.events import Event, EventObject
    from hookd.dryrun.explain import Explained, ExplainedRequest

DESCRIPTION = """Show what an event leads to, from the config alone: the rules that match, each request as it would
go out (secrets masked) and as a line for curl, to be pasted into any shell, and, of the rules that come near, why
they do not match.

FILE holds an event as `POST /v1/events` takes it (a CloudEvent too), an array of events, or one event a line; hookd's
own (hookd.…) are explained, too. The exit code is 0 if at least one request would be sent, else 1. Nothing is sent,
and the daemon is not asked."""
EXAMPLE = """hookd explain event.json
  echo '{"type": "virtual_machine", "event": "powered_on", "object": "web-01"}' | hookd explain -"""

MOST_NAMED = 20
"""The most types that are named where no rule comes near."""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take a file and which config."""
    parser.add_argument("file", metavar="FILE", help="a file with an event; - is standard input")
    add_config(parser)
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    """Explain; 0 where at least one request would be sent."""
    import secrets

    from hookd.config.generation import Generation
    from hookd.domain.clock import Clock
    from hookd.dryrun.explain import explain_each

    config = read_config(options)
    if config is None:
        return REFUSED
    events = read_events(options.file, config)
    now = Clock().now()
    generation = Generation.of(config, number=1, now=now)
    found = explain_each(events, generation, now=now, draw=lambda: secrets.randbelow(1 << 31))
    if options.json:
        print(as_json([as_object(explained) for explained in found]))
    else:
        print(
            "\n".join(line for number, one in enumerate(found) for line in _part(number, one, found, config))
        )
    return 0 if any(explained.sends for explained in found) else REFUSED


def read_events(path: str, config: "Config") -> "list[Event]":
    """The events of a file (`-`: standard input), by the rules of `POST /v1/events`; hookd's own, too.

    Raises:
        Failure: it cannot be read, or the daemon would refuse it; every fault is named.
    """
    from hookd import intake
    from hookd.domain.errors import EventRejected
    from hookd.dryrun.explain import EVENT_ID

    raw = _read(path, config.daemon.event_size)
    try:
        value = _parse(raw)
        if _is_cloudevent(value):
            return [intake.decode_cloudevent(value, types=config.types)]
        if isinstance(value, list):
            if value and all(map(_is_cloudevent, value)):
                return intake.decode_cloudevents(value, types=config.types)
            return intake.decode_batch(value, types=config.types, make_id=lambda: EVENT_ID, own=True)
        event = intake.decode_event(
            value, index=None, types=config.types, default_id=None, make_id=lambda: EVENT_ID, own=True
        )
    except EventRejected as rejected:
        raise _refusal(path, rejected) from None
    return [event]


def as_object(explained: "Explained") -> dict[str, Any]:
    """What is explained of one event, for tools."""
    event, obj = explained.event, explained.event.object
    return {
        "event": {
            "id": event.id,
            "type": event.type,
            "event": event.event,
            "object": obj and {"id": obj.id, "name": obj.name, "tags": list(obj.tags)},
            "time": event.time,
            "data": event.data,
        },
        "rules": list(explained.rules),
        "requests": [_request_object(request) for request in explained.requests],
        "near_misses": [{"rule": miss.place, "reasons": list(miss.reasons)} for miss in explained.misses],
        "more_near_misses": explained.more_misses,
    }


def explained_lines(explained: "Explained", config: "Config") -> list[str]:
    """What is explained of one event, for people."""
    event = explained.event
    about = f"event    {event.type} {event.event}{_object_text(event.object)}"
    rules = ", ".join(explained.rules) or "none"
    count = len(explained.requests)
    lines = [printable(about), printable(f"matches  {rules}")]
    for number, request in enumerate(explained.requests, start=1):
        lines += ["", f"request {number} of {count}", *_request_lines(request)]
    if explained.misses:
        lines += ["", "near misses", *_miss_lines(explained)]
    if not explained.sends:
        lines += ["", *map(printable, _advice(explained, config))]
    return lines


def _part(number: int, one: "Explained", found: "list[Explained]", config: "Config") -> Iterator[str]:
    """One event's lines; with a heading where there are several."""
    if len(found) > 1:
        yield from ([""] if number else [])
        yield f"=== event {number + 1} of {len(found)}"
    yield from explained_lines(one, config)


def _read(path: str, limit: int) -> bytes:
    try:
        if path == "-":
            raw = sys.stdin.buffer.read(limit + 1)
        else:
            with Path(path).open("rb") as stream:
                raw = stream.read(limit + 1)
    except OSError as error:
        raise Failure(f"{path}: {error_text(error)}") from None
    if len(raw) > limit:
        raise Failure(
            f"{_named(path)} is larger than {limit} bytes (daemon.limits.event_size)",
            "the daemon refuses it; of a longer list, explain a few events at a time",
        )
    return raw


def _parse(raw: bytes) -> Any:
    """One JSON text, or a list of those that stand one a line."""
    from hookd import intake
    from hookd.domain.errors import EventRejected

    try:
        return intake.parse_json(raw)
    except EventRejected:
        lines = [line for line in raw.split(b"\n") if line.strip()]
        if len(lines) < 2 or not _is_json(lines[0]):
            raise
    return intake.parse_ndjson(raw)


def _is_json(line: bytes) -> bool:
    from hookd import intake
    from hookd.domain.errors import EventRejected

    try:
        intake.parse_json(line)
    except EventRejected:
        return False
    return True


def _is_cloudevent(value: Any) -> bool:
    """Whether it says so: no other event has this field."""
    return isinstance(value, dict) and "specversion" in value


def _refusal(path: str, rejected: "EventRejected") -> Failure:
    faults = (
        f"{fault.pointer}: {fault.message}" if fault.pointer else fault.message for fault in rejected.faults
    )
    others = (fault for fault in faults if fault != rejected.detail)
    return Failure(f"{_named(path)}: the daemon would answer {rejected.status}: {rejected.detail}", *others)


def _named(path: str) -> str:
    return "standard input" if path == "-" else path


def _request_object(request: "ExplainedRequest") -> dict[str, Any]:
    from hookd.cli.output.curl import curl_line

    return {
        "task": request.task,
        "webhook": request.webhook,
        "rule": request.rule,
        "method": request.request.method,
        "url": request.url.text,
        "headers": [{"name": name, "value": value.text} for name, value in request.headers],
        "body": request.request.body.decode(),
        "curl": curl_line(request, os.environ),
        "sent": not request.withheld,
        "why": request.withheld,
        "insecure": request.insecure,
        "once": request.once,
    }


def _request_lines(request: "ExplainedRequest") -> list[str]:
    from hookd.cli.output.curl import curl_line

    method, body = request.request.method, request.request.body
    return [
        *map(
            printable,
            (f"  task     {request.task}", f"  webhook  {request.webhook}", f"  rule     {request.rule}"),
        ),
        *(printable(f"  note     {note}") for note in _notes(request)),
        "",
        printable(f"  {method} {request.url.text}"),
        *(printable(f"  {name}: {value.text}") for name, value in request.headers),
        # The line end that is added is the one that a block does not show.
        *(visible_block(f"{body.decode()}\n") if body else ("  (no body)",)),
        "",
        *(f"  {printable(line)}" for line in curl_line(request, os.environ).split("\n")),
    ]


def _notes(request: "ExplainedRequest") -> Iterator[str]:
    if request.withheld:
        outcome = "the delivery would wait until it is" if request.made else "no delivery would be made"
        yield f"not sent: {request.withheld}; {outcome}"
    if request.once and request.made:
        yield "the task runs once only (delete_after_running); `hookd status` shows whether it has"
    if request.secrets:
        yield (
            f"secrets of the webhook in the body ({', '.join(request.secrets)}) are shown by where they come from; "
            "the signature and the line for curl are of no use with them"
        )
    if request.insecure:
        yield "the receiver's certificate is not checked (allow_insecure_certificates)"
    if any(value.reference == "signature" for _, value in request.headers):
        yield "the signature is made for each attempt: a receiver that checks it refuses the line for curl"


def _miss_lines(explained: "Explained") -> Iterator[str]:
    for miss in explained.misses:
        for reason in miss.reasons:
            yield printable(f"  {miss.place}: {reason}")
    if explained.more_misses:
        yield f"  and {explained.more_misses} more"


def _advice(explained: "Explained", config: "Config") -> Iterator[str]:
    """What to do where nothing would be sent."""
    if any(request.made for request in explained.requests):
        yield "nothing would be sent now: enable the webhook (enabled: true)"
    elif explained.requests:
        yield "nothing would be sent: what the rules fire runs once only, and did so for an event before"
    elif explained.misses:
        yield "nothing would be sent; each near miss says what would have to change, in its rule or in the event"
    else:
        yield from _named_lines(config)


def _named_lines(config: "Config") -> Iterator[str]:
    from hookd.dryrun.explain import named_by_rules

    named = named_by_rules(config)
    if not named:
        yield "nothing would be sent: the config has no event rules; write one under events:, or as a task's trigger"
        return
    yield "nothing would be sent: no rule is about this type and event; the rules are about"
    for kind in list(named)[:MOST_NAMED]:
        yield f"  {kind}: {_several(named, kind)}"
    if len(named) > MOST_NAMED:
        yield f"  and {len(named) - MOST_NAMED} more types; `hookd types` lists them"


def _several(named: Mapping[str, tuple[str, ...]], kind: str) -> str:
    events = named[kind]
    more = f" and {len(events) - MOST_NAMED} more" if len(events) > MOST_NAMED else ""
    return ", ".join(events[:MOST_NAMED]) + more


def _object_text(obj: "EventObject | None") -> str:
    if obj is None:
        return ""
    name = "" if obj.name is None else f', object "{obj.name}"'
    number = "" if obj.id is None else f', id "{obj.id}"'
    tags = ", ".join(obj.tags)
    return name + number + (f", tags {tags}" if tags else "")
