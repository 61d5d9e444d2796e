"""The query of a request: each parameter known, and given once (spec 9).

Must never: know which parameters a route has.
"""

from hookd.domain.errors import Fault
from hookd.domain.text import near
from hookd.server.messages import Request
from hookd.server.problems import Problem


def parse_query(request: Request, known: frozenset[str]) -> dict[str, str]:
    """The query's parameters.

    Raises:
        Problem: 400 for an unknown one, or one that is given twice.
    """
    query: dict[str, str] = {}
    for name, value in request.query():
        if name not in known:
            others = f"known are {', '.join(sorted(known))}" if known else "this path takes none"
            meant = "".join(f"did you mean {choice}?" for choice in near(name, known))
            message = f"unknown query parameter {name!r}; {meant or others}"
            raise Problem(400, message, faults=[Fault("", message)])
        if name in query:
            raise bad_query(name, "is given twice")
        query[name] = value
    return query


def bad_query(name: str, fault: str) -> Problem:
    """A 400 for a query parameter."""
    return Problem(400, f"query parameter {name} {fault}", faults=[Fault("", f"{name} {fault}")])
