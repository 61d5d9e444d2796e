"""The other side of the throughput ratio: a bare aiohttp client loop on uvloop, no store, no intake."""

import asyncio
import sys
import time

import aiohttp
import uvloop

BODY = b'{"text": "web-01 is on at Mon, 23 Nov 2026 12:00:00 UTC", "used": 81}'
HEADERS = {
    "user-agent": "hookd/0.0.0",
    "Content-Type": "application/json",
    "webhook-id": "dlv_00000000000000000000000000000000",
    "webhook-timestamp": "1760629087",
}


async def run(url: str, count: int, concurrency: int) -> float:
    """Requests per second."""
    left = count

    async def sender(session: aiohttp.ClientSession) -> None:
        nonlocal left
        while left > 0:
            left -= 1
            async with session.post(url, data=BODY, headers=HEADERS, allow_redirects=False) as response:
                await response.read()

    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        began = time.perf_counter()
        await asyncio.gather(*(sender(session) for _ in range(concurrency)))
        return count / (time.perf_counter() - began)


if __name__ == "__main__":
    print(uvloop.run(run(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))))
