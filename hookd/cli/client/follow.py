"""Follows a daemon's facts across broken connections and restarts.

Within one run of the daemon a cursor loses nothing. After a restart the new run is followed from its first fact, and
the deliveries made between the last line and that start come from the history.

Must never: print, or give up once it has reached the daemon.
"""

import json
import time
from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from typing import Any

from hookd.cli.client.api_client import Client, Refusal
from hookd.cli.client.listing import pages
from hookd.cli.failure import UNREACHABLE, Failure
from hookd.cli.output.tail_lines import TailRecord, key_of, of_history

STATES = ("pending", "delivered", "dead", "cancelled")
_STATE = {"delivery.made": "pending"} | {f"delivery.{state}": state for state in STATES[1:]}

SILENT_S = 30.0
"""The daemon says every 10 s that it is there."""

PAUSES_S = (0.2, 0.5, 1.0, 2.0)
"""Before each attempt to connect again; the last repeats."""

MOST_FROM_HISTORY = 1000
"""Deliveries that are taken from the history at once."""

REMEMBERED = 8 * MOST_FROM_HISTORY
"""Facts that are not repeated: what comes from the history may come live as well."""


class Following:
    """One reader of one daemon."""

    def __init__(self, client: Client, wanted: Mapping[str, str], say: Callable[[str], None]) -> None:
        """Follow what `wanted` (webhook, task, state) asks for; `say` reports about the following itself."""
        self._client = client
        self._wanted = dict(wanted)
        self._say = say
        self._cursor: str | None = None
        self._last_at = ""
        self._up = False
        self._seen: dict[tuple[Any, ...], None] = {}

    def facts(self, *, since: str | None) -> Iterator[TailRecord]:
        """Every fact, without end; first those of the history since an instant, if one is given.

        Raises:
            Failure: the daemon was not reachable at the start (exit code 3), or refuses.
        """
        self._last_at = since or ""
        yield from self._connected()
        tries = 0
        while True:
            time.sleep(PAUSES_S[min(tries, len(PAUSES_S) - 1)])
            tries += 1
            try:
                yield from self._connected()
                tries = 0
            except Refusal as refusal:
                if refusal.status < 500:
                    raise
            except Failure as failure:
                if failure.code != UNREACHABLE:
                    raise

    def _connected(self) -> Iterator[TailRecord]:
        """The facts of one connection, until it ends; what was missed before it comes first."""
        query = {**self._wanted, **({"after": self._cursor} if self._cursor else {})}
        why = "the connection broke"
        try:
            for line in self._client.follow("/v1/tail", query, silent_s=SILENT_S):
                fact = json.loads(line)
                why = "hookd stops" if fact["event"] == "tail.ended" else why
                yield from self._taken(fact)
        except Failure as failure:
            if self._cursor is None or not self._up or failure.code != UNREACHABLE:
                raise
        self._up = False
        self._say(f"{why}; waiting for it to come back")

    def _taken(self, fact: dict[str, Any]) -> Iterator[TailRecord]:
        name, count = fact["event"], fact.get("count")
        if name == "tail.began":
            yield from self._began(fact)
        elif name == "tail.missed":
            self._say(f"{count} facts were missed: they came faster than they were read")
        elif not name.startswith("tail.") and self._is_new(fact):
            yield fact
        self._cursor, self._last_at = fact["cursor"], fact["timestamp"]

    def _began(self, began: TailRecord) -> Iterator[TailRecord]:
        again, self._up = self._cursor is not None, True
        restarted = again and str(self._cursor).partition("-")[0] != str(began["cursor"]).partition("-")[0]
        if again:
            self._say("connected again" + (": hookd was restarted" if restarted else ""))
        if restarted:
            yield from self._from_history(began["started_at"])
            self._say(f"how older deliveries ended between {self._last_at} and the restart is not shown here")
        elif not again and self._last_at:
            yield from self._from_history(began["timestamp"])

    def _from_history(self, until: str) -> Iterator[TailRecord]:
        """What the history has of deliveries made since the last line, up to an instant; the oldest first."""
        if datetime.fromisoformat(self._last_at) > datetime.fromisoformat(until):
            return
        named = {name: value for name, value in self._wanted.items() if name != "state"}
        query = {**named, "since": self._last_at, "until": until}
        found: list[dict[str, Any]] = []
        more = False
        for page, more in pages(  # noqa: B007 - the last page's
            self._client, query, limit=MOST_FROM_HISTORY, say=self._say
        ):
            found += (fact for delivery in page for fact in of_history(delivery))
        if more:
            self._say(f"only the latest {MOST_FROM_HISTORY} deliveries of the history are shown")
        state = self._wanted.get("state")
        for fact in sorted(found, key=lambda fact: datetime.fromisoformat(fact["timestamp"])):
            if state in (None, _STATE[fact["event"]]) and self._is_new(fact):
                yield fact

    def _is_new(self, fact: TailRecord) -> bool:
        """Whether it is new, as far as is remembered; from now on it is not."""
        key = key_of(fact)
        if key is None:
            return True
        if key in self._seen:
            return False
        self._seen[key] = None
        if len(self._seen) > REMEMBERED:
            del self._seen[next(iter(self._seen))]
        return True
