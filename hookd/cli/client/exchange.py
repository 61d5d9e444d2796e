"""One HTTP request and its answer, whole or line by line, over a Unix socket or a URL.

The exchange is written out by hand, because `http.client` alone takes longer to import than all else that
`hookd emit` does, and bounds each wait instead of the whole. It speaks HTTP/1.0 (RFC 1945): one request a
connection, no chunks, the end of the answer is the end of the connection.

Must never: interpret an answer, retry, follow a redirect or use a proxy.
"""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Iterator

TYPE_CHECKING = False  # the checker's True; importing `typing` would be a tenth of all that `hookd emit` does
if TYPE_CHECKING:
    from typing import BinaryIO

NDJSON = "application/x-ndjson"
"""JSON a line; asked for where an answer has no end."""

_LONGEST_HEAD = 1 << 16
"""Bytes of an answer's status line and headers."""


class ApiRequest:
    """What is asked: a method, a path with its query in ASCII, headers, and a body that may be empty."""

    def __init__(self, method: str, path: str, headers: dict[str, str], body: bytes = b"") -> None:
        self.method = method
        self.path = path
        self.headers = headers
        self.body = body


class ApiResponse:
    """What came back; names of headers are in lower case."""

    def __init__(self, status: int, headers: dict[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body


class NoAnswer(Exception):
    """The connection ended without a whole answer, or what came is not HTTP."""


def is_url(address: str) -> bool:
    """Whether an address is an http or https URL; else it is the path of a Unix socket."""
    return address.startswith(("http://", "https://"))


def exchanged(address: str, request: ApiRequest, timeout_s: float) -> ApiResponse:
    """Send a request and read the whole answer; all of it takes no more than `timeout_s` seconds.

    Raises:
        OSError: the address cannot be reached, its certificate is not trusted, or it takes too long (`TimeoutError`).
        NoAnswer: the connection ended early, or what came is not HTTP.
    """
    until = time.monotonic() + timeout_s
    with contextlib.ExitStack() as stack:
        connection = _opened(stack, address, request, until)
        return parse_answer(_read_all(connection, until))


def exchanged_lines(address: str, request: ApiRequest, silent_s: float) -> ApiResponse | Iterator[bytes]:
    """Send a request and read the lines of an answer in NDJSON as they come, each without its end.

    Args:
        address: as `exchanged` takes it.
        request: likewise.
        silent_s: the longest wait for anything, in seconds.

    Returns:
        The lines; what a broken connection leaves of one is dropped. Another answer as a whole.

    Raises:
        OSError, NoAnswer: as `exchanged`; the former also while lines are read.
    """
    with contextlib.ExitStack() as stack:
        connection = _opened(stack, address, request, time.monotonic() + silent_s)
        connection.settimeout(silent_s)
        stream = stack.enter_context(connection.makefile("rb"))
        head = b""
        while len(head) < _LONGEST_HEAD and (line := stream.readline(_LONGEST_HEAD)):
            head += line
            if line == b"\r\n":
                break
        if parse_answer(head, complete=False).headers.get("content-type") != NDJSON:
            return parse_answer(head + stream.read())
        return _lines(stream, stack.pop_all())


def _lines(stream: BinaryIO, connection: contextlib.ExitStack) -> Iterator[bytes]:
    with connection:
        while (line := stream.readline()).endswith(b"\n"):
            yield line.rstrip(b"\n")


def _opened(stack: contextlib.ExitStack, address: str, request: ApiRequest, until: float) -> socket.socket:
    """A connection over which the request was sent; the stack closes it. Each wait ends at `until` (monotonic)."""
    if is_url(address):
        connection, host, base = _connected_to_url(stack, address, until)
    else:
        connection = stack.enter_context(socket.socket(socket.AF_UNIX, socket.SOCK_STREAM))
        _limit(connection, until)
        connection.connect(address)
        host, base = "localhost", ""
    _limit(connection, until)
    headers = {"Host": host, "Content-Length": str(len(request.body)), **request.headers}
    lines = [
        f"{request.method} {base}{request.path} HTTP/1.0",
        *(f"{name}: {value}" for name, value in headers.items()),
    ]
    head = "\r\n".join(lines) + "\r\n\r\n"
    # A body that is too large is refused before it is read: the answer is there all the same.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(head.encode("ascii") + request.body)
    return connection


def _connected_to_url(stack: contextlib.ExitStack, url: str, until: float) -> tuple[socket.socket, str, str]:
    """A connection to the server of an http or https URL, its name there, and what stands before each path."""
    from urllib.parse import urlsplit

    parts = urlsplit(url)
    host, secure = parts.hostname or "", parts.scheme == "https"
    place = (host, parts.port or (443 if secure else 80))
    try:
        connection = stack.enter_context(socket.create_connection(place, until - time.monotonic()))
    except UnicodeError:  # it cannot be written in IDNA
        raise socket.gaierror(socket.EAI_NONAME, "not a valid host name") from None
    if secure:
        import ssl

        _limit(connection, until)
        context = ssl.create_default_context()
        connection = stack.enter_context(context.wrap_socket(connection, server_hostname=host))
    return connection, parts.netloc, parts.path.rstrip("/")


def _limit(connection: socket.socket, until: float) -> None:
    """Let the next wait end at `until` (monotonic seconds); raises TimeoutError where that is past."""
    left_s = until - time.monotonic()
    if left_s <= 0:
        raise TimeoutError
    connection.settimeout(left_s)


def _read_all(connection: socket.socket, until: float) -> bytes:
    received = bytearray()
    # A reset follows an answer that was given before the whole body was read.
    with contextlib.suppress(ConnectionResetError):
        while part := connection.recv(1 << 16):
            received += part
            _limit(connection, until)
    return bytes(received)


def parse_answer(raw: bytes, *, complete: bool = True) -> ApiResponse:
    """Split an answer into its parts.

    Raises:
        NoAnswer: it is not HTTP, or `complete`, and shorter than it announced.
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
    if complete and len(body) < int(length):
        raise NoAnswer("the connection was closed in the middle of the answer")
    return ApiResponse(int(rest[:3]), headers, body)
