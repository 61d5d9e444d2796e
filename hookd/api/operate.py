"""The routes for operators: history, lanes, configuration, reload, health and metrics (spec 9).

Must never: show a secret, or answer a listing without a bound.
"""

import os
from collections.abc import Mapping
from datetime import datetime
from difflib import get_close_matches
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST

from hookd import __version__
from hookd.api import views
from hookd.api.app import Router
from hookd.api.message import Answer, Request
from hookd.api.problem import Problem, answer, unavailable
from hookd.api.services import Services
from hookd.errors import Fault, StoreUnavailable
from hookd.model import DeliveryFilter, State

DEFAULT_LIMIT = 50
MOST_ITEMS = 500
_FILTERS = frozenset({"state", "webhook", "task", "event", "since", "until", "limit", "cursor"})


class OperatorRoutes:
    """Everything below `/v1` that reads, `POST /v1/reload`, and the probes."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def register(self, router: Router) -> None:
        """Add the routes."""
        for pattern, route in {
            "/v1/deliveries": self.deliveries,
            "/v1/deliveries/{id}": self.delivery,
            "/v1/events": self.events,
            "/v1/events/{id}": self.event,
            "/v1/webhooks": self.webhooks,
            "/v1/config": self.config,
            "/v1/status": self.status,
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
        }.items():
            router.add("GET", pattern, route)
        router.add("POST", "/v1/reload", self.reload)

    async def deliveries(self, request: Request, _variables: Mapping[str, str]) -> Answer:
        """List deliveries, newest first."""
        query = _query(request, _FILTERS)
        where = DeliveryFilter(
            state=_state(query),
            webhook=query.get("webhook"),
            task=query.get("task"),
            event_id=query.get("event"),
            since=_instant(query, "since"),
            until=_instant(query, "until"),
        )
        try:
            page = await self._services.store.deliveries(
                where, limit=_limit(query), cursor=query.get("cursor")
            )
        except ValueError:
            raise _bad_query("cursor", "is not one that a listing returned") from None
        config = self._services.holder.current.config
        return answer({"deliveries": [views.delivery(r, config) for r in page.items], "cursor": page.cursor})

    async def delivery(self, _request: Request, variables: Mapping[str, str]) -> Answer:
        """One delivery with its attempts."""
        record = await self._services.store.delivery(variables["id"])
        if record is None:
            raise Problem(404, f"there is no delivery {variables['id']!r}")
        return answer(views.whole_delivery(record, self._services.holder.current.config))

    async def events(self, request: Request, _variables: Mapping[str, str]) -> Answer:
        """List kept events, newest first."""
        query = _query(request, frozenset({"limit", "cursor"}))
        try:
            page = await self._services.store.events(limit=_limit(query), cursor=query.get("cursor"))
        except ValueError:
            raise _bad_query("cursor", "is not one that a listing returned") from None
        return answer({"events": [views.event(r) for r in page.items], "cursor": page.cursor})

    async def event(self, _request: Request, variables: Mapping[str, str]) -> Answer:
        """One kept event."""
        record = await self._services.store.event(variables["id"])
        if record is None:
            raise Problem(404, f"there is no event {variables['id']!r}")
        return answer(views.event(record))

    async def webhooks(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """Every webhook with the state of its lane."""
        return answer({"webhooks": await self._lanes()})

    async def config(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """The configuration in force."""
        return answer(views.configuration(self._services.holder.current.config))

    async def status(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """Everything an operator asks first."""
        services = self._services
        generation, last, now = services.holder.current, services.reload.last, services.clock.now()
        totals = await services.store.totals()
        return answer(
            {
                "version": __version__,
                "pid": os.getpid(),
                "started_at": views.instant(services.started_at),
                "uptime_s": round(now - services.started_at, 3),
                "stopping": services.stopping,
                "config": {
                    "path": generation.config.path,
                    "number": generation.number,
                    "hash": generation.config.hash,
                    "loaded_at": views.instant(generation.loaded_at),
                    "last_reload": views.verdict(last),
                    "warnings": list(generation.config.warnings),
                    "restart_needed": list(services.restart_needed()),
                },
                "listen": list(services.listening),
                "store": {
                    "path": services.store_path,
                    "size_bytes": _size(services.store_path),
                    "error": services.store.fault(),
                },
                "deliveries": {state: totals.get(state, 0) for state in State},
                "webhooks": await self._lanes(),
            }
        )

    async def reload(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """Reload and wait for the verdict (spec 14)."""
        verdict = await self._services.reload.request()
        if not verdict.ok:
            raise Problem(
                422,
                "the configuration was refused; the one in force is unchanged",
                title="Invalid configuration",
                faults=[Fault("", fault) for fault in verdict.faults],
            )
        generation = self._services.holder.current
        return answer(
            {
                "number": generation.number,
                "hash": generation.config.hash,
                "changes": views.changes(verdict.changes),
                "restart_needed": list(verdict.restart_needed),
            }
        )

    async def healthz(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """Whether the process serves requests at all."""
        return answer({"status": "ok"})

    async def readyz(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """Whether events would be taken in now."""
        if self._services.stopping:
            raise unavailable("hookd is stopping")
        try:
            await self._services.store.probe()
        except StoreUnavailable as exc:
            raise unavailable(f"the store cannot write now: {exc}") from None
        return answer({"status": "ok"})

    async def metrics(self, _request: Request, _variables: Mapping[str, str]) -> Answer:
        """The Prometheus exposition."""
        services = self._services
        stats, now = await services.store.lanes(), services.clock.now()
        metrics = services.metrics
        for gauge in (metrics.pending, metrics.oldest_pending_age, metrics.parked, metrics.in_flight):
            gauge.clear()
        for name, state in services.lane_states().items():
            waiting = stats.get(name)
            pending = waiting.pending if waiting else 0
            oldest_at = waiting.oldest_at if waiting else None
            metrics.pending.labels(name).set(pending)
            metrics.oldest_pending_age.labels(name).set(0 if oldest_at is None else max(0.0, now - oldest_at))
            metrics.parked.labels(name).set(pending if state.parked else 0)
            metrics.in_flight.labels(name).set(state.in_flight)
        return Answer(200, metrics.exposition(), CONTENT_TYPE_LATEST)

    async def _lanes(self) -> list[views.JsonObject]:
        services = self._services
        stats, now, config = (
            await services.store.lanes(),
            services.clock.now(),
            services.holder.current.config,
        )
        return [
            views.lane(state, stats.get(name), config, now) for name, state in services.lane_states().items()
        ]


def _query(request: Request, known: frozenset[str]) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in request.query():
        if name not in known:
            near = get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; known are {', '.join(sorted(known))}"
            raise Problem(400, f"unknown query parameter {name!r}{hint}")
        if name in query:
            raise _bad_query(name, "is given twice")
        query[name] = value
    return query


def _bad_query(name: str, fault: str) -> Problem:
    return Problem(400, f"query parameter {name} {fault}", faults=[Fault("", f"{name} {fault}")])


def _state(query: Mapping[str, str]) -> State | None:
    given = query.get("state")
    if given is None:
        return None
    try:
        return State(given)
    except ValueError:
        raise _bad_query("state", f"must be one of {', '.join(State)}") from None


def _limit(query: Mapping[str, str]) -> int:
    given = query.get("limit", str(DEFAULT_LIMIT))
    if not (given.isascii() and given.isdigit() and len(given) < 6 and 1 <= int(given) <= MOST_ITEMS):
        raise _bad_query("limit", f"must be a whole number from 1 to {MOST_ITEMS}")
    return int(given)


def _instant(query: Mapping[str, str], name: str) -> float | None:
    given = query.get(name)
    if given is None:
        return None
    try:
        at = datetime.fromisoformat(given)
        if at.tzinfo is None:
            raise _bad_query(name, "must be RFC 3339 with an offset, such as 2026-01-31T08:00:00Z")
        return at.timestamp()
    except (ValueError, OverflowError):
        raise _bad_query(name, "must be RFC 3339 with an offset, such as 2026-01-31T08:00:00Z") from None


def _size(path: str) -> int | None:
    try:
        return Path(path).stat().st_size
    except OSError:
        return None
