"""Foreign Hosts and Origins, bodies that a web page may send, wrong tokens: every one is refused, nothing is stored.

Called by: the package. Must never: send a request that would be good.
"""

import asyncio
from pathlib import Path

from tests.chaos.proof import Findings, Options
from tests.kit.ports import free_port
from tests.kit.stage import Stage

TOKEN = "the-token-of-this-listener"
BODY = b'{"type": "door", "event": "opened"}'

HOSTS = (
    "evil.example", "evil.example:PORT", "127.0.0.1.evil.example", "localhost.evil.example", "evil.localhost",
    "localhost.", "127.0.0.1.", "127.0.0.2", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "[::1]", "[::1]:PORT",
    "[::ffff:127.0.0.1]", "0.0.0.0", "user@127.0.0.1:PORT", "127.0.0.1:PORT@evil.example", "127.0.0.1:x",
    "127.0.0.1:PORT:PORT", "127.0.0.1/evil", "127.0.0.1#", "localhost, evil.example", "evil.example, localhost",
    "xn--lcalhost-n1a", "evil.hookd.example", "hookd.example.evil.example", "",
)  # fmt: skip
ORIGINS = (
    "null", "http://evil.example", "http://localhost", "http://localhost:1", "https://localhost:PORT",
    "http://localhost.evil.example:PORT", "http://127.0.0.1:PORT.evil.example", "http://localhost:PORT/",
    "http://user@localhost:PORT", "file://", "chrome-extension://abcdef", "localhost:PORT", "", "*",
    "http://127.0.0.1:PORT", "HTTPS://LOCALHOST:PORT", "http://localhost:PORT http://evil.example",
)  # fmt: skip
TYPES = (
    "text/plain", "text/plain;charset=UTF-8", "application/x-www-form-urlencoded", "multipart/form-data",
    "text/html", "TEXT/PLAIN; application/json", "application/jsonp", "text/plain, application/json", "", None,
)  # fmt: skip
TOKENS = (
    None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer x{TOKEN}", f"Bearer {TOKEN[:-1]}",
    f"Bearer {TOKEN.upper()}", f"Basic {TOKEN}", f"Token {TOKEN}", TOKEN, f"Bearer{TOKEN}", f'Bearer "{TOKEN}"',
    f"Bearer {TOKEN},", f"Bearer {TOKEN} {TOKEN}", "Bearer null", "Bearer *", f"Digest {TOKEN}",
)  # fmt: skip


async def doors(directory: Path, findings: Findings, options: Options) -> dict[str, object]:
    """Try every door of an open and of a guarded listener; returns the figures."""
    open_port, guarded_port = free_port(), free_port()
    config = (
        "daemon:\n  store: h.db\n  listen:\n    - {unix: h.sock}\n"
        f"    - {{http: '127.0.0.1:{open_port}', allowed_hosts: [hookd.example]}}\n"
        f"    - {{http: '127.0.0.1:{guarded_port}', tokens: ['{TOKEN}']}}\n"
    )
    async with Stage(directory / "stage") as stage:
        stage.write("webhooks: {w: {url: RECEIVER}}\n", daemon=config)
        await stage.start()
        tries = [(open_port, request) for request in _foreign(open_port)]
        tries += [(guarded_port, request) for request in _without_token(guarded_port)]
        accepted = 0
        for port, request in tries:
            answered = await _ask(port, request)
            good = answered.startswith(b"HTTP/1.1 4")
            accepted += not good
            findings.expect(good, f"{request!r} was answered {answered[:60]!r}")
        events = (await stage.daemon.get("/v1/events"))["events"]
        findings.expect(not events, f"{len(events)} events came in by a shut door")
        control = await _ask(guarded_port, _post("localhost", f"Authorization: Bearer {TOKEN}"))
        findings.expect(b" 202 " in control, f"a good request was answered {control[:60]!r}")
    return {"doors_tried": len(tries), "doors_accepted": accepted, "events_stored": len(events)}


def _post(
    host: str | None, *fields: str, kind: str | None = "application/json", target: str = "/v1/events"
) -> bytes:
    lines = [f"POST {target} HTTP/1.1", f"Content-Length: {len(BODY)}", "Connection: close", *fields]
    lines += [] if host is None else [f"Host: {host}"]
    lines += [] if kind is None else [f"Content-Type: {kind}"]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + BODY


def _foreign(port: int) -> list[bytes]:
    own = f"localhost:{port}"
    hosts = [_post(host.replace("PORT", str(port))) for host in HOSTS]
    origins = [_post(own, f"Origin: {origin.replace('PORT', str(port))}") for origin in ORIGINS]
    kinds = [_post(own, kind=kind) for kind in TYPES]
    more = [
        _post(None),
        _post(own, "Host: evil.example"),
        _post("evil.example", f"Host: {own}"),
        _post("evil.example", f"X-Forwarded-Host: {own}"),
        _post(own, f"Origin: http://{own}", "Origin: http://evil.example"),
        _post(own, target="http://evil.example/v1/events"),
        _post("evil.example", target=f"http://{own}/v1/events"),
    ]
    return [*hosts, *origins, *kinds, *more]


def _without_token(port: int) -> list[bytes]:
    own = f"127.0.0.1:{port}"
    tokens = [_post(own, *([] if token is None else [f"Authorization: {token}"])) for token in TOKENS]
    good = f"Authorization: Bearer {TOKEN}"
    return [*tokens, _post(own, good, good), _post(own, f"X-Authorization: Bearer {TOKEN}"),
            _post(own, target=f"/v1/events?token={TOKEN}"), _post("evil.example", good),
            _post(own, good, "Origin: http://evil.example"), _post(own, good, kind="text/plain")]  # fmt: skip


async def _ask(port: int, request: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(request)
        async with asyncio.timeout(10):
            return await reader.read(65536)
    finally:
        writer.close()
