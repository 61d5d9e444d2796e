"""The routes by which a person steps in: retry, cancel, pause, resume, send, rearm (spec 2, 8, 9).

Must never: make a request to a receiver, or answer before the store has committed.
"""

from collections.abc import Mapping
from dataclasses import asdict
from functools import partial
from typing import Any

from hookd import intake
from hookd.api import lookups, views
from hookd.api.delivery_filters import decode_retry, foreign_cursor
from hookd.api.request_bodies import decoded_json, expect_no_fields, optional_json, trace_of
from hookd.api.services import Services
from hookd.domain.definitions import WebhookDef
from hookd.domain.deliveries import State
from hookd.domain.errors import EventRejected, Fault, StoreUnavailable
from hookd.domain.message_templates import Template
from hookd.intake.validation import escaped
from hookd.observability import log
from hookd.rules import templates
from hookd.server.messages import Request, Response
from hookd.server.problems import Problem, json_response, unavailable
from hookd.server.router import Router


class ActionRoutes:
    """Every `POST` that changes what happens to deliveries, webhooks and spent tasks."""

    def __init__(self, services: Services) -> None:
        self._services = services

    def register(self, router: Router) -> None:
        """Add the routes."""
        for pattern, route in {
            "/v1/deliveries/retry": self.retry_matching,
            "/v1/deliveries/{id}/retry": self.retry,
            "/v1/deliveries/{id}/cancel": self.cancel,
            "/v1/webhooks/{name}/pause": self.pause,
            "/v1/webhooks/{name}/resume": self.resume,
            "/v1/webhooks/{name}/send": self.send,
            "/v1/tasks/{name}/rearm": self.rearm,
        }.items():
            router.add("POST", pattern, route)

    async def retry(self, request: Request, variables: Mapping[str, str]) -> Response:
        """Make one delivery due now, whatever has become of it."""
        await expect_no_fields(request, self._services)
        services, delivery_id = self._services, variables["id"]
        before = await services.store.retry(delivery_id, now=services.clock.now())
        if before is None:
            raise await lookups.no_delivery(services, delivery_id)
        if before is State.SENDING:
            raise Problem(
                409, f"an attempt of the delivery {delivery_id!r} is under way; its end decides what is next"
            )
        retried = await lookups.delivery(services, delivery_id)
        log.info("delivery.retried", **_about(retried), before=before, principal=request.principal.name)
        return json_response(retried)

    async def cancel(self, request: Request, variables: Mapping[str, str]) -> Response:
        """End one delivery that waits."""
        await expect_no_fields(request, self._services)
        services, delivery_id = self._services, variables["id"]
        before = await services.store.cancel(delivery_id, now=services.clock.now())
        if before is None:
            raise await lookups.no_delivery(services, delivery_id)
        if before is not State.PENDING:
            raise Problem(409, _not_cancelled(delivery_id, before))
        cancelled = await lookups.delivery(services, delivery_id)
        services.metrics.lane(cancelled["webhook"]).delivery(State.CANCELLED)
        log.info("delivery.cancelled", **_about(cancelled), principal=request.principal.name)
        return json_response(cancelled)

    async def retry_matching(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """Make deliveries due that match a filter, or count them; the answer's cursor leads to the rest."""
        services = self._services
        order = decode_retry(await optional_json(request, services))
        if services.stopping:
            raise unavailable("hookd is stopping")
        try:
            part = await services.store.retry_matching(
                order.where, now=services.clock.now(), dry_run=order.dry_run, cursor=order.cursor
            )
        except ValueError:
            raise foreign_cursor() from None
        except StoreUnavailable as exc:
            raise unavailable(
                f"the store cannot write now; a part may have been retried already, ask again for the rest: {exc}"
            ) from None
        if not order.dry_run:
            counts = {"matched": part.matched, "retried": part.retried}
            log.info(
                "deliveries.retried", **counts, state=order.where.state, principal=request.principal.name
            )
        return json_response(asdict(part))

    async def pause(self, request: Request, variables: Mapping[str, str]) -> Response:
        """Park a webhook until it is resumed."""
        await expect_no_fields(request, self._services)
        services, name = self._services, variables["name"]
        await lookups.known_webhook(services, name)
        if name not in (await services.store.backlog()).paused:
            await services.store.pause(name, now=services.clock.now())
            log.info("webhook.paused", webhook=name, principal=request.principal.name)
        return json_response(await lookups.lane(services, name))

    async def resume(self, request: Request, variables: Mapping[str, str]) -> Response:
        """End a pause and a hold, also of a webhook that has left the configuration meanwhile.

        One that was not paused is probed at once where its receiver is down.
        """
        await expect_no_fields(request, self._services)
        services, name = self._services, variables["name"]
        await lookups.known_webhook(services, name)
        was_paused = await services.store.resume(name)
        was_held = await services.store.lift_hold(name, now=services.clock.now())
        services.lanes.try_again(name, probe=not was_paused)
        if was_paused:
            log.info("webhook.unpaused", webhook=name, principal=request.principal.name)
        if was_held:
            log.info("webhook.hold_lifted", webhook=name, principal=request.principal.name)
        return json_response(await lookups.lane(services, name))

    async def send(self, request: Request, variables: Mapping[str, str]) -> Response:
        """Send a message to a webhook, without a task: a test through the real path."""
        services, name = self._services, variables["name"]
        if services.stopping:
            raise unavailable("hookd is stopping")
        generation = services.current_config.generation
        webhook = generation.config.webhooks.get(name)
        if webhook is None:
            raise lookups.unknown("webhook", name, generation.config.webhooks)
        template = await decoded_json(request, services, partial(_template, webhook=webhook))
        receipt = await services.intake.send(webhook, template, generation, trace_of(request))
        log.info("webhook.sent", webhook=name, event_id=receipt.event_id, principal=request.principal.name)
        return json_response(views.receipt(receipt), 202)

    async def rearm(self, request: Request, variables: Mapping[str, str]) -> Response:
        """Let a one-shot task that has run do so once more: the definition in force (spec 13)."""
        await expect_no_fields(request, self._services)
        name, tasks = variables["name"], self._services.current_config.generation.config.tasks
        task = tasks.get(name)
        if task is None:
            raise lookups.unknown("task", name, tasks)
        if not task.delete_after_running:
            raise Problem(
                409,
                f"the task {name!r} does not run once only (delete_after_running is false), so it is never spent",
            )
        rearmed = await self._services.store.reset_one_shot(name, task.digest)
        if rearmed:
            log.info("task.rearmed", task=name, principal=request.principal.name)
        return json_response({"task": name, "rearmed": rearmed})


def _about(delivery: views.JsonObject) -> dict[str, str]:
    """The keys by which the log names a delivery."""
    return {
        "delivery_id": delivery["id"],
        "webhook": delivery["webhook"],
        "task": delivery["task"],
        "attempt": delivery["attempt"],
    }


def _not_cancelled(delivery_id: str, state: State) -> str:
    if state is State.SENDING:
        return f"an attempt of the delivery {delivery_id!r} is under way; only a pending one can be cancelled"
    return f"the delivery {delivery_id!r} is {state} already; only a pending one can be cancelled"


def _compiled(message: Any, webhook: WebhookDef) -> Template:
    template = templates.compile_message(message, body_format=webhook.body_format)
    if template.secrets:
        raise templates.TemplateError(
            "secrets are filled in the messages of tasks only, never in one that a client sends"
        )
    return template


def _template(body: object, webhook: WebhookDef) -> Template:
    """The message of a send request, compiled as it would be in a task for that webhook.

    Raises:
        EventRejected: 422, at the place of the fault.
    """
    message = intake.decode_send(body)
    try:
        return _compiled(message, webhook)
    except templates.TemplateError as error:
        pointer = "".join(f"/{escaped(str(step))}" for step in ("message", *error.path))
        where = f"line {error.line + 1}: " if error.line else ""
        fault = Fault(pointer, f"{where}{error.message}{templates.advice(message, error)}")
        raise EventRejected(422, "Invalid request", f"{pointer}: {fault.message}", (fault,)) from None
