"""What the daemon answers in parts, since one request looks at a bounded number of deliveries: all parts of it.

Must never: print, or take a short or empty part for the end.
"""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from hookd.cli.client.api_client import Client, DeliveryData
from hookd.cli.failure import Failure

MOST_PER_PAGE = 200

FURTHER_BACK = "looking further back in the history; this may take a while ..."

Say = Callable[[str], None]


def _say_nothing(_line: str) -> None:
    """For what is asked in passing."""


def pages(
    client: Client, given: Mapping[str, str], *, limit: int, say: Say = _say_nothing
) -> Iterator[tuple[list[DeliveryData], bool]]:
    """The matching deliveries page by page, up to `limit` (0: all), each page with whether there may be more.

    Pages may be empty. `say` is told once that it goes on behind one that was not full.
    """
    left = limit or sys.maxsize
    cursor: str | None = ""
    is_said = False
    while left and cursor is not None:
        wanted = min(left, MOST_PER_PAGE)
        query = {**given, "limit": str(wanted), **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/deliveries", query)
        page, cursor = answer["deliveries"][:left], answer["cursor"]
        left -= len(page)
        yield page, cursor is not None
        if cursor is not None and len(page) < wanted and not is_said:
            say(FURTHER_BACK)
            is_said = True


def retry_all(client: Client, order: Mapping[str, Any], *, say: Say) -> dict[str, int]:
    """Retry by filter, or count, part by part; how many matched, and how many were retried.

    `say` is told once that it goes on behind the first part. Raises Failure, which names what was retried before it.
    """
    counts = {"matched": 0, "retried": 0}
    cursor: str | None = None
    while True:
        body = json.dumps({**order, **({"cursor": cursor} if cursor else {})}).encode()
        try:
            answer = client.send("/v1/deliveries/retry", body)
        except Failure as failure:
            if counts["retried"]:
                failure.lines = (*failure.lines, f"{counts['retried']} were retried before that")
            raise
        for name in counts:
            counts[name] += answer[name]
        is_first, cursor = cursor is None, answer.get("cursor")
        if cursor is None:
            return counts
        if is_first:
            say(FURTHER_BACK)
