"""One who may only post, as much as the bounds allow and more: what it costs the others in time and memory.

The attacker is a process of its own, so that only the daemon's own delays are seen.
"""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

from tests.attack.beside import beside
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

TASKS = 30
CONFIG = """
daemon:
  listen: [{{unix: h.sock, mode: "0666"}}, {{http: "127.0.0.1:{port}"}}]
  store: h.db
  limits: {{pending: 100000}}
webhooks: {{w: {{url: "http://127.0.0.1:9/", enabled: false}}}}
tasks:
{tasks}
events:
  plain: {{type: t, event: plain, task: t0}}
  many: {{type: t, event: many, task: [{names}]}}
  rule: {{type: t, event: rule, where: "data.a.exists(x, data.b.exists(y, x == y))", task: t0}}
"""
BODIES: dict[str, bytes] = {
    "large data": json.dumps({"type": "t", "event": "plain", "data": {"x": "x" * 1_000_000}}).encode(),
    "many values": json.dumps({"type": "t", "event": "plain", "data": {"x": [0] * 340_000}}).encode(),
    "many brackets": json.dumps({"type": "t", "event": "plain", "data": {"x": [[]] * 260_000}}).encode(),
    "many keys": json.dumps(
        {"type": "t", "event": "plain", "data": {f"k{n}": 0 for n in range(70_000)}}
    ).encode(),
    "a batch of small events": json.dumps([{"type": "t", "event": "plain"}] * 9_000).encode(),
    "30 messages with all data": json.dumps(
        {"type": "t", "event": "many", "data": {"x": "x" * 900_000}}
    ).encode(),
    "a condition over two lists": json.dumps(
        {"type": "t", "event": "rule", "data": {"a": list(range(70_000)), "b": list(range(70_000, 140_000))}}
    ).encode(),
    "too large": b" " * 2_000_000,
    "not JSON": b"[" * 1_000_000,
}
ATTACKER = Path(__file__).with_name("attacker.py")


async def prove(options: Options) -> Findings:
    """Every kind of body, eight connections at a time; then bodies that never end."""
    found, port = Findings(), free_port()
    names = ", ".join(f"t{number}" for number in range(TASKS))
    tasks = "\n".join(f'  t{number}: {{webhook: w, message: "${{data}}"}}' for number in range(TASKS))
    requests = options.scale(short=16, long=100)
    never_end = "bodies that never end"
    for kind, body in {**BODIES, never_end: BODIES["large data"]}.items():
        place = options.place(kind)
        (place / "hookd.yaml").write_text(CONFIG.format(port=port, tasks=tasks, names=names))
        (place / "body").write_bytes(body)
        more = ["200", "--unfinished"] if kind == never_end else [str(requests)]
        command = [sys.executable, str(ATTACKER), str(port), str(place / "body"), *more]
        async with DaemonProcess(place) as daemon, beside(daemon) as cost:
            ended = await asyncio.to_thread(
                subprocess.run, command, capture_output=True, text=True, check=True
            )
        cost.judge(kind, found)
        found.figures[kind] = {"tried": int(more[0]), "answers": json.loads(ended.stdout), **cost.shown()}
    return found
