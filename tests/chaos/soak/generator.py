"""Posts events of every form, and keeps the book of what was promised.

An event with an id of its own is posted until it is answered, whatever happens meanwhile; one without is posted once.

Must never: post what is not in the book yet. Called by: `prove`.
"""

import asyncio
import json
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from tests.chaos.soak.books import OWN_IDS, Books, Posted

POSTERS = 6
PAUSE_S = 0.03
AGAIN_S = 0.05
KINDS = ("one", "one", "both", "both", "few", "gone", "none")
"""The `event` of what is posted; see the configuration for what each fires."""

_UNANSWERED = (aiohttp.ClientError, OSError, TimeoutError, RuntimeError)


@dataclass
class Generator:
    """Posts to one daemon, over its Unix socket and its TCP port.

    Attributes:
        running: new events are made while it is set; those under way are always finished.
    """

    books: Books
    socket: str
    url: str
    chance: random.Random
    running: asyncio.Event = field(default_factory=asyncio.Event)
    _number: int = 0

    async def run(self) -> None:
        """Post until cancelled or until `running` is cleared and all is answered."""
        self.running.set()
        async with asyncio.TaskGroup() as group:
            for index in range(POSTERS):
                group.create_task(self._post_on(index))

    async def _post_on(self, index: int) -> None:
        local = index % 2 == 0
        connector = aiohttp.UnixConnector(path=self.socket) if local else aiohttp.TCPConnector()
        async with aiohttp.ClientSession(
            base_url="http://localhost" if local else self.url,
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=15),
        ) as session:
            while self.running.is_set():
                await self._post(session)
                await asyncio.sleep(self.chance.uniform(0, 2 * PAUSE_S))

    async def _post(self, session: aiohttp.ClientSession) -> None:
        size = self.chance.choice((1, 1, 1, 1, 2, 7))
        batch = [self._event() for _ in range(size)]
        again = self.chance.random() < 0.1
        while await self._try(session, batch):
            await asyncio.sleep(AGAIN_S)
        if again and all(event.id for event in batch):
            await self._try(session, batch)
            await self._try_other_content(session, batch[0])

    def _event(self) -> Posted:
        self._number += 1
        own = self.chance.random() < 0.8
        event = Posted(self._number, self.chance.choice(KINDS), f"{OWN_IDS}{self._number}" if own else None)
        self.books.posted[self._number] = event
        return event

    async def _try(self, session: aiohttp.ClientSession, batch: Sequence[Posted]) -> bool:
        """Send the batch once; returns whether to send it again."""
        for event in batch:
            event.tries += 1
        repeatable = all(event.id for event in batch)
        try:
            async with session.post("/v1/events", **_request(batch)) as response:
                answer = await response.read()
                status = response.status
        except _UNANSWERED:
            return repeatable
        if status == 503:
            for event in batch:
                event.refused += 1
            if "Retry-After" not in response.headers:
                self.books.violations.append("a 503 without Retry-After")
            return repeatable and self.running.is_set()
        if status not in {200, 202}:
            self.books.violations.append(f"a post was answered {status}: {answer[:300]!r}")
            return False
        self._note(batch, json.loads(answer))
        return False

    def _note(self, batch: Sequence[Posted], answer: dict[str, Any]) -> None:
        receipts = answer.get("events", [answer])
        for event, receipt in zip(batch, receipts, strict=True):
            made = tuple((d["id"], d["task"], d["webhook"]) for d in receipt["deliveries"])
            if event.deliveries is None:
                event.deliveries, event.accepted_at = made, time.time()
            elif event.deliveries != made or not receipt["duplicate"]:
                self.books.violations.append(
                    f"unexpected: event {event.id} was answered {event.deliveries}, then {made} "
                    f"(duplicate: {receipt['duplicate']})"
                )

    async def _try_other_content(self, session: aiohttp.ClientSession, event: Posted) -> None:
        other = {**_body(event), "data": {"n": -event.number}}
        try:
            async with session.post("/v1/events", json=other) as response:
                if response.status not in {409, 503}:
                    self.books.violations.append(
                        f"unexpected: event {event.id} with other content was answered {response.status}"
                    )
        except _UNANSWERED:
            return


def _body(event: Posted) -> dict[str, Any]:
    body = {
        "type": "load",
        "event": event.kind,
        "object": f"o{event.number % 7}",
        "data": {"n": event.number},
    }
    return body if event.id is None else {**body, "id": event.id}


def _request(batch: Sequence[Posted]) -> dict[str, Any]:
    """One event alone, a batch as array or as lines."""
    bodies = [_body(event) for event in batch]
    if len(bodies) == 1:
        return {"json": bodies[0]}
    if batch[0].number % 2:
        return {"json": bodies}
    lines = "\n".join(map(json.dumps, bodies)).encode()
    return {"data": lines, "headers": {"Content-Type": "application/x-ndjson"}}
