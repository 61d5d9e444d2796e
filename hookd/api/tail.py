"""`GET /v1/tail`: what has happened lately; or, for a client that accepts NDJSON, what happens, as it happens (spec 8).

A fact is what the JSON log has for it, and `cursor`: `?after=CURSOR` goes on behind it, as far as hookd still
remembers. The stream has a fact a line, until the client goes or hookd stops; lines about the stream itself begin with
`tail.`: `tail.began` (first), `tail.missed` (facts the reader was too late for), `tail.alive` (nothing happened for a
while), `tail.ended` (hookd stops; without it the connection broke). Only a client that asks for
it by name gets a response that does not end.

Must never: keep anything for a reader but how far it has come.
"""

import asyncio
import re
from collections import Counter
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing, suppress
from typing import Any

from hookd.api import delivery_filters, views
from hookd.api.services import Services
from hookd.domain.deliveries import State
from hookd.domain.json_text import json_encoder
from hookd.domain.value_class import value_class
from hookd.observability.log_tail import LogRecord, LogTail
from hookd.server.body import NDJSON
from hookd.server.messages import Request, Response
from hookd.server.problems import unavailable
from hookd.server.query import bad_query
from hookd.server.router import Router

MOST_READERS = 32
"""How many may follow on one listener at once, so that they cannot take the connections that posting needs."""

MOST_FACTS = 256
"""Facts in one write, and in one document."""

GATHER_S = 0.05
"""Seconds for which what happens is gathered into one write."""

ALIVE_S = 10.0
"""Seconds without a line after which one is sent that only shows that hookd is there."""

STATES: Mapping[str, State] = {
    "delivery.made": State.PENDING,
    "delivery.retried": State.PENDING,
    "delivery.delivered": State.DELIVERED,
    "delivery.dead": State.DEAD,
    "delivery.cancelled": State.CANCELLED,
}
"""The state that a delivery has after a fact; `attempt.failed` has its own."""

_HEADERS = (("Vary", "Accept"),)
_CURSOR = re.compile(r"([0-9a-f]{12})-(\d{1,18})", re.ASCII)
_encode = json_encoder(default=str, separators=(",", ":"))
"""As the log writes a fact, whose values may be no JSON, but without spaces: every reader is sent each line."""


@value_class
class TailFilter:
    """Which facts a reader wants; None: whatever it is."""

    webhook: str | None = None
    task: str | None = None
    state: str | None = None

    def matches(self, fact: LogRecord) -> bool:
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
        self._followers: Counter[str] = Counter()

    def register(self, router: Router) -> None:
        """Add the route."""
        router.add("GET", "/v1/tail", self.tail, frozenset({"after", "webhook", "task", "state"}))

    async def tail(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """The next facts behind a cursor, or the latest; or all of them from there, or from now, on.

        A cursor of an earlier run goes on with this one's first fact.
        """
        query = request.parameters
        chosen = TailFilter(query.get("webhook"), query.get("task"), delivery_filters.queried_state(query))
        log_tail = self._services.log_tail
        after = _after(query.get("after"), log_tail)
        if NDJSON not in request.headers.get("Accept", "").lower():
            return _page(
                log_tail, after if "after" in query else max(0, log_tail.latest - MOST_FACTS), chosen
            )
        if log_tail.closed:
            raise unavailable("hookd is stopping")
        if self._followers[request.listener] >= MOST_READERS:
            raise unavailable(f"{MOST_READERS} are following already on this listener")
        began = {"started_at": views.instant(self._services.started_at)}
        lines = self._counted(request.listener, _stream_lines(log_tail, after, began, chosen))
        return Response(200, content_type=NDJSON, headers=_HEADERS, stream=lines)

    async def _counted(
        self, listener: str, lines: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """The same lines, counted as one who follows on that listener while they are written."""
        self._followers[listener] += 1
        try:
            async with aclosing(lines):
                async for line in lines:
                    yield line
        finally:
            self._followers[listener] -= 1


def _after(cursor: str | None, log_tail: LogTail) -> int:
    """The number behind which to go on. Raises Problem (400)."""
    if cursor is None:
        return log_tail.latest
    found = _CURSOR.fullmatch(cursor)
    if found is None:
        raise bad_query("after", "is not a cursor that a line of /v1/tail had")
    run, number = found.groups()
    return min(int(number), log_tail.latest) if run == log_tail.run else 0


def _page(log_tail: LogTail, after: int, chosen: TailFilter) -> Response:
    """At most `MOST_FACTS` facts behind a number, as one JSON document."""
    missed, facts = log_tail.after(after, MOST_FACTS)
    lines = b",".join(_line(log_tail, fact).rstrip() for fact in facts if chosen.matches(fact))
    cursor = _cursor(log_tail, facts[-1].number if facts else after)
    return Response(
        200, b'{"facts":[%b],"cursor":"%b","missed":%d}' % (lines, cursor.encode(), missed), headers=_HEADERS
    )


async def _stream_lines(
    log_tail: LogTail, after: int, began: Mapping[str, Any], chosen: TailFilter, *, alive_s: float = ALIVE_S
) -> AsyncGenerator[bytes, None]:
    loop = asyncio.get_running_loop()
    with log_tail.subscribe() as wakeup:
        yield _about(log_tail, after, "tail.began", **began)
        told_at = loop.time()
        while True:
            missed, facts = log_tail.after(after, MOST_FACTS)
            lines = [_line(log_tail, fact) for fact in facts if chosen.matches(fact)]
            if missed:
                lines.insert(0, _about(log_tail, after + missed, "tail.missed", count=missed))
            after = facts[-1].number if facts else after
            if not lines and loop.time() - told_at >= alive_s:
                lines = [_about(log_tail, after, "tail.alive")]
            if lines:
                yield b"".join(lines)
                told_at = loop.time()
            if facts:
                await asyncio.sleep(0 if len(facts) == MOST_FACTS else GATHER_S)
            elif log_tail.closed:
                break
            else:
                await _woken(wakeup, told_at + alive_s)
        yield _about(log_tail, after, "tail.ended")


async def _woken(wakeup: asyncio.Event, until: float) -> None:
    """Return when there may be something new, or at an instant of the loop's clock."""
    with suppress(TimeoutError):
        async with asyncio.timeout_at(until):
            await wakeup.wait()
    wakeup.clear()


def _line(log_tail: LogTail, fact: LogRecord) -> bytes:
    if fact.line is None:
        fact.line = _encoded(log_tail, fact)
    return fact.line


def _about(log_tail: LogTail, number: int, name: str, **facts: Any) -> bytes:
    return _encoded(log_tail, LogRecord(number, log_tail.now(), "info", name, facts))


def _encoded(log_tail: LogTail, fact: LogRecord) -> bytes:
    head = {"timestamp": views.instant(fact.at), "level": fact.level, "event": fact.name}
    return _encode({**head, **fact.facts, "cursor": _cursor(log_tail, fact.number)}).encode() + b"\n"


def _cursor(log_tail: LogTail, number: int) -> str:
    return f"{log_tail.run}-{number}"
