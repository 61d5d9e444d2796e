"""Events posted with a head that is known by then are answered and stored as those of a head seen first."""

import asyncio
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.kit.daemon import DaemonProcess

CONFIG = """
daemon:
  listen: [{unix: h.sock}]
  store: h.db
  limits: {event_size: 2KiB, pending: 13}
webhooks: {w: {url: "http://127.0.0.1:9/", enabled: false}}
types: {vm: {events: ["on", cond]}}
tasks:
  t: {webhook: w, message: {text: "${NAME} ${data.pct}"}}
  u: {webhook: w, message: "${data}"}
events:
  e: {type: vm, event: "on", task: [t, u]}
  f: {type: vm, event: cond, where: "data.pct > 80", task: t}
"""
PLAIN = {"type": "vm", "event": "on", "object": "web-01", "data": {"pct": 81, "at": "12:30"}}
BODIES: Sequence[bytes] = (
    json.dumps(PLAIN).encode(),
    json.dumps({**PLAIN, "id": "a", "time": "2026-01-02T03:04:05Z"}).encode(),
    json.dumps({**PLAIN, "id": "a", "time": "2026-01-02T03:04:05Z"}).encode(),
    json.dumps({**PLAIN, "id": "a"}).encode(),
    json.dumps({**PLAIN, "type": "vn"}).encode(),
    json.dumps({**PLAIN, "event": "cond"}).encode(),
    json.dumps({**PLAIN, "tiem": 1}).encode(),
    json.dumps([PLAIN, PLAIN]).encode(),
    b'{"type": "vm", "type": "vm", "event": "on"}',
    b'{"type": "vm", "event": ',
    b'"' + b"x" * 3000 + b'"',
    json.dumps({**PLAIN, "id": "b"}).encode(),
    json.dumps({**PLAIN, "id": "c"}).encode(),
    json.dumps({**PLAIN, "id": "d"}).encode(),
)
_MADE = re.compile(r"(evt|dlv)_[0-9a-f]{32}")


async def _answers(place: Path, *, known: bool) -> tuple[list[Any], Any]:
    """What is answered to each body, and then stored."""
    async with DaemonProcess(place) as daemon:
        reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
        answers = []
        for number, body in enumerate((BODIES[0], *BODIES)):
            more = "" if known else f"X-Seen: {number}\r\n"  # a head that was never seen before
            head = f"POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n{more}"
            head += (
                f"traceparent: 00-{number + 1:032x}-00000000000000aa-01\r\nContent-Length: {len(body)}\r\n"
            )
            writer.write(head.encode() + b"\r\n" + body)
            answered = (await reader.readuntil(b"\r\n\r\n")).decode()
            length = int(answered.split("Content-Length: ")[1].split("\r\n")[0])
            text = (await reader.readexactly(length)).decode()
            answered = re.sub(r"Date: [^\r]*", "", answered)
            answers.append((_MADE.sub("", answered), _MADE.sub("", text)))
            if "Connection: close" in answered:
                writer.close()
                reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
        writer.close()
        listed = [
            {name: row[name] for name in ("task", "webhook", "state")}
            | {"body": (await daemon.get(f"/v1/deliveries/{row['id']}"))["trace_id"]}
            for row in await daemon.listed()
        ]
        counts = [
            await daemon.metric(f'hookd_events_total{{result="{result}"}}')
            for result in ("accepted", "duplicate", "conflict", "rejected", "unavailable")
        ]
        return answers, (listed, counts)


@pytest.mark.process
async def test_answers_and_what_is_stored_do_not_depend_on_whether_a_head_was_seen(tmp_path: Path) -> None:
    for each in (True, False):
        (tmp_path / str(each)).mkdir()
        (tmp_path / str(each) / "hookd.yaml").write_text(CONFIG)
    known, unknown = [await _answers(tmp_path / str(each), known=each) for each in (True, False)]
    statuses = [int(head.split()[1]) for head, _ in known[0]]
    assert statuses == [202, 202, 202, 200, 409, 422, 202, 422, 202, 400, 400, 413, 202, 503, 503]
    assert known == unknown
