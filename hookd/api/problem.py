"""Answers: JSON bodies, and refusals as RFC 9457 problems.

Must never: put anything into an answer that the caller did not hand in (no exception texts of libraries).
Called by: every route, `guard`, `connection`.
"""

import json
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any

from aiohttp import web

from hookd import __version__
from hookd.errors import Fault

SERVER = f"hookd/{__version__}"

RETRY_AFTER_S = 5
"""What a 503 asks its client to wait (seconds)."""

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode


class Problem(Exception):
    """A refusal on its way out of a route; `answer` becomes the response."""

    def __init__(
        self,
        status: int,
        detail: str,
        *,
        title: str = "",
        faults: Sequence[Fault] = (),
        near: Sequence[str] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.title = title or HTTPStatus(status).phrase
        self.faults = faults
        self.near = near
        self.headers = dict(headers or {})

    def answer(self) -> web.Response:
        """The `application/problem+json` response."""
        body: dict[str, Any] = {"title": self.title, "status": self.status, "detail": self.detail}
        body["errors"] = [{"pointer": fault.pointer, "message": fault.message} for fault in self.faults]
        if self.near:
            body["near"] = list(self.near)
        return web.Response(
            status=self.status,
            body=_encode(body).encode("utf-8", "backslashreplace"),
            headers={"Content-Type": "application/problem+json", "Server": SERVER, **self.headers},
        )


def unavailable(detail: str) -> Problem:
    """A 503 that asks to come again."""
    return Problem(503, detail, headers={"Retry-After": str(RETRY_AFTER_S)})


_JSON_HEADERS = {"Content-Type": "application/json", "Server": SERVER}


def answer(value: Any, status: int = 200) -> web.Response:
    """A JSON response."""
    return web.Response(status=status, body=_encode(value).encode(), headers=_JSON_HEADERS)


def text_answer(body: bytes, content_type: str) -> web.Response:
    """A response in another text format."""
    return web.Response(body=body, headers={"Content-Type": content_type, "Server": SERVER})
