"""Requests that two readers could frame differently, odd heads and odd JSON: refused, never taken for two (spec 2, 12).

Each case smuggles a post of its own, which a strict reader never sees as a request: it must not be stored.
Called by: the proof.
"""

import json
from collections import Counter
from contextlib import suppress

from tests.chaos.intake.client import Answered, Client
from tests.chaos.intake.scene import EVENT, Scene, judge_log, scene, wrong_refusal
from tests.chaos.proof import Findings, Options

_POST = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
_JSON = b'{"type":"vm","event":"on"}'


def _hidden(name: str) -> bytes:
    """A whole request of its own, whose event says by its id that it was taken for one."""
    body = json.dumps({**EVENT, "id": name}).encode()
    return _POST + f"Content-Length: {len(body)}\r\n\r\n".encode() + body


def _framings(name: str) -> dict[str, bytes]:
    """Heads of a post, with what follows; all of it is one request at most."""
    hidden = _hidden(name)
    size = len(hidden)
    head = _POST.removesuffix(b"\r\n")
    chunked = b"Transfer-Encoding: chunked\r\n"
    fields = {
        "CL and TE": f"Content-Length: {size}\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "TE and CL": "Transfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "two lengths": f"Content-Length: 5\r\nContent-Length: {size}\r\n\r\n12345",
        "plus": "Content-Length: +5\r\n\r\n12345",
        "list": "Content-Length: 5,5\r\n\r\n12345",
        "negative": "Content-Length: -1\r\n\r\n",
        "hex": "Content-Length: 0x5\r\n\r\n12345",
        "underscore": "Content-Length: 1_0\r\n\r\n1234567890",
        "huge": f"Content-Length: {'9' * 400}\r\n\r\n",
        "64 bits": "Content-Length: 18446744073709551621\r\n\r\n12345",
        "empty length": "Content-Length:\r\n\r\n",
        "space before colon": "Content-Length : 5\r\n\r\n12345",
        "fold": "X: a\r\n Content-Length: 5\r\n\r\n12345",
        "tab fold": "Content-Length:\r\n\t5\r\n\r\n12345",
        "bare LF": "X: a\nContent-Length: 5\r\n\r\n12345",
        "bare CR": "X: a\rContent-Length: 5\r\n\r\n12345",
        "NUL": "X: a\0b\r\nContent-Length: 5\r\n\r\n12345",
        "no colon": "Broken\r\nContent-Length: 5\r\n\r\n12345",
        "TE identity": "Transfer-Encoding: identity\r\n\r\n",
        "TE gzip, chunked": "Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "TE twice": "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "TE xchunked": "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
        "TE vertical tab": "Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    }
    found = {label: head + b"\r\n" + rest.encode("latin-1") + hidden for label, rest in fields.items()}
    chunks = {
        "overflow": b"ffffffffffffffff1\r\n",
        "negative chunk": b"-1\r\n",
        "plus chunk": b"+5\r\n12345\r\n0\r\n\r\n",
        "0x chunk": b"0x5\r\n12345\r\n0\r\n\r\n",
        "spaced chunk": b"5 \r\n12345\r\n0\r\n\r\n",
        "short chunk": b"5\r\n1234567\r\n0\r\n\r\n",
        "chunk LF": b"5\n12345\n0\n\n",
        "extension LF": b"5;a\nb\r\n12345\r\n0\r\n\r\n",
        "trailer": b"0\r\nContent-Length: 5\r\nX: y\r\n\r\n",
        "long extension": b"5;" + b"x" * 70_000 + b"\r\n12345\r\n0\r\n\r\n",
        "many trailers": b"0\r\n" + b"A: b\r\n" * 5000 + b"\r\n",
    }
    found |= {label: head + b"\r\n" + chunked + b"\r\n" + rest + hidden for label, rest in chunks.items()}
    inner = b"Content-Length: %d\r\n\r\n" % size
    found["in the body"] = head + b"\r\n" + inner + hidden
    found["unread body"] = (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n" % size + hidden
    )
    found["preface"] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden
    found["0.9"] = b"GET /healthz\r\n" + hidden
    found["connect"] = b"CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n" + hidden
    found["upgrade"] = (
        b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + hidden
    )
    return found


async def framing(options: Options, findings: Findings) -> None:
    """Every case on both sockets, whole and byte by byte where that is short."""
    async with scene(options.place("framing")) as stage:
        statuses: Counter[int] = Counter()
        for number in range(2):
            for label in _framings(""):
                name = f"{label} {number}"
                answers = await _exchange(stage, number, _framings(name)[label])
                statuses.update(each.status for each in answers)
                _judge(findings, label, answers)
                found, _ = await stage.daemon.request("GET", f"/v1/events/{name.replace(' ', '%20')}")
                findings.expect(found == 404, f"framing: {label}: the hidden request was served ({found})")
        await _odd_requests(stage, findings, statuses)
        findings.figures["framing"] = {
            "cases": statuses.total(),
            "answers": {str(status): count for status, count in sorted(statuses.items())},
        }
        judge_log(stage, findings, "framing")


async def _exchange(stage: Scene, number: int, raw: bytes) -> list[Answered]:
    """All answers to these bytes, after which the client says nothing more."""
    answers: list[Answered] = []
    async with await stage.client(number) as client:
        try:
            await client.send(raw)
            client.end()
            while True:
                answers.append(await client.answer())
        except (EOFError, OSError):
            return answers


def _judge(findings: Findings, label: str, answers: list[Answered]) -> None:
    for each in answers:
        if each.status >= 400 and (fault := wrong_refusal(each)):
            findings.violations.append(f"framing: {label}: {each.status}: {fault}")
        findings.expect(each.status < 500 or each.status in (503, 505), f"framing: {label}: {each.status}")
    findings.expect(
        sum(each.status < 300 for each in answers) <= 1, f"framing: {label}: served as more than one request"
    )


def _bodies() -> dict[str, tuple[bytes, int]]:
    """Odd JSON with the status that spec 2 gives."""
    data = b'{"type":"vm","event":"on","data":{"a":%s}}'
    return {
        "surrogate": (data % b'"\\ud800"', 400),
        "surrogate key": (data % b'{"\\udfff":1}', 400),
        "non-character": (data % '"\\uffff \U0010ffff"'.encode(), 202),
        "huge integer": (data % (b"9" * 100_000), 400),
        "large integer": (data % (b"9" * 4000), 202),
        "huge float": (data % b"1e999", 400),
        "nesting 100": (data % (b"[" * 98 + b"]" * 98), 202),
        "nesting 101": (data % (b"[" * 99 + b"]" * 99), 400),
        "duplicate key": (b'{"type":"vm","type":"vm","event":"on"}', 400),
        "BOM": (b"\xef\xbb\xbf" + _JSON, 400),
        "NaN": (data % b"NaN", 400),
        "infinity": (data % b"-Infinity", 400),
        "not UTF-8": (data % b'"\xff"', 400),
        "UTF-16": (_JSON.decode().encode("utf-16"), 400),
        "brackets": (b"[" * 1_000_000, 400),
        "10 MB of brackets": (b"[" * 10_000_000, 413),
        "empty": (b"", 400),
        "no event": (b"[]", 422),
        "null": (b"null", 422),
        "id of NUL": (b'{"type":"vm","event":"on","id":"a\\u0000b"}', 422),
        "id of a newline": (b'{"type":"vm","event":"on","id":"a\\nb"}', 422),
        "id of 257": (b'{"type":"vm","event":"on","id":"%s"}' % (b"x" * 257), 422),
        "id of right-to-left": ('{"type":"vm","event":"on","id":"a\u202eb"}'.encode(), 422),
    }


def _heads() -> dict[str, tuple[bytes, set[int]]]:
    """Whole requests with the statuses that would be right."""
    length = b"Content-Length: %d\r\n" % len(_JSON)
    plain = b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\n"

    def typed(kind: bytes) -> bytes:
        return plain + b"Content-Type: " + kind + b"\r\n" + length + b"\r\n" + _JSON

    def with_field(field: bytes) -> bytes:
        return _POST + field + b"\r\n" + length + b"\r\n" + _JSON

    return {
        "text": (typed(b"text/plain"), {415}),
        "charset": (typed(b"application/json; charset=utf-8"), {202}),
        "latin-1": (typed(b"application/json; charset=latin-1"), {415}),
        "upper case": (typed(b"APPLICATION/JSON"), {202}),
        "no type": (plain + length + b"\r\n" + _JSON, {415}),
        "gzip": (with_field(b"Content-Encoding: gzip"), {415}),
        "expect": (with_field(b"Expect: 100-continue"), {100, 202}),
        "expect other": (with_field(b"Expect: tea"), {417}),
        "empty key": (with_field(b"Idempotency-Key: "), {422}),
        "two keys": (with_field(b"Idempotency-Key: a\r\nIdempotency-Key: b"), {400}),
        "long key": (with_field(b"Idempotency-Key: " + b"k" * 300), {422}),
        "odd key": (with_field(b"Idempotency-Key: \xff\xfe"), {202, 400, 422}),
        "many headers": (with_field(b"\r\n".join(b"X-%d: y" % n for n in range(1000))), {400, 431}),
        "64 KiB header": (with_field(b"X: " + b"y" * 65_536), {400, 431}),
        "64 KiB target": (b"GET /" + b"a" * 65_536 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 414}),
        "absolute": (b"GET http://localhost/healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", {200}),
        "trace": (b"TRACE /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", {405}),
        "options": (b"OPTIONS * HTTP/1.1\r\nHost: localhost\r\n\r\n", {400, 404, 405}),
        "1.0": (b"GET /healthz HTTP/1.0\r\nHost: localhost\r\n\r\n", {200}),
        "3.0": (b"GET /healthz HTTP/3.0\r\nHost: localhost\r\n\r\n", {400, 505}),
    }


async def _odd_requests(stage: Scene, findings: Findings, statuses: Counter[int]) -> None:
    cases = {
        label: (_POST + b"Content-Length: %d\r\n\r\n" % len(body) + body, {status})
        for label, (body, status) in _bodies().items()
    }
    for number in range(2):
        for label, (raw, wanted) in {**cases, **_heads()}.items():
            async with await stage.client(number) as client:
                answered = await _ask(client, raw)
            statuses[answered.status] += 1
            findings.expect(
                answered.status in wanted, f"framing: {label}: {answered.status}, not {sorted(wanted)}"
            )
            _judge(findings, label, [answered])


async def _ask(client: Client, raw: bytes) -> Answered:
    """The answer, though it may come before all is sent."""
    with suppress(OSError):
        await client.send(raw)
    return await client.answer()
