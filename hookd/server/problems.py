"""Responses with JSON: values, and refusals as RFC 9457 problems.

Must never: put anything into a response that the caller did not hand in (no exception texts of libraries).
"""

from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from hookd.domain.errors import Fault
from hookd.domain.json_text import compact_json
from hookd.server.messages import Response

PROBLEM_TYPE = "application/problem+json"

RETRY_AFTER_S = 5
"""What a 503 asks its client to wait (seconds)."""


class Problem(Exception):
    """A refusal on its way out of a route; `response` makes it one."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        faults: Sequence[Fault] = (),
        near: Sequence[str] = (),
        headers: tuple[tuple[str, str], ...] = (),
        close: bool = False,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.faults = faults
        self.near = near
        self.headers = headers
        self.close = close

    def response(self) -> Response:
        """The `application/problem+json` response."""
        body: dict[str, Any] = {"title": self.title, "status": self.status, "detail": self.detail}
        body["errors"] = [{"pointer": fault.pointer, "message": fault.message} for fault in self.faults]
        if self.near:
            body["near"] = list(self.near)
        raw = compact_json(body).encode("utf-8", "backslashreplace")
        return Response(self.status, raw, PROBLEM_TYPE, self.headers, self.close)


def unavailable(detail: str, *, close: bool = False) -> Problem:
    """A 503 that asks to come again."""
    return Problem(503, detail, headers=(("Retry-After", str(RETRY_AFTER_S)),), close=close)


def busy(*, close: bool = False) -> Problem:
    """The 503 of a request for which there is no room in memory."""
    return unavailable("more is being taken in than can be stored now; nothing was stored", close=close)


def json_response(value: Any, status: int = 200) -> Response:
    """A value as JSON."""
    return Response(status, compact_json(value).encode())
