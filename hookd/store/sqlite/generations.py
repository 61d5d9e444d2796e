"""Which generation of the configuration made each attempt: a row for each generation, whose key its attempts hold.

Must never: begin or end a transaction. Runs on the writer's thread.
"""

import sqlite3

from hookd.domain.deliveries import GenerationRef

MOST = 10_000
"""So many generations are kept, the latest; an attempt of an older one has none."""

COLUMNS = "g.number, g.hash, g.revision, g.dirty"
"""What `named` takes, of `generations AS g`."""

_ADD = """
    INSERT INTO generations (number, hash, revision, dirty) VALUES (?, ?, ?, ?)
    ON CONFLICT (hash, revision, dirty, number) DO NOTHING
"""
_FIND = "SELECT seq FROM generations WHERE number = ? AND hash = ? AND revision = ? AND dirty = ?"
_FORGET = "DELETE FROM generations WHERE seq <= ?"


class GenerationKeys:
    """The keys of generations' rows, the last of them in memory: an attempt costs no look-up."""

    def __init__(self) -> None:
        self._last: GenerationRef | None = None
        self._last_key: int | None = None

    def key_of(self, connection: sqlite3.Connection, generation: GenerationRef | None) -> int | None:
        """The key of a generation's row, which is made where there is none; None for none."""
        if generation is None:
            return None
        if generation is not self._last:
            self._last_key = _key_of(connection, generation)
            self._last = generation
        return self._last_key

    def clear(self) -> None:
        """Forget everything: what was remembered may have been rolled back."""
        self._last = self._last_key = None


def _key_of(connection: sqlite3.Connection, generation: GenerationRef) -> int:
    row = (generation.number, generation.hash, generation.commit or "", int(bool(generation.dirty)))
    is_new = connection.execute(_ADD, row).rowcount > 0
    (key,) = connection.execute(_FIND, row).fetchone()
    if is_new:
        connection.execute(_FORGET, (key - MOST,))
    return int(key)
