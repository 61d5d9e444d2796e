"""The other side of the throughput ratio: a bare aiohttp client loop on uvloop, no store, no intake."""

import asyncio
import json
import ssl
import sys
import time
from typing import Any

import aiohttp
import uvloop

BODY = b'{"text": "web-01 is on at Mon, 23 Nov 2026 12:00:00 UTC", "used": 81}'
HEADERS = {
    "user-agent": "hookd/0.0.0",
    "Content-Type": "application/json",
    "webhook-id": "dlv_00000000000000000000000000000000",
    "webhook-timestamp": "1760629087",
}


async def run(url: str, count: int, concurrency: int, ca: str | None = None) -> dict[str, Any]:
    """Requests per second, and processor time of one in µs; over HTTPS with a certificate authority."""
    left = count

    async def sender(session: aiohttp.ClientSession) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            async with session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as response:
                await response.read()

    connector = aiohttp.TCPConnector(limit=0, ssl=ssl.create_default_context(cafile=ca) if ca else True)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        began, began_cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(sender(session) for _ in range(concurrency)))
        took_s, cpu_s = time.perf_counter() - began, time.process_time() - began_cpu
        return {"per_s": count / took_s, "cpu_us": cpu_s / count * 1e6}


if __name__ == "__main__":
    print(json.dumps(uvloop.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), *sys.argv[4:]))))
