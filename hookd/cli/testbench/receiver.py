"""A test receiver: an HTTP server that notes what arrives, checks signatures, and answers as configured.

Must never: print what arrives, or keep what it noted; who asks for it takes each request from `next_request`. Called
by: `receive`, `demo`.
"""

import asyncio
import contextlib
import itertools
import logging
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from hookd.domain import signatures
from hookd.domain.definitions import SecretFormat
from hookd.domain.text import printable
from hookd.domain.value_class import value_class

LARGEST_BODY = 64 << 20
CLOSING_S = 0.5
"""How long an answer may take to reach a client that does not read it, once the receiver closes."""

BODILESS = frozenset({204, 304})


@value_class
class Behaviour:
    """How requests are answered.

    Attributes:
        statuses: answered in turn, from the first again after the last.
        delay_s: seconds before an answer.
        hang: take the request and never answer.
        reset: take the request and reset the connection.
        text: the body of every answer.
        headers: added to every answer.
    """

    statuses: tuple[int, ...] = (200,)
    delay_s: float = 0.0
    hang: bool = False
    reset: bool = False
    text: str = "ok\n"
    headers: tuple[tuple[str, str], ...] = ()


@value_class
class ReceivedRequest:
    """One request as it came in.

    Attributes:
        at: seconds since the epoch.
        target: path and query as sent.
        headers: names and values in the order and case sent; bytes that are not UTF-8 are escaped.
        signature: what checking it found; None where no secret was given.
    """

    at: float
    method: str
    target: str
    headers: tuple[tuple[str, str], ...]
    body: bytes
    signature: signatures.Verification | None

    def header(self, name: str) -> str:
        """The value of a header, whatever the case of its name; empty where it is missing."""
        return next((value for known, value in self.headers if known.lower() == name.lower()), "")


@dataclass(slots=True)
class Receiver:
    """The server. `behaviours` says how each path is answered; `default` is for every other path.

    Attributes:
        secrets: what signatures are checked with; none are where it is empty.
        secret_format: how they are read.
    """

    default: Behaviour = field(default_factory=Behaviour)
    behaviours: dict[str, Behaviour] = field(default_factory=dict)
    secrets: Sequence[str] = ()
    secret_format: SecretFormat = SecretFormat.AUTO
    _arrived: asyncio.Queue[ReceivedRequest] = field(default_factory=asyncio.Queue)
    _turns: dict[str, Iterator[int]] = field(default_factory=dict)
    _runner: web.AppRunner | None = None
    _under_way: int = 0
    _idle: asyncio.Event = field(default_factory=asyncio.Event)
    _closing: asyncio.Event = field(default_factory=asyncio.Event)

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; port 0 takes a free one. Returns the address in use.

        Raises:
            OSError: the address cannot be used.
        """
        self._idle.set()
        application = web.Application(client_max_size=LARGEST_BODY)
        application.router.add_route("*", r"/{path:[\s\S]*}", self._answer)
        self._runner = web.AppRunner(
            application, access_log=None, logger=_complaints(), shutdown_timeout=CLOSING_S
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, host, port).start()
        address = self._runner.addresses[0]
        return address[0], address[1]

    async def next_request(self) -> ReceivedRequest:
        """Wait for the next request that has not been taken yet."""
        return await self._arrived.get()

    async def stop(self, *, grace_s: float = 0.0) -> None:
        """Give answers under way `grace_s` seconds to go out, then close every connection."""
        if self._runner is None:
            return
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._idle.wait(), grace_s)
        self._closing.set()
        await self._runner.cleanup()

    async def _answer(self, request: web.Request) -> web.StreamResponse:
        self._under_way += 1
        self._idle.clear()
        try:
            self._arrived.put_nowait(self._received(request, await request.read()))
            return await self._behave(request, self.behaviours.get(request.path, self.default))
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._idle.set()

    def _received(self, request: web.Request, body: bytes) -> ReceivedRequest:
        headers = tuple((_decoded(name), _decoded(value)) for name, value in request.raw_headers)
        at, signature = time.time(), None
        if self.secrets:
            signature = signatures.verify(
                dict(headers), body, self.secrets, now=at, secret_format=self.secret_format
            )
        return ReceivedRequest(at, request.method, request.raw_path, headers, body, signature)

    async def _behave(self, request: web.Request, behaviour: Behaviour) -> web.StreamResponse:
        await self._pause(None if behaviour.hang else behaviour.delay_s)
        if behaviour.reset or behaviour.hang:
            _reset(request)
        return self._response(request.path, behaviour)

    async def _pause(self, seconds: float | None) -> None:
        """Wait this long (None: without end), or until the receiver closes."""
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    def _response(self, path: str, behaviour: Behaviour) -> web.Response:
        key = path if path in self.behaviours else ""
        status = next(self._turns.setdefault(key, itertools.cycle(behaviour.statuses)))
        response = web.Response(status=status, text=None if status in BODILESS else behaviour.text)
        for name, _ in behaviour.headers:
            response.headers.popall(name, None)
        for name, value in behaviour.headers:
            response.headers.add(name, value)
        return response


def _complaints() -> logging.Logger:
    """Where the server says what is wrong with a request: a line on standard error, without a trace."""
    logger = logging.getLogger("hookd.receiver")
    logger.propagate = False
    handler = logging.StreamHandler()
    handler.setFormatter(_Complaint())
    logger.handlers = [handler]
    return logger


class _Complaint(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        kind = record.exc_info[0] if record.exc_info else None
        return printable(f"hookd: {record.getMessage()}" + (f": {kind.__name__}" if kind else ""))


def _decoded(raw: bytes) -> str:
    return raw.decode("utf-8", "backslashreplace")


def _reset(request: web.Request) -> None:
    """Close the connection with RST instead of FIN."""
    transport = request.transport
    if transport is None:
        return
    connection: Any = transport.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    transport.abort()
