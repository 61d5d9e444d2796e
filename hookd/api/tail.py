"""`GET /v1/tail`: what has happened lately; or, for who accepts NDJSON, what happens, as it happens (spec 8).

A fact is what the JSON log has for it, and `cursor`: `?after=CURSOR` goes on behind it, as far as hookd still
remembers. The stream has a fact a line, until the client goes or hookd stops; lines about the stream itself begin with
`tail.`: `tail.began` (first), `tail.missed` (facts the reader was too late for), `tail.alive` (nothing happened for a
while), `tail.ended` (hookd stops; without it the connection broke). Only who asks for it by name gets an answer that
does not end.

Must never: keep anything for a reader but how far it has come.
"""

import asyncio
import json
import re
from collections.abc import AsyncGenerator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from hookd.api import delivery_filters, views
from hookd.api.services import Services
from hookd.domain.deliveries import State
from hookd.observability.log_tail import LogRecord, LogTail
from hookd.server.body import NDJSON
from hookd.server.messages import Request, Response
from hookd.server.problems import unavailable
from hookd.server.query import bad_query
from hookd.server.router import Router

MOST_READERS = 32
"""How many may follow at once; so they cannot take the connections that posting needs."""

MOST_FACTS = 256
"""Facts in one write, and in one document."""

GATHER_S = 0.05
"""For so long what happens is gathered into one write."""

ALIVE_S = 10.0
"""After so long without a line one says that there is nothing to say."""

STATES: Mapping[str, State] = {
    "delivery.made": State.PENDING,
    "delivery.retried": State.PENDING,
    "delivery.delivered": State.DELIVERED,
    "delivery.dead": State.DEAD,
    "delivery.cancelled": State.CANCELLED,
}
"""The state that a delivery has after a fact; `attempt.failed` tells its own."""

_FRESH = (("Cache-Control", "no-store"), ("Vary", "Accept"))
_CURSOR = re.compile(r"([0-9a-f]{12})-(\d{1,18})", re.ASCII)
_encode = json.JSONEncoder(default=str, separators=(",", ":")).encode
"""As the log writes a fact, whose values may be no JSON, but without spaces: every reader is sent each line."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """Which facts a reader wants; None: whatever it is."""

    webhook: str | None = None
    task: str | None = None
    state: str | None = None

    def has(self, fact: LogRecord) -> bool:
        """Whether the fact is one of them."""
        return (
            self.webhook in (None, fact.facts.get("webhook"))
            and self.task in (None, fact.facts.get("task"))
            and self.state in (None, _state_after(fact))
        )


def _state_after(fact: LogRecord) -> str | None:
    return fact.facts.get("state") if fact.name == "attempt.failed" else STATES.get(fact.name)


class TailRoutes:
    """The route."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def register(self, router: Router) -> None:
        """Add the route."""
        router.add("GET", "/v1/tail", self.tail, frozenset({"after", "webhook", "task", "state"}))

    async def tail(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """The next facts behind a cursor, or the latest; or all of them from there, or from now, on.

        A cursor of an earlier run goes on with this one's first fact.
        """
        query = request.parameters
        wanted = Wanted(query.get("webhook"), query.get("task"), delivery_filters.queried_state(query))
        feed = self._services.feed
        after = _after(query.get("after"), feed)
        if NDJSON not in request.headers.get("Accept", "").lower():
            return _page(feed, after if "after" in query else max(0, feed.latest - MOST_FACTS), wanted)
        return self._stream(feed, after, wanted)

    def _stream(self, feed: LogTail, after: int, wanted: Wanted) -> Response:
        if feed.readers >= MOST_READERS or feed.closed:
            raise unavailable("hookd is stopping" if feed.closed else f"{MOST_READERS} are following already")
        began = {"started_at": views.instant(self._services.started_at)}
        lines = _lines(feed, after, began, wanted)
        return Response(200, content_type=NDJSON, headers=_FRESH, stream=lines)


def _after(cursor: str | None, feed: LogTail) -> int:
    """The number behind which to go on. Raises Problem (400)."""
    if cursor is None:
        return feed.latest
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise bad_query("after", "is not a cursor that a line of /v1/tail had")
    run, number = found.groups()
    return min(int(number), feed.latest) if run == feed.run else 0


def _page(feed: LogTail, after: int, wanted: Wanted) -> Response:
    """At most `MOST_FACTS` facts behind a number, as one JSON document."""
    missed, facts = feed.after(after, MOST_FACTS)
    lines = b",".join(_line(feed, fact).rstrip() for fact in facts if wanted.has(fact))
    cursor = _cursor(feed, facts[-1].number if facts else after)
    return Response(
        200, b'{"facts":[%b],"cursor":"%b","missed":%d}' % (lines, cursor.encode(), missed), headers=_FRESH
    )


async def _lines(
    feed: LogTail, after: int, began: Mapping[str, Any], wanted: Wanted, *, alive_s: float = ALIVE_S
) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    with feed.reading() as bell:
        yield _about(feed, after, "tail.began", **began)
        told_at = loop.time()
        while True:
            missed, facts = feed.after(after, MOST_FACTS)
            lines = [_line(feed, fact) for fact in facts if wanted.has(fact)]
            if missed:
                lines.insert(0, _about(feed, after + missed, "tail.missed", count=missed))
            after = facts[-1].number if facts else after
            if not lines and loop.time() - told_at >= alive_s:
                lines = [_about(feed, after, "tail.alive")]
            if lines:
                yield b"".join(lines)
                told_at = loop.time()
            if facts:
                await asyncio.sleep(0 if len(facts) == MOST_FACTS else GATHER_S)
            elif feed.closed:
                break
            else:
                await _rung(bell, told_at + alive_s)
        yield _about(feed, after, "tail.ended")


async def _rung(bell: asyncio.Event, until: float) -> None:
    """Return when the bell rings, or at an instant of the loop's clock."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await bell.wait()
    bell.clear()


def _line(feed: LogTail, fact: LogRecord) -> bytes:
    if fact.line is None:
        fact.line = _encoded(feed, fact)
    return fact.line


def _about(feed: LogTail, number: int, name: str, **facts: Any) -> bytes:
    return _encoded(feed, LogRecord(number, feed.now(), "info", name, facts))


def _encoded(feed: LogTail, fact: LogRecord) -> bytes:
    head = {"timestamp": views.instant(fact.at), "level": fact.level, "event": fact.name}
    return _encode({**head, **fact.facts, "cursor": _cursor(feed, fact.number)}).encode() + b"\n"


def _cursor(feed: LogTail, number: int) -> str:
    return f"{feed.run}-{number}"
