"""Receivers that refuse, reset, lie about lengths, drip, or never end: each ends in time, and the record says how.

A 2xx whose head came whole is delivered, whatever becomes of its body; a head that is not whole is no answer (spec 14).
"""

import asyncio
import gzip
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.stage import (
    PLACE,
    TIMEOUT_S,
    Wanted,
    WebhookStage,
    judge,
    receiver_of,
    webhook,
)
from tests.chaos.receivers.statuses import CLOSED, CUT, LATE, NOT_HTTP, Case, failed
from tests.kit.ports import free_port
from tests.kit.receiver import Receiver, Script, Serve, Server, close, endless, hang, raw, reset, response

OK = b"HTTP/1.1 200 OK\r\n"
NO = b"HTTP/1.1 500 No\r\n"
CHUNKED = b"Transfer-Encoding: chunked\r\n\r\n"
TEN_GIB = 10 * 2**30
PIECE = b"x" * 65_536

RESET = rf"the connection to {PLACE} broke before an answer: Connection reset by peer"
RESET_WITHIN = rf"the connection to {PLACE} broke before its answer was complete: Connection reset by peer"
REFUSED = rf"cannot connect to {PLACE}: Connection refused"
LONG_HEAD = "the answer is not valid HTTP: its head is longer than 64 KiB"
MANY_INTERIM = "the answer is not valid HTTP: too many interim answers"
LATE_CONNECTING = f"timed out after {TIMEOUT_S} s while connecting"

GONE = Wanted("disconnected", None, CLOSED)
CUT_OFF = Wanted("disconnected", None, CUT)
WAS_RESET = Wanted("disconnected", None, RESET)
TOO_LATE = Wanted("timeout", None, LATE, prompt=False)


def refused(error: str = NOT_HTTP) -> Wanted:
    """The answer is no HTTP, or passes the bounds."""
    return Wanted("protocol", None, error)


def in_head() -> dict[str, Case]:
    """Faults in a head: a status that was read counts."""
    return {
        "hang": (hang(), TOO_LATE),
        "closed-after-the-request": (close(), GONE),
        "reset-after-the-request": (reset(), WAS_RESET),
        "half-a-status-line": (raw(b"HTTP/1.1 2", then_close=True), CUT_OFF),
        "half-a-head": (raw(OK + b"X: y\r\n", then_close=True), Wanted(error=CUT)),
        "half-a-head-reset": (reset(OK + b"X: y\r\n"), Wanted(error=RESET_WITHIN)),
        "half-a-head-hang": (raw(OK + b"X: y\r\n"), Wanted(error=LATE, prompt=False)),
        "head-drips": (endless(OK + b"X: ", b"y", pause_s=1.0), Wanted(error=LATE, prompt=False)),
        "giant-line": (endless(OK + b"X: ", PIECE), Wanted(error=LONG_HEAD)),
        "giant-status-line": (endless(b"HTTP/1.1 200 ", PIECE), Wanted(error=LONG_HEAD)),
        "giant-name": (endless(OK, PIECE), Wanted(error=LONG_HEAD)),
        "million-headers": (
            raw(OK + b"X: y\r\n" * 1_000_000 + b"\r\n"),
            Wanted(error=LONG_HEAD),
        ),
        "endless-headers": (endless(OK, b"X: y\r\n" * 1000), Wanted(error=LONG_HEAD)),
        "endless-interim": (
            endless(b"", b"HTTP/1.1 103 Hints\r\n\r\n"),
            refused(rf"{MANY_INTERIM}|{LONG_HEAD}"),
        ),
        "negative-length": (raw(OK + b"Content-Length: -1\r\n\r\n"), Wanted(error=NOT_HTTP)),
        "length-no-number": (raw(OK + b"Content-Length: many\r\n\r\n"), Wanted(error=NOT_HTTP)),
        "length-beyond-64-bits": (
            raw(OK + b"Content-Length: 99999999999999999999999\r\n\r\n"),
            Wanted(error=NOT_HTTP),
        ),
        "two-lengths": (
            raw(OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"),
            Wanted(error=NOT_HTTP),
        ),
        "length-and-chunks": (
            raw(OK + b"Content-Length: 3\r\n" + CHUNKED + b"0\r\n\r\n"),
            Wanted(error=NOT_HTTP),
        ),
        "nul-in-a-header": (raw(OK + b"X: a\x00b\r\n\r\n"), Wanted(error=NOT_HTTP)),
        "folded-header": (raw(OK + b"X: a\r\n b\r\nContent-Length: 0\r\n\r\n"), Wanted()),
    }


def in_body(*, status: int) -> dict[str, Case]:
    """Faults after a whole head: its status counts."""
    head = OK if status == 200 else NO
    slow = Wanted(prompt=False) if status == 200 else Wanted("status", 500, failed(500).error, prompt=False)
    quick = Wanted() if status == 200 else failed(500, attempts=1)
    ten_gib = f"Content-Length: {TEN_GIB}\r\n\r\n".encode()
    bomb = gzip.compress(bytes(50_000_000))
    cases: dict[str, Case] = {
        "half-a-body": (raw(head + b"Content-Length: 10\r\n\r\nhalf", then_close=True), quick),
        "half-a-body-reset": (reset(head + b"Content-Length: 10\r\n\r\nhalf"), quick),
        "half-a-body-hang": (raw(head + b"Content-Length: 10\r\n\r\nhalf"), slow),
        "longer-than-its-length": (raw(head + b"Content-Length: 4\r\n\r\nhalf and more"), quick),
        "two-answers": (raw(head + b"Content-Length: 0\r\n\r\n" + response(200)), quick),
        "10-GiB": (endless(head + ten_gib, PIECE), quick),
        "10-GiB-chunk": (endless(head + CHUNKED + b"280000000\r\n", PIECE), quick),
        "endless-until-closed": (endless(head + b"\r\n", PIECE), quick),
        "endless-chunks": (endless(head + CHUNKED, b"fa0\r\n" + b"x" * 4000 + b"\r\n"), quick),
        "endless-tiny-chunks": (endless(head + CHUNKED, b"1\r\nx\r\n" * 10_000), quick),
        "endless-chunk-extension": (endless(head + CHUNKED + b"4;x=", PIECE), quick),
        "endless-trailers": (endless(head + CHUNKED + b"0\r\n", b"X: y\r\n" * 1000), quick),
        "chunk-size-no-number": (raw(head + CHUNKED + b"zzz\r\n"), quick),
        "chunk-size-beyond-64-bits": (raw(head + CHUNKED + b"fffffffffffffffffff\r\n"), quick),
        "chunk-cut-off": (raw(head + CHUNKED + b"a\r\nhalf", then_close=True), quick),
        "gzip-bomb": (raw(response(status, "Content-Encoding: gzip", body=bomb)), quick),
        "gzip-lie": (raw(response(status, "Content-Encoding: gzip", body=b"no gzip")), quick),
        "body-drips": (endless(head + b"Content-Length: 100\r\n\r\n", b"x", pause_s=1.0), slow),
        "chunks-drip": (endless(head + CHUNKED, b"1\r\nx\r\n", pause_s=1.0), slow),
    }
    return {f"{status}-{name}": case for name, case in cases.items()}


async def _reset_at_once(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    connection: socket.socket = writer.get_extra_info("socket")
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


async def _close_at_once(_reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    return


async def _greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"220 mail.example ESMTP\r\n")
    await reader.read(-1)


async def _answer_before_the_request(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(response(500, "Connection: close"))
    await reader.read(-1)


async def _refuse_early(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.readuntil(b"\r\n\r\n")
    writer.write(response(413, "Connection: close"))
    await reader.read(-1)


async def _never_read(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.transport.pause_reading()  # type: ignore[attr-defined]
    await asyncio.Event().wait()


DOORS: dict[str, tuple[Serve, Wanted]] = {
    # Whether connecting had ended, or the request was on its way, when the reset came, the kernel decides.
    "reset-before-the-request": (
        _reset_at_once,
        Wanted(
            "disconnected|connect",
            None,
            rf"{RESET}|cannot connect to {PLACE}: Connection reset by peer|{CLOSED}",
        ),
    ),
    "closed-before-the-request": (_close_at_once, Wanted("disconnected", None, f"{RESET}|{CLOSED}")),
    "speaks-first": (_greet, refused()),
    "answers-before-the-request": (_answer_before_the_request, failed(500, attempts=1)),
    "answers-before-the-body": (_refuse_early, failed(413, attempts=1)),
    "never-reads": (_never_read, TOO_LATE),
}


@asynccontextmanager
async def _full_backlog() -> AsyncIterator[int]:
    """A port whose queue of connections is full: further ones hang while connecting."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        fillers = []
        for _ in range(4):
            filler = socket.socket()
            filler.setblocking(False)
            filler.connect_ex(("127.0.0.1", port))
            fillers.append(filler)
        try:
            yield port
        finally:
            for filler in fillers:
                filler.close()


def _answered() -> dict[str, Case]:
    return {**in_head(), **in_body(status=200), **in_body(status=500)}


def _sent_again(receiver: Receiver) -> list[str]:
    """Requests that came twice though the first was the first of its connection: only reuse is tried once more."""
    connections: set[int] = set()
    on_fresh: dict[str, bool] = {}
    repeated = []
    for request in receiver.requests:
        [delivery] = request.values("webhook-id")
        if on_fresh.get(delivery):
            repeated.append(request.line)
        on_fresh.setdefault(delivery, request.connection not in connections)
        connections.add(request.connection)
    return repeated


async def prove(options: Options, found: Findings) -> None:
    """Every fault at once, each at its own webhook, for some rounds; then count what the daemon still has open."""
    cases = _answered()
    wanted = {name: case[1] for name, case in cases.items()} | {name: door[1] for name, door in DOORS.items()}
    wanted |= {
        "refusal": Wanted("connect", None, REFUSED),
        "no-answer-to-connecting": Wanted("timeout", None, LATE_CONNECTING, prompt=False),
        "never-called": Wanted(
            "forbidden",
            None,
            rf"{PLACE} was not called: it is a link-local or cloud metadata address, which .+",
        ),
    }
    scripts: dict[str, Script] = {name: case[0] for name, case in cases.items()}
    rounds = options.scale(short=1, long=8)  # ten failures in a row would open the breakers
    async with AsyncExitStack() as open_:
        receiver = await open_.enter_async_context(receiver_of(scripts))
        hooks = {name: webhook(receiver.to(f"/{name}")) for name in cases}
        for name, (serve, _) in DOORS.items():
            door = await open_.enter_async_context(Server(serve))
            hooks[name] = webhook(f"http://127.0.0.1:{door.port}/")
        hooks["refusal"] = webhook(f"http://127.0.0.1:{free_port()}/")
        hooks["no-answer-to-connecting"] = webhook(
            f"http://127.0.0.1:{await open_.enter_async_context(_full_backlog())}/"
        )
        hooks["never-called"] = webhook("http://169.254.169.254:80/")
        stage = await open_.enter_async_context(WebhookStage(options.place("faults"), hooks))
        before = await stage.baseline()
        judged = 0
        for _ in range(rounds):
            records = await stage.outcomes(hooks)
            judge(found, "faults", wanted, records)
            judged += len(records)
        after = await stage.daemon.rested(before)
    repeated = _sent_again(receiver)
    found.expect(
        not repeated, f"faults: {len(repeated)} requests were sent again without a cause: {repeated[:3]}"
    )
    found.expect(after <= before, f"faults: {after} descriptors afterwards, {before} before")
    found.figures["faults"] = f"{judged} attempts judged, {len(hooks)} faults, {rounds} rounds"
    found.figures["faults_descriptors"] = f"{before} before, {after} after"
