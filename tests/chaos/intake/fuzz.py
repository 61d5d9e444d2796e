"""Mutated requests (bytes, heads, JSON, paths, queries): refused in the right form or served, never a 500.

A case is made of the seed and its number alone, so that it can be made again. Called by: the proof.
"""

import asyncio
import json
import random
import re
from collections import Counter
from collections.abc import Callable
from typing import Any
from urllib.parse import quote

from tests.chaos.intake.scene import EVENT, Scene, judge_log, scene, wrong_refusal
from tests.chaos.proof import Findings, Options

CONNECTIONS = 16

METHODS = (
    "GET",
    "HEAD",
    "POST",
    "PUT",
    "PATCH",
    "DELETE",
    "OPTIONS",
    "TRACE",
    "CONNECT",
    "get",
    "POST ",
    "X" * 40,
)
ROUTES = (
    "/v1/events", "/v1/events/{}", "/v1/deliveries", "/v1/deliveries/{}", "/v1/deliveries/{}/retry",
    "/v1/deliveries/{}/cancel", "/v1/deliveries/retry", "/v1/webhooks", "/v1/webhooks/{}/pause",
    "/v1/webhooks/{}/resume", "/v1/webhooks/{}/send", "/v1/tasks/{}/trigger", "/v1/tasks/{}/rearm", "/v1/config",
    "/v1/status", "/healthz", "/readyz", "/metrics", "/", "//", "/v1/../v1/status", "/%2e%2e/",
)  # fmt: skip
TEXTS = (
    "", "a", "w", "t", "dead", "pending", "x" * 300, "\0", "\n", "\r\nX: y", "\u202e",
    "\ud800", "\uffff", "\U0010ffff", "é", "e\u0301", "%", "%00", "..", "/", "'", '"', "' OR 1=1 --", "-1", "0", "1e9",
    "9" * 30, "NaN", "null", "🦊",
    "2026-01-01T00:00:00Z", "0000-00-00T00:00:00Z", "9999-12-31T23:59:60-23:59", "0001-01-01T00:00:00+23:59",
)  # fmt: skip
PARAMETERS = ("state", "webhook", "task", "event", "since", "until", "limit", "cursor", "stat", "")
BYTES = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b" ", b":", b"\xff", b"%", b"{", b"[", b'"', b"\\u", b"\\ud800", b"-",
    b"chunked", b"Transfer-Encoding: chunked\r\n", b"Content-Length: 3\r\n", b"99999999999999999999",
)  # fmt: skip


def case(seed: int, number: int) -> bytes:
    """The bytes of a case."""
    chance = random.Random(f"{seed}/{number}")
    raw = chance.choice((_routed, _posted, _queried))(chance)
    return _mutated(chance, raw) if chance.random() < 0.4 else raw


def _request(method: str, target: str, body: bytes | None, fields: list[str]) -> bytes:
    lines = [f"{method} {target} HTTP/1.1", "Host: localhost", *fields]
    if body is not None:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogatepass") + (body or b"")


def _text(chance: random.Random) -> str:
    return chance.choice(TEXTS) if chance.random() < 0.8 else chr(chance.randrange(0x110000))


def _quoted(chance: random.Random) -> str:
    return quote(_text(chance).encode("utf-8", "surrogatepass"), safe="")


def _routed(chance: random.Random) -> bytes:
    """Any method on any route, mostly with a body that means something there."""
    target = chance.choice(ROUTES).replace("{}", _quoted(chance))
    body = json.dumps(chance.choice(({}, EVENT, {"message": _value(chance)}, _filter(chance)))).encode()
    return _request(chance.choice(METHODS), target, chance.choice((None, b"", body)), _fields(chance))


def _queried(chance: random.Random) -> bytes:
    """A listing with a query of odd filters and cursors."""
    pairs = [f"{chance.choice(PARAMETERS)}={_quoted(chance)}" for _ in range(chance.randrange(4))]
    return _request("GET", f"/v1/{chance.choice(('deliveries', 'events'))}?{'&'.join(pairs)}", None, [])


def _posted(chance: random.Random) -> bytes:
    """An event whose fields are odd."""
    event: Any = {**EVENT, "object": {"id": "1", "name": "n", "tags": ["a"]}, "id": _text(chance), "data": {}}
    for _ in range(chance.randrange(1, 4)):
        place = event if chance.random() < 0.6 else event.get("object")
        if isinstance(place, dict):
            place[chance.choice((*event, "name", "tags", "time", _text(chance)))] = _value(chance)
    content = chance.choice((event, [event], [event, EVENT], [[event]]))
    raw = json.dumps(content, ensure_ascii=chance.random() < 0.5).encode("utf-8", "surrogatepass")
    target = chance.choice(("/v1/events", "/v1/events", "/v1/tasks/t/trigger", "/v1/webhooks/held/send"))
    return _request("POST", target, raw, _fields(chance))


def _fields(chance: random.Random) -> list[str]:
    kind = chance.choice(
        ("application/json",) * 6 + ("application/x-ndjson", "text/plain", ";", "a/b; charset")
    )
    odd = re.sub(r"[\r\n\0]", "", _text(chance))
    key = [f"Idempotency-Key: {odd}"] if chance.random() < 0.2 else []
    return [f"Content-Type: {kind}", *key]


def _filter(chance: random.Random) -> dict[str, Any]:
    return {chance.choice((*PARAMETERS, "dry_run")): _value(chance) for _ in range(chance.randrange(4))}


def _value(chance: random.Random, depth: int = 0) -> Any:
    """Any JSON value, and some that Python alone takes for one."""
    kinds: list[Callable[[], Any]] = [
        lambda: _text(chance),
        lambda: chance.choice(
            (None, True, False, 0, -1, 1.5, 1e308, 10**30, 2**63, float("nan"), float("inf"))
        ),
    ]
    if depth < 4:
        kinds += [
            lambda: [_value(chance, depth + 1) for _ in range(chance.randrange(4))],
            lambda: {_text(chance): _value(chance, depth + 1) for _ in range(chance.randrange(4))},
        ]
    return chance.choice(kinds)()


def _mutated(chance: random.Random, raw: bytes) -> bytes:
    """Some bytes changed, cut out, doubled or put in."""
    data = bytearray(raw)
    for _ in range(chance.randrange(1, 5)):
        start = chance.randrange(len(data) + 1)
        end = min(len(data), start + chance.randrange(8))
        data[start:end] = chance.choice((b"", bytes([chance.randrange(256)]), data[start:end] * 2, *BYTES))
    return bytes(data)


async def fuzz(options: Options, findings: Findings) -> None:
    """So many cases, each on a connection of its own that then says nothing more."""
    count = options.scale(short=3_000, long=100_000)
    async with scene(options.place("fuzz")) as stage:
        statuses: Counter[str] = Counter()
        numbers = iter(range(count))
        alive = asyncio.create_task(_watch(stage, findings))
        try:
            await asyncio.gather(
                *(_work(stage, numbers, options.seed, findings, statuses) for _ in range(CONNECTIONS))
            )
        finally:
            alive.cancel()
        status, _ = await stage.daemon.request("GET", "/v1/status")
        findings.expect(status == 200, f"fuzz: afterwards GET /v1/status is {status}")
        findings.figures["fuzz"] = {"cases": count, "answers": dict(sorted(statuses.items()))}
        judge_log(stage, findings, "fuzz")


async def _watch(stage: Scene, findings: Findings) -> None:
    assert stage.daemon.process is not None
    code = await stage.daemon.process.wait()
    findings.violations.append(f"fuzz: the daemon ended with {code}")


async def _work(stage: Scene, numbers: Any, seed: int, findings: Findings, statuses: Counter[str]) -> None:
    for number in numbers:
        raw = case(seed, number)
        fault = await _try(stage, number, raw, statuses)
        if fault and len(findings.violations) < 20:
            findings.violations.append(f"fuzz: seed {seed}, case {number}: {fault}: {raw[:2000]!r}")


async def _try(stage: Scene, number: int, raw: bytes, statuses: Counter[str]) -> str:
    """What was wrong with the answers to a case; empty where nothing was."""
    head_only = raw.startswith(b"HEAD")
    async with await stage.client(number) as client:
        try:
            await client.send(raw)
            client.end()
        except OSError:
            pass
        while True:
            try:
                answered = await client.answer(head_only=head_only)
            except TimeoutError:
                return "neither an answer nor the end within 5 s"
            except (EOFError, OSError):
                return ""
            except (ValueError, KeyError, IndexError) as exc:
                return f"the answer is not HTTP: {exc!r}"
            statuses[str(answered.status)] += 1
            if b"hookd failed to serve" in answered.body:  # what would be a 500 elsewhere
                return "an exception of hookd's own"
            if answered.status >= 500 and answered.status not in (503, 505):
                return f"answered {answered.status}"
            if answered.status >= 400 and not head_only and (fault := wrong_refusal(answered)):
                return f"{answered.status}: {fault}"
