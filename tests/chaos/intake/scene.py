"""The scene of the intake's proof: one daemon on a Unix socket and on TCP, one receiver that counts.

Called by: every part of the proof.
"""

import json
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.intake.client import Answered, Client
from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import comes_true

EVENT = {"type": "vm", "event": "on"}

_CONFIG = """
daemon:
  listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}'}}]
  store: store/h.db
  limits: {{pending: {pending}, event_size: {event_size}}}
  log: {{format: json, level: {level}}}
types:
  vm: {{events: ["on", "off"]}}
  quiet: {{events: ["on"]}}
webhooks:
  w: {{url: '{url}/w', concurrency: 50, timeout: 30, backoff: [1s], retries: 100}}
  held: {{url: '{url}/held', concurrency: 1, enabled: false}}
tasks:
  t: {{webhook: w, message: {{id: "${{ID}}"}}}}
  h: {{webhook: held, message: {{id: "${{ID}}"}}}}
events:
  e: {{type: vm, event: "on", task: t}}
  o: {{type: vm, event: "off", task: h}}
"""


@dataclass
class Count:
    """What has arrived at the receiver: how often each delivery, and for how many events."""

    deliveries: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)

    async def reply(self, request: Received) -> bytes:
        self.deliveries[request.id] += 1
        self.events[json.loads(request.body)["id"]] += 1
        return response(200)


@dataclass
class Scene:
    """A running daemon and its receiver."""

    daemon: DaemonProcess
    receiver: Receiver
    count: Count
    port: int

    @property
    def addresses(self) -> tuple[str | tuple[str, int], ...]:
        """The Unix socket and the TCP address."""
        return str(self.daemon.socket), ("127.0.0.1", self.port)

    async def client(self, number: int = 0) -> Client:
        """A new connection; even numbers on the Unix socket, odd ones on TCP."""
        return await Client.to(self.addresses[number % 2])

    async def until_delivered(self, events: Sequence[str], *, within_s: float = 60.0) -> list[str]:
        """Wait for a delivery of each event; those that have none in time."""
        await comes_true(lambda: set(events) <= self.count.events.keys(), within_s=within_s, every_s=0.05)
        return sorted(set(events) - self.count.events.keys())


@asynccontextmanager
async def scene(
    directory: Path,
    *,
    pending: int = 1_000_000,
    event_size: str = "1MiB",
    level: str = "warning",
    wrap: Sequence[str] = (),
) -> AsyncIterator[Scene]:
    """A daemon in a directory of its own."""
    count, port = Count(), free_port()
    (directory / "store").mkdir()
    async with Receiver(reply=count.reply) as receiver:
        config = _CONFIG.format(
            port=port, url=receiver.url, pending=pending, event_size=event_size, level=level
        )
        (directory / "hookd.yaml").write_text(config)
        async with DaemonProcess(directory, wrap=wrap) as daemon:
            yield Scene(daemon, receiver, count, port)


def judge_log(scene: Scene, findings: Findings, part: str) -> None:
    """No part may leave a traceback or a failed request in the log."""
    text = scene.daemon.log.read_text()
    findings.expect("Traceback" not in text, f"{part}: a traceback in the log: {_around(text, 'Traceback')}")
    findings.expect(
        "request.failed" not in text, f"{part}: a request failed: {_around(text, 'request.failed')}"
    )
    findings.expect("exception" not in text.lower(), f"{part}: {_around(text.lower(), 'exception')}")


def _around(text: str, word: str) -> str:
    at = text.find(word)
    return text[max(0, at - 300) : at + 2000]


def post(event: Any, *fields: str) -> bytes:
    """A POST of an event (or of a body that is bytes already)."""
    body = event if isinstance(event, bytes) else json.dumps(event).encode()
    lines = ["POST /v1/events HTTP/1.1", "Host: localhost", "Content-Type: application/json"]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", *fields, "", ""]).encode() + body


def get(path: str) -> bytes:
    return f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()


def wrong_refusal(answered: Answered) -> str:
    """What is wrong with a refusal (spec 2, RFC 9457); empty where nothing is."""
    if answered.headers.get("Content-Type") != "application/problem+json":
        return f"its type is {answered.headers.get('Content-Type')}"
    try:
        problem = json.loads(answered.body)
    except ValueError:
        return f"it is not JSON: {answered.body[:200]!r}"
    if not _is_problem(problem, answered.status):
        return f"it is no problem document: {answered.body[:200]!r}"
    if answered.status == 503 and not answered.headers.get("Retry-After", "").isdigit():
        return "a 503 without Retry-After"
    return ""


def _is_problem(problem: Any, status_code: int) -> bool:
    return (
        isinstance(problem, Mapping)
        and isinstance(problem.get("title"), str)
        and isinstance(problem.get("detail"), str)
        and problem.get("status") == status_code
        and all(each.keys() == {"pointer", "message"} for each in problem.get("errors", [None]))
    )


def quantile(values: Sequence[float], share: float) -> float:
    """The value below which this share lies; 0 for none."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))] if ordered else 0.0
