"""A process that was frozen while an answer came: the answer counts, though its time is up."""

import asyncio
import socket
import threading
import time

from hookd.delivery.http.deadline import LATE_S
from hookd.domain.deliveries import Reason
from tests.service.send.attempts import Attempts

TIMEOUT_S = 0.5


async def test_what_came_while_hookd_was_frozen_is_read(send: Attempts) -> None:
    asked, go_on, answered = threading.Event(), threading.Event(), threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                asked.set()
                go_on.wait(10)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                answered.set()
                connection.recv(1)

        serving = threading.Thread(target=serve, daemon=True)
        serving.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        attempt = asyncio.create_task(send(url, timeout_s=TIMEOUT_S))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        _freeze(go_on, answered)
        outcome = await attempt
        assert outcome.reason is Reason.OK
    serving.join(5)


async def test_a_silent_receiver_still_times_out_after_a_freeze(send: Attempts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = asyncio.create_task(
            send(f"http://127.0.0.1:{server.getsockname()[1]}/", timeout_s=TIMEOUT_S)
        )
        await asyncio.sleep(0)
        time.sleep(TIMEOUT_S + LATE_S + 0.2)  # noqa: ASYNC251 - as SIGSTOP does
        outcome = await attempt
        assert outcome.reason is Reason.TIMEOUT


def _freeze(go_on: threading.Event, answered: threading.Event) -> None:
    """Keep the event loop from running until its timers are late, while the answer comes."""
    go_on.set()
    assert answered.wait(10)
    time.sleep(TIMEOUT_S + LATE_S + 0.2)
