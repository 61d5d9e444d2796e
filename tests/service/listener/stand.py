"""An open listener with routes that do what a test tells them."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field

from hookd.domain.clock import Clock
from hookd.domain.definitions import HttpListen, UnixListen
from hookd.server import body
from hookd.server.activation import ListenTarget
from hookd.server.limits import Limits
from hookd.server.messages import Request, Response
from hookd.server.problems import json_response
from hookd.server.router import Router
from hookd.server.sockets import Listeners
from tests.kit.http_client import Client

BIG = b"x" * (8 * 1024 * 1024)


@dataclass
class Stub:
    """The routes, and what became of their requests."""

    limit: int = 1 << 20
    body_s: float = 5.0
    began: list[str] = field(default_factory=list)
    ended: list[str] = field(default_factory=list)
    gate: asyncio.Event = field(default_factory=asyncio.Event)

    def router(self) -> Router:
        router = Router()
        router.add("POST", "/echo", self.echo)
        router.add("GET", "/things/{name}", self.thing, None)
        router.add("GET", "/headers", self.headers)
        router.add("GET", "/gated/{name}", self.gated)
        router.add("GET", "/big", self.big)
        router.add("GET", "/broken", self.broken)
        router.add("POST", "/careless", self.careless)
        return router

    async def echo(self, request: Request, _variables: Mapping[str, str]) -> Response:
        """What was posted; only a whole body is ever written down."""
        raw = await body.read(request, self.limit, self.body_s)
        self.ended.append(raw.decode())
        return json_response({"got": raw.decode()}, 202)

    async def thing(self, request: Request, variables: Mapping[str, str]) -> Response:
        return json_response({"name": variables["name"], "query": request.query()})

    async def headers(self, request: Request, _variables: Mapping[str, str]) -> Response:
        return json_response(sorted(request.headers))

    async def gated(self, _request: Request, variables: Mapping[str, str]) -> Response:
        """Answers when the gate opens."""
        self.began.append(variables["name"])
        await self.gate.wait()
        self.ended.append(variables["name"])
        return json_response(variables["name"])

    async def big(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        return Response(200, BIG, "text/plain")

    async def broken(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        raise RuntimeError("a secret thing broke")

    async def careless(self, _request: Request, _variables: Mapping[str, str]) -> Response:
        """Answers without a look at the body."""
        return json_response("careless")


class Stand:
    """A listener on one address."""

    def __init__(self, stub: Stub, bounds: Limits, listen: HttpListen | UnixListen) -> None:
        self.stub = stub
        self.listeners = Listeners(stub.router(), Clock(), "hookd/test", bounds)
        self._listen = listen

    async def open(self) -> None:
        await self.listeners.open(ListenTarget(self._listen))

    @property
    def port(self) -> int:
        return int(self.listeners.addresses[0].rpartition(":")[2])

    @property
    def connections(self) -> int:
        """How many connections the listener still counts."""
        return sum(len(listener._open) for listener in self.listeners._listeners)

    async def client(self, **options: int) -> Client:
        if isinstance(self._listen, UnixListen):
            return await Client.to(self._listen.path, **options)
        return await Client.to((self._listen.host, self.port), **options)


def got(raw: bytes) -> object:
    """The text that `echo` was posted."""
    return json.loads(raw)["got"]
