"""The routes that show the history: deliveries and events, listed and one by one (spec 9).

What is read takes memory until it is written, so only a few requests read at a time; others wait for their turn.

Must never: show a secret, or answer a listing without a bound.
"""

import asyncio
from collections.abc import Awaitable, Mapping
from typing import TypeVar

from hookd.api import delivery_filters, lookups, views
from hookd.api.services import Services
from hookd.domain.history import Page
from hookd.server.long_json import LongList, long_json_response
from hookd.server.messages import Request, Response
from hookd.server.problems import json_response
from hookd.server.query import bad_query
from hookd.server.router import Router

T = TypeVar("T")

LISTING = 2
"""Listings that are made at a time; each holds a page, and what it looks through."""

SHOWING = 4
"""Deliveries and events that are read at a time; each may have a few MiB."""


class HistoryRoutes:
    """What is kept of deliveries and events."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._listing = asyncio.Semaphore(LISTING)
        self._showing = asyncio.Semaphore(SHOWING)

    def register(self, router: Router) -> None:
        """Add the routes."""
        router.add(
            "GET", "/v1/deliveries", self.deliveries, delivery_filters.FILTERS | delivery_filters.PAGING
        )
        router.add("GET", "/v1/events", self.events, delivery_filters.PAGING)
        router.add("GET", "/v1/deliveries/{id}", self.delivery)
        router.add("GET", "/v1/events/{id}", self.event)

    async def deliveries(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """List deliveries, newest first."""
        query, services = request.parameters, self._services
        where, limit = delivery_filters.queried(query), delivery_filters.queried_limit(query)
        async with self._listing:
            page = await _page(services.store.deliveries(where, limit=limit, cursor=query.get("cursor")))
            lanes = await lookups.lane_states(services, (record.webhook for record in page.items))
            listed = (views.delivery(record, lanes[record.webhook]) for record in page.items)
            return await long_json_response({"deliveries": LongList(listed), "cursor": page.cursor})

    async def delivery(self, _request: Request, variables: Mapping[str, str]) -> Response:
        """One delivery with its attempts."""
        async with self._showing:
            return json_response(await lookups.delivery(self._services, variables["id"]))

    async def events(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """List kept events, newest first, without their data."""
        query = request.parameters
        limit = delivery_filters.queried_limit(query)
        async with self._listing:
            page = await _page(self._services.store.events(limit=limit, cursor=query.get("cursor")))
            listed = (views.listed_event(record) for record in page.items)
            return await long_json_response({"events": LongList(listed), "cursor": page.cursor})

    async def event(self, _request: Request, variables: Mapping[str, str]) -> Response:
        """One kept event."""
        async with self._showing:
            record = await self._services.store.event(variables["id"])
            if record is None:
                raise await lookups.no_event(self._services, variables["id"])
            return json_response(views.event(record))


async def _page(listing: Awaitable[Page[T]]) -> Page[T]:
    """A page of a listing. Raises Problem (400) for a cursor that no listing returned."""
    try:
        return await listing
    except ValueError:
        raise bad_query("cursor", "is not one that a listing returned") from None
