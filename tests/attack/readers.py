"""One who may only read: large answers left unread, more followers than there may be, one connection after the other.

Must never: change anything; its token lets it read alone.
"""

import asyncio
import json
from contextlib import suppress

from tests.attack.beside import beside
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

CONFIG = """
daemon:
  listen:
    - unix: h.sock
    - {{http: "127.0.0.1:{port}", tokens: [{{name: reader, token: reader, may: [read]}}]}}
  store: h.db
webhooks: {{w: {{url: "http://127.0.0.1:9/", enabled: false}}}}
tasks: {{t: {{webhook: w, message: "${{data}}"}}}}
events: {{e: {{type: t, event: e, task: t}}}}
"""
LARGE = json.dumps({"type": "t", "event": "e", "id": "large", "data": {"x": "x" * 900_000}}).encode()
SMALL = json.dumps([{"type": "t", "event": "e", "object": "o" * 256}] * 500).encode()
UNREAD_S = 3.0


async def prove(options: Options) -> Findings:
    """Each kind on a daemon of its own."""
    found, port = Findings(), free_port()
    connections = options.scale(short=200, long=900)
    for kind, path in {
        "large events, unread": "/v1/events/large",
        "listings of events, unread": "/v1/events?limit=500",
        "listings of deliveries, unread": "/v1/deliveries?limit=500",
        "status, unread": "/v1/status",
        "followers": "/v1/tail",
    }.items():
        place = options.place(kind)
        (place / "hookd.yaml").write_text(CONFIG.format(port=port))
        async with DaemonProcess(place) as daemon:
            await daemon.request("POST", "/v1/events", body=LARGE)
            await daemon.request("POST", "/v1/events", body=SMALL)
            async with beside(daemon) as cost:
                answered = await _leave_unread(port, path, connections)
        cost.judge(kind, found)
        found.figures[kind] = {"connections": connections, "answers begun": answered, **cost.shown()}
    return found


async def _leave_unread(port: int, path: str, connections: int) -> int:
    """Ask on many connections, read the first byte of each answer and nothing more, and hold them for a while."""
    fields = ("Host: localhost", "Authorization: Bearer reader", "Accept: application/x-ndjson")
    request = "\r\n".join((f"GET {path} HTTP/1.1", *fields, "", "")).encode()
    opened = [await asyncio.open_connection("127.0.0.1", port, limit=1) for _ in range(connections)]
    for _, writer in opened:
        writer.write(request)
    began = 0
    with suppress(TimeoutError):
        async with asyncio.timeout(UNREAD_S):
            for reader, _ in opened:
                began += bool(await reader.read(1))
            await asyncio.Event().wait()
    for _, writer in opened:
        writer.transport.abort()
    return began
