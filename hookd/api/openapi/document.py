"""Puts the document together from `operations` and `schemas`, with what all of them share.

Must never: name a route.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

from hookd import __version__
from hookd.api.filters import DEFAULT_LIMIT, MOST_ITEMS
from hookd.api.openapi.operations import OPERATIONS, Operation, Said
from hookd.api.openapi.schemas import SCHEMAS
from hookd.api.openapi.shape import Schema, choice, instant, ref, text
from hookd.domain.deliveries import State
from hookd.server.body import BODY_S
from hookd.server.limits import Limits
from hookd.server.problems import PROBLEM_TYPE, RETRY_AFTER_S

_BOUNDS = Limits()

_ABOUT = f"""\
Takes events in, and shows and changes what becomes of them. The same application answers on hookd's Unix sockets and
on its TCP listeners.

What holds for every path:

- Refusals are `application/problem+json` (RFC 9457) and say what is wrong and what to do.
- `HEAD` answers as `GET` without the body, where there is a `GET`. Any other method of HTTP, `OPTIONS` too, is answered
  405 with `Allow`, a word that is no method 400; a path that is not listed here, 404.
- Below `/v1`, a query parameter that is not listed is answered 400; elsewhere it is ignored.
- A request that is not valid HTTP/1.1, or has a target or a header of more than {_BOUNDS.head_line:,} bytes, or more
  than {_BOUNDS.headers} headers, is answered 400; another version of HTTP, 505. There is no 411: a body may come in
  chunks. There is no 414 and no 431: too long is 400.
- A head has to come within {_BOUNDS.head_s:.0f} seconds (408). Past {_BOUNDS.connections:,} connections the slowest one
  is let go (503).
- A body is read up to `daemon.limits.event_size` (413) for at most {BODY_S:.0f} seconds (408). A `Content-Encoding` is
  not taken (415); `Expect` may ask for `100-continue` (else 417).
- A `Host` that is neither the listener's address nor one of its `allowed_hosts` is answered 421, an `Origin` of another
  site 403. A Unix socket takes any `Host`.
- 503 has `Retry-After`: nothing was stored; the same request may succeed later.
- No request is answered by a redirect, and none by 500.
- Answers may get further fields in later versions; requests with fields that are not listed are refused.
"""

_PATH_PARAMETERS: Mapping[str, Schema] = {
    "deliveries": text("The delivery's id, as answers and `webhook-id` give it", minLength=1),
    "events": text("The event's id", minLength=1),
    "tasks": text("The task's name, percent-encoded", minLength=1),
    "webhooks": text("The webhook's name, percent-encoded", minLength=1),
}
"""What stands behind each collection in a path."""

_QUERY: Mapping[str, Schema] = {
    "after": text("A fact's `cursor`: go on behind it", pattern="^[0-9a-f]{12}-[0-9]{1,18}$"),
    "state": choice(State, "Only in this state"),
    "webhook": text("Only of this webhook"),
    "task": text("Only of this task"),
    "event": text("Only of the event with this id"),
    "since": instant("Only those made at this moment or later"),
    "until": instant("Only those made at this moment or earlier; not before `since`"),
    "limit": {
        "type": "integer",
        "minimum": 1,
        "maximum": MOST_ITEMS,
        "default": DEFAULT_LIMIT,
        "description": "How many items a page has at most",
    },
    "cursor": text("From the page before", pattern="^[0-9]{1,18}$", maxLength=18),
}

_HEADERS: Mapping[str, Schema] = {
    "Idempotency-Key": text(
        "Serves as the event's id where it has none, in a batch of several as `KEY.0`, `KEY.1`, … by its index;"
        " CloudEvents ignore it",
        minLength=1,
        maxLength=256,
        format="printable-field",
    ),
    "traceparent": text("The trace it belongs to (W3C Trace Context); an invalid one is ignored"),
    "tracestate": text("Goes with `traceparent`"),
}

_PROBLEMS: Mapping[int, str] = {
    400: "The request cannot be understood: bad HTTP, bad JSON or a bad query",
    401: "A token of this listener is needed",
    403: "Requests from web pages of other origins are refused",
    421: "This `Host` is not served here",
    503: "Not now: hookd is stopping, the store cannot write, too much waits or too much comes in",
}
_BODY_PROBLEMS: Mapping[int, str] = {
    408: "The body did not come in time",
    413: "The body is larger than `daemon.limits.event_size`",
    415: "The content type is not one of those listed, or the body is encoded",
    417: "Only `100-continue` can be expected",
    422: "The body is not what is described here; `errors` names every fault",
}

_ANSWER_HEADERS: Mapping[int, Mapping[str, Any]] = {
    401: {"WWW-Authenticate": {"required": True, "schema": {"type": "string"}}},
    415: {"Accept": {"schema": {"type": "string"}, "description": "What would have been taken"}},
    503: {
        "Retry-After": {
            "required": True,
            "schema": {"type": "integer", "minimum": 1},
            "description": f"Seconds; {RETRY_AFTER_S}",
        }
    },
}


def document(*, guarded: bool = True) -> dict[str, Any]:
    """The description of the whole API; `guarded`: of a listener that asks for a token."""
    paths: dict[str, dict[str, Any]] = {}
    for (method, path), operation in OPERATIONS.items():
        paths.setdefault(path, _shared(path))[method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "hookd",
            "version": __version__,
            "summary": "A durable webhook sender for one machine",
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "The listener that answered this"}],
        **({"security": [{"token": []}]} if guarded else {}),
        "paths": paths,
        "components": {
            "schemas": dict(SCHEMAS),
            "responses": {f"Problem{status}": _problem(status, said) for status, said in _shared_problems()},
            "securitySchemes": {
                "token": {
                    "type": "http",
                    "scheme": "bearer",
                    "description": "One of the listener's `tokens`. A Unix socket, and a TCP listener without tokens,"
                    " ask for none.",
                }
            },
        },
    }


def _shared(path: str) -> dict[str, Any]:
    """What all methods of a path have in common: its variables."""
    found = re.findall(r"/(\w+)/{(\w+)}", path)
    if not found:
        return {}
    return {
        "parameters": [
            {"name": name, "in": "path", "required": True, "schema": _PATH_PARAMETERS[collection]}
            for collection, name in found
        ]
    }


def _operation(given: Operation) -> dict[str, Any]:
    shown: dict[str, Any] = {"operationId": given.id, "summary": given.summary}
    if given.more:
        shown["description"] = given.more
    parameters = [_parameter(name, "query", _QUERY[name]) for name in sorted(given.query)]
    parameters += [_parameter(name, "header", _HEADERS[name]) for name in given.headers]
    if parameters:
        shown["parameters"] = parameters
    if given.body:
        content = {kind: {"schema": schema} for kind, schema in given.body.items()}
        shown["requestBody"] = {"required": given.body_needed, "content": content}
    return {**shown, "responses": dict(_answers(given))}


def _parameter(name: str, place: str, schema: Schema) -> dict[str, Any]:
    return {"name": name, "in": place, "schema": schema}


def _answers(given: Operation) -> Iterator[tuple[str, Any]]:
    """Every answer of a route: its own, and those that come with the door and the body; by status."""
    answers: dict[int, Any] = {
        status: {"$ref": f"#/components/responses/Problem{status}"}
        for status in (*_PROBLEMS, *(_BODY_PROBLEMS if given.body else ()))
    }
    answers |= {status: _problem(status, said) for status, said in given.problems.items()}
    answers |= {status: _success(said) for status, said in given.answers.items()}
    yield from ((str(status), answers[status]) for status in sorted(answers))


def _success(said: Said) -> dict[str, Any]:
    kinds = {said.kind: said.schema, **said.others}
    return {"description": said.text, "content": {kind: {"schema": schema} for kind, schema in kinds.items()}}


def _shared_problems() -> Iterator[tuple[int, str]]:
    yield from _PROBLEMS.items()
    yield from _BODY_PROBLEMS.items()


def _problem(status: int, said: str) -> dict[str, Any]:
    headers = {"headers": _ANSWER_HEADERS[status]} if status in _ANSWER_HEADERS else {}
    return {"description": said, **headers, "content": {PROBLEM_TYPE: {"schema": ref("Problem")}}}
