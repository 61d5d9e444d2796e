"""The application: access policy, routing, and the one place where every failure becomes a response.

Must never: let an exception through as a 500 of the framework's making, or know what a route does.
"""

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple
from urllib.parse import unquote

from hookd.domain.errors import EventRejected, PendingLimitReached, StoreUnavailable, TaskSpent
from hookd.domain.principals import Right
from hookd.domain.text import near, quoted
from hookd.observability import log
from hookd.server.access import AccessPolicy
from hookd.server.memory_budget import BudgetExceeded
from hookd.server.messages import Request, Response
from hookd.server.problems import Problem, busy, unavailable
from hookd.server.query import parse_query

RouteFunction = Callable[[Request, Mapping[str, str]], Awaitable[Response]]
"""A route: the request and the path's variables in, the response out. May raise what `problem_of` knows."""


class Routed(NamedTuple):
    """A route and what it asks for.

    Attributes:
        query: the names of the query's parameters that it takes; None: whatever comes is ignored.
        needed: the rights of which one is enough; none: everybody may whom the listener lets in.
    """

    route: RouteFunction
    query: frozenset[str] | None
    needed: frozenset[Right]


@dataclass(slots=True)
class Router:
    """Finds the route of a method and path; `{name}` in a pattern is one percent-decoded segment.

    Attributes:
        rights: what every route asks for, by method and pattern; one that is not in there cannot be registered.
    """

    rights: Mapping[tuple[str, str], frozenset[Right]]
    _exact: dict[str, dict[str, Routed]] = field(default_factory=dict)
    _patterns: list[tuple[tuple[str, ...], dict[str, Routed]]] = field(default_factory=list)

    def add(
        self, method: str, pattern: str, route: RouteFunction, query: frozenset[str] | None = frozenset()
    ) -> None:
        """Register a route, with the query that it takes (`Routed`)."""
        routed = Routed(route, query, self.rights[method, pattern])
        if "{" not in pattern:
            self._exact.setdefault(pattern, {})[method] = routed
            return
        steps = tuple(pattern.split("/"))
        for known, methods in self._patterns:
            if known == steps:
                methods[method] = routed
                return
        self._patterns.append((steps, {method: routed}))

    def routes(self) -> Iterator[tuple[str, str]]:
        """Method and pattern of every route."""
        for pattern, methods in self._exact.items():
            yield from ((method, pattern) for method in methods)
        for steps, methods in self._patterns:
            yield from ((method, "/".join(steps)) for method in methods)

    def find(self, method: str, path: str) -> tuple[Routed, Mapping[str, str]]:
        """The route and its variables.

        Raises:
            Problem: 404 for an unknown path, 405 (with Allow) for a method it does not have.
        """
        methods, variables = self._methods(path)
        if methods is None:
            raise Problem(404, f"there is nothing at this path; {self._meant(method, path)}")
        routed = methods.get("GET" if method == "HEAD" else method)
        if routed is None:
            allowed = ", ".join(sorted({*methods, "HEAD"} if "GET" in methods else methods))
            raise Problem(405, f"this path answers {allowed} only", headers=(("Allow", allowed),))
        return routed, variables

    def _meant(self, method: str, path: str) -> str:
        """The path that was probably meant: the same without empty segments, else a near one with this method."""
        plain = "/" + "/".join(filter(None, path.split("/")))
        if plain != path and self._methods(plain)[0] is not None:
            return f"did you mean {quoted(plain)}?"
        known = (pattern for taken, pattern in self.routes() if taken == method and "{" not in pattern)
        meant = near(path, known, cutoff=0.7)
        return f"did you mean {quoted(meant[0])}?" if meant else "GET /v1/status says what this is"

    def _methods(self, path: str) -> tuple[Mapping[str, Routed] | None, Mapping[str, str]]:
        if (methods := self._exact.get(path)) is not None:
            return methods, {}
        given = path.split("/")
        for steps, methods in self._patterns:
            if (variables := _fit(steps, given)) is not None:
                return methods, variables
        return None, {}


def _fit(steps: Sequence[str], given: Sequence[str]) -> Mapping[str, str] | None:
    if len(steps) != len(given):
        return None
    variables = {}
    for step, value in zip(steps, given, strict=True):
        if step.startswith("{") and value:
            variables[step[1:-1]] = unquote(value, errors="replace")
        elif step != value:
            return None
    return variables


class App:
    """Serves requests of one listener: its access policy, then the routes."""

    def __init__(self, router: Router, policy: AccessPolicy) -> None:
        self._router = router
        self._policy = policy

    async def serve(self, request: Request) -> Response:
        """The response to a request, whatever happens."""
        try:
            policy = self._policy
            policy.check(request)
            request.principal = principal = await policy.principal_of(request)
            (route, query, needed), variables = self._router.find(request.method, request.path)
            policy.demand(needed, principal)
            request.listener, request.guarded = policy.address, bool(policy.tokens)
            if query is not None:
                request.parameters = parse_query(request, query)
            return await route(request, variables)
        except Exception as exc:  # noqa: BLE001 - the boundary: every failure becomes a response
            return problem_of(exc).response()


def problem_of(exc: Exception) -> Problem:
    """The refusal that a failure of a route is answered with."""
    match exc:
        case Problem():
            return exc
        case EventRejected():
            return Problem(exc.status, exc.detail, title=exc.title, faults=exc.faults)
        case TaskSpent():
            return Problem(409, str(exc), title="Task is spent")
        case BudgetExceeded() | PendingLimitReached() | StoreUnavailable():
            return _later(exc)
        case _:
            log.error("request.failed", exc_info=exc)
            return unavailable("hookd failed to serve this request; its log says more")


def _later(exc: BudgetExceeded | PendingLimitReached | StoreUnavailable) -> Problem:
    """The refusal of what may succeed when it is asked again."""
    match exc:
        case BudgetExceeded():
            return busy()
        case PendingLimitReached():
            return unavailable("too many deliveries are waiting (daemon.limits.pending); nothing was stored")
        case StoreUnavailable():
            return unavailable(f"the store cannot write now; nothing was stored: {exc}")
