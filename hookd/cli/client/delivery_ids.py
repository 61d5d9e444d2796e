"""Deliveries named by their ids, or by beginnings as listings show them: asking for each, and what was probably meant.

Must never: stop at an id that is refused.
"""

import contextlib
import re
from collections.abc import Callable, Iterable
from typing import TypeVar

from hookd.cli.client.api_client import Client, DeliveryData, Refusal
from hookd.cli.failure import Failure
from hookd.cli.output.terminal import as_json
from hookd.domain.text import LONGEST_GUESS, near, printable

RECENT = 200
"""How many of the latest deliveries an unknown id is compared with."""


T = TypeVar("T")

_SHORT = re.compile(r"(?:dlv_|evt_)?[0-9a-f]{12,31}")
"""A beginning that is long enough to stand for an id: all of its millisecond."""


def path_of(delivery_id: str, verb: str = "") -> str:
    """The path of a delivery, or of something to be done to it."""
    from urllib.parse import quote

    return f"/v1/deliveries/{quote(delivery_id, safe='')}" + (f"/{verb}" if verb else "")


def with_id(given: str, ask: Callable[[str], T]) -> T:
    """What `ask` returns for an id, or where there is none of it, for the only id that begins so. Raises as `ask`."""
    try:
        return ask(given)
    except Refusal as refusal:
        meant: list[str] = refusal.problem.get("near") or []
        if refusal.status != 404 or len(meant) != 1 or not _SHORT.fullmatch(given):
            raise
    return ask(meant[0])


def with_event(client: Client, given: dict[str, str]) -> dict[str, str]:
    """Filters in which the event's id is whole, as far as there is one event whose id begins as it is given."""
    event_id = given.get("event", "")
    if not _SHORT.fullmatch(event_id):
        return given

    def found(each: str) -> str:
        from urllib.parse import quote

        return str(client.get(f"/v1/events/{quote(each, safe='')}")["id"])

    with contextlib.suppress(Refusal):
        return {**given, "event": with_id(event_id, found)}
    return given


def act(
    client: Client, ids: Iterable[str], verb: str, *, outcome: Callable[[DeliveryData], str], as_answer: bool
) -> int:
    """Do something to each delivery; `outcome` says in a line what became of it.

    Raises:
        Failure: one or more were refused, each is named, its hints indented (exit code 1); or the daemon is out of
            reach.
    """
    recent = RecentIds(client)
    done: list[DeliveryData] = []
    refused: list[str] = []
    try:
        for delivery_id in dict.fromkeys(ids):
            try:
                done.append(with_id(delivery_id, lambda each: client.send(path_of(each, verb))))
            except Refusal as refusal:
                if refusal.status not in {404, 409}:
                    raise
                first, *hints = recent.explained(refusal, delivery_id).lines
                refused += [first, *(f"  {hint}" for hint in hints)]
            else:
                if not as_answer:
                    print(printable(outcome(done[-1])))
    finally:
        if as_answer:
            print(as_json(done))
    if refused:
        raise Failure(*refused)
    return 0


class RecentIds:
    """The ids of the latest deliveries; the daemon is asked for them at most once, when one is not found."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._ids: list[str] | None = None

    def explained(self, refusal: Refusal, delivery_id: str) -> Failure:
        """The refusal; where there is no such delivery, with the near ids or how to find the right one."""
        if refusal.status != 404:
            return refusal
        meant = refusal.problem.get("near") or self._near(delivery_id)
        hint = f"did you mean: {', '.join(meant)}" if meant else "`hookd deliveries` lists them"
        # The daemon's own hint names a route, which is of no use here.
        return Failure(f"there is no delivery {delivery_id!r}", hint, code=refusal.code)

    def _near(self, word: str) -> list[str]:
        """Ids of which the word is the beginning or the end, else those that differ in few characters."""
        if not 0 < len(word) <= LONGEST_GUESS:
            return []
        ids = self._known()
        parts = [known for known in ids if known.startswith(word) or known.endswith(word)]
        if parts:
            return parts[:3]
        return near(word, ids, most=3, cutoff=0.85)

    def _known(self) -> list[str]:
        if self._ids is None:
            try:
                answer = self._client.get("/v1/deliveries", {"limit": str(RECENT)})
                self._ids = [str(delivery["id"]) for delivery in answer["deliveries"]]
            except Failure:
                self._ids = []
        return self._ids
