"""A stub of the daemon for tests of the command line: canned answers on a Unix socket, and what was asked.

It shows what the client makes of answers; that the daemon gives such answers is shown elsewhere.
"""

import json
import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit


@dataclass
class Asked:
    """One request the stub was sent."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Canned:
    """An answer; `content` is sent as JSON, bytes as they are."""

    status: int = 200
    content: Any = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


Answering = Callable[[Asked], Canned]


class FakeDaemon:
    """Answers with what `answers` has for `METHOD PATH`: an answer, or a function of the request."""

    def __init__(self) -> None:
        self.socket = ""
        self.url = ""
        self.asked: list[Asked] = []
        self.answers: dict[str, Canned | Answering] = {}

    def answer_to(self, asked: Asked) -> Canned:
        self.asked.append(asked)
        found = self.answers[f"{asked.method} {asked.path}"]
        return found if isinstance(found, Canned) else found(asked)


def problem(status: int, detail: str, **more: Any) -> Canned:
    """An RFC 9457 problem."""
    headers = more.pop("headers", {})
    content = {"title": "No", "status": status, "detail": detail, "errors": [], **more}
    return Canned(status, content, {"Content-Type": "application/problem+json", **headers})


@contextmanager
def serving(address: Path | tuple[str, int]) -> Iterator[FakeDaemon]:
    """A stub that listens on a Unix socket, or on a TCP address."""
    daemon = FakeDaemon()
    with _server(address, daemon) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield daemon
        finally:
            server.shutdown()
            thread.join()


def _server(address: Path | tuple[str, int], daemon: FakeDaemon) -> socketserver.BaseServer:
    if isinstance(address, Path):
        daemon.socket = str(address)
        return socketserver.ThreadingUnixStreamServer(daemon.socket, _request_class(daemon))
    server = socketserver.ThreadingTCPServer(address, _request_class(daemon))
    daemon.url = "http://{}:{}".format(*server.server_address)
    return server


def _request_class(daemon: FakeDaemon) -> type[BaseHTTPRequestHandler]:
    class Request(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self._answer()

        def do_POST(self) -> None:
            self._answer()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

        def _answer(self) -> None:
            parts = urlsplit(self.path)
            query = {name: values[0] for name, values in parse_qs(parts.query).items()}
            body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
            canned = daemon.answer_to(Asked(self.command, parts.path, query, dict(self.headers), body))
            content = canned.content
            raw = content if isinstance(content, bytes) else json.dumps(content, ensure_ascii=False).encode()
            self.send_response(canned.status)
            for name, value in {"Content-Length": str(len(raw)), **canned.headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(raw)

    return Request
