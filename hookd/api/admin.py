"""The routes for operators: lanes, configuration, reload, health, metrics and the API's description (spec 9).

Must never: show a secret.
"""

import asyncio
import os
from collections.abc import Mapping
from dataclasses import asdict
from functools import cache

from hookd import __version__
from hookd.api import lookups, openapi, views
from hookd.api.request_bodies import decode_comparison, expect_no_fields, optional_json
from hookd.api.services import Services
from hookd.delivery.circuit_breaker import BreakerState
from hookd.delivery.lane import LaneState
from hookd.domain.deliveries import State
from hookd.domain.errors import CandidateRefused, Fault, StoreUnavailable
from hookd.domain.history import LaneStats
from hookd.observability import log
from hookd.observability.metrics import CONTENT_TYPE, LaneGauges, ListenerFigures
from hookd.server.long_json import long_json_response
from hookd.server.messages import Request, Response
from hookd.server.problems import Problem, json_response, unavailable
from hookd.server.router import RouteFunction, Router
from hookd.server.sockets import ListenerState


class AdminRoutes:
    """What is shown of the present below `/v1`, reload and comparison, and what monitors ask for."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def register(self, router: Router) -> None:
        """Add the routes."""
        for pattern, route in {
            "/v1/webhooks": self.webhooks,
            "/v1/config": self.config,
            "/v1/names": self.names,
            "/v1/status": self.status,
        }.items():
            router.add("GET", pattern, route)
        for_monitors: dict[str, RouteFunction] = {  # which add parameters of their own
            "/healthz": self.healthz,
            "/readyz": self.readyz,
            "/metrics": self.metrics,
            "/openapi.json": self.openapi,
        }
        for pattern, unasked in for_monitors.items():
            router.add("GET", pattern, unasked, None)
        router.add("POST", "/v1/reload", self.reload)
        router.add("POST", "/v1/config/diff", self.diff)

    async def webhooks(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """Every webhook with the state of its lane."""
        return await long_json_response({"webhooks": await lookups.lanes(self._services)})

    async def config(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """The configuration in force."""
        return await long_json_response(views.configuration(self._services.current_config.generation))

    async def names(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """The names of the configuration in force alone: what a shell completes while somebody types."""
        config = self._services.current_config.generation.config
        return json_response(
            {
                "webhooks": list(config.webhooks),
                "tasks": list(config.tasks),
                "types": {name: list(each.events) for name, each in (config.types or {}).items()},
            }
        )

    async def status(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """Everything an operator asks first."""
        services = self._services
        generation, last, now = services.current_config.generation, services.reload.last, services.clock.now()
        store = services.store
        totals, died_at, spent = await asyncio.gather(  # at once: beside a listing, one wait instead of three
            store.totals(), store.last_died(), store.one_shot_marks()
        )
        described, backlog = await store.describe(), await store.backlog()
        return await long_json_response(
            {
                "version": __version__,
                "pid": os.getpid(),
                "started_at": views.instant(services.started_at),
                "uptime_s": round(now - services.started_at, 3),
                "stopping": services.stopping,
                "config": {
                    "path": generation.config.path,
                    **asdict(generation.ref),
                    "loaded_at": views.instant(generation.loaded_at),
                    "last_reload": views.reload_result(last),
                    "warnings": list(generation.config.warnings),
                    "restart_needed": list(services.restart_needed()),
                },
                "listen": [listener.address for listener in services.listeners()],
                "listeners": [views.listener(each) for each in services.listeners()],
                "store": {
                    "path": described.target,
                    "size_bytes": described.size_bytes,
                    "error": backlog.fault,
                    "pid": described.pid,
                },
                "spool": services.spool()._asdict(),
                "deliveries": {state: totals.get(state, 0) for state in State},
                "last_died_at": views.instant(died_at),
                "schedules": {"error": services.schedule_fault()},
                "limits": {"pending": generation.config.daemon.pending},
                "webhooks": await lookups.lanes(services),
                "spent": views.spent(spent, generation.config),
            }
        )

    async def reload(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """Reload and wait for the result (spec 14)."""
        await expect_no_fields(request, self._services)
        log.info("config.reload_asked", principal=request.principal.name)
        result = await self._services.reload.request()
        if not result.ok:
            raise Problem(
                422,
                "the configuration was refused; the one in force is unchanged",
                title="Invalid configuration",
                faults=[Fault("", fault) for fault in result.faults],
            )
        generation = self._services.current_config.generation
        return json_response(
            {
                **asdict(generation.ref),
                "changes": views.changes(result.changes),
                "restart_needed": list(result.restart_needed),
            }
        )

    async def diff(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """Compare a configuration with the one in force; nothing is changed (spec 8)."""
        wanted = decode_comparison(await optional_json(request, self._services))
        reload = self._services.reload
        try:
            if wanted.revision is not None:
                comparison = await reload.compare_with_commit(wanted.revision)
            elif wanted.path is not None:
                comparison = await reload.compare_with_checkout(wanted.path, wanted.yaml_hash)
            else:
                comparison = await reload.compare_with_disk()
        except CandidateRefused as exc:
            raise Problem(409, str(exc)) from None
        return json_response(views.comparison(comparison, await self._services.store.lanes()))

    async def healthz(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """Whether the process serves requests at all."""
        return json_response({"status": "ok"})

    async def readyz(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """Whether events would be taken in now."""
        if self._services.stopping:
            raise unavailable("hookd is stopping")
        try:
            await self._services.store.probe()
        except StoreUnavailable as exc:
            raise unavailable(f"the store cannot write now: {exc}") from None
        return json_response({"status": "ok"})

    async def metrics(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """The Prometheus exposition."""
        services, now = self._services, self._services.clock.now()
        gauges = (
            (state.webhook, _gauges(state, stats, now))
            for state, stats, _ in await lookups.lane_reports(services)
        )
        listeners = {each.address: _figures(each) for each in services.listeners()}
        return Response(200, await services.metrics.exposition(gauges, listeners), CONTENT_TYPE)

    async def openapi(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """The description of this API, as the listener serves it."""
        return await asyncio.to_thread(_described, request.guarded)


@cache
def _described(guarded: bool) -> Response:
    return json_response(openapi.document(guarded=guarded))


def _gauges(state: LaneState, stats: LaneStats | None, now: float) -> LaneGauges:
    pending = stats.pending if stats else 0
    oldest_at = stats.oldest_at if stats else None
    return LaneGauges(
        pending=pending,
        oldest_age_s=0.0 if oldest_at is None else max(0.0, now - oldest_at),
        parked=pending if state.parked else 0,
        in_flight=state.in_flight,
        breaker_open=state.breaker is not BreakerState.CLOSED,
        slowed_to_per_s=state.slowed_to_per_s or 0,
    )


def _figures(given: ListenerState) -> ListenerFigures:
    return ListenerFigures(
        open=given.open,
        unserved={kind: each.count for kind, each in given.unserved.items()},
        certificate_ends_at=None if given.certificate is None else given.certificate.ends_at,
    )
