"""Which generation of the configuration made each attempt, as rows: claiming writes it, settling may correct it.

Each generation has one row, which counts the attempts that name it and goes with the last of them.

Must never: begin or end a transaction. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Iterable, Sequence
from typing import Any

from hookd.domain.deliveries import GenerationRef
from hookd.store.sqlite.encoding import ManyRows

COLUMNS = "g.number, g.hash, g.revision, g.dirty"
"""What `named` takes, of `generations AS g`."""

_COUNT = """
    INSERT INTO generations (number, hash, revision, dirty, attempts) VALUES (?, ?, ?, ?, ?)
    ON CONFLICT (hash, revision, dirty, number) DO UPDATE SET attempts = attempts + excluded.attempts
    RETURNING seq
"""
_MADE = ManyRows(
    """INSERT OR REPLACE INTO made_by (delivery_seq, number, generation)
       SELECT * FROM ({values}) WHERE column1 IS NOT NULL""",
    width=3,
)
_UNCOUNT = "UPDATE generations SET attempts = attempts - ? WHERE seq = ?"
_DROP_UNUSED = "DELETE FROM generations WHERE attempts <= 0"
_BEFORE = "SELECT generation FROM made_by WHERE delivery_seq = ? AND number = ?"
_COUNTED = """
    SELECT count(*), generation FROM made_by WHERE delivery_seq IN (SELECT value FROM json_each(?)) GROUP BY generation
"""
_FORGET = "DELETE FROM made_by WHERE delivery_seq IN (SELECT value FROM json_each(?))"


def note(
    connection: sqlite3.Connection, generation: GenerationRef, attempts: Sequence[tuple[int, int]]
) -> None:
    """Record that a generation makes attempts, given as the delivery's key and the attempt's number; none known yet."""
    if not attempts:
        return
    given = (generation.number, generation.hash, generation.commit or "", int(bool(generation.dirty)))
    (seq,) = connection.execute(_COUNT, (*given, len(attempts))).fetchall()[0]
    _MADE.run(connection, [value for key, number in attempts for value in (key, number, seq)])


def correct(connection: sqlite3.Connection, generation: GenerationRef, seq: int, number: int) -> None:
    """Record that another generation than the claim's made this attempt: one that came into force just then."""
    before = connection.execute(_BEFORE, (seq, number)).fetchone()
    note(connection, generation, [(seq, number)])
    if before is not None:
        _uncount(connection, [(1, before[0])])


def forget(connection: sqlite3.Connection, seqs: str) -> None:
    """Drop what is recorded of these deliveries (a JSON list of their keys), and what nothing names any more."""
    counted = connection.execute(_COUNTED, (seqs,)).fetchall()
    if counted:
        connection.execute(_FORGET, (seqs,))
        _uncount(connection, counted)


def named(number: int | None, content: str, revision: str, dirty: int) -> GenerationRef | None:
    """The generation of a row of `COLUMNS`; None where they are null."""
    if number is None:
        return None
    if not revision:
        return GenerationRef(number, content)
    return GenerationRef(number, content, revision, bool(dirty))


def _uncount(connection: sqlite3.Connection, counted: Iterable[Sequence[Any]]) -> None:
    connection.executemany(_UNCOUNT, counted)
    connection.execute(_DROP_UNUSED)
