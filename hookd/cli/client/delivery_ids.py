"""Deliveries named by their ids: asking for each in turn, and what was probably meant by an id that is not there.

Must never: stop at an id that is refused.
"""

from collections.abc import Callable, Iterable

from hookd.cli.client.api_client import Client, DeliveryData, Refusal
from hookd.cli.failure import Failure
from hookd.cli.output.terminal import as_json
from hookd.domain.text import LONGEST_GUESS, near, printable

RECENT = 200
"""How many of the latest deliveries an unknown id is compared with."""


def path_of(delivery_id: str, verb: str = "") -> str:
    """The path of a delivery, or of something to be done to it."""
    from urllib.parse import quote

    return f"/v1/deliveries/{quote(delivery_id, safe='')}" + (f"/{verb}" if verb else "")


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
                done.append(client.send(path_of(delivery_id, verb)))
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
        meant = self._near(delivery_id)
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
