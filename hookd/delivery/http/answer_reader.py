"""Reads one answer from pieces as they come, within bounds; aiohttp's parser judges what is valid.

Heads are parsed apart from what follows them: a fault in a body must not take its head along.

Must never: do I/O, or know whom the answer is from.
"""

import asyncio

from aiohttp import ClientPayloadError
from aiohttp.base_protocol import BaseProtocol
from aiohttp.helpers import EMPTY_BODY_STATUS_CODES
from aiohttp.http import HttpResponseParser, RawResponseMessage
from aiohttp.http_exceptions import BadHttpMessage, HttpProcessingError
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from multidict import CIMultiDict, CIMultiDictProxy

from hookd.delivery.http.failures import HEAD_TOO_LONG, Phase
from hookd.delivery.http.known_answers import JudgedHead, KnownAnswers
from hookd.delivery.http.receiver_response import ReceiverResponse
from hookd.delivery.http.response_head import HeadReader

BODY_BYTES = 64 * 1024
"""At most this much of an answer's body is read (spec 5)."""

HEAD_BYTES = 64 * 1024
"""At most this much head, interim answers included."""

_FRAMED_BYTES = BODY_BYTES + 8 * 1024
"""Beyond this a body is cut, its framing included: chunks of one byte, or chunk extensions, are little body or none,
but parsing them takes the event loop as long as many times that body would."""

_DECIDING = ("Keep-Alive", "Retry-After")
"""The fields that decide something once a head is judged."""


class _Unpaused(BaseProtocol):
    """Stands before the parser where a protocol does that could pause; what it parses is taken from it at once."""

    def pause_reading(self) -> None:
        """Nothing: so little is read at once that nobody need wait."""

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Nothing."""


class AnswerReader:
    """One answer.

    Attributes:
        may_follow: whether another answer may follow on the connection, once this one is received to its end.
    """

    __slots__ = (
        "_body",
        "_framed",
        "_head_bytes",
        "_keep",
        "_known",
        "_length",
        "_loop",
        "_parser",
        "_response",
        "_size",
        "may_follow",
    )

    def __init__(
        self, loop: asyncio.AbstractEventLoop, known: KnownAnswers, response: ReceiverResponse, keep: int
    ) -> None:
        """Fill in `response`, with the first `keep` bytes of the body; remember the head in `known`."""
        self._loop = loop
        self._known = known
        self._response = response
        self._keep = keep
        self._parser: HttpResponseParser | None = None
        self._body: StreamReader | None = None
        self._length: int | None = None
        self._head_bytes = self._framed = self._size = 0
        self.may_follow = False
        response.head = HeadReader()

    def feed(self, data: bytes) -> bool:
        """Take what was received; returns whether no more is wanted.

        Raises:
            aiohttp.ClientPayloadError, HttpProcessingError: it is not valid.
        """
        if self._body is None:
            self._head_bytes += len(data)
            data = self._read_head(data)
            if self._body is None:
                if self._head_bytes > HEAD_BYTES:
                    raise BadHttpMessage(HEAD_TOO_LONG)
                return False
            if self._body.at_eof():
                self.may_follow &= not data
                data = b""
        return self._read_body(data) if data else self._take()

    def feed_eof(self) -> bool:
        """Take note that nothing more will come; returns whether that is the end of a body of unknown length.

        Raises:
            aiohttp.ClientPayloadError, HttpProcessingError: it ended too early.
        """
        if self._body is None or self._parser is None:
            return False
        self._parser.feed_eof()
        return self._take()

    def _read_head(self, data: bytes) -> bytes:
        """Give a whole head to the parser; returns what follows it."""
        head, response = self._response.head, self._response
        assert head is not None
        if self._parser is None:
            try:
                parts = head.feed(data)
            finally:
                response.status = head.status
            if parts is None:
                return b""
            self._parser = self._new_parser()
            self._judge(parts[0], self._parse(parts[0]))
            return parts[1]
        self._judge(None, self._parse(data))
        return b""

    def _judge(self, head: bytes | None, messages: list[tuple[RawResponseMessage, StreamReader]]) -> None:
        """Take over what the parser made of a head, if it found it complete; None: it was not, when it was given."""
        if not messages:
            return
        message, body = messages[0]
        response, fields = self._response, message.headers
        response.fields, response.phase = fields, Phase.READING
        self.may_follow = not message.should_close and not message.upgrade and len(messages) == 1
        if message.code in EMPTY_BODY_STATUS_CODES:
            self.may_follow &= body.at_eof()
            body = EMPTY_PAYLOAD
        self._body = body
        if body.at_eof():
            self._length = 0
        elif not message.chunked and "Content-Length" in fields:
            self._length = int(fields["Content-Length"])
        if head is not None and self.may_follow and self._length is not None and self._length <= BODY_BYTES:
            deciding = [(name, value) for name in _DECIDING for value in fields.getall(name, ())]
            judged = JudgedHead(message.code, self._length, CIMultiDictProxy(CIMultiDict(deciding)))
            self._known.learn(head, judged)

    def _read_body(self, data: bytes) -> bool:
        body, most = self._body, _FRAMED_BYTES
        assert body is not None
        if self._length is not None:
            most = min(most, self._length)
        wanted = data[: max(0, most - self._framed)]
        self._framed += len(data)
        self.may_follow &= (
            self._length is None or self._framed <= self._length
        )  # what came unasked is no answer
        try:
            self.may_follow &= not self._parse(wanted)
        except HttpProcessingError:
            self.may_follow = False
            if not body.is_eof():
                raise
        return self._take() or self._framed > _FRAMED_BYTES

    def _take(self) -> bool:
        """Take what the parser made of a body; returns whether that is all that is wanted."""
        body, response = self._body, self._response
        assert body is not None
        piece = body.read_nowait()
        self._size += len(piece)
        response.body += piece[: max(0, self._keep - len(response.body))]
        if self._size <= BODY_BYTES and body.at_eof():
            response.whole = True
        return response.whole or self._size > BODY_BYTES

    def _parse(self, data: bytes) -> list[tuple[RawResponseMessage, StreamReader]]:
        assert self._parser is not None
        try:
            messages, _, _ = self._parser.feed_data(data)
        except HttpProcessingError:
            raise
        except Exception as exc:
            raise HttpProcessingError from exc
        return list(messages)

    def _new_parser(self) -> HttpResponseParser:
        return HttpResponseParser(
            _Unpaused(self._loop),
            self._loop,
            BODY_BYTES,
            payload_exception=ClientPayloadError,
            response_with_body=True,
            read_until_eof=True,
            auto_decompress=False,
            max_line_size=HEAD_BYTES,
            max_field_size=HEAD_BYTES,
            max_headers=HEAD_BYTES,
        )
