"""Which lanes a transaction may seat deliveries of: claim them as they are stored, which spares them a commit.

A seat never overtakes: where anything of its lane is due, whether stored before or by this transaction, it is refused,
and so is every later one until that is claimed.

Must never: begin or end a transaction. Runs on the writer's thread.
"""

import sqlite3
from collections.abc import Collection, Container, Mapping
from math import inf

from hookd.domain.json_text import compact_json
from hookd.store.stored_values import micros

_EARLIEST = """
    SELECT value, (
        SELECT min(due_at) FROM deliveries INDEXED BY deliveries_due
        WHERE webhook = wanted.value AND due_at IS NOT NULL)
    FROM json_each(?) AS wanted
"""


class OpenLanes:
    """The lanes of one transaction that deliveries may be seated in.

    Args:
        connection: inside the transaction, before anything is inserted.
        webhooks: those for which there are seats.
        holds: until when each webhook waits as a whole (seconds since the epoch), after the transaction so far.
        paused: the webhooks that are paused.
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        webhooks: Collection[str],
        *,
        holds: Mapping[str, float],
        paused: Container[str],
    ) -> None:
        found = connection.execute(_EARLIEST, (compact_json(list(webhooks)),)).fetchall()
        self._closed_from: dict[str, float] = {
            name: inf if due_at is None else due_at for name, due_at in found if name not in paused
        }
        self._held_until = {name: micros(holds[name]) for name in webhooks if name in holds}

    def admits(self, webhook: str, now: int) -> bool:
        """Whether a delivery that is stored at `now` (microseconds) may be seated."""
        return self._closed_from.get(webhook, -inf) > now >= self._held_until.get(webhook, 0)

    def close(self, webhook: str) -> None:
        """Note a delivery that is stored without a seat: those after it wait behind it."""
        self._closed_from[webhook] = -inf
