"""hookd over a PostgreSQL server of the test's own: it delivers, and outlives kills of itself and of the server."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path

import aiohttp
import pytest

from tests.kit import postgres
from tests.kit.daemon import DaemonProcess
from tests.kit.postgres import Cluster
from tests.kit.receiver import Receiver
from tests.kit.waiting import until

pytestmark = pytest.mark.tools

RULE = "tasks: {t: {webhook: w, triggers: [{type: a, event: b}]}}\n"
TIMEOUT_S = 3


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """A server whose commits are on the disk."""
    postgres.require()
    cluster = postgres.make_cluster("fsync=on", "shared_buffers=32MB")
    yield cluster
    cluster.stop()


@pytest.fixture
async def receiver() -> AsyncIterator[Receiver]:
    async with Receiver() as receiver:
        yield receiver


def node(directory: Path, cluster: Cluster, receiver: Receiver) -> DaemonProcess:
    directory.mkdir(exist_ok=True)
    webhook = f"{{url: '{receiver.url}', timeout: {TIMEOUT_S}s, backoff: [1s], concurrency: 20}}"
    listen = f"[{{unix: {directory}/h.sock}}]"
    (directory / "hookd.yaml").write_text(
        f"daemon: {{listen: {listen}, store: {{env: STORE}}, spool: {directory}/spool, log: {{format: json}}}}\n"
        f"webhooks: {{w: {webhook}}}\n{RULE}"
    )
    return DaemonProcess(directory, env={"STORE": cluster.url})


async def post(daemon: DaemonProcess, event_id: str) -> None:
    """Post an event again and again until it is acknowledged."""
    while True:
        try:
            status, _ = await daemon.post({"id": event_id, "type": "a", "event": "b"})
        except (aiohttp.ClientError, OSError, RuntimeError):  # it was killed
            status = 0
        if status in (200, 202):  # 200: it was stored, and the answer was lost
            return
        await asyncio.sleep(0.1)


async def load(daemon: DaemonProcess, prefix: str, count: int) -> list[str]:
    """Post so many events, some at a time; their ids."""
    ids = [f"{prefix}-{number}" for number in range(count)]
    waiting = iter(ids)

    async def poster() -> None:
        for event_id in waiting:
            await post(daemon, event_id)
            await asyncio.sleep(0.01)

    await asyncio.gather(*(poster() for _ in range(8)))
    return ids


async def all_delivered(daemon: DaemonProcess, events: list[str], within_s: float = 60.0) -> None:
    async def look() -> bool:
        counts = (await daemon.status())["deliveries"]
        return (
            int(counts["delivered"]) == len(events) and int(counts["pending"]) + int(counts["sending"]) == 0
        )

    await until(look, within_s=within_s)


async def test_it_delivers_and_a_kill_loses_nothing(
    tmp_path: Path, cluster: Cluster, receiver: Receiver
) -> None:
    daemon = node(tmp_path / "a", cluster, receiver)
    async with daemon:
        await post(daemon, "first")
        await receiver.wait_for(1)
        loading = asyncio.ensure_future(load(daemon, "e", 300))
        for _ in range(3):
            await asyncio.sleep(random.uniform(0.2, 0.6))
            await daemon.kill()
            await daemon.start()
        events = await loading
        await all_delivered(daemon, [*events, "first"])
        arrived = Counter(request.id for request in receiver.requests)
        assert len(arrived) == len(events) + 1
        assert await daemon.stop() == 0


async def test_a_server_that_goes_and_comes_loses_nothing(
    tmp_path: Path, cluster: Cluster, receiver: Receiver
) -> None:
    daemon = node(tmp_path / "a", cluster, receiver)
    async with daemon:
        process = daemon.process
        loading = asyncio.ensure_future(load(daemon, "e", 400))
        for down_s in (0.1, 0.5, 3.0):  # a short one may pass before anything is said of it
            await asyncio.sleep(random.uniform(0.3, 0.8))
            await asyncio.to_thread(cluster.stop)
            await asyncio.sleep(down_s)
            down = await daemon.status()
            await asyncio.to_thread(cluster.start)
        assert "cannot reach" in down["store"]["error"]
        events = await loading
        await all_delivered(daemon, events)
        assert daemon.process is process
        assert len({request.id for request in receiver.requests}) == len(events)
        assert len(daemon.logged("store.recovered")) >= 1
        assert await daemon.stop() == 0


async def test_a_session_that_is_ended_loses_and_doubles_nothing(
    tmp_path: Path, cluster: Cluster, receiver: Receiver
) -> None:
    daemon = node(tmp_path / "a", cluster, receiver)
    async with daemon:
        loading = asyncio.ensure_future(load(daemon, "e", 400))
        ended = 0
        while not loading.done():
            await asyncio.sleep(random.uniform(0.02, 0.2))
            ended += int(await asyncio.to_thread(cluster.run, END_ONE))
        events = await loading
        await all_delivered(daemon, events)
        assert ended > 5
        assert Counter(Counter(request.id for request in receiver.requests).values()) == {1: len(events)}


END_ONE = """
    SELECT count(*) FILTER (WHERE done) FROM (
        SELECT pg_terminate_backend(pid) AS done FROM pg_stat_activity
        WHERE application_name LIKE 'hookd/%' ORDER BY random() LIMIT 1) AS ended
"""


async def test_a_start_waits_for_the_server(tmp_path: Path, cluster: Cluster, receiver: Receiver) -> None:
    cluster.stop()
    daemon = node(tmp_path / "a", cluster, receiver)
    starting = asyncio.ensure_future(daemon.start())
    await asyncio.sleep(3)
    assert not starting.done()
    await asyncio.to_thread(cluster.start)
    await starting
    await post(daemon, "e")
    await receiver.wait_for(1)
    await daemon.close()


async def test_a_stop_while_the_server_is_waited_for_is_clean(
    tmp_path: Path, cluster: Cluster, receiver: Receiver
) -> None:
    cluster.stop()
    daemon = node(tmp_path / "a", cluster, receiver)
    await daemon.launch()
    await asyncio.sleep(3)
    assert await daemon.stop() == 0
    await daemon.close()
    cluster.start()


async def test_two_share_the_work(tmp_path: Path, cluster: Cluster, receiver: Receiver) -> None:
    async with AsyncExitStack() as stack:
        nodes = [await stack.enter_async_context(node(tmp_path / name, cluster, receiver)) for name in "ab"]
        posted = await asyncio.gather(*(load(each, f"n{number}", 200) for number, each in enumerate(nodes)))
        events = [event_id for ids in posted for event_id in ids]
        for each in nodes:
            await all_delivered(each, events)
        arrived = Counter(request.id for request in receiver.requests)
        assert Counter(arrived.values()) == {1: len(events)}
