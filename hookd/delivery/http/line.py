"""One connection to a receiver, and the exchange that is under way on it.

A line is idle, or a message was sent and nothing of its answer has come, or its answer is being read; then it is idle
again, or closed. An answer that comes at once and whole, and whose head is known, is taken without being parsed.

Must never: send anything twice, know what a message says, or be idle after bytes came that nobody asked for.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import cast

import aiohttp

from hookd.delivery.http.answer_reader import HEAD_BYTES, AnswerReader
from hookd.delivery.http.failures import Phase
from hookd.delivery.http.keep_alive import KeepAlive
from hookd.delivery.http.known_answers import KnownAnswers
from hookd.delivery.http.receiver_response import ReceiverResponse

RACE_S = 0.5
"""A kept-alive connection that ends so soon after a message was written was being closed while that went out. What
ends later may have been at work on the message."""

KEEPALIVE_S = 4.0
"""How long an idle connection is kept: less than the five seconds of Node.js, Apache and uvicorn, so that
hookd is mostly the first to close and seldom meets a connection that the receiver has just closed."""

Ended = Callable[[Exception | None], None]
"""Takes what an exchange failed with, or None: the answer was received as far as it is wanted. Must not raise."""


class Line(asyncio.BaseProtocol):
    """Our end of a connection. Belongs to one event loop.

    Attributes:
        exchanges: messages sent so far.
        bytes_received: since the last one.
        written_at: when the last piece of it was handed to the system (the loop's time); None where none was.
        usable_until: an idle line may be used up to this instant (the loop's time).
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        known: KnownAnswers,
        on_idle: Callable[["Line"], None],
    ) -> None:
        """Make an end that is not connected yet; `on_idle` is called when a message may be sent again."""
        self._loop = loop
        self._known = known
        self._on_idle = on_idle
        self._transport: asyncio.Transport | None = None
        self._keep_alive = KeepAlive(longest_s=KEEPALIVE_S)
        self._ended: Ended | None = None
        self._response: ReceiverResponse | None = None
        self._reader: AnswerReader | None = None
        self._keep = 0
        self._early = b""
        self._lost: Exception | None = None
        self._ended_at: float | None = None
        self._closed: asyncio.Future[None] | None = None
        self.exchanges = 0
        self.bytes_received = 0
        self.written_at: float | None = None
        self.usable_until = -inf

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take over the connection."""
        self._transport = cast("asyncio.Transport", transport)

    def is_usable(self, now: float) -> bool:
        """Whether a message may be sent on a line that is idle."""
        transport = self._transport
        return now <= self.usable_until and transport is not None and not transport.is_closing()

    def send(self, message: bytes, response: ReceiverResponse, keep: int, ended: Ended) -> None:
        """Begin an exchange; on a new line this may end it at once.

        Args:
            message: head and body as they go out.
            response: filled in meanwhile; keeps what came when this fails or is given up.
            keep: bytes of the answer's body to keep.
            ended: called once, unless the line is dropped before.
        """
        self.exchanges += 1
        self.bytes_received, self.written_at = 0, None
        self._response, self._keep, self._ended = response, keep, ended
        response.phase = Phase.WAITING
        transport = self._transport
        if transport is None:
            self._end(self._lost or aiohttp.ServerDisconnectedError())
            return
        if not transport.is_closing():
            self.written_at = self._loop.time()
            transport.write(message)
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def drop(self) -> None:
        """Give up what is under way, and close at once."""
        self._ended = self._response = self._reader = None
        if self._transport is not None:
            self._transport.abort()

    def close(self) -> None:
        """Close an idle line."""
        self.usable_until = -inf
        if self._transport is not None:
            self._transport.close()

    async def wait_closed(self) -> None:
        """Return when the connection has ended; for one waiter."""
        if self._transport is not None:
            self._closed = self._loop.create_future()
            await self._closed

    def ended_in_race(self) -> bool:
        """Whether it ended while the message went out, or before."""
        return self.written_at is None or (
            self._ended_at is not None and self._ended_at - self.written_at <= RACE_S
        )

    def data_received(self, data: bytes) -> None:
        """Read an answer."""
        self.bytes_received += len(data)
        response = self._response
        if response is None:
            self._note_unasked(data)
            return
        try:
            if self._reader is None:
                if self._take_known(response, data):
                    self._end(None, may_follow=True)
                    return
                self._reader = AnswerReader(self._loop, self._known, response, self._keep)
            if self._reader.feed(data):
                self._end(None, may_follow=self._reader.may_follow and response.whole)
        except Exception as exc:  # noqa: BLE001  who waits for the answer must learn of it
            self._end(exc)

    def eof_received(self) -> None:
        """Let the connection end, as the receiver has ended its side of it."""

    def resume_writing(self) -> None:
        """Note that a large message goes on."""
        self.written_at = self._loop.time()

    def connection_lost(self, exc: Exception | None) -> None:
        """Take note that the connection has ended."""
        self._transport = None
        self._ended_at = self._loop.time()
        if isinstance(exc, OSError):
            exc = aiohttp.ClientOSError(*exc.args)
        self._lost = exc or aiohttp.ServerDisconnectedError()
        failure: Exception | None = self._lost
        try:
            if self._reader is not None and self._reader.feed_eof():
                failure = None
        except Exception as broken:  # noqa: BLE001  who waits for the answer must learn of it
            failure = broken
        self._end(failure)
        if self._closed is not None:
            self._closed.set_result(None)

    def _take_known(self, response: ReceiverResponse, data: bytes) -> bool:
        """Take an answer that came at once and whole, if its head is known."""
        end = data.find(b"\r\n\r\n") + 4
        judged = self._known.find(data[:end])
        if judged is None or len(data) - end != judged.length:
            return False
        response.status, response.fields, response.phase = judged.status, judged.fields, Phase.READING
        response.body, response.whole = data[end : end + self._keep], True
        return True

    def _note_unasked(self, data: bytes) -> None:
        """Keep what came before the first message, which is its answer; close if it came after an answer."""
        if not self.exchanges and len(self._early) <= HEAD_BYTES:
            self._early += data
        else:
            self.close()

    def _end(self, failure: Exception | None, *, may_follow: bool = False) -> None:
        """End the exchange that is under way; the line is idle from now on, or closed."""
        ended, response = self._ended, self._response
        self._ended = self._response = self._reader = None
        if ended is None or response is None:
            return
        transport = self._transport
        if transport is not None:
            if may_follow and not transport.get_write_buffer_size() and self._may_be_used_again(response):
                self._on_idle(self)
            else:
                transport.abort()
        ended(failure)

    def _may_be_used_again(self, response: ReceiverResponse) -> bool:
        """Note what an answer that was received to its end says of further use."""
        idle_s = self._keep_alive.idle_s(response.values("Keep-Alive"))
        self.usable_until = self._loop.time() + idle_s
        return idle_s > 0


class TlsLine(Line, asyncio.BufferedProtocol):
    """A line with TLS: what is decrypted goes into a buffer of ours, which all such lines of a loop share.

    An event loop that makes the buffer itself makes one of 256 KiB for each read, which the system has to clear.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        known: KnownAnswers,
        on_idle: Callable[["Line"], None],
        buffer: memoryview,
    ) -> None:
        super().__init__(loop, known, on_idle)
        self._buffer = buffer

    def get_buffer(self, _sizehint: int) -> memoryview:
        """Where to put what was received; it is taken from there at once."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        """Read what was received."""
        self.data_received(bytes(self._buffer[:nbytes]))
