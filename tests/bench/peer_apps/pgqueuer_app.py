"""pgqueuer over PostgreSQL."""

import asyncio
import os
import time

import aiohttp
import asyncpg
from pgqueuer import Job, PgQueuer, Queries
from pgqueuer.db import AsyncpgDriver, AsyncpgPoolDriver

CONNECTIONS = 10


def setup() -> None:
    """Make its tables."""
    asyncio.run(_setup())


def work() -> None:
    """Run its worker. (`pgq run` of 1.6.0 does the same, but ends at its own log level where typer is 0.29.)"""
    asyncio.run(_work())


def post(count: int) -> None:
    """Enqueue one by one, over a pool."""
    asyncio.run(_post(count))


async def _setup() -> None:
    await Queries(AsyncpgDriver(await asyncpg.connect(os.environ["DSN"]))).install()


async def _work() -> None:
    pgq = PgQueuer(AsyncpgDriver(await asyncpg.connect(os.environ["DSN"])))
    async with aiohttp.ClientSession() as session:

        @pgq.entrypoint("send")
        async def send(job: Job) -> None:
            headers = {"Content-Type": "application/json"}
            async with session.post(os.environ["URL"], data=job.payload, headers=headers) as response:
                response.raise_for_status()
                await response.read()

        await pgq.run()


async def _post(count: int) -> None:
    async with asyncpg.create_pool(os.environ["DSN"], min_size=CONNECTIONS, max_size=CONNECTIONS) as pool:
        queries = Queries(AsyncpgPoolDriver(pool))
        numbers = iter(range(count))

        async def client() -> None:
            for number in numbers:
                await queries.enqueue(["send"], [b'{"n": %d}' % number], [0])

        print(time.time(), flush=True)
        await asyncio.gather(*(client() for _ in range(CONNECTIONS)))
