"""Storing events with their deliveries, many calls in one transaction.

Must never: answer a batch whose fate is unknown. A connection that is lost while a batch is under way leaves it open
whether that was stored; what the database says then is what counts.
"""

import secrets
from collections.abc import Mapping, Sequence
from functools import partial

from hookd.domain.errors import StoreUnavailable
from hookd.domain.events import DeliveryRef
from hookd.store.postgres.call_failures import Declined, InDoubt, Overtaken, RunAgain
from hookd.store.postgres.intake_plan import (
    EnqueueCall,
    IntakePlan,
    KeptEvent,
    KnownBefore,
    asked_for,
    needs_a_look,
    plan,
)
from hookd.store.postgres.link import Link
from hookd.store.postgres.session import Session
from hookd.store.postgres.statements import Statements

MOST_TRIES = 20
"""So often other processes may store something in between; a batch that is overtaken more often is refused."""


class Enqueueing:
    """Stores batches of calls on one connection."""

    def __init__(self, link: Link, statements: Statements, session: Session) -> None:
        self._link = link
        self._sql = statements
        self._session = session

    async def work(self, calls: Sequence[EnqueueCall]) -> None:
        """Store what the calls ask for, and answer each."""
        try:
            done = await self._store(calls)
        except StoreUnavailable as error:
            self._session.failed(error)
            for call in calls:
                call.refuse(error)
        except ValueError as error:
            if len(calls) == 1:
                calls[0].refuse(error)
                return
            for call in calls:
                await self.work([call])
        else:
            self._take_over(done)

    async def _store(self, calls: Sequence[EnqueueCall]) -> IntakePlan:
        sent: dict[int, IntakePlan] = {}
        doubt: InDoubt | None = None
        found = await self._look(calls, sent) if needs_a_look(calls) else None
        for _ in range(MOST_TRIES):
            if isinstance(found, IntakePlan):
                return found
            planned = plan(calls, found or KnownBefore(), unfinished=self._session.picture.total)
            if planned.refuses and found is None:  # what is stored already may take no room
                found = await self._look(calls, sent)
                continue
            if not planned.events:
                return planned
            token = secrets.randbits(62)
            sent[token] = planned
            try:
                await self._session.timed(
                    self._link.call(self._sql.enqueue, self._session.node, token, *planned.arguments())
                )
            except (Overtaken, RunAgain):
                look = partial(self._look, calls, sent)
                found = await (self._session.resolve(doubt, self._link, look) if doubt else look())
            except StoreUnavailable as error:
                doubt = error if isinstance(error, InDoubt) else doubt
                if doubt is None:
                    raise
                found = await self._session.resolve(error, self._link, partial(self._look, calls, sent))
            else:
                return planned
        raise Declined("other processes store the same events again and again")

    async def _look(
        self, calls: Sequence[EnqueueCall], sent: Mapping[int, IntakePlan]
    ) -> KnownBefore | IntakePlan:
        """What is stored of what these calls ask for; where that is a plan that was sent, the plan."""
        known = KnownBefore()
        ids = asked_for(calls, lambda each: (each.event.id,))
        for event_id, digest, batch, delivery_id, task, webhook in await self._link.call(self._sql.kept, ids):
            if batch in sent:
                return sent[batch]
            event = known.kept.setdefault(event_id, KeptEvent(digest, []))
            if delivery_id is not None:
                event.deliveries.append(DeliveryRef(delivery_id, task, webhook))
        marks = asked_for(
            calls,
            lambda each: [(new.task, new.one_shot_digest) for new in each.deliveries if new.one_shot_digest],
        )
        if marks:
            tasks, digests = zip(*marks, strict=True)
            rows = await self._link.call(self._sql.spent, list(tasks), list(digests))
            known.spent.update((task, digest) for task, digest in rows)
        if keys := asked_for(calls, lambda each: () if each.moment is None else (each.moment[0],)):
            rows = await self._link.call(self._sql.dealt_until, keys)
            known.dealt_until.update((key, until) for key, until in rows)
        return known

    def _take_over(self, done: IntakePlan) -> None:
        """Bring the picture up to the commit, ring, and let the callers go on: in this order."""
        rings = False
        for webhook, more, earliest in zip(done.lanes, done.added, done.earliest, strict=True):
            self._session.picture.count(webhook, more)
            rings |= self._session.picture.due(webhook, earliest)
        if rings:
            self._session.doorbell.set()
        for call, answer in done.answers:
            if isinstance(answer, Exception):
                call.refuse(answer)
            else:
                call.resolve(answer)
