"""What routes read of a request besides events: a JSON body that may be missing, or none at all; and its trace.

Must never: hold a rule about what a body means (`intake` and the routes do).
"""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from hookd import intake
from hookd.api.services import Services
from hookd.domain.errors import EventRejected, Fault
from hookd.domain.tracing import Trace, read_trace
from hookd.intake.pipeline import Decoded
from hookd.intake.validation import Faults
from hookd.server import body
from hookd.server.messages import JSON_TYPE, Request
from hookd.server.problems import Problem

_TEXTS = {"path": 4096, "hash": 12, "rev": 256}
_HASH = re.compile("[0-9a-f]{12}")


async def optional_json(request: Request, services: Services) -> Any:
    """The JSON body of a request that may have none; then an empty object.

    Raises:
        Problem: as `body.read`; 415 for a body of another type.
        EventRejected: the body is not JSON.
    """
    return await decoded_json(request, services, _as_it_is)


async def decoded_json(request: Request, services: Services, decode: Callable[[Any], Decoded]) -> Decoded:
    """What a request says by its JSON body, as `optional_json`, read beside the loop where it is large.

    Args:
        request: it.
        services: the daemon's.
        decode: from the body's value to what it says; what it raises is raised.
    """
    kind = body.media_type(request)
    raw = await body.read(request, services.current_config.generation.config.daemon.event_size)
    if not raw:
        return decode({})
    if kind != JSON_TYPE:
        raise Problem(415, f"the Content-Type must be {JSON_TYPE}")
    return await services.intake.decode(len(raw), lambda: decode(intake.parse_json(raw)))


def _as_it_is(value: Any) -> Any:
    return value


async def expect_no_fields(request: Request, services: Services) -> None:
    """Read the body of a request that takes no fields: none, or an empty object.

    Raises:
        Problem, EventRejected: as `optional_json`; 422 for any content.
    """
    value = await optional_json(request, services)
    if value != {}:
        fault = Fault("", "must be an empty object, or there is no body")
        raise EventRejected(422, "Invalid request", "this request takes no fields", (fault,))


class ComparisonOrder(NamedTuple):
    """What is to be compared with the configuration in force; nothing: what is on disk.

    Attributes:
        path: another file or directory.
        yaml_hash: of its YAML files, as the one who asks reads them.
        revision: a commit of the configuration's repository.
    """

    path: Path | None
    yaml_hash: str | None
    revision: str | None


def decode_comparison(value: Any) -> ComparisonOrder:
    """The body of a comparison.

    Raises:
        EventRejected: 422, with every fault.
    """
    faults = Faults("Invalid request")
    body = faults.mapping("", value)
    faults.fields("", body, ("path", "hash", "rev"))
    given = {name: faults.text(f"/{name}", body[name], most) for name, most in _TEXTS.items() if name in body}
    path, yaml_hash, revision = (given.get(name) for name in ("path", "hash", "rev"))
    if path is not None and not path.startswith("/"):
        faults.add("/path", "must be absolute")
    if yaml_hash is not None and not _HASH.fullmatch(yaml_hash):
        faults.add("/hash", "must be 12 hex digits")
    if revision is not None and (revision.startswith("-") or " " in revision):
        faults.add("/rev", "must name a commit, such as main or a hash")
    if revision is not None and path is not None:
        faults.add("/rev", "must not stand beside path")
    faults.raise_any()
    return ComparisonOrder(Path(path) if path is not None else None, yaml_hash, revision)


def trace_of(request: Request) -> Trace | None:
    """The trace that a request's own headers name, or None (spec 10)."""
    parents = request.headers.getall("traceparent", ())
    return read_trace(parents, request.headers.getall("tracestate", ())) if parents else None
