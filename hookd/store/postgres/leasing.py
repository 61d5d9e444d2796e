"""Claiming due deliveries, and recording what came of the attempts.

A lease's token holds the delivery's key and a random number that is new with each claim: what a failover of the
database takes back and gives out again can never be taken for it.

Must never: settle a lease that is not held, or hand out one whose claim is in doubt.
"""

import secrets
from collections.abc import Iterable, Sequence
from functools import partial
from math import inf
from typing import Any

from hookd.domain.deliveries import Attempt, Claimed, ClaimRequest, GenerationRef, Lease, Settlement
from hookd.domain.errors import StoreUnavailable
from hookd.store.postgres.batcher import BatchedCall
from hookd.store.postgres.call_failures import InDoubt
from hookd.store.postgres.link import Link, Row
from hookd.store.postgres.session import Session
from hookd.store.postgres.statements import Statements
from hookd.store.stored_values import CODES, micros, seconds, trace_of

_SHIFT = 62
_RANDOM = (1 << _SHIFT) - 1
_FOR_EVER = (1 << 63) - 1
_LOST_CLAIM = "interrupted: the claim's answer was lost"


def seq_of(token: int) -> int:
    """The delivery's key in a lease's token."""
    return token >> _SHIFT


def fence_of(token: int) -> int:
    """The random number in a lease's token, as it is stored."""
    return token & _RANDOM


class ClaimCall(BatchedCall):
    """A claim; resolves to what it came to."""

    __slots__ = ("now", "wants")

    def __init__(self, wants: Sequence[ClaimRequest], *, now: float) -> None:
        super().__init__()
        self.wants = wants
        self.now = micros(now)


class Claiming:
    """Runs claims on one connection, one by one."""

    def __init__(self, link: Link, statements: Statements, session: Session) -> None:
        self._link = link
        self._sql = statements
        self._session = session
        self._in_doubt: list[int] = []

    async def work(self, calls: Sequence[ClaimCall]) -> None:
        """Claim for each call, and answer it."""
        for call in calls:
            try:
                call.resolve(await self._claim(call))
            except StoreUnavailable as error:
                self._session.failed(error)
                call.refuse(error)
            except ValueError as error:
                call.refuse(error)

    async def _claim(self, call: ClaimCall) -> Claimed:
        wants = call.wants
        columns = (
            [want.webhook for want in wants],
            [max(0, want.slots) for want in wants],
            [micros(want.lease_s) for want in wants],
            [None] * len(wants),
        )
        await self._give_back()
        fence = secrets.randbits(_SHIFT)
        ask = partial(self._link.call, self._sql.claim, self._session.node, fence, call.now, *columns)
        try:
            rows = await self._session.timed(self._session.again(ask))
        except InDoubt:
            self._in_doubt.append(fence)
            raise
        return self._take_over(wants, fence, rows)

    async def _give_back(self) -> None:
        """Undo claims whose answers were lost, if they were made: they were reported as not made."""
        if self._in_doubt:
            await self._link.end_last()
        while self._in_doubt:
            fence = self._in_doubt[-1]
            await self._link.call(self._sql.end_leases, self._session.node, fence, _LOST_CLAIM)
            self._in_doubt.pop()

    def _take_over(self, wants: Sequence[ClaimRequest], fence: int, rows: Iterable[Row]) -> Claimed:
        leases: list[Lease] = []
        waits: dict[str, float] = {}
        for row in rows:
            want, seq, *lease, due, wait, at = row
            asked = wants[want - 1]
            if seq is not None:
                leases.append(_lease(asked, seq << _SHIFT | fence, lease, seconds(at)))
            elif wait is not None:
                waits[asked.webhook] = inf if wait == _FOR_EVER else seconds(wait)
            else:
                self._session.picture.looked(asked.webhook, due)
        return Claimed(tuple(leases), waits)


def _lease(want: ClaimRequest, token: int, columns: Sequence[Any], now: float) -> Lease:
    attempt, failures, delivery_id, event_id, task, body, trace, _ = columns
    return Lease(
        delivery_id=delivery_id,
        event_id=event_id,
        task=task,
        webhook=want.webhook,
        body=body,
        token=token,
        attempt=attempt,
        failures=failures,
        started_at=now,
        expires_at=now + want.lease_s,
        trace=trace_of(trace),
    )


class SettleCall(BatchedCall):
    """A settle; resolves to whether the lease was still held."""

    __slots__ = ("attempt", "lease", "now", "seq", "settlement")

    def __init__(self, lease: Lease, attempt: Attempt, settlement: Settlement, *, now: float) -> None:
        super().__init__()
        self.lease = lease
        self.attempt = attempt
        self.settlement = settlement
        self.now = micros(now)
        self.seq = seq_of(lease.token)

    def row(self, generation: int | None) -> tuple[Any, ...]:
        """What `settle_v1` takes of it."""
        lease, attempt, settlement = self.lease, self.attempt, self.settlement
        return (
            self.seq,
            fence_of(lease.token),
            lease.attempt,
            self.now,
            CODES[settlement.state],
            lease.failures + settlement.counted,
            None if settlement.due_at is None else micros(settlement.due_at),
            None if settlement.hold_until is None else micros(settlement.hold_until),
            _storable(settlement.detail),
            micros(attempt.started_at),
            attempt.duration_s,
            attempt.status,
            attempt.reason.value,
            _storable(attempt.error),
            attempt.response,
            attempt.insecure,
            attempt.resent,
            generation,
        )


class SettlingBatches:
    """Records attempts on one connection, many in one transaction."""

    def __init__(self, link: Link, statements: Statements, session: Session) -> None:
        self._link = link
        self._sql = statements
        self._session = session
        self._generations: dict[GenerationRef, int] = {}

    async def work(self, calls: Sequence[SettleCall]) -> None:
        """Record what is still leased, and answer each call."""
        rest = sorted(calls, key=lambda call: call.seq)
        while rest:
            batch, rest = _apart(rest)
            await self._work(batch)

    async def _work(self, batch: Sequence[SettleCall]) -> None:
        try:
            held = await self._settle(batch)
        except StoreUnavailable as error:
            self._session.failed(error)
            for call in batch:
                call.refuse(error)
        except ValueError as error:
            if len(batch) == 1:
                batch[0].refuse(error)
                return
            for call in batch:
                await self._work([call])
        else:
            self._take_over(batch, held)

    async def _settle(self, batch: Sequence[SettleCall]) -> set[int]:
        """The places in the batch, from 1, of the leases that were held."""
        node = self._session.node
        rows = [call.row(await self._generation(call.attempt.generation)) for call in batch]
        columns = [list(column) for column in zip(*rows, strict=True)]
        ask = partial(self._link.call, self._sql.settle, node, *columns)
        recorded = partial(self._link.call, self._sql.recorded, node, columns[0], columns[2])
        while True:
            try:
                ((held,),) = await self._session.timed(self._session.again(ask))
                return set(held)
            except InDoubt as error:
                ((known,),) = await self._session.resolve(error, self._link, recorded)
                if known:
                    return set(known)

    async def _generation(self, generation: GenerationRef | None) -> int | None:
        """The key of a generation's row, which is made where there is none."""
        if generation is None:
            return None
        if generation not in self._generations:
            row = (generation.number, generation.hash, generation.commit or "", bool(generation.dirty))
            ask = partial(self._link.call, self._sql.generation, *row)
            ((key,),) = await self._session.certain(self._link, ask)
            self._generations = {generation: int(key)}
        return self._generations[generation]

    def _take_over(self, batch: Sequence[SettleCall], held: set[int]) -> None:
        """Bring the picture up to the commit, ring, and let the callers go on: in this order."""
        picture, rings = self._session.picture, False
        for place, call in enumerate(batch, start=1):
            if place not in held:
                continue
            webhook, settlement = call.lease.webhook, call.settlement
            if settlement.due_at is None:
                picture.count(webhook, -1)
            else:
                rings |= picture.due(webhook, micros(settlement.due_at))
            if settlement.hold_until is not None:
                picture.hold(webhook, micros(settlement.hold_until))
        if rings:
            self._session.doorbell.set()
        for place, call in enumerate(batch, start=1):
            call.resolve(place in held)


def _apart(calls: Sequence[SettleCall]) -> tuple[list[SettleCall], list[SettleCall]]:
    """Calls of as many deliveries, and those that settle one of them again."""
    batch: list[SettleCall] = []
    rest: list[SettleCall] = []
    for call in calls:
        (rest if batch and batch[-1].seq == call.seq else batch).append(call)
    return batch, rest


def _storable(text: str) -> str:
    """The text without the one character that PostgreSQL takes for none."""
    return text.replace("\0", "\ufffd")
