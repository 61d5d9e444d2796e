"""A process that was frozen while an answer came: the answer counts, though its time is up."""

import asyncio
import socket
import threading
import time
from collections.abc import Callable

import pytest

from hookd.delivery.http.deadlines import LATE_S
from hookd.domain.deliveries import Reason
from tests.kit.loop_time import LoopClock
from tests.service.send.attempts import Attempts

TIMEOUT_S = 0.5
FROZEN_S = TIMEOUT_S + LATE_S + 0.2
"""The event loop does not run until its timers are late."""

Freeze = Callable[[float], None]


on_asyncio = pytest.mark.asyncio(loop_factories=["asyncio"])
on_uvloop = pytest.mark.asyncio(loop_factories=["uvloop"])


@on_asyncio
async def test_what_came_while_hookd_was_frozen_is_read(send: Attempts, clock: LoopClock) -> None:
    await what_came_counts(send, clock.advance)


@pytest.mark.exhaustive
@on_uvloop
async def test_what_came_is_read_after_seconds_that_are_real(send: Attempts) -> None:
    await what_came_counts(send, time.sleep)


@on_asyncio
async def test_a_silent_receiver_still_times_out_after_a_freeze(send: Attempts, clock: LoopClock) -> None:
    with clock.skipping():
        await silence_times_out(send, clock.advance)


@pytest.mark.exhaustive
@on_uvloop
async def test_a_silent_receiver_times_out_after_seconds_that_are_real(send: Attempts) -> None:
    await silence_times_out(send, time.sleep)


async def what_came_counts(send: Attempts, freeze: Freeze) -> None:
    asked, go_on, answered, read = (threading.Event() for _ in range(4))
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                asked.set()
                go_on.wait(10)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                answered.set()
                read.wait(10)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        attempt = asyncio.create_task(send(url, timeout_s=TIMEOUT_S))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        go_on.set()
        assert answered.wait(10)
        freeze(FROZEN_S)
        outcome = await attempt
        read.set()
        assert outcome.reason is Reason.OK
    serving.join(5)


async def silence_times_out(send: Attempts, freeze: Freeze) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = asyncio.create_task(
            send(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=TIMEOUT_S)
        )
        await asyncio.sleep(0)
        freeze(FROZEN_S)
        outcome = await attempt
        assert outcome.reason is Reason.TIMEOUT
