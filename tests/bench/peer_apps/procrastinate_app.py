"""procrastinate over PostgreSQL."""

import asyncio
import os
import time

import aiohttp
import procrastinate

CONCURRENCY = 20
CLIENTS = 10

app = procrastinate.App(connector=procrastinate.PsycopgConnector(conninfo=os.environ["DSN"]))
sessions: list[aiohttp.ClientSession] = []


@app.task(name="send", retry=10)
async def send(body: str) -> None:
    """Send one."""
    headers = {"Content-Type": "application/json"}
    async with sessions[0].post(os.environ["URL"], data=body, headers=headers) as response:
        response.raise_for_status()
        await response.read()


def setup() -> None:
    """Make its tables."""
    asyncio.run(_setup())


def work() -> None:
    """Run its worker."""
    asyncio.run(_work())


def post(count: int) -> None:
    """Defer one by one, from several clients over the connector's pool."""
    asyncio.run(_post(count))


async def _setup() -> None:
    async with app.open_async():
        await app.schema_manager.apply_schema_async()


async def _work() -> None:
    async with app.open_async(), aiohttp.ClientSession() as session:
        sessions.append(session)
        await app.run_worker_async(concurrency=CONCURRENCY)


async def _post(count: int) -> None:
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await send.defer_async(body=f'{{"n": {number}}}')

    async with app.open_async():
        print(time.time(), flush=True)
        await asyncio.gather(*(client() for _ in range(CLIENTS)))
