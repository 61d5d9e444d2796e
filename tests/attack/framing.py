"""Requests of ambiguous length through a proxy, each with a forbidden one behind it; and a victim after each.

The forbidden request pauses a webhook. The proxies refuse it by its path, so that it gets through only where proxy and
daemon do not agree on where a request ends. The victim must get its own answer.
"""

import asyncio
import itertools
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, suppress
from pathlib import Path
from typing import Any

from tests.attack import proxies
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

CONFIG = """
daemon:
  listen: [{{unix: h.sock}}, {{http: "127.0.0.1:{port}", allowed_hosts: [hooks.example], peers: []}}]
  store: h.db
  log: {{format: json}}
webhooks: {{w: {{url: "http://127.0.0.1:9/", enabled: false}}}}
"""
FORBIDDEN = b"POST /v1/webhooks/w/pause HTTP/1.1\r\nHost: hooks.example\r\nContent-Length: 0\r\n\r\n"
OWN = b'{"type": "t", "event": "attack"}'
CHUNKED = b"%x\r\n%b\r\n0\r\n\r\n" % (len(OWN), OWN)
READ_S = 0.3
AT_ONCE = 8

LENGTHS = (
    (), ("Content-Length: {own}",), ("Content-Length: {all}",), ("Content-Length: 0",), ("content-length:{own}",),
    ("Content-Length: +{own}",), ("Content-Length: {own}, {own}",), ("Content-Length: {own}", "Content-Length: {all}"),
    ("Content-Length: {all}", "Content-Length: {own}"), ("Content-Length : {own}",), ("Content-Length: 0{own}",),
    ("Content-Length: {own}\t",),
)  # fmt: skip
ENCODINGS = (
    (), ("Transfer-Encoding: chunked",), ("transfer-encoding:chunked",), ("Transfer-Encoding: CHUNKED",),
    ("Transfer-Encoding: chunked, chunked",), ("Transfer-Encoding: identity",),
    ("Transfer-Encoding: identity, chunked",), ("Transfer-Encoding: gzip, chunked",),
    ("Transfer-Encoding: chunked", "Transfer-Encoding: identity"), ("Transfer-Encoding : chunked",),
    ("Transfer-Encoding: xchunked",), ("Transfer-Encoding:\tchunked",), ("Transfer-Encoding: \x0bchunked",),
    ("Transfer-Encoding: chunked;q=1",), ("X: y\nTransfer-Encoding: chunked",), ("Transfer_Encoding: chunked",),
    ("Transfer-Encoding:",), ('Transfer-Encoding: "chunked"',), ("Connection: Content-Length",),
    ("Transfer-Encoding: chunked", "Connection: Transfer-Encoding"),
)  # fmt: skip
BODIES = (OWN + FORBIDDEN, CHUNKED + FORBIDDEN, b"0\r\n\r\n" + FORBIDDEN, FORBIDDEN)


def attempts() -> Iterator[bytes]:
    """12 lengths, 20 encodings, 4 bodies: 960 requests."""
    for lengths, encodings, body in itertools.product(LENGTHS, ENCODINGS, BODIES):
        fields = [field.format(own=len(OWN), all=len(body)) for field in (*lengths, *encodings)]
        lines = ["POST /v1/events HTTP/1.1", "Host: hooks.example", "Content-Type: application/json", *fields]
        yield "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n" + body


async def prove(options: Options) -> Findings:
    """Try all of them by both proxies; in short, every seventh."""
    found = Findings()
    wanted = list(attempts())[:: options.scale(short=7, long=1)]
    for name, proxy in (("nginx", proxies.nginx), ("HAProxy", proxies.haproxy)):
        found.figures[name] = await _through(options.place(name), proxy, wanted, name, found)
    return found


async def _through(
    place: Path,
    proxy: Callable[[Path, int], AbstractContextManager[int]],
    wanted: list[bytes],
    name: str,
    found: Findings,
) -> dict[str, Any]:
    behind = free_port()
    (place / "hookd.yaml").write_text(CONFIG.format(port=behind))
    async with DaemonProcess(place) as daemon:
        with proxy(place, behind) as port:
            answers: dict[str, int] = {}
            for start in range(0, len(wanted), AT_ONCE):
                lot = wanted[start : start + AT_ONCE]
                for answer in await asyncio.gather(*(_send(port, raw) for raw in lot)):
                    answers[answer] = answers.get(answer, 0) + 1
                victims = [_is_served(port, f"{name}-{start + number}") for number in range(len(lot))]
                served = await asyncio.gather(*victims)
                found.expect(
                    all(served),
                    f"{name}: a victim of the requests {start} to {start + len(lot) - 1} did not get its answer",
                )
        paused = len(daemon.logged("webhook.paused"))
        found.expect(not paused, f"{name}: {paused} forbidden requests got through")
    return {"tried": len(wanted), "victims": len(wanted), "got through": paused, "answers": answers}


async def _send(port: int, raw: bytes) -> str:
    """The status of the first answer, or that there was none within the time."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answer = bytearray()
    with suppress(TimeoutError, OSError):
        writer.write(raw)
        async with asyncio.timeout(READ_S):
            while piece := await reader.read(65536):
                answer += piece
    writer.close()
    return answer[9:12].decode("latin-1") or "none"


async def _is_served(port: int, event_id: str) -> bool:
    body = json.dumps({"type": "t", "event": "victim", "id": event_id}).encode()
    head = (
        "POST /v1/events HTTP/1.1\r\nHost: hooks.example\r\nContent-Type: application/json\r\n"
        f"Connection: close\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(head.encode() + body)
    async with asyncio.timeout(30):
        answer = await reader.read()
    writer.close()
    return answer.startswith(b"HTTP/1.1 202") and f'"id":"{event_id}"'.encode() in answer
