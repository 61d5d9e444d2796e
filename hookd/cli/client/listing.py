"""The listing of deliveries, page by page.

Must never: print.
"""

import sys
from collections.abc import Iterator, Mapping

from hookd.cli.client.api_client import Client, DeliveryData

MOST_PER_PAGE = 200


def pages(
    client: Client, given: Mapping[str, str], *, limit: int
) -> Iterator[tuple[list[DeliveryData], bool]]:
    """The matching deliveries page by page, up to `limit` (0: all), each page with whether there are more."""
    left = limit or sys.maxsize
    cursor: str | None = ""
    while left and cursor is not None:
        query = {**given, "limit": str(min(left, MOST_PER_PAGE)), **({"cursor": cursor} if cursor else {})}
        answer = client.get("/v1/deliveries", query)
        page, cursor = answer["deliveries"][:left], answer["cursor"]
        left -= len(page)
        yield page, cursor is not None
