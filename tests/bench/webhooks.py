"""What a request costs where there are 10,000 webhooks, and how long others wait while it is asked again and again."""

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvloop

from tests.kit import procfs
from tests.kit.daemon import DaemonProcess

WEBHOOKS = 10_000
WAITING = 1_000
"""For so many of them, which are disabled, a delivery waits."""

SECONDS = 4.0
"""How long each request is asked."""

PAUSE_S = 0.01
"""Between two of its answers and the next question; the request beside it is asked twice as often."""

_HEAD = "daemon: {listen: [{unix: h.sock}], store: h.db}\nwebhooks:\n"
_WEBHOOK = '  hook-{:05}: {{url: "http://127.0.0.1:9/", enabled: {}}}\n'
_TASK = "tasks: {t: {webhook: hook-00000}}\n"


@dataclass(frozen=True)
class _Connection:
    """A kept-alive connection, spoken to in bytes: a client library would take longer than the daemon."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def ask(self, request: bytes) -> int:
        """The status of the answer."""
        self.writer.write(request)
        head = (await self.reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.split(b"content-length: ")[1].split(b"\r\n")[0])
        await self.reader.readexactly(length)
        return int(head.split()[1])


def main(_asked: argparse.Namespace) -> dict[str, Any]:
    """Milliseconds."""
    return uvloop.run(_measure())


async def _measure() -> dict[str, Any]:
    with tempfile.TemporaryDirectory(prefix="hookd-bench-") as name:
        directory = Path(name)
        (directory / "hookd.yaml").write_text(_config())
        async with DaemonProcess(directory) as daemon:
            delivery_id = await _fill(daemon)
            rows = {what: await _row(daemon, asked) for what, asked in _asked(delivery_id).items()}
    return {"webhooks": WEBHOOKS, "waiting_for": WAITING, "requests": rows}


def _config() -> str:
    webhooks = (
        _WEBHOOK.format(number, "false" if number < WAITING else "true") for number in range(WEBHOOKS)
    )
    return _HEAD + "".join(webhooks) + _TASK


async def _fill(daemon: DaemonProcess) -> str:
    """Let a delivery wait for each webhook that is disabled; the id of the last."""
    async with _connected(daemon) as connection:
        for number in range(WAITING):
            assert await connection.ask(_request("POST", f"/v1/webhooks/hook-{number:05}/send")) == 202
    listed = await daemon.get("/v1/deliveries?limit=1")
    return str(listed["deliveries"][0]["id"])


def _asked(delivery_id: str) -> Mapping[str, Sequence[bytes]]:
    """What is asked in turn, by the name it has in the figures."""
    gets = {
        "nothing": (),
        "GET /v1/deliveries/ID": (_request("GET", f"/v1/deliveries/{delivery_id}"),),
        "POST /v1/webhooks/NAME/pause, resume": tuple(
            _request("POST", f"/v1/webhooks/hook-{WEBHOOKS - 1:05}/{what}") for what in ("pause", "resume")
        ),
        "POST /v1/webhooks/UNKNOWN/pause": (_request("POST", "/v1/webhooks/hook-1234x/pause"),),
        "POST /v1/deliveries/ID/retry": (_request("POST", f"/v1/deliveries/{delivery_id}/retry"),),
    }
    paths = ("deliveries?limit=500", "webhooks", "status", "config", "names")
    listings = {f"GET /v1/{path}": (_request("GET", f"/v1/{path}"),) for path in paths}
    posts = {f"POST /v1/{path}": (_request("POST", f"/v1/{path}"),) for path in ("config/diff", "reload")}
    return {**gets, **listings, "GET /metrics": (_request("GET", "/metrics"),), **posts}


def _request(method: str, path: str) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 0\r\n\r\n".encode()


@asynccontextmanager
async def _connected(daemon: DaemonProcess) -> AsyncIterator[_Connection]:
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket), limit=1 << 24)
    try:
        yield _Connection(reader, writer)
    finally:
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()


async def _row(daemon: DaemonProcess, requests: Sequence[bytes]) -> dict[str, Any]:
    """Ask for a while, and another request beside it."""
    async with _connected(daemon) as asked, _connected(daemon) as beside:
        polling = asyncio.create_task(_poll(asked, requests, until=time.perf_counter() + SECONDS))
        used_s, waited = procfs.cpu_s(daemon.pid), []
        while not polling.done():
            waited.append(await _waited_ms(daemon, beside))
            await asyncio.sleep(PAUSE_S / 2)
        used_s = procfs.cpu_s(daemon.pid) - used_s
        took_ms = await polling
    row = {
        "another_waits_ms": _ms(max(whole for whole, _ in waited)),
        "another_waits_for_hookd_ms": _ms(max(for_hookd for _, for_hookd in waited)),
    }
    if not took_ms:
        return row
    return {
        "asked": len(took_ms),
        "took_p50_ms": _ms(statistics.median(took_ms)),
        "processor_ms": _ms(used_s * 1000 / len(took_ms)),
        **row,
    }


async def _waited_ms(daemon: DaemonProcess, connection: _Connection) -> tuple[float, float]:
    """How long an answer took, and that without the time in which another program had the processor."""
    queued_s, began = _queued_s(daemon), time.perf_counter()
    await connection.ask(_request("GET", "/healthz"))
    took_s = time.perf_counter() - began
    return took_s * 1000, max(0.0, took_s - (_queued_s(daemon) - queued_s)) * 1000


def _queued_s(daemon: DaemonProcess) -> float:
    return procfs.queued_s(daemon.pid) + procfs.queued_s()


async def _poll(connection: _Connection, requests: Sequence[bytes], *, until: float) -> list[float]:
    """How long each answer took, in milliseconds."""
    took_ms: list[float] = []
    while time.perf_counter() < until:
        for request in requests:
            began = time.perf_counter()
            await connection.ask(request)
            took_ms.append((time.perf_counter() - began) * 1000)
        await asyncio.sleep(PAUSE_S)
    return took_ms


def _ms(value: float) -> float:
    return round(value, 2)
