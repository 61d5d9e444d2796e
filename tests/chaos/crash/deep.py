"""What a store must be after any crash, looked at while no daemon uses it.

Called by: the proofs `crash` and `stop`.
"""

import sqlite3
from contextlib import closing
from pathlib import Path

from hookd.store.sqlite.open import deep_check

_INCREMENTAL = 2

_ORPHANS = """
    SELECT (SELECT count(*) FROM deliveries WHERE event_seq NOT IN (SELECT seq FROM events))
         + (SELECT count(*) FROM messages WHERE seq NOT IN (SELECT seq FROM deliveries))
         + (SELECT count(*) FROM attempts WHERE delivery_seq NOT IN (SELECT seq FROM deliveries))
         + (SELECT count(*) FROM deliveries WHERE seq NOT IN (SELECT seq FROM messages))
"""
_TALLIES = """
    SELECT sum(abs(t.count - (SELECT count(*) FROM deliveries AS d WHERE d.state = t.state))) FROM tallies AS t
"""


def damage(path: Path) -> list[str]:
    """The deep check's findings, rows that belong to nothing, counts that are wrong, space that is not given back."""
    wrong = [f"deep check: {finding}" for finding in deep_check(path)]
    with closing(sqlite3.connect(path)) as connection:
        if connection.execute(_ORPHANS).fetchone() != (0,):
            wrong.append("rows of the store belong to nothing")
        if connection.execute(_TALLIES).fetchone() != (0,):
            wrong.append("the store's counts are not those of its deliveries")
        if connection.execute("PRAGMA auto_vacuum").fetchone() != (_INCREMENTAL,):
            wrong.append("the file was made without giving space back")
    return wrong
