"""One open database and the transactions over it: a batch of operations becomes one commit, or nothing.

Must never: run on two threads, or keep using a connection whose commit or sync has failed.
"""

import contextlib
import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

from hookd.store.sqlite.backlog_index import BacklogDelta, BacklogIndex, held_after, paused_after
from hookd.store.sqlite.body_cache import BodyCache
from hookd.store.sqlite.claim import Leasing
from hookd.store.sqlite.due_times import end_leases
from hookd.store.sqlite.encoding import ManyRows
from hookd.store.sqlite.enqueue import EnqueuePlan, Keys
from hookd.store.sqlite.generations import GenerationKeys
from hookd.store.sqlite.open import close_as_it_is, damaged, finding_of, open_database, unusable
from hookd.store.sqlite.open_lanes import OpenLanes
from hookd.store.sqlite.operations import (
    ClaimOperation,
    Enqueue,
    Operation,
    Probe,
    Prune,
    Settle,
    Vacuum,
    Write,
)
from hookd.store.sqlite.prune import prune, vacuum
from hookd.store.sqlite.settle import Settling
from hookd.store.stored_values import SENDING, OneShotKey, seconds

_UNFINISHED = """
    SELECT webhook, count(*), sum(state), min(due_at) FROM deliveries INDEXED BY deliveries_due
    WHERE due_at IS NOT NULL GROUP BY webhook
"""
_NEXT_KEYS = """
    SELECT coalesce((SELECT max(seq) FROM events), 0) + 1, coalesce((SELECT max(seq) FROM deliveries), 0) + 1
"""
assert SENDING == 1, "sum(state) counts the deliveries being sent"

_TALLY = ManyRows(
    """UPDATE tallies SET count = count + v.column2 FROM ({values}) AS v WHERE state = v.column1""", width=2
)


@dataclass(slots=True)
class _Sorted:
    """A batch by kind of operation."""

    settles: list[Settle] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    enqueues: list[Enqueue] = field(default_factory=list)
    claims: list[ClaimOperation] = field(default_factory=list)
    others: list[Prune | Vacuum | Probe] = field(default_factory=list)


class Engine:
    """The open database.

    Args:
        path: the file; it is opened and checked here.
        again: the file was in use by this process until its disk failed.

    Attributes:
        connection: for bounded reads between transactions.
        picture: what the file held when it was opened; its taker keeps it up to date.

    Raises:
        StoreUnusable: the file cannot be used.
    """

    def __init__(self, path: Path, *, again: bool = False) -> None:
        self.connection = open_database(path, again=again)
        try:
            cut_off = 0 if again else self._end_leases()
            self.picture = _read_picture(self.connection)
            self.picture.cut_off = cut_off
            self._keys = Keys(*self.connection.execute(_NEXT_KEYS).fetchone())
            self._marks = _read_marks(self.connection)
        except sqlite3.Error as error:
            close_as_it_is(self.connection)
            if getattr(error, "sqlite_errorcode", None) is None:  # Python's own: a text that is none
                raise damaged(path, finding_of(error)) from error
            raise unusable(path, error) from error
        except (LookupError, OverflowError, TypeError, ValueError) as error:
            close_as_it_is(self.connection)
            raise damaged(path, finding_of(error)) from error
        self._unfinished = self.picture.total
        self._holds, self._paused = self.picture.holds, self.picture.paused
        self._recent = BodyCache()
        self._generations = GenerationKeys()

    def _end_leases(self) -> int:
        """End every lease, as the file's lock shows that the process that held them is gone; returns how many."""
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            ended = end_leases(self.connection)
            self.connection.execute("COMMIT")
        except sqlite3.Error:  # a disk that is full: they end by themselves
            with contextlib.suppress(sqlite3.Error):
                self.connection.execute("ROLLBACK")
            return 0
        return ended

    def commit(self, batch: Sequence[Operation], *, check_all: bool = False) -> BacklogDelta:
        """Run a batch in one transaction and fill in the results; after an exception nothing has happened.

        Raises:
            sqlite3.Error: the database's refusal.
        """
        change = BacklogDelta()
        try:
            self.connection.execute("BEGIN IMMEDIATE")
            self._run(_sort(batch), change, check_all=check_all)
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise
        self._unfinished += change.unfinished.total()
        self._holds = held_after(self._holds, change)
        self._paused = paused_after(self._paused, change)
        self._follow_marks(change.spent)
        return change

    def take_back(self) -> None:
        """Write nothing over a transaction that failed after its last page: a reader of the log would find it whole.

        Nothing is reported of this commit, whether it works or fails as well.
        """
        with contextlib.suppress(sqlite3.Error):
            self.connection.execute("BEGIN IMMEDIATE")
            _write_nothing(self.connection)
            self.connection.execute("COMMIT")

    def close(self) -> None:
        """Move the write-ahead log into the file and close it."""
        self.connection.close()

    def _run(self, batch: _Sorted, change: BacklogDelta, *, check_all: bool) -> None:
        """Settles come first, they make room; claims after whatever makes something due, to find it.

        Intake comes before the other writes: one of them may follow a clock that was set back since the events came.
        """
        if batch.settles:
            Settling(self.connection, change, self._generations).run(batch.settles)
        if batch.enqueues:
            unfinished = self._unfinished + change.unfinished.total()
            intake = EnqueuePlan(
                self.connection,
                self._keys,
                self._recent,
                self._marks,
                unfinished=unfinished,
                change=change,
                open_lanes=None if batch.writes else partial(self._open_lanes, change),
            )
            intake.run(batch.enqueues, check_all=check_all)
        for write in batch.writes:
            write.result = write.work(self.connection, change)
        if batch.claims:
            holds, paused = held_after(self._holds, change), paused_after(self._paused, change)
            Leasing(self.connection, self._recent, change, holds=holds, paused=paused).run(batch.claims)
        for call in batch.others:
            self._run_other(call, change)
        _TALLY.run(self.connection, [value for item in change.finished.items() for value in item])

    def _open_lanes(self, change: BacklogDelta, webhooks: Collection[str]) -> OpenLanes:
        """Which of these lanes may be seated in, after `change` so far; not asked where other writes may close some."""
        holds = held_after(self._holds, change)
        return OpenLanes(self.connection, webhooks, holds=holds, paused=self._paused)

    def _run_other(self, call: Prune | Vacuum | Probe, change: BacklogDelta) -> None:
        match call:
            case Prune():
                prune(self.connection, call, change)
            case Vacuum():
                call.result = vacuum(self.connection, call.pages)
            case Probe():
                _write_nothing(self.connection)

    def _follow_marks(self, changed: Mapping[OneShotKey, bool]) -> None:
        """Bring the marks in memory up to a commit; before it they would outlive a rollback."""
        for mark, spent in changed.items():
            if spent:
                self._marks.add(mark)
            else:
                self._marks.discard(mark)

    def _roll_back(self) -> None:
        self._recent.clear()
        self._generations.clear()
        with contextlib.suppress(sqlite3.Error):  # SQLite may have rolled back on its own
            self.connection.execute("ROLLBACK")


def _write_nothing(connection: sqlite3.Connection) -> None:
    """Write a page as it is."""
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    connection.execute(f"PRAGMA user_version = {version:d}")


def _sort(batch: Sequence[Operation]) -> _Sorted:
    """Part the calls by kind: each kind takes few statements, however many calls there are."""
    by_kind = _Sorted()
    for call in batch:
        match call:
            case Settle():
                by_kind.settles.append(call)
            case Write():
                by_kind.writes.append(call)
            case Enqueue():
                by_kind.enqueues.append(call)
            case ClaimOperation():
                by_kind.claims.append(call)
            case Prune() | Vacuum() | Probe():
                by_kind.others.append(call)
    return by_kind


def _read_picture(connection: sqlite3.Connection) -> BacklogIndex:
    picture = BacklogIndex()
    for webhook, count, sending, earliest in connection.execute(_UNFINISHED):
        picture.unfinished[webhook] = count
        picture.total += count
        picture.earliest[webhook] = earliest
        if sending:
            picture.sending[webhook] = sending
    picture.finished.update(dict(connection.execute("SELECT state, count FROM tallies").fetchall()))
    holds = connection.execute("SELECT webhook, hold_until FROM lanes WHERE hold_until > 0").fetchall()
    picture.holds = {webhook: seconds(until) for webhook, until in holds}
    paused = connection.execute("SELECT webhook, since FROM paused").fetchall()
    picture.paused = {webhook: seconds(since) for webhook, since in paused}
    return picture


def _read_marks(connection: sqlite3.Connection) -> set[OneShotKey]:
    (text,) = connection.execute("SELECT json_group_array(json_array(task, digest)) FROM spent").fetchone()
    return {(task, digest) for task, digest in json.loads(text)}
