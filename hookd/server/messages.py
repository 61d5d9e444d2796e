"""Requests and responses as the routes see them, and a response's bytes.

Must never: decide anything.
"""

from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from functools import lru_cache
from http import HTTPStatus
from urllib.parse import parse_qsl

from aiohttp import StreamReader
from multidict import CIMultiDictProxy

from hookd.domain.principals import Principal
from hookd.server.memory_budget import Reservation
from hookd.server.peers import Peer

JSON_TYPE = "application/json"

_UNKNOWN = Principal("an unknown user", frozenset())


@dataclass(slots=True)
class KnownRequest:
    """One request whose head is known (`known_heads`), with its body.

    Attributes:
        traceparent: as it came, or None.
        reservation: the memory it takes; released once it is answered.
        arrived_at: when it had come (monotonic seconds).
        answer: takes the response, once, and never before the function that it was handed to has returned.
    """

    body: bytes
    traceparent: str | None
    reservation: Reservation
    arrived_at: float
    answer: "Callable[[Response], None]"


Again = Callable[[KnownRequest], bool]
"""Serves a further request with a known head, without a task. False: it goes the whole way, and nothing was done."""


@dataclass(slots=True)
class Request:
    """One request, its head complete.

    Attributes:
        path: as sent, percent-encoded, without the query.
        content: the body's reader.
        local_address: gives the address that the client reached, or an empty text on a Unix socket.
        send_now: writes bytes before the response (for 100 Continue).
        reservation: the memory it takes.
        arrived_at: when its head had come, and as much of its body as came along (monotonic seconds).
        parameters: the query's, once `router` has found the route and knows which it takes.
        peer: finds the local user who sent it.
        listener: the address of the listener that it came by; `router` says so.
        guarded: whether the listener asks for a token; `router` says so.
        principal: who sent it; `router` says so.
        again: serves requests with the same head, where the route says that it may; it counts if this one is taken.
    """

    method: str
    path: str
    query_string: str
    headers: CIMultiDictProxy[str]
    content: StreamReader
    local_address: Callable[[], str]
    send_now: Callable[[bytes], None]
    reservation: Reservation
    arrived_at: float
    peer: Callable[[], Awaitable[Peer | None]]
    parameters: Mapping[str, str] = field(default_factory=dict)
    listener: str = ""
    guarded: bool = False
    principal: Principal = _UNKNOWN
    again: Again | None = None

    def query(self) -> list[tuple[str, str]]:
        """The query's names and values, decoded, in order."""
        return parse_qsl(self.query_string, keep_blank_values=True)

    def content_length(self) -> int | None:
        """The announced length of the body (the parser has made sure that it is a number), or None."""
        given = self.headers.get("Content-Length")
        return None if given is None else int(given)


@dataclass(slots=True)
class Response:
    """What goes back. `close` ends the connection after it.

    Attributes:
        stream: in place of a body, one that is written chunk by chunk as it comes; the connection ends after it.
    """

    status: int
    body: bytes = b""
    content_type: str = JSON_TYPE
    headers: tuple[tuple[str, str], ...] = ()
    close: bool = False
    stream: AsyncGenerator[bytes, None] | None = None

    def encode(self, *, server: str, connection: str, head_only: bool, now: float) -> bytes:
        """The bytes on the wire.

        Args:
            server: the Server header's value.
            connection: the Connection header's value, or an empty text for none.
            head_only: for HEAD.
            now: seconds since the epoch.
        """
        head = _opening(self.status, server, self.content_type) + _date(int(now))
        if self.stream is None:
            head += f"Content-Length: {len(self.body)}\r\n"
        for name, value in self.headers:
            head += f"{name}: {value}\r\n"
        if connection:
            head += f"Connection: {connection}\r\n"
        raw = (head + "\r\n").encode()
        return raw if head_only else raw + self.body


@lru_cache(maxsize=64)
def _opening(status: int, server: str, content_type: str) -> str:
    phrase = HTTPStatus(status).phrase
    return (
        f"HTTP/1.1 {status} {phrase}\r\nServer: {server}\r\nContent-Type: {content_type}\r\n"
        "X-Content-Type-Options: nosniff\r\nCache-Control: no-store\r\n"
    )


@lru_cache(maxsize=2)
def _date(second: int) -> str:
    return f"Date: {formatdate(second, usegmt=True)}\r\n"
