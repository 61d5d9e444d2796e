"""Reading a request's body: content type, size and time are checked before its bytes are believed (spec 2, 14).

Must never: parse.
"""

import asyncio
import time

from aiohttp.http_exceptions import HttpProcessingError

from hookd.server.limits import BODY_S
from hookd.server.memory_budget import estimated_size
from hookd.server.messages import Request
from hookd.server.problems import Problem, busy

NDJSON = "application/x-ndjson"


class BodyBroken(Exception):
    """What aiohttp's parser, or the connection, leaves in a body's stream where its framing is broken."""


def media_type(request: Request) -> str:
    """The Content-Type of a JSON body without parameters, lower case; empty where there is none.

    Raises:
        Problem: as `content_type`; 415 for a charset other than UTF-8.
    """
    return json_type(content_type(request))


def content_type(request: Request) -> str:
    """The Content-Type as it came; empty where there is none.

    Raises:
        Problem: 415 for any Content-Encoding, or a repeated Content-Type.
    """
    if "Content-Encoding" in request.headers:
        raise Problem(415, "no Content-Encoding is accepted; send the body as it is")
    given = request.headers.getall("Content-Type", ())
    if not given:
        return ""
    if len(given) > 1:
        raise Problem(415, "one Content-Type is expected, several were sent")
    return given[0]


def json_type(given: str) -> str:
    """A Content-Type without parameters, lower case, of a body that is JSON. Raises Problem (415) for a charset."""
    kind, _, parameters = given.partition(";")
    if not parameters:
        return kind.strip().lower()
    for parameter in parameters.split(";"):
        name, _, value = parameter.partition("=")
        if name.strip().lower() == "charset" and value.strip(' \t"').lower() not in ("utf-8", "utf8"):
            raise Problem(415, "JSON is UTF-8 (RFC 8259); no other charset is accepted")
    return kind.strip().lower()


async def read(request: Request, limit: int, within_s: float = BODY_S) -> bytes:
    """The whole body, at most `limit` bytes, within `within_s` seconds.

    Raises:
        Problem: 413 (before the rest is read), 408, 400 (broken framing), 503 (ended to make room).
        BudgetExceeded: others take too much memory.
    """
    length = request.content_length()
    if length is not None and length > limit:
        raise _too_large(limit)
    _continue(request)
    since = request.arrived_at
    try:
        if request.content.is_eof():
            raw = request.content.read_nowait(-1)
        else:
            raw = await _read_up_to(request, limit, within_s)
            since = time.monotonic()
    except TimeoutError:
        if request.reservation.evicted:
            raise busy(close=True) from None
        raise Problem(408, f"the body did not arrive within {within_s:.0f} seconds", close=True) from None
    except (HttpProcessingError, BodyBroken):
        raise Problem(400, "the body's framing is broken", close=True) from None
    if len(raw) > limit:
        raise _too_large(limit)
    request.reservation.admit(estimated_size(raw), since=since, now=time.monotonic())
    return raw


async def _read_up_to(request: Request, limit: int, within_s: float) -> bytes:
    """Raises TimeoutError also where the request is evicted."""
    raw = bytearray()
    reservation = request.reservation
    async with asyncio.timeout(within_s) as deadline:
        reservation.evict = lambda: deadline.reschedule(0)
        while chunk := await request.content.readany():
            raw += chunk
            reservation.grow(len(chunk))
            if len(raw) > limit:
                break
    reservation.finish()
    return bytes(raw)


def _continue(request: Request) -> None:
    """Answer `Expect: 100-continue` (RFC 9110, 10.1.1) once the size is known to be acceptable."""
    expected = request.headers.get("Expect")
    if expected is None:
        return
    if expected.lower() != "100-continue":
        raise Problem(417, "only 100-continue can be expected")
    request.send_now(b"HTTP/1.1 100 Continue\r\n\r\n")


def _too_large(limit: int) -> Problem:
    return Problem(
        413,
        f"the body is larger than {limit} bytes (daemon.limits.event_size)",
        close=True,
    )
