"""Every status from 100 to 599, and answers that only look like one.

Of each status one answer with a body and one without. 200 to 299 deliver, 410 ends at once, everything else is tried
again while retries remain (spec 5). An interim answer decides nothing.
"""

import asyncio
import re
from http import HTTPStatus

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.stage import PLACE, Wanted, WebhookStage, judge, receiver_of, webhook
from tests.kit.receiver import Script, endless, raw, response

RETRIES = 1

CLOSED = rf"{PLACE} closed the connection without an answer"
CUT = rf"{PLACE} closed the connection before its answer was complete"
NOT_HTTP = r"the answer is not valid HTTP: .+"
LATE = r"timed out after 3 s while waiting for the answer"

Case = tuple[Script, Wanted]


def _sentence(status: int) -> str:
    phrases = {known.value: f" {known.phrase}" for known in HTTPStatus}
    note = "; redirects are not followed" if status in {301, 302, 303, 307, 308} else ""
    return re.escape(f"HTTP {status}{phrases.get(status, '')}{note}")


def failed(status: int, *, attempts: int = RETRIES + 1) -> Wanted:
    return Wanted("status", status, _sentence(status), attempts=attempts)


def _wanted(status: int) -> Wanted:
    if 200 <= status <= 299:
        return Wanted("ok", status)
    return failed(status, attempts=1 if status == HTTPStatus.GONE else RETRIES + 1)


def _line(status: int) -> bytes:
    return f"HTTP/1.1 {status} X\r\n".encode()


def _interim(status: int) -> dict[str, Case]:
    """Before a final answer an interim one changes nothing; alone it is no answer."""
    head = _line(status) + b"\r\n"
    broken = Wanted("disconnected", None, CUT, attempts=RETRIES + 1)
    return {
        f"{status}-then-200": (raw(head + response(200)), Wanted()),
        f"{status}-then-500": (raw(head, response(500)), failed(500)),
        f"{status}-alone": (raw(head, then_close=True), broken),
    }


def _final(status: int) -> dict[str, Case]:
    return {
        f"{status}-bare": (raw(response(status)), _wanted(status)),
        f"{status}-body": (raw(response(status, body=b"why")), _wanted(status)),
        f"{status}-until-closed": (raw(_line(status) + b"\r\nwhy", then_close=True), _wanted(status)),
    }


def every_status() -> dict[str, Case]:
    cases: dict[str, Case] = {}
    for status in range(100, 200):
        cases |= _interim(status) if status != 101 else {}
    for status in (101, *range(200, 600)):
        cases |= _final(status)
    return cases


def _plain(first: bytes) -> Script:
    return raw(first + b"\r\nContent-Length: 0\r\n\r\n")


def _not_http(*, prompt: bool = True) -> Wanted:
    return Wanted("protocol", None, NOT_HTTP, attempts=RETRIES + 1, prompt=prompt)


def oddities() -> dict[str, Case]:
    """Answers beside the standard, with what the contract makes of them."""
    ok, gone = Wanted(), Wanted("disconnected", None, CLOSED, attempts=RETRIES + 1)
    interim = b"HTTP/1.1 100 Continue\r\n\r\n"
    late = Wanted("timeout", None, LATE, prompt=False, attempts=RETRIES + 1)
    return {
        "200-says-it-failed": (_plain(b"HTTP/1.1 200 Internal Server Error"), ok),
        "500-says-OK": (_plain(b"HTTP/1.1 500 OK"), failed(500)),
        "200-without-words": (_plain(b"HTTP/1.1 200 "), ok),
        "200-without-the-blank": (_plain(b"HTTP/1.1 200"), ok),
        "200-with-a-novel": (_plain(b"HTTP/1.1 200 " + b"x" * 4000), ok),
        "500-with-escapes": (_plain(b"HTTP/1.1 500 \x1b[31mred"), failed(500)),
        "304-with-the-length-of-what-it-leaves-out": (
            raw(b"HTTP/1.1 304 Not Modified\r\nContent-Length: 5000\r\n\r\n"),
            failed(304),
        ),
        "204-with-a-length": (
            raw(b"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n"),
            Wanted("ok", 204),
        ),
        "000": (_plain(b"HTTP/1.1 000 Zero"), failed(0)),
        "001": (_plain(b"HTTP/1.1 001 One"), failed(1)),
        "099": (_plain(b"HTTP/1.1 099 Low"), failed(99)),
        "600": (_plain(b"HTTP/1.1 600 High"), failed(600)),
        "999": (_plain(b"HTTP/1.1 999 Highest"), failed(999)),
        "20": (_plain(b"HTTP/1.1 20 Short"), _not_http()),
        "2000": (_plain(b"HTTP/1.1 2000 Long"), _not_http()),
        "-200": (_plain(b"HTTP/1.1 -200 Minus"), _not_http()),
        "0x0c8": (_plain(b"HTTP/1.1 0x0c8 Hex"), _not_http()),
        "2e2": (_plain(b"HTTP/1.1 2e2 Float"), _not_http()),
        "HTTP-1.0": (raw(b"HTTP/1.0 200 OK\r\n\r\nbody", then_close=True), ok),
        "HTTP-1.0-500": (raw(b"HTTP/1.0 500 No\r\n\r\nbody", then_close=True), failed(500)),
        "HTTP-0.9": (raw(b"<html>It works</html>", then_close=True), _not_http()),
        "HTTP-2-in-words": (_plain(b"HTTP/2 200"), _not_http()),
        "HTTP-2-settings": (raw(b"\x00\x00\x12\x04\x00\x00\x00\x00\x00" + bytes(18)), _not_http()),
        "HTTP-2-preface": (raw(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), _not_http()),
        "lower-case": (_plain(b"http/1.1 200 ok"), _not_http()),
        "ICY": (_plain(b"ICY 200 OK"), _not_http()),
        "garbage": (raw(bytes(range(128, 256)) + b"\r\n\r\n"), _not_http()),
        "line-ends-of-unix": (raw(b"HTTP/1.1 500 OK\nContent-Length: 0\n\n"), failed(500)),
        "no-byte": (raw(then_close=True), gone),
        "no-byte-ever": (raw(), late),
        "16-interim-answers": (raw(interim * 15 + response(200)), ok),
        "endless-interim-answers": (endless(b"", interim), _not_http()),
        "interim-answers-that-drip": (endless(b"", interim, pause_s=0.25), late),
    }


async def _play(options: Options, found: Findings, part: str, cases: dict[str, Case]) -> None:
    wanted = {name: case[1] for name, case in cases.items()}
    async with receiver_of({name: case[0] for name, case in cases.items()}) as receiver:
        hooks = {name: webhook(receiver.to(f"/{name}"), retries=RETRIES) for name in cases}
        async with WebhookStage(options.place(part), hooks) as stage:
            records = await stage.outcomes(cases)
    judge(found, part, wanted, records)
    found.figures[part] = f"{len(records)} answers of {len(cases)} judged"


async def prove(options: Options, found: Findings) -> None:
    """Play every case, each to its own webhook."""
    await asyncio.gather(
        _play(options, found, "statuses", every_status()), _play(options, found, "oddities", oddities())
    )
