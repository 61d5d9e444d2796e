"""One HTTP request and its answer, over a Unix socket or a URL.

The exchange is written out by hand, because `http.client` alone takes longer to import than all else that
`hookd emit` does, and bounds each wait instead of the whole. It speaks HTTP/1.0 (RFC 1945): one request a
connection, no chunks, the end of the answer is the end of the connection.

Must never: interpret an answer, retry, follow a redirect or use a proxy.
"""

import contextlib
import socket
import time
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import http.client


NDJSON = "application/x-ndjson"
"""JSON a line; asked for where an answer has no end."""


class ApiRequest(NamedTuple):
    """What is asked: a method, a path with its query in ASCII, headers, and a body that may be empty."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes = b""


class ApiResponse(NamedTuple):
    """What came back; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes


class NoAnswer(Exception):
    """The connection ended without a whole answer, or what came is not HTTP."""


def is_url(address: str) -> bool:
    """Whether an address is an http or https URL; else it is the path of a Unix socket."""
    return address.startswith(("http://", "https://"))


def over_unix(path: str, request: ApiRequest, timeout_s: float) -> ApiResponse:
    """Exchange over the Unix socket at `path`; all of it takes no more than `timeout_s` seconds.

    Raises:
        OSError: the socket cannot be reached, or is silent for too long (`TimeoutError`).
        NoAnswer: the connection ended early.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        until = time.monotonic() + timeout_s
        connection.settimeout(timeout_s)
        connection.connect(path)
        return _exchanged(connection, request, "localhost", until)


def _exchanged(connection: socket.socket, request: ApiRequest, host: str, until: float) -> ApiResponse:
    _limit(connection, until)
    _send(connection, request, host)
    return parse_answer(_read_all(connection, until))


def _limit(connection: socket.socket, until: float) -> None:
    """Let the next wait end at `until` (monotonic seconds); raises TimeoutError where that is past."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(left_s)


def _send(connection: socket.socket, request: ApiRequest, host: str) -> None:
    headers = {"Host": host, "Content-Length": str(len(request.body)), **request.headers}
    lines = [
        f"{request.method} {request.path} HTTP/1.0",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    head = "\r\n".join(lines) + "\r\n\r\n"
    # A body that is too large is refused before it is read: the answer is there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head.encode("ascii") + request.body)


def _read_all(connection: socket.socket, until: float) -> bytes:
    received = bytearray()
    # A reset follows an answer that was given before the whole body was read.
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            received += part
            _limit(connection, until)
    return bytes(received)


def parse_answer(raw: bytes) -> ApiResponse:
    """Split a whole answer into its parts.

    Raises:
        NoAnswer: it is not HTTP, or shorter than it announced.
    """
    head, separator, body = raw.partition(b"\r\n\r\n")
    status_line, *fields = head.decode("latin-1").split("\r\n")
    version, _, rest = status_line.partition(" ")
    if not separator or not version.startswith("HTTP/1.") or not rest[:3].isdecimal():
        raise NoAnswer("the connection was closed without an answer" if not raw else "the answer is not HTTP")
    headers = {
        name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in fields)
    }
    length = headers.get("content-length", "0")
    if not (length.isascii() and length.isdecimal()):
        raise NoAnswer("the answer is not HTTP")
    if len(body) < int(length):
        raise NoAnswer("the connection was closed in the middle of the answer")
    return ApiResponse(int(rest[:3]), headers, body)


def over_url(url: str, request: ApiRequest, timeout_s: float) -> ApiResponse:
    """Exchange with the server at `url`, an http or https URL whose path is put before the request's; as `over_unix`.

    Raises:
        OSError: it cannot be reached, or its certificate is not trusted, or it takes too long (`TimeoutError`).
        NoAnswer: the connection ended early, or what came is not HTTP.
    """
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    until = time.monotonic() + timeout_s
    secure = parts.scheme == "https"
    host = parts.hostname or ""
    with contextlib.ExitStack() as stack:
        address = (host, parts.port or (443 if secure else 80))
        connection = stack.enter_context(socket.create_connection(address, timeout_s))
        _limit(connection, until)
        if secure:
            import ssl

            context = ssl.create_default_context()
            connection = stack.enter_context(context.wrap_socket(connection, server_hostname=host))
        whole = request._replace(path=parts.path.rstrip("/") + request.path)
        return _exchanged(connection, whole, parts.netloc, until)


def connected(url: str, timeout_s: float) -> "tuple[http.client.HTTPConnection, str]":
    """A connection to the server at `url`, not yet opened, and what stands before each path there."""
    import http.client
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    return kind(parts.hostname or "", parts.port, timeout=timeout_s), parts.path.rstrip("/")
