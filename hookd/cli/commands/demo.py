"""`hookd demo`: the whole thing at work within seconds: daemon, receiver, events, a retry, a crash (spec 8).

Must never: claim what it has not seen; what is said about a request is checked before it is printed.
"""

import argparse
import asyncio
import json
import secrets
import signal
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hookd.cli.commands.deliveries import DROPPABLE, SHRINKABLE, TITLES, table_row
from hookd.cli.failure import REFUSED, Failure
from hookd.cli.output.terminal import Table, terminal_width
from hookd.domain.text import printable

if TYPE_CHECKING:
    from hookd.cli.testbench.demo_stage import DemoStage
    from hookd.cli.testbench.receiver import ReceivedRequest

DESCRIPTION = """Show the whole thing working, in less than ten seconds.

Starts a daemon and a receiver on temporary state, posts events, shows what arrives, a retry, and a crash
that loses nothing; then removes it all."""
EXAMPLE = "hookd demo"

TERMINATED = 143
"""Exit code after SIGTERM: 128 + 15, as shells have it."""

CONFIG = """\
daemon:
  listen: [{{unix: hookd.sock, mode: "0600"}}]
  store: hookd.db
  spool: spool
  shutdown_grace: 2s
  log: {{format: json}}

webhooks:
  chat:
    url: http://127.0.0.1:{port}/chat
    signing: {{secret: {secret}}}
  pager:
    url: http://127.0.0.1:{port}/pager
    method: PUT
    backoff: [1s]
    signing: {{secret: {secret}, style: github}}
  archive:
    url: http://127.0.0.1:{port}/archive
    auth: {{type: bearer, token: {token}}}
    backoff: [2s]
    signing: {{secret: {secret}}}

tasks:
  announce:
    webhook: chat
    message: {{text: "${{NAME}} was powered on by ${{data.user:-somebody}}"}}
  page:
    webhook: pager
    message: {{summary: "sync ${{NAME}} failed", attempts: "${{data.attempts}}"}}
  keep:
    webhook: archive
    message: {{what: "${{TYPE}} ${{EVENT}}", at: "${{DATE}}"}}

events:
  production-vm-on: {{type: virtual_machine, event: powered_on, tag: production, task: announce}}
  sync-failed: {{type: outgoing_sync, event: error, task: page}}
  alarm-raised: {{type: alarm, event: raised, task: keep}}
"""

NEXT = """\
What to do next:
  hookd init DIR                     a config to start from, with its tests
  hookd schema > hookd.schema.json   completion and help in your editor
  hookd check -c hookd.yaml          says what is wrong with a config, line by line
  hookd run -c hookd.yaml            the daemon in the foreground
  hookd receive                      a receiver of your own to point a webhook at
  hookd emit TYPE EVENT              an event
  hookd status                       is everything all right?"""


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take none."""


def run(options: argparse.Namespace) -> int:  # noqa: ARG001 - every command is called alike
    """Play it; 0 when everything arrived as it should."""
    try:
        asyncio.run(_play())
    except asyncio.CancelledError:
        return TERMINATED
    _say("", "Everything arrived as it should, and all of it has been removed again.", NEXT)
    return 0


async def _play() -> None:
    from hookd.cli.testbench.demo_stage import set_up
    from hookd.cli.testbench.receiver import Behaviour, Receiver

    playing = asyncio.current_task()
    assert playing
    for number in (signal.SIGTERM, signal.SIGHUP):
        asyncio.get_running_loop().add_signal_handler(number, playing.cancel)
    secret, token = f"demo-{secrets.token_hex(16)}", secrets.token_hex(16)
    failing_once = Behaviour(statuses=(503, 200))
    receiver = Receiver(behaviours={"/pager": failing_once, "/archive": failing_once}, secrets=(secret,))
    async with set_up(receiver) as (stage, port):
        stage.write_config(CONFIG.format(port=port, secret=secret, token=token))
        try:
            await _story(stage, port, token)
        except (Failure, TimeoutError) as error:
            raise _spoiled(error, stage) from None


def _spoiled(error: Exception, stage: "DemoStage") -> Failure:
    missing = error.lines if isinstance(error, Failure) else ("something that should have come did not",)
    return Failure(
        f"the demo did not go as it should: {missing[0]}",
        *missing[1:],
        "the daemon's log:",
        *(f"  {line}" for line in stage.daemon_log()),
        code=REFUSED,
    )


async def _story(stage: "DemoStage", port: int, token: str) -> None:
    pid = await stage.start_daemon()
    _say(f"A daemon (pid {pid}) and a receiver (port {port}), on temporary state in {stage.directory}")
    await _signed_delivery(stage)
    await _retry(stage)
    await _crash(stage, pid, token)
    await _summary(stage)
    code = await stage.stop_daemon()
    _expect(code == 0, f"the daemon stopped cleanly (exit code {code})")


async def _signed_delivery(stage: "DemoStage") -> None:
    _say("", "1. An event goes in, a signed webhook comes out")
    event = {
        "type": "virtual_machine",
        "event": "powered_on",
        "object": {"name": "web-01", "tags": ["production"]},
        "data": {"user": "ada"},
    }
    delivery = await _emit(stage, event)
    request = await _arrived(stage, "/chat", delivery, answer=200)
    _expect(json.loads(request.body) == {"text": "web-01 was powered on by ada"}, "the message filled in")


async def _retry(stage: "DemoStage") -> None:
    _say("", "2. A receiver that fails is tried again")
    event = {"type": "outgoing_sync", "event": "error", "object": "offsite", "data": {"attempts": 3}}
    delivery = await _emit(stage, event)
    first = await _arrived(stage, "/pager", delivery, answer=503)
    second = await _arrived(stage, "/pager", delivery, answer=200)
    _expect(first.method == second.method == "PUT", "the method PUT")
    _expect(first.body == second.body, "the same bytes again")
    _say(f"   tried again after {second.at - first.at:.1f} s: the same webhook-id, the same bytes")


async def _crash(stage: "DemoStage", pid: int, token: str) -> None:
    _say("", "3. A crash loses nothing")
    delivery = await _emit(stage, {"type": "alarm", "event": "raised"})
    await _arrived(stage, "/archive", delivery, answer=503)
    await stage.delivery_in("pending", delivery, failures=1)
    await asyncio.to_thread(stage.kill_daemon)
    _say(f"   kill -9 {pid}: the daemon is gone, one delivery was still to be made")
    began = time.monotonic()
    pid = await stage.start_daemon()
    _say(f"   started again as pid {pid} in {time.monotonic() - began:.1f} s")
    request = await _arrived(stage, "/archive", delivery, answer=200)
    _expect(request.header("authorization") == f"Bearer {token}", "the bearer token")


async def _summary(stage: "DemoStage") -> None:
    _say("", "4. What hookd remembers (hookd deliveries)")
    made = (await stage.get("/v1/deliveries"))["deliveries"]
    for delivery in made:
        await stage.delivery_in(
            "delivered", delivery["id"], failures=0 if delivery["webhook"] == "chat" else 1
        )
    made = (await stage.get("/v1/deliveries"))["deliveries"]
    rows = [table_row(delivery) for delivery in made]
    table = Table(TITLES, rows, shrinkable=SHRINKABLE, width=terminal_width() - 3, droppable=DROPPABLE)
    _say(*(f"   {line}" for line in (table.head(), *map(table.row, rows))))
    _expect(sorted(row[2] for row in rows) == ["archive", "chat", "pager"], "one delivery for each webhook")


async def _emit(stage: "DemoStage", event: Mapping[str, Any]) -> str:
    """Post an event that makes one delivery; the delivery's id."""
    posted = json.dumps(event)
    answer = await stage.post("/v1/events", posted.encode())
    _expect(len(answer["deliveries"]) == 1, "one delivery")
    made = answer["deliveries"][0]
    _say(
        f"   posted    {posted}",
        f"   accepted  and stored: {made['task']} → {made['webhook']}, delivery {made['id']}",
    )
    return str(made["id"])


async def _arrived(stage: "DemoStage", path: str, delivery_id: str, *, answer: int) -> "ReceivedRequest":
    """Wait for a request, check that it is the delivery that should come, and tell about it."""
    request = await stage.arrival()
    _expect(request.target == path, f"a request at {path}, not {request.target}")
    _expect(request.header("webhook-id") == delivery_id, f"webhook-id {delivery_id}")
    verification = request.signature
    verdict = verification.verdict if verification else "absent"
    _expect(verdict == "valid", f"a valid signature (it is {verdict})")
    style = verification.style if verification else None
    _say(
        f"   arrived   {request.method} {path}, {style} signature verified, answered {answer}",
        *(f"             {name}: {value}" for name, value in request.headers if _telling(name)),
        f"             {request.body.decode()}",
    )
    return request


def _telling(name: str) -> bool:
    return name.lower().startswith(("webhook-", "x-hub-", "content-type", "user-agent"))


def _expect(seen: bool, what: str) -> None:
    if not seen:
        raise Failure(f"expected {what}")


def _say(*lines: str) -> None:
    for text in lines:
        for line in text.split("\n"):
            print(printable(line), flush=True)
