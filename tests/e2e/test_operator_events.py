"""Operator events: what hookd says about itself, through the real daemon to a real receiver (spec 10)."""

import asyncio
import json
import sqlite3
import sys
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import Running
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

CONFIG = """
types:
  vm: {events: ["on"]}
webhooks:
  w: {url: 'URL/w', retries: 0}
  ops: {url: 'OPS/ops', retries: RETRIES, backoff: [50ms]}
tasks:
  t: {webhook: w, triggers: [{type: vm, event: "on"}]}
  say:
    webhook: ops
    message: {what: "${TYPE} ${EVENT}", name: "${NAME}", text: "${data.summary}", data: {n: "${data.count}"}}
    triggers:
      - {type: hookd.delivery, event: dead}
      - {type: hookd.webhook, event: parked}
      - {type: hookd.webhook, event: resumed}
      - {type: hookd.config, event: rejected}
      - {type: hookd.config, event: applied}
      - {type: hookd.daemon, event: started}
"""
EVENT = {"type": "vm", "event": "on"}


def config(receiver: Receiver, *, ops: str | None = None, retries: int = 20, more: str = "") -> str:
    text = CONFIG.replace("OPS", ops or receiver.url).replace("URL", receiver.url)
    return text.replace("RETRIES", str(retries)) + more


def answering(code: Callable[[], int]) -> Callable[[Received], Any]:
    """Answers what `code` says at /w, and 200 everywhere else."""

    async def reply(request: Received) -> bytes:
        return response(code() if request.target == "/w" else 200)

    return reply


class Told:
    """What has arrived at the operator's receiver, in order."""

    def __init__(self, receiver: Receiver) -> None:
        self._receiver = receiver

    @property
    def all(self) -> list[dict[str, Any]]:
        return [json.loads(each.body) for each in self._receiver.requests if each.target == "/ops"]

    async def when(self, what: str, *, name: str | None = None, nth: int = 1) -> dict[str, Any]:
        """The n-th message of this type and event, once it is there."""

        def found() -> list[dict[str, Any]]:
            such = [each for each in self.all if each["what"] == what and name in {None, each["name"]}]
            return such[nth - 1 :]

        return (await until(found))[0]


async def own_events(
    daemon: DaemonProcess, *, at_least: int = 0, until_last: str | None = None
) -> list[dict[str, Any]]:
    """The kept events of hookd's own, the oldest first, once there are so many and the last one is this."""
    own: list[dict[str, Any]] = []

    async def look() -> bool:
        answer = await daemon.get("/v1/events?limit=500")
        own[:] = [each for each in answer["events"] if each["type"].startswith("hookd.")][::-1]
        return len(own) >= at_least and until_last in {None, own[-1]["event"] if own else ""}

    await until(look)
    return [await daemon.get(f"/v1/events/{each['id']}") for each in own]


async def breaker(daemon: DaemonProcess, webhook: str) -> str:
    lanes = (await daemon.get("/v1/webhooks"))["webhooks"]
    return next(str(lane["breaker"]) for lane in lanes if lane["name"] == webhook)


async def hookd(directory: Path, *words: str, stdin: str = "") -> tuple[int, str]:
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hookd", *words, cwd=directory,
        stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    out, _ = await process.communicate(stdin.encode())
    assert process.returncode is not None
    return process.returncode, out.decode()


async def test_each_fact_reaches_the_operator(receiver: Receiver, running: Running, tmp_path: Path) -> None:
    code, told = 410, Told(receiver)
    receiver.reply = answering(lambda: code)
    daemon = await running(config(receiver))
    assert (await told.when("hookd.daemon started"))["text"].startswith("hookd ")

    _, receipt = await daemon.post(EVENT)
    dead = await told.when("hookd.delivery dead")
    delivery = receipt["deliveries"][0]["id"]
    why = "the receiver answered 410 Gone, which is final"
    assert dead == {
        "what": "hookd.delivery dead", "name": "w", "text": f"a delivery of task t to w is dead: {why}",
        "data": {"n": 1},
    }  # fmt: skip
    [event] = [each for each in await own_events(daemon) if each["event"] == "dead"]
    assert event["object"] == {"id": None, "name": "w", "tags": []}
    facts = {key: event["data"][key] for key in ("delivery_id", "event_id", "task", "attempts", "status")}
    assert facts == {
        "delivery_id": delivery, "event_id": receipt["id"], "task": "t", "attempts": 1, "status": 410
    }  # fmt: skip
    [made] = event["deliveries"]
    record = await daemon.get(f"/v1/deliveries/{made['id']}")
    assert record["cause"] == {"kind": "event", "event_id": event["id"], "rule": "tasks.say.triggers[0]"}

    await daemon.request("POST", "/v1/webhooks/w/pause")
    await daemon.post(EVENT)
    parked = await told.when("hookd.webhook parked")
    assert (parked["name"], parked["text"]) == ("w", "deliveries to w wait: it was paused by hand")
    code = 200
    await daemon.request("POST", "/v1/webhooks/w/resume")
    assert (await told.when("hookd.webhook resumed"))["name"] == "w"

    path = tmp_path / "hookd.yaml"
    good = path.read_text()
    path.write_text(good.replace("retries: 0", "retires: 0").replace("webhook: ops", "webhook: w"))
    assert (await daemon.request("POST", "/v1/reload"))[0] == 422
    rejected = await told.when("hookd.config rejected")  # by the rules and to the webhook still in force
    assert rejected["name"] == str(path)
    assert "hookd.yaml:6:40: webhooks.w.retires: unknown key" in rejected["text"]
    path.write_text(good)
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    mended = await told.when("hookd.config applied")
    assert mended["text"] == "configuration 1 is in force: no definition has changed"
    path.write_text(good.replace("retries: 0", "retries: 1") + "  more: {webhook: w}\n")
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    applied = await told.when("hookd.config applied", nth=2)
    assert applied["text"] == "configuration 2 is in force: webhooks +0 ~1 -0, tasks +1 ~0 -0"
    [_, event] = [each for each in await own_events(daemon) if each["event"] == "applied"]
    assert event["data"]["changes"]["tasks"] == {"added": ["more"], "changed": [], "removed": []}
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200  # nothing has changed: no news
    assert await daemon.stop() == 0
    names = ["started", "dead", "parked", "resumed", "rejected", "applied", "applied"]
    assert [each["what"].split(" ")[1] for each in told.all] == names


async def test_a_receiver_that_is_down_and_up_again(receiver: Receiver, running: Running) -> None:
    code, told = 500, Told(receiver)
    receiver.reply = answering(lambda: code)
    daemon = await running(config(receiver))
    for _ in range(12):
        await daemon.post(EVENT)
    parked = await told.when("hookd.webhook parked")
    assert parked["text"] == "deliveries to w wait: its receiver is down"
    code = 200
    text = (daemon.directory / "hookd.yaml").read_text()
    (daemon.directory / "hookd.yaml").write_text(text.replace("retries: 0", "retries: 1"))  # probed at once
    assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    assert (await told.when("hookd.webhook resumed"))["name"] == "w"


async def test_no_loop_where_the_operators_own_receiver_is_down(receiver: Receiver, running: Running) -> None:
    receiver.reply = answering(lambda: 410)
    tasks = "".join(f"  more{number}: {{webhook: ops}}\n" for number in range(15))
    rules = "events:\n  all: {type: hookd.delivery, event: dead, task: [LIST]}\n".replace(
        "LIST", ", ".join(f"more{number}" for number in range(15))
    )
    down = f"http://127.0.0.1:{free_port()}"
    daemon = await running(config(receiver, ops=down, retries=0, more=tasks + rules))
    await daemon.post(EVENT)  # its dead delivery makes 16 to `ops`, which die until its breaker opens

    async def opened() -> bool:
        return await breaker(daemon, "ops") != "closed"

    await until(opened)
    await daemon.request("POST", "/v1/webhooks/w/pause")
    await daemon.post(EVENT)  # what comes after is dealt with after all that
    await daemon.post(EVENT)
    own = await own_events(daemon, until_last="parked")
    found = [(each["type"], each["event"], each["object"]["name"]) for each in own[1:]]
    assert found == [("hookd.delivery", "dead", "w"), ("hookd.webhook", "parked", "w")]
    assert await daemon.stop() == 0
    lines = daemon.log.read_text()
    assert '"event": "delivery.dead", ' in lines
    assert '"webhook": "ops", "reason": "breaker"' in lines
    await daemon.start()
    [*_, last] = await own_events(daemon)
    assert last["event"] in {"parked", "started"}
    assert {each["object"]["name"] for each in await own_events(daemon)} <= {"w", own[0]["object"]["name"]}


def a_minute_goes_by(store: Path) -> None:
    """Let what a store that nobody holds tells of dead deliveries have been a minute earlier."""
    with closing(sqlite3.connect(store)) as connection, connection:
        connection.execute("UPDATE events SET received_at = received_at - 60000000")
        connection.execute("UPDATE deliveries SET finished_at = finished_at - 60000000 WHERE state = 3")
        connection.execute(
            "UPDATE lanes SET reported_at = reported_at - 60000000, reported_until = reported_until - 60000000"
        )


async def test_a_thousand_dead_in_a_burst(receiver: Receiver, running: Running) -> None:
    told = Told(receiver)
    receiver.reply = answering(lambda: 410)
    daemon = await running(config(receiver).replace("retries: 0", "retries: 0, concurrency: 100"))
    await daemon.post([EVENT] * 1000)
    await daemon.get_when("/v1/status", lambda now: now["deliveries"]["dead"] >= 1000, within_s=60)
    for nth, end in enumerate((daemon.stop, daemon.kill), start=2):
        await end()
        await daemon.start()
        await told.when("hookd.daemon started", nth=nth)
    assert len([each for each in told.all if "dead" in each["what"]]) == 1
    await daemon.kill()
    a_minute_goes_by(daemon.directory / "h.db")
    await daemon.start()
    last = await told.when("hookd.delivery dead", nth=2)
    first = await told.when("hookd.delivery dead")
    assert first["data"]["n"] + last["data"]["n"] == 1000
    await told.when("hookd.daemon started", nth=4)
    assert len([each for each in told.all if "dead" in each["what"]]) == 2


async def test_what_was_stored_survives_a_kill_and_a_start_reports_no_old_parking(
    receiver: Receiver, running: Running
) -> None:
    told, text = Told(receiver), config(receiver)
    receiver.reply = answering(lambda: 410)
    daemon = await running(text.replace("/ops', ", "/ops', enabled: false, "))
    await daemon.post(EVENT)
    await own_events(daemon, at_least=2)  # it is dead before the webhook is paused
    await daemon.request("POST", "/v1/webhooks/w/pause")
    await daemon.post(EVENT)
    await own_events(daemon, at_least=3)
    await daemon.kill()
    path = daemon.directory / "hookd.yaml"
    path.write_text(path.read_text().replace("enabled: false, ", ""))
    await daemon.start()
    await told.when("hookd.delivery dead")
    await told.when("hookd.webhook parked")
    await told.when("hookd.daemon started", nth=2)
    await daemon.post(EVENT)
    assert await daemon.stop() == 0
    assert len([each for each in told.all if each["what"] == "hookd.webhook parked"]) == 1


@pytest.mark.parametrize("catalogue", [True, False])
async def test_nobody_posts_one_and_explain_explains_one(
    receiver: Receiver, running: Running, catalogue: bool
) -> None:
    text = config(receiver)
    daemon = await running(text if catalogue else text.replace('types:\n  vm: {events: ["on"]}\n', ""))
    own = {"type": "hookd.delivery", "event": "dead", "object": "w", "data": {"count": 3, "summary": 'a "b"'}}
    code, answer = await daemon.post(own)
    assert code == 422
    message = 'a type that begins with "hookd." is hookd\'s own'
    assert answer["errors"] == [{"pointer": "/type", "message": message}]
    code, out = await hookd(daemon.directory, "explain", "-", stdin=json.dumps(own))
    assert code == 0, out
    assert "matches  tasks.say.triggers[0]" in out
    assert '{"what": "hookd.delivery dead", "name": "w", "text": "a \\"b\\"", "data": {"n": 3}}' in out
    code, out = await hookd(daemon.directory, "explain", "-", stdin=json.dumps({**own, "event": "died"}))
    assert code == 1
    assert 'unknown event of type hookd.delivery "died"' in out
