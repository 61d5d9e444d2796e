"""What a person does by hand: retry, cancel, pause, resume, send, rearm; and what history tells (spec 8, 9, 13)."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import aiohttp
import pytest

from hookd.cli.main import main
from tests.e2e.conftest import DAEMON, Running
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, Reply, held, response
from tests.kit.waiting import until

CONFIG = """
webhooks:
  a: {{url: {url}/a, retries: 0, timeout: 3}}
  b: {{url: {url}/b, retries: 0}}
tasks:
  ta: {{webhook: a}}
  tb: {{webhook: b}}
events:
  ea: {{type: vm, event: a, task: ta}}
  eb: {{type: vm, event: b, task: tb}}
"""
HELD = """
webhooks:
  a: {{url: {url}/a, backoff: [100ms]}}
tasks:
  ta: {{webhook: a}}
events:
  ea: {{type: vm, event: a, task: ta}}
"""
A = {"type": "vm", "event": "a"}
B = {"type": "vm", "event": "b"}

ONCE = """
webhooks:
  w: {{url: {url}/w}}
tasks:
  once: {{webhook: w, delete_after_running: true, message: {{text: "{text}"}}}}
  often: {{webhook: w}}
events:
  e: {{type: vm, event: boot, task: once}}
"""
BOOT = {"type": "vm", "event": "boot"}


def answering(code: int) -> Reply:
    async def reply(_request: Received) -> bytes:
        return response(code, body=b"as told")

    return reply


async def posted(daemon: DaemonProcess, event: dict[str, Any]) -> str:
    """The id of the one delivery that an event made."""
    answered, receipt = await daemon.post(event)
    assert answered == 202
    [made] = receipt["deliveries"]
    return str(made["id"])


async def died(daemon: DaemonProcess, event: dict[str, Any]) -> dict[str, Any]:
    """The delivery of an event, once it is dead."""
    found: dict[str, Any] = await daemon.delivery_when(await posted(daemon, event), "dead")
    return found


async def done(daemon: DaemonProcess, path: str, body: Any = None) -> Any:
    """The answer to a POST that must succeed."""
    answered, answer = await daemon.request("POST", path, body=body)
    assert answered == 200, answer
    return answer


async def refused(daemon: DaemonProcess, path: str, body: Any = None) -> tuple[int, dict[str, Any]]:
    answered, problem = await daemon.request("POST", path, body=body)
    assert problem["status"] == answered
    return answered, problem


async def reconfigure(daemon: DaemonProcess, text: str) -> None:
    """Put a config in place as `git checkout` does, and wait until it is in force."""
    aside = daemon.directory / "new"
    aside.write_text(DAEMON + text)
    aside.replace(daemon.config)
    await done(daemon, "/v1/reload")


async def commanded(
    daemon: DaemonProcess, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Exit code, output and errors of a command that talks to the daemon."""
    capsys.readouterr()
    code = await asyncio.to_thread(main, [*words, "--socket", str(daemon.socket)])
    said = capsys.readouterr()
    return code, said.out, said.err


async def lane(daemon: DaemonProcess, name: str) -> dict[str, Any]:
    [found] = [each for each in (await daemon.get("/v1/webhooks"))["webhooks"] if each["name"] == name]
    return dict(found)


def to(receiver: Receiver, path: str) -> list[Received]:
    return [request for request in receiver.requests if request.target == path]


@pytest.mark.promise
async def test_a_delivery_is_retried_by_its_id(receiver: Receiver, running: Running) -> None:
    receiver.reply = answering(500)
    daemon = await running(CONFIG.format(url=receiver.url))
    dead = await died(daemon, A)
    assert (dead["failures"], [a["number"] for a in dead["attempts"]]) == (1, [1])
    receiver.reply = answering(204)
    answer = await done(daemon, f"/v1/deliveries/{dead['id']}/retry")
    assert answer["id"] == dead["id"]
    assert (answer["finished_at"], answer["detail"]) == (None, "") or answer["state"] == "delivered"
    again = await daemon.delivery_when(dead["id"], "delivered")
    assert [(a["number"], a["status"]) for a in again["attempts"]] == [(1, 500), (2, 204)]
    assert set(again["attempts"][0]) >= {
        "number", "started_at", "duration_s", "status", "error", "response", "insecure",
    }  # fmt: skip
    assert again["attempts"][0]["response"] == "as told"
    await done(daemon, f"/v1/deliveries/{dead['id']}/retry", {})
    await receiver.wait_for(3)
    assert {request.id for request in receiver.requests} == {dead["id"]}
    assert len({request.body for request in receiver.requests}) == 1
    answered, problem = await refused(daemon, "/v1/deliveries/dlv_none/retry")
    assert answered == 404
    assert "GET /v1/deliveries" in problem["detail"]


async def test_an_attempt_under_way_is_left_alone(receiver: Receiver, running: Running) -> None:
    release = asyncio.Event()

    receiver.reply = held(release)
    daemon = await running(CONFIG.format(url=receiver.url))
    delivery = await posted(daemon, A)
    await receiver.wait_for(1)
    for verb in ("retry", "cancel"):
        answered, problem = await refused(daemon, f"/v1/deliveries/{delivery}/{verb}")
        assert answered == 409
        assert "under way" in problem["detail"]
    assert await done(daemon, "/v1/deliveries/retry", {"state": "pending"}) == {
        "matched": 0,
        "retried": 0,
        "cursor": None,
    }
    release.set()
    finished = await daemon.delivery_when(delivery, "delivered")
    assert len(finished["attempts"]) == 1
    answered, problem = await refused(daemon, f"/v1/deliveries/{delivery}/cancel")
    assert answered == 409
    assert "is delivered already; only a pending one can be cancelled" in problem["detail"]


async def test_many_are_retried_by_filter(receiver: Receiver, running: Running) -> None:
    receiver.reply = answering(500)
    daemon = await running(CONFIG.format(url=receiver.url))
    first, second, third = [
        await died(daemon, event) for event in ({**A, "id": "e1"}, {**A, "id": "e2"}, {**B, "id": "e3"})
    ]
    for filters, count in (
        ({}, 3),
        ({"state": "dead"}, 3),
        ({"state": "delivered"}, 0),
        ({"webhook": "a"}, 2),
        ({"webhook": "gone"}, 0),
        ({"task": "tb"}, 1),
        ({"event": "e1"}, 1),
        ({"webhook": "a", "task": "tb"}, 0),
        ({"since": second["created_at"]}, 2),
        ({"until": second["created_at"]}, 2),
        ({"since": second["created_at"], "until": third["created_at"]}, 2),
        ({"since": second["created_at"], "until": second["created_at"]}, 1),
    ):
        answer = await done(daemon, "/v1/deliveries/retry", {**filters, "dry_run": True})
        assert answer == {"matched": count, "retried": 0, "cursor": None}, filters
    assert len(receiver.requests) == 3
    receiver.reply = answering(200)
    assert await done(daemon, "/v1/deliveries/retry", {"task": "tb"}) == {
        "matched": 1,
        "retried": 1,
        "cursor": None,
    }
    await daemon.delivery_when(third["id"], "delivered")
    assert await done(daemon, "/v1/deliveries/retry") == {"matched": 2, "retried": 2, "cursor": None}
    for delivery in (first, second):
        await daemon.delivery_when(delivery["id"], "delivered")
    assert await done(daemon, "/v1/deliveries/retry", {}) == {"matched": 0, "retried": 0, "cursor": None}
    answer = await done(daemon, "/v1/deliveries/retry", {"state": "delivered", "event": "e3"})
    assert answer == {"matched": 1, "retried": 1, "cursor": None}
    assert [request.id for request in await receiver.wait_for(7)][6] == third["id"]
    for body, pointer in (
        ({"state": "sending"}, "/state"),
        ({"webhok": "a"}, "/webhok"),
        ({"since": 3}, "/since"),
        ({"dry_run": 1}, "/dry_run"),
        ({"cursor": "x"}, "/cursor"),
        ({"cursor": 7}, "/cursor"),
        ([], ""),
    ):
        answered, problem = await refused(daemon, "/v1/deliveries/retry", body)
        assert (answered, [error["pointer"] for error in problem["errors"]]) == (422, [pointer])


async def test_cancelled_and_taken_back(receiver: Receiver, running: Running) -> None:
    config = CONFIG.format(url=receiver.url)
    daemon = await running(config.replace("timeout: 3", "enabled: false"))
    delivery = await posted(daemon, A)
    cancelled = await done(daemon, f"/v1/deliveries/{delivery}/cancel")
    assert (cancelled["state"], cancelled["parked"], cancelled["due_at"]) == ("cancelled", None, None)
    assert cancelled["finished_at"] is not None
    answered, problem = await refused(daemon, f"/v1/deliveries/{delivery}/cancel")
    assert answered == 409
    assert "is cancelled already" in problem["detail"]
    assert (await refused(daemon, "/v1/deliveries/dlv_none/cancel"))[0] == 404
    assert b'hookd_deliveries_total{outcome="cancelled",webhook="a"} 1' in await daemon.get("/metrics")
    assert (await daemon.get("/v1/status"))["deliveries"]["cancelled"] == 1
    await reconfigure(daemon, config)
    await daemon.delivery_when(await posted(daemon, B), "delivered")
    assert to(receiver, "/a") == []
    assert await done(daemon, "/v1/deliveries/retry", {"state": "cancelled"}) == {
        "matched": 1,
        "retried": 1,
        "cursor": None,
    }
    await daemon.delivery_when(delivery, "delivered")


async def test_a_pause_lasts_until_it_is_ended(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    paused = await done(daemon, "/v1/webhooks/a/pause")
    assert (paused["name"], paused["parked"], paused["pending"]) == ("a", "paused", 0)
    delivery = await posted(daemon, A)
    assert (await done(daemon, "/v1/webhooks/a/pause", {}))["paused_at"] == paused["paused_at"]
    assert (await daemon.get(f"/v1/deliveries/{delivery}"))["parked"] == "paused"
    [listed] = (await daemon.get("/v1/deliveries?webhook=a"))["deliveries"]
    assert (listed["state"], listed["parked"]) == ("pending", "paused")
    assert await daemon.stop() == 0
    await daemon.start()
    assert {k: (await lane(daemon, "a"))[k] for k in ("parked", "paused_at", "pending")} == {
        "parked": "paused",
        "paused_at": paused["paused_at"],
        "pending": 1,
    }
    assert (await lane(daemon, "b"))["parked"] is None
    assert (await daemon.get("/v1/status"))["webhooks"][0]["parked"] == "paused"
    await done(daemon, f"/v1/deliveries/{delivery}/retry")
    await daemon.delivery_when(await posted(daemon, B), "delivered")
    assert to(receiver, "/a") == []
    assert (await done(daemon, "/v1/webhooks/a/resume"))["parked"] is None
    await daemon.delivery_when(delivery, "delivered")
    assert (await done(daemon, "/v1/webhooks/a/resume"))["parked"] is None
    facts = [json.loads(line)["event"] for line in daemon.log.read_text().splitlines()]
    assert (facts.count("webhook.paused"), facts.count("webhook.unpaused")) == (1, 1)


async def test_a_pause_of_a_webhook_that_left_can_be_ended(receiver: Receiver, running: Running) -> None:
    config = CONFIG.format(url=receiver.url)
    daemon = await running(config.replace("  a:", "  zapier:").replace("webhook: a", "webhook: zapier"))
    answered, problem = await refused(daemon, "/v1/webhooks/zapeir/pause")
    assert (answered, problem["near"]) == (404, ["zapier"])
    assert problem["detail"] == "there is no webhook named 'zapeir'; did you mean zapier?"
    assert (await refused(daemon, "/v1/webhooks/zapeir/resume"))[0] == 404
    await done(daemon, "/v1/webhooks/zapier/pause")
    await reconfigure(daemon, config)
    assert (await lane(daemon, "zapier"))["parked"] == "gone"
    assert (await done(daemon, "/v1/webhooks/zapier/pause"))["parked"] == "gone"
    resumed = await done(daemon, "/v1/webhooks/zapier/resume")
    assert (resumed["parked"], resumed["paused_at"]) == ("gone", None)
    assert (await refused(daemon, "/v1/webhooks/zapier/resume"))[0] == 404


async def test_a_webhook_that_left_is_known_while_something_waits(
    receiver: Receiver, running: Running
) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    await done(daemon, "/v1/webhooks/a/pause")
    delivery = await posted(daemon, A)
    await reconfigure(daemon, "webhooks: {}\n")
    for _ in range(2):
        resumed = await done(daemon, "/v1/webhooks/a/resume")
        assert (resumed["parked"], resumed["paused_at"], resumed["pending"]) == ("gone", None, 1)
    assert (await done(daemon, "/v1/webhooks/a/pause"))["paused_at"] is not None
    await done(daemon, "/v1/webhooks/a/resume")
    await done(daemon, f"/v1/deliveries/{delivery}/cancel")
    assert (await refused(daemon, "/v1/webhooks/a/resume"))[0] == 404


async def test_status_and_config_tell_limits_and_the_catalogue(
    receiver: Receiver, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    told = await daemon.get("/v1/status")
    assert told["limits"] == {"pending": 1_000_000}
    assert (told["last_died_at"], told["schedules"]) == (None, {"error": None})
    assert (await daemon.get("/v1/config"))["types"] is None
    assert await daemon.get("/v1/names") == {"webhooks": ["a", "b"], "tasks": ["ta", "tb"], "types": {}}
    await reconfigure(daemon, "types: {vm: {events: [a]}}\n")
    assert await daemon.get("/v1/names") == {"webhooks": [], "tasks": [], "types": {"vm": ["a"]}}
    assert list((await daemon.get("/v1/config"))["types"]) == ["vm"]
    query = "since=2026-01-02T00:00:00Z&until=2026-01-01T00:00:00Z"
    answered, problem = await daemon.request("GET", f"/v1/deliveries?{query}")
    assert answered == 400
    assert "since is later than until" in problem["detail"]
    assert (await commanded(daemon, capsys, "deliveries", "--event", "nope"))[0] == 1


async def test_check_fails_as_long_as_something_needs_attention(
    receiver: Receiver, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    assert (await commanded(daemon, capsys, "status", "--check"))[0] == 0

    receiver.reply = answering(404)
    found = await died(daemon, A)
    code, out, _ = await commanded(daemon, capsys, "status", "--check")
    assert (code, out.splitlines()[0]) == (1, "needs attention:")
    assert f"1 dead, the latest since {found['finished_at'][:19]}Z: `hookd deliveries" in out
    assert (await commanded(daemon, capsys, "status"))[0] == 0

    receiver.reply = answering(200)
    await done(daemon, f"/v1/deliveries/{found['id']}/retry")
    await daemon.delivery_when(found["id"], "delivered")
    assert (await commanded(daemon, capsys, "status", "--check"))[0] == 0

    daemon.config.write_text("webhooks: {a: {}}")
    await daemon.request("POST", "/v1/reload")
    code, out, _ = await commanded(daemon, capsys, "status", "--check")
    assert code == 1
    assert "the config on disk was refused" in out


SENT: list[tuple[str, Any, bytes]] = [
    ("json", None, b'{"text": "Webhook"}'),
    ("json", {}, b'{"text": "Webhook"}'),
    ("json", {"message": {"a": ["${WEBHOOK}", 1]}}, b'{"a": ["json", 1]}'),
    ("json", {"message": ["x"]}, b'["x"]'),
    ("json", {"message": '{"w": ${WEBHOOK}}'}, b'{"w": "json"}'),
    ("plain", {"message": "to ${WEBHOOK}, $${so}"}, b"to plain, ${so}"),
    ("plain", {"message": ""}, b""),
]
NOT_SENT: list[tuple[Any, str]] = [
    ({"message": None}, "/message"),
    ({"message": 3}, "/message"),
    ({"message": "{broken"}, "/message"),
    ({"message": "${NAM}"}, "/message"),
    ({"message": {"a/b": ["x", "${NAM}"]}}, "/message/a~1b/1"),
    ({"mesage": "x"}, "/mesage"),
    ("text", ""),
]


async def test_a_message_is_sent_by_hand(receiver: Receiver, running: Running) -> None:
    daemon = await running(
        f"webhooks:\n  json: {{url: {receiver.url}/j}}\n  'off': {{url: {receiver.url}/o, enabled: false}}\n"
        f"  plain: {{url: {receiver.url}/p, headers: {{Content-Type: text/plain}}}}\n"
    )
    for count, (webhook, body, sent) in enumerate(SENT, start=1):
        answered, receipt = await daemon.request("POST", f"/v1/webhooks/{webhook}/send", body=body)
        assert (answered, receipt["duplicate"]) == (202, False)
        [made] = receipt["deliveries"]
        assert (made["task"], made["webhook"]) == ("", webhook)
        assert (await receiver.wait_for(count))[-1].body == sent
    found = await daemon.delivery_when(made["id"], "delivered")
    assert found["cause"] == {"kind": "send", "event_id": receipt["id"], "rule": ""}
    for body, pointer in NOT_SENT:
        answered, problem = await refused(daemon, "/v1/webhooks/json/send", body)
        assert (answered, [error["pointer"] for error in problem["errors"]]) == (422, [pointer]), body
        assert problem["errors"][0]["message"]
    for message, written in (("hello", '{"text": "hello"}'), ('say "hi"', r'{"text": "say \"hi\""}')):
        _, problem = await refused(daemon, "/v1/webhooks/json/send", {"message": message})
        assert problem["detail"].endswith(f"; the webhook sends JSON: write {written}")
    answered, problem = await refused(daemon, "/v1/webhooks/jsn/send")
    assert (answered, problem["near"]) == (404, ["json"])
    await done(daemon, "/v1/webhooks/plain/pause")
    for webhook, parked in (("off", "disabled"), ("plain", "paused")):
        answered, receipt = await daemon.request("POST", f"/v1/webhooks/{webhook}/send")
        assert answered == 202
        waiting = await daemon.get(f"/v1/deliveries/{receipt['deliveries'][0]['id']}")
        assert (waiting["state"], waiting["parked"]) == ("pending", parked)
    assert len(receiver.requests) == len(SENT)


async def test_bodies_of_another_type_are_refused(receiver: Receiver, running: Running) -> None:
    daemon = await running(ONCE.format(url=receiver.url, text="x"))
    text = {"Content-Type": "text/plain"}
    for path in (
        "/v1/deliveries/x/retry",
        "/v1/deliveries/x/cancel",
        "/v1/deliveries/retry",
        "/v1/webhooks/w/pause",
        "/v1/webhooks/w/resume",
        "/v1/webhooks/w/send",
        "/v1/tasks/once/rearm",
        "/v1/reload",
    ):
        assert (await daemon.request("POST", path, body=b"{}", headers=text))[0] == 415, path
        assert (await daemon.request("POST", path, body={"x": 1}))[0] == 422, path
        assert (await daemon.request("GET", path))[0] == 405, path


@pytest.mark.promise
async def test_a_one_shot_fires_once_however_many_race(receiver: Receiver, running: Running) -> None:
    first = ONCE.format(url=receiver.url, text="first")
    daemon = await running(first)
    made = await race(daemon, 100, connections=20)
    assert len(made) == 1
    spent = await daemon.delivery_when(made[0], "delivered")
    assert spent["cause"]["rule"] == "events.e"
    await daemon.kill()
    await daemon.start()
    assert await fires(daemon) is None
    await reconfigure(daemon, first)
    assert await fires(daemon) is None
    [mark] = (await daemon.get("/v1/status"))["spent"]
    assert (mark["task"], mark["delivery_id"]) == ("once", made[0])
    assert mark["spent_at"].endswith("Z")
    await reconfigure(daemon, ONCE.format(url=receiver.url, text="second"))
    assert (await daemon.get("/v1/status"))["spent"] == []
    assert await fires(daemon) is not None
    assert await fires(daemon) is None
    await reconfigure(daemon, first)
    assert await fires(daemon) is None
    await receiver.wait_for(2)
    assert [json.loads(request.body)["text"] for request in receiver.requests] == ["first", "second"]


async def race(daemon: DaemonProcess, count: int, *, connections: int) -> list[str]:
    """The ids of the deliveries that so many events at once make."""
    connector = aiohttp.UnixConnector(path=str(daemon.socket), limit=connections)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def post() -> list[str]:
            async with session.post("http://localhost/v1/events", json=BOOT) as response:
                assert response.status == 202
                return [made["id"] for made in (await response.json())["deliveries"]]

        return [made for each in await asyncio.gather(*(post() for _ in range(count))) for made in each]


async def fires(daemon: DaemonProcess) -> str | None:
    """The delivery that an event makes, if any."""
    answered, receipt = await daemon.post(BOOT)
    assert answered == 202
    return receipt["deliveries"][0]["id"] if receipt["deliveries"] else None


async def test_a_spent_task_is_rearmed(
    receiver: Receiver, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    daemon = await running(ONCE.format(url=receiver.url, text="x"))
    assert await done(daemon, "/v1/tasks/once/rearm") == {"task": "once", "rearmed": False}
    assert (await daemon.request("POST", "/v1/tasks/once/trigger"))[0] == 202
    answered, problem = await refused(daemon, "/v1/tasks/once/trigger")
    assert answered == 409
    assert "spent" in problem["detail"]
    assert await fires(daemon) is None
    code, out, err = await commanded(daemon, capsys, "trigger", "once")
    assert (code, out) == (1, "")
    assert "`hookd rearm once`" in err
    code, out, _ = await commanded(daemon, capsys, "status")
    assert code == 0
    assert "spent       once (" in out
    code, out, _ = await commanded(daemon, capsys, "rearm", "once")
    assert (code, out) == (0, "once runs once more when it is fired next\n")
    assert await fires(daemon) is not None
    assert await fires(daemon) is None
    assert await done(daemon, "/v1/tasks/once/rearm", {}) == {"task": "once", "rearmed": True}
    answered, problem = await refused(daemon, "/v1/tasks/often/rearm")
    assert answered == 409
    assert "delete_after_running" in problem["detail"]
    answered, problem = await refused(daemon, "/v1/tasks/onec/rearm")
    assert (answered, problem["near"]) == (404, ["once"])


async def test_history_outlives_the_config(receiver: Receiver, running: Running) -> None:
    receiver.reply = answering(500)
    config = CONFIG.format(url=receiver.url)
    daemon = await running(config)
    dead = await died(daemon, A)
    await reconfigure(daemon, "webhooks: {}\n")
    [listed] = (await daemon.get("/v1/deliveries?webhook=a&task=ta"))["deliveries"]
    assert (listed["id"], listed["state"], listed["parked"]) == (dead["id"], "dead", None)
    assert (await daemon.get(f"/v1/deliveries/{dead['id']}"))["attempts"] == dead["attempts"]
    answer = await done(daemon, "/v1/deliveries/retry", {"webhook": "a", "task": "ta"})
    assert answer == {"matched": 1, "retried": 1, "cursor": None}
    waiting = await daemon.get(f"/v1/deliveries/{dead['id']}")
    assert (waiting["state"], waiting["parked"]) == ("pending", "gone")
    receiver.reply = answering(200)
    await reconfigure(daemon, config)
    await daemon.delivery_when(dead["id"], "delivered")


async def test_every_cause_is_told(receiver: Receiver, running: Running) -> None:
    daemon = await running(
        f"webhooks: {{w: {{url: '{receiver.url}'}}}}\n"
        "tasks:\n  t: {webhook: w, triggers: [{type: vm, event: a, where: data.n > 1}, {cron: '0 3 * * *'}]}\n"
        "  tick: {webhook: w}\n"
        "schedules: {often: {every: 1s, task: tick}}\n"
    )
    caused = await daemon.get(f"/v1/deliveries/{await posted(daemon, {**A, 'data': {'n': 2}})}")
    assert (caused["cause"]["kind"], caused["cause"]["rule"]) == ("event", "tasks.t.triggers[0]")
    assert (await daemon.post({**A, "data": {"n": 1}}))[1]["deliveries"] == []
    answered, receipt = await daemon.request("POST", "/v1/tasks/t/trigger")
    assert answered == 202
    caused = await daemon.get(f"/v1/deliveries/{receipt['deliveries'][0]['id']}")
    assert caused["cause"] == {"kind": "trigger", "event_id": receipt["id"], "rule": ""}
    cause = (await once_there(lambda: daemon.get("/v1/deliveries?task=tick&limit=1")))["cause"]
    assert (cause["kind"], cause["rule"]) == ("schedule", "schedules.often")
    assert cause["event_id"].startswith("schedules.often@20")
    config = await daemon.get("/v1/config")
    assert config["schedules"]["often"]["rule"] == "schedules.often"
    assert config["schedules"]["often"]["place"].endswith("hookd.yaml:6:13")
    by_event, by_time = config["tasks"]["t"]["triggers"]
    assert (by_event["where"], by_event["rule"]) == ("data.n > 1", "tasks.t.triggers[0]")
    assert (by_time["expression"], by_time["rule"]) == ("0 3 * * *", "tasks.t.triggers[1]")
    assert by_event["place"] is not None
    assert by_time["place"] is not None


async def once_there(listing: Callable[[], Awaitable[Any]]) -> Any:
    """The first delivery of a listing, once there is one; nothing announces a schedule's moment."""

    async def look() -> Any:
        return (await listing())["deliveries"]

    return (await until(look))[0]


async def test_a_hold_names_its_end_and_is_lifted(
    receiver: Receiver, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    async def asking(_request: Received) -> bytes:
        return response(503, "Retry-After: 86400")

    receiver.reply = asking
    daemon = await running(HELD.format(url=receiver.url))
    first = await posted(daemon, A)
    found = await daemon.get_when(f"/v1/deliveries/{first}", lambda each: each["held_until"])
    way_out = "as the receiver asked; `hookd resume a` lifts it"
    assert found["due_at"] == found["held_until"]
    code, out, _ = await commanded(daemon, capsys, "retry", first)
    assert (code, out) == (0, f"{first}  waits: held until {found['held_until'][:19]}Z, {way_out}\n")
    code, out, _ = await commanded(daemon, capsys, "send", "a")
    assert code == 0
    assert out.splitlines()[-1] == f"  it waits: held until {found['held_until'][:19]}Z, {way_out}"
    assert way_out in (await commanded(daemon, capsys, "show", first))[1]
    assert len(receiver.requests) == 1
    receiver.reply = answering(200)
    assert (await commanded(daemon, capsys, "resume", "a"))[:2] == (
        0, "a is not paused; 2 deliveries go on\n",
    )  # fmt: skip
    await daemon.delivery_when(first, "delivered")
    assert (await lane(daemon, "a"))["held_until"] is None
    assert daemon.logged("webhook.hold_lifted", webhook="a")


async def test_the_commands_do_it(
    receiver: Receiver, running: Running, capsys: pytest.CaptureFixture[str]
) -> None:
    receiver.reply = answering(500)
    daemon = await running(CONFIG.format(url=receiver.url))
    dead = (await died(daemon, A))["id"]
    mistyped = dead[:-1] + ("0" if dead[-1] != "0" else "1")
    for command in ("retry", "cancel", "show"):
        code, _, err = await commanded(daemon, capsys, command, mistyped)
        assert code == 1
        assert f"did you mean: {dead}" in err
    assert await commanded(daemon, capsys, "retry", "--webhook", "aa") == (
        0,
        "0 retried\n",
        "note: the config has no webhook 'aa'; did you mean: a\n",
    )
    assert await commanded(daemon, capsys, "pause", "a") == (
        0,
        "a is paused; 0 deliveries wait until `hookd resume a`\n",
        "",
    )
    assert (await commanded(daemon, capsys, "retry", "--state", "dead", "--since", "1h")) == (
        0,
        "1 retried\n",
        "a waits: it was paused by hand; `hookd resume a` lets it send\n",
    )
    code, out, _ = await commanded(daemon, capsys, "status")
    assert code == 0
    assert "`hookd resume a`" in out
    code, out, _ = await commanded(daemon, capsys, "send", "a", "--message", '{"n": ${TIMESTAMP}}')
    assert code == 0
    assert "it waits: it was paused by hand" in out
    sent = out.splitlines()[1].split()[0]
    assert (await commanded(daemon, capsys, "cancel", sent, dead))[0] == 0
    assert (await commanded(daemon, capsys, "cancel", sent))[0] == 1
    receiver.reply = answering(200)
    assert (await commanded(daemon, capsys, "resume", "a"))[:2] == (0, "a is not paused\n")
    assert (await commanded(daemon, capsys, "retry", sent, dead))[0] == 0
    for delivery in (sent, dead):
        await daemon.delivery_when(delivery, "delivered")
    code, out, _ = await commanded(daemon, capsys, "show", sent)
    assert code == 0
    assert "cause      send by hand, evt_" in out
