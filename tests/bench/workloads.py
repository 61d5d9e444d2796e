"""What the benchmarks post: the same request again and again, or requests of which no two are alike."""

import random
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice, repeat
from pathlib import Path
from typing import Any

from tests.bench.load import request_bytes

SEED = 20261201
CONCURRENCY = 130
"""About what one webhook gets of the 200 slots."""

EVENT = {
    "type": "virtual_machine",
    "event": "powered_on",
    "object": {"id": "42", "name": "web-01", "tags": ["production"]},
    "data": {"used_pct": 81, "note": "hello"},
}

_CONFIG = """
daemon:
  listen: [{{unix: {directory}/h.sock}}]
  store: {directory}/h.db
  log: {{level: info, format: json}}
{daemon}
webhooks:
  w:
    url: {url}
    concurrency: {concurrency}
{webhook}
tasks:
  t: {{webhook: w, message: {{text: "${{NAME}} is on at ${{DATE}}", used: "${{data.used_pct}}"}}}}
events:
  e: {{type: virtual_machine, event: powered_on, tag: production, task: t}}
"""

_SIGNED = '    signing: {style: standard, secret: "a plain text as secret, 32 bytes"}'
_WORDS = [
    "disk",
    "full",
    "of",
    "80 %",
    "Zürich",
    "rack 7",
    '"quoted"',
    "down",
    "since",
    "a\nline",
    "ok",
    "näher",
    "<b>",
]


@dataclass(frozen=True)
class Workload:
    """Requests, and the webhook that they end at.

    Attributes:
        webhook: further lines of the webhook.
        tls: whether the receiver speaks HTTPS.
        own_ids: whether each of its answers has a header of its own, so that no two are alike.
    """

    requests: Callable[[], Iterator[bytes]]
    webhook: str = ""
    tls: bool = False
    own_ids: bool = False

    def take(self, count: int) -> list[bytes]:
        """The first requests, as bytes."""
        return list(islice(self.requests(), count))

    def configure(self, directory: Path, url: str, *, ca: Path | None = None, daemon: str = "") -> Path:
        """Write a configuration that sends them on, with further lines of the daemon.

        It has a folder of its own, as where hookd is installed: what a daemon writes is not what it watches.
        """
        path = directory / "config" / "hookd.yaml"
        path.parent.mkdir()
        webhook = f"{self.webhook}\n    tls: {{ca: {ca}}}" if ca else self.webhook
        path.write_text(
            _CONFIG.format(
                directory=directory,
                url=url,
                concurrency=CONCURRENCY,
                webhook=webhook,
                daemon=f"  {daemon}",
            )
        )
        return path


def _varied() -> Iterator[bytes]:
    """Bodies of differing length and content; a fifth each has an `id`, a `time` and a `traceparent`."""
    chosen = random.Random(SEED)
    while True:
        number = chosen.randrange(1000)
        event: dict[str, Any] = {
            "type": "virtual_machine",
            "event": "powered_on",
            "object": {"id": str(number), "name": f"web-{number:02}", "tags": ["production"]},
            "data": {
                "used_pct": chosen.choice([number % 101, round(chosen.uniform(0, 100), 2)]),
                "note": " ".join(chosen.choices(_WORDS, k=chosen.randrange(60))),
                "disks": [
                    {"name": f"sd{letter}", "free": chosen.randrange(10**9)} for letter in "abc"[: number % 4]
                ],
            },
        }
        if chosen.random() < 0.2:
            event["id"] = str(uuid.UUID(int=chosen.getrandbits(128)))
        if chosen.random() < 0.2:
            event["time"] = f"2026-11-{chosen.randrange(1, 30):02}T12:00:{chosen.randrange(60):02}Z"
        trace = f"00-{chosen.getrandbits(128):032x}-{chosen.getrandbits(64) | 1:016x}-01"
        yield request_bytes(event, {"traceparent": trace} if chosen.random() < 0.2 else None)


PLAIN = Workload(lambda: repeat(request_bytes(EVENT)))

WORKLOADS = {
    "plain": PLAIN,
    "varied": Workload(_varied, webhook=_SIGNED, own_ids=True),
    "https": Workload(PLAIN.requests, tls=True),
}
