"""The routes that take events in (spec 2).

Must never: answer before the store has committed, or hold a rule about what an event is (`intake` does).
"""

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from hookd import intake
from hookd.api import lookups, views
from hookd.api.request_bodies import decoded_json, trace_of
from hookd.api.services import Services
from hookd.domain.errors import EventRejected, Fault, IdConflict
from hookd.domain.events import Event, Receipt
from hookd.domain.tracing import read_trace
from hookd.intake.plain_event import PlainEventReader
from hookd.observability import log
from hookd.server import body
from hookd.server.long_json import LongList, long_json_response
from hookd.server.memory_budget import BudgetExceeded, estimated_size
from hookd.server.messages import JSON_TYPE, KnownRequest, Request, Response
from hookd.server.problems import Problem, json_response, unavailable
from hookd.server.router import Router, problem_of

CLOUDEVENT = "application/cloudevents+json"
CLOUDEVENTS = "application/cloudevents-batch+json"
TAKEN = (JSON_TYPE, body.NDJSON, CLOUDEVENT, CLOUDEVENTS)
"""The content types that events come in; besides, any with the headers of a CloudEvent."""

PER_EVENT = 1024
"""Bytes that an event with its deliveries takes in memory until it is stored, about."""


PLAIN = 16 * 1024
"""Bytes of a body above which reading, rendering and storing it is not quick."""

_TELLING = frozenset({"idempotency-key", "expect", "tracestate", "transfer-encoding", "content-encoding"})
"""Headers that say something of the event, or of how it is to be taken in."""


class EventRoutes:
    """`POST /v1/events` and `POST /v1/tasks/{name}/trigger`."""

    def __init__(self, services: Services) -> None:
        self._services = services
        self._plain = PlainEventReader()
        self._rejected = services.metrics.events["rejected"]
        self._unavailable = services.metrics.events["unavailable"]

    def register(self, router: Router) -> None:
        """Add the routes."""
        router.add("POST", "/v1/events", self.post)
        router.add("POST", "/v1/tasks/{name}/trigger", self.trigger)

    async def post(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """Take one event or a batch in."""
        services = self._services
        if services.stopping:
            raise unavailable("hookd is stopping")
        generation = services.current_config.generation
        try:
            events, batch = await self._events(request, generation.config.daemon.event_size)
            hold = request.reservation.hold
            hold(PER_EVENT * len(events))
            receipts = await services.intake.accept(events, generation, hold=hold) if events else ()
        except IdConflict as exc:
            raise _conflict(exc, f"/{exc.index}/id" if batch else "/id") from None
        except (EventRejected, Problem) as exc:
            (self._unavailable if exc.status == 503 else self._rejected).inc()
            raise
        except BudgetExceeded:
            self._unavailable.inc()
            raise
        status = 200 if all(receipt.duplicate for receipt in receipts) else 202
        if batch:
            return await long_json_response({"events": LongList(map(views.receipt, receipts))}, status)
        return Response(status, views.receipt_json(receipts[0]))

    def _post_again(self, request: KnownRequest) -> bool:
        """Take one plain event in by a head that `post` has taken one in by; False: `post` must look."""
        services, raw = self._services, request.body
        generation = services.current_config.generation
        if services.stopping or len(raw) > min(PLAIN, generation.config.daemon.event_size):
            return False
        try:
            event = self._plain.read(raw, generation.config.types, services.intake.make_event_id)
            if event is None:
                return False
            if request.traceparent is not None:
                event = replace(event, trace=read_trace((request.traceparent,), ()))
            reservation, at = request.reservation, request.arrived_at
            reservation.admit(estimated_size(raw) + PER_EVENT, since=at, now=at)
            done = partial(self._answer, request.answer)
            return services.intake.accept_plainly(event, generation, hold=reservation.hold, done=done)
        except Exception:  # noqa: BLE001 - nothing was handed over yet; what is wrong shows on the whole way
            return False

    def _answer(self, answer: Callable[[Response], None], outcome: Receipt | Exception) -> None:
        if isinstance(outcome, IdConflict):
            answer(_conflict(outcome, "/id").response())
        elif isinstance(outcome, Exception):
            answer(problem_of(outcome).response())
        else:
            answer(Response(200 if outcome.duplicate else 202, views.receipt_json(outcome)))

    async def _events(self, request: Request, limit: int) -> tuple[list[Event], bool]:
        """The events of a request, and whether they are a batch."""
        kind = _kind(request)
        if kind == JSON_TYPE and _TELLING.isdisjoint(map(str.lower, request.headers)):
            request.again = self._post_again
        raw = await body.read(request, limit)
        trace = trace_of(request)

        def decoded() -> tuple[list[Event], bool]:
            events, batch = self._decoded(request, kind, raw)
            return ([replace(event, trace=trace) for event in events] if trace is not None else events), batch

        return await self._services.intake.decode(len(raw), decoded)

    def _decoded(self, request: Request, kind: str, raw: bytes) -> tuple[list[Event], bool]:
        types = self._services.current_config.generation.config.types
        if kind == _BINARY:
            headers, given = request.headers.items(), request.headers.get("Content-Type")
            return [intake.decode_binary(headers, given or None, raw, types=types)], False
        if kind in (CLOUDEVENT, CLOUDEVENTS):
            try:
                return _structured(kind, raw, types)
            except EventRejected as refusal:
                raise refusal.adding(_NOT_READ) if _has_attributes(request) else refusal from None
        make_id = self._services.intake.make_event_id
        key = _idempotency_key(request)
        value = intake.parse_ndjson(raw) if kind == body.NDJSON else intake.parse_json(raw)
        if isinstance(value, list):
            return intake.decode_batch(value, types=types, default_id=key, make_id=make_id), True
        return [intake.decode_event(value, index=None, types=types, default_id=key, make_id=make_id)], False

    async def trigger(self, request: Request, variables: Mapping[str, str]) -> Response:
        """Run a task on demand."""
        services = self._services
        if services.stopping:
            raise unavailable("hookd is stopping")
        generation = services.current_config.generation
        task = generation.config.tasks.get(variables["name"])
        if task is None:
            raise lookups.unknown("task", variables["name"], generation.config.tasks)
        obj, data = await decoded_json(request, services, intake.decode_trigger)
        receipt = await services.intake.trigger(task, obj, data, generation, trace_of(request))
        log.info(
            "task.triggered", task=task.name, event_id=receipt.event_id, principal=request.principal.name
        )
        return json_response(views.receipt(receipt), 202)


def _structured(kind: str, raw: bytes, types: intake.Types) -> tuple[list[Event], bool]:
    value = intake.parse_json(raw)
    if kind == CLOUDEVENTS:
        return intake.decode_cloudevents(value, types=types), True
    return [intake.decode_cloudevent(value, types=types)], False


_NOT_READ = (
    "with this Content-Type the body is the CloudEvent, and the ce- headers are not read; "
    "where the body is the data, name the data's own Content-Type"
)

_BINARY = "binary"
"""Stands for a content type: the data's own, or none at all, and the event is in the headers."""


def _kind(request: Request) -> str:
    """What a request's body is: one of `TAKEN`, or `_BINARY`.

    A web page cannot send a header that begins with `ce-` without being asked for leave first, nor any of `TAKEN`
    (Fetch, "CORS-safelisted request-header"), so neither lets it post here.

    Raises:
        Problem: 415.
    """
    given = body.content_type(request)
    kind = intake.media_type(given)
    if _has_attributes(request) and not kind.startswith("application/cloudevents"):
        if intake.is_json(given):
            body.json_type(given)
        return _BINARY
    if kind not in TAKEN:
        raise Problem(
            415,
            f"the Content-Type must be {', '.join(TAKEN[:-1])} or {TAKEN[-1]}; "
            "a CloudEvent in binary mode has any, and its attributes in headers that begin with ce-",
            headers=(("Accept", ", ".join(TAKEN)),),
        )
    return body.json_type(given)


def _has_attributes(request: Request) -> bool:
    width = len(intake.HEADER_PREFIX)
    return any(name[:width].lower() == intake.HEADER_PREFIX for name in request.headers)


def _conflict(exc: IdConflict, where: str) -> Problem:
    return Problem(409, str(exc), faults=[Fault(where, "is taken by an event with other content")])


def _idempotency_key(request: Request) -> str | None:
    given = request.headers.getall("Idempotency-Key", [])
    if len(given) > 1:
        raise Problem(400, "one Idempotency-Key is expected, several were sent")
    return intake.decode_key(given[0]) if given else None
