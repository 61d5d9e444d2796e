"""What routes read of a request besides events: a JSON body that may be missing, or none at all; and its trace.

Must never: hold a rule about what a body means (`intake` and the routes do).
"""

from typing import Any

from hookd import intake
from hookd.api.services import Services
from hookd.domain.errors import EventRejected, Fault
from hookd.domain.tracing import Trace, read_trace
from hookd.server import body
from hookd.server.messages import JSON_TYPE, Request
from hookd.server.problems import Problem


async def optional_json(request: Request, services: Services) -> Any:
    """The JSON body of a request that may have none; then an empty object.

    Raises:
        Problem: as `body.read`; 415 for a body of another type.
        EventRejected: the body is not JSON.
    """
    kind = body.media_type(request)
    raw = await body.read(request, services.current_config.generation.config.daemon.event_size)
    if not raw:
        return {}
    if kind != JSON_TYPE:
        raise Problem(415, f"the Content-Type must be {JSON_TYPE}")
    return intake.parse_json(raw)


async def expect_no_fields(request: Request, services: Services) -> None:
    """Read the body of a request that takes no fields: none, or an empty object.

    Raises:
        Problem, EventRejected: as `optional_json`; 422 for any content.
    """
    value = await optional_json(request, services)
    if value != {}:
        fault = Fault("", "must be an empty object, or there is no body")
        raise EventRejected(422, "Invalid request", "this request takes no fields", (fault,))


def trace_of(request: Request) -> Trace | None:
    """The trace that a request's own headers name, or None (spec 10)."""
    parents = request.headers.getall("traceparent", ())
    return read_trace(parents, request.headers.getall("tracestate", ())) if parents else None
