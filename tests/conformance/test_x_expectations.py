"""X3, X7, X8, X10, X12: what an administrator of such a system expects beyond the pages.

X4 (a test message to a webhook) is not shown here.
"""

import asyncio
import json
import time
from collections.abc import AsyncIterator, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Any

import pytest
import pytest_asyncio

from tests.kit.receiver import Received, response
from tests.kit.stage import Stage

HISTORY = """
webhooks:
  good: {url: RECEIVER/good}
  bad: {url: RECEIVER/bad, retries: 1, backoff: [20ms]}
  slow: {url: RECEIVER/slow}
  later: {url: RECEIVER/later, retries: 3, backoff: [1h]}
  resting: {url: RECEIVER/resting, enabled: false}
tasks:
  good: {webhook: good, message: {name: "${NAME}"}}
  bad: {webhook: bad}
  slow: {webhook: slow}
  later: {webhook: later}
  resting: {webhook: resting}
events:
  all of them: {type: vm, event: started, task: [good, bad, slow, later, resting]}
"""


class Answers:
    """A receiver that is slow, bad and good by path; `release` ends the slowness."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def __call__(self, request: Received) -> bytes:
        if request.target == "/slow":
            await self.release.wait()
        if request.target in {"/bad", "/later"}:
            return response(500, body=b"out of order")
        return response(200, body=b"thanks")


def instant(text: str) -> float:
    """An instant as the API tells it: RFC 3339, UTC."""
    assert text.endswith("Z")
    return datetime.fromisoformat(text).timestamp()


async def ids(stage: Stage, query: str) -> list[str]:
    """The tasks of the deliveries that a filter leaves, newest first."""
    return [each["task"] for each in (await stage.daemon.get(f"/v1/deliveries?{query}"))["deliveries"]]


async def test_x3_x8_history_with_states_times_cause_duration_and_outcome(stage: Stage) -> None:
    stage.receiver.reply = answers = Answers()
    stage.write(HISTORY)
    await stage.start()
    receipt = await stage.emit("vm", "started", object="web-01", id="the-event")
    made = {each["task"]: each["id"] for each in receipt["deliveries"]}
    await asyncio.gather(*(stage.arrivals(target, count) for target, count in (("/bad", 2), ("/slow", 1))))
    await stage.daemon.delivery_when(made["good"], "delivered")
    await stage.daemon.delivery_when(made["bad"], "dead")
    await stage.arrived("/later")
    await stage.daemon.get_when(f"/v1/deliveries/{made['later']}", itemgetter("attempts"))
    records = {task: await stage.daemon.get(f"/v1/deliveries/{each}") for task, each in made.items()}

    assert {task: (r["state"], r["parked"], len(r["attempts"])) for task, r in records.items()} == {
        "good": ("delivered", None, 1),
        "bad": ("dead", None, 2),
        "slow": ("sending", None, 0),
        "later": ("pending", None, 1),
        "resting": ("pending", "disabled", 0),
    }
    cause = {"kind": "event", "event_id": "the-event", "rule": "events.all of them"}
    assert all(record["cause"] == cause for record in records.values())
    for record in records.values():
        assert_times(record)
    good, bad, later = (records[task] for task in ("good", "bad", "later"))
    assert good["body"] == '{"name": "web-01"}'
    assert [(a["number"], a["status"], a["error"], a["response"]) for a in good["attempts"]] == [
        (1, 200, "", "thanks")
    ]
    assert [(a["number"], a["status"], a["response"]) for a in bad["attempts"]] == [
        (1, 500, "out of order"),
        (2, 500, "out of order"),
    ]
    assert (bad["last_status"], later["last_status"], good["last_status"]) == (500, 500, 200)
    assert "500" in bad["detail"]
    assert instant(later["due_at"]) >= instant(later["attempts"][0]["started_at"]) + 3600
    await assert_filters(stage, made)
    await assert_commands(stage, made)
    answers.release.set()
    assert (await stage.daemon.delivery_when(made["slow"], "delivered"))["last_status"] == 200


def assert_times(record: Mapping[str, Any]) -> None:
    """Created, begun, ended and finished, in this order; unfinished ones say when they are due."""
    created, attempts = instant(record["created_at"]), record["attempts"]
    begun = [instant(attempt["started_at"]) for attempt in attempts]
    assert [created - 0.001, *begun] == sorted([created - 0.001, *begun])
    assert all(0 < attempt["duration_s"] < 15 for attempt in attempts)
    if record["state"] in {"delivered", "dead"}:
        last = attempts[-1]
        assert instant(record["finished_at"]) >= instant(last["started_at"]) + last["duration_s"] - 0.002
        assert record["due_at"] is None
    else:
        assert record["finished_at"] is None
        assert instant(record["due_at"]) >= created


async def assert_filters(stage: Stage, made: Mapping[str, str]) -> None:
    everything = sorted(made)
    assert sorted(await ids(stage, "limit=500")) == everything
    assert sorted(await ids(stage, "state=pending")) == ["later", "resting"]
    assert await ids(stage, "state=dead") == ["bad"]
    assert await ids(stage, "state=sending") == ["slow"]
    assert await ids(stage, "state=delivered") == ["good"]
    assert await ids(stage, "state=cancelled") == []
    assert await ids(stage, "webhook=later") == await ids(stage, "task=later") == ["later"]
    assert sorted(await ids(stage, "event=the-event")) == everything
    assert await ids(stage, "event=another") == await ids(stage, "until=2020-01-01T00:00:00Z") == []
    assert sorted(await ids(stage, "since=2020-01-01T00:00:00Z")) == everything
    assert await ids(stage, "state=pending&webhook=good") == []
    first = await stage.daemon.get("/v1/deliveries?limit=3")
    second = await stage.daemon.get(f"/v1/deliveries?limit=3&cursor={first['cursor']}")
    assert second["cursor"] is None
    assert sorted(each["id"] for each in (*first["deliveries"], *second["deliveries"])) == sorted(
        made.values()
    )
    answered, problem = await stage.daemon.request("GET", "/v1/deliveries?state=failed")
    assert (answered, problem["errors"][0]["message"]) == (
        400,
        "state must be one of pending, sending, delivered, dead, cancelled",
    )


async def assert_commands(stage: Stage, made: Mapping[str, str]) -> None:
    failed = await stage.hookd("deliveries", "--state", "dead", "--json")
    assert [each["id"] for each in json.loads(failed.out)] == [made["bad"]]
    listing = (await stage.hookd("deliveries")).out.splitlines()
    row = next(line for line in listing if made["resting"] in line)
    assert ("pending (disabled)" in row, "resting" in row) == (True, True)
    shown = (await stage.hookd("show", made["bad"])).out
    for fact in ("dead", "the-event", "events.all of them", "out of order", "500", '"text": "Webhook"'):
        assert fact in shown, shown
    assert json.loads((await stage.hookd("show", made["good"], "--json")).out)["state"] == "delivered"
    summary = (await stage.daemon.get("/v1/status"))["deliveries"]
    assert summary == {"pending": 2, "sending": 1, "delivered": 1, "dead": 1, "cancelled": 0}


LONG = "n" * 128
LONG_TASK = "ü" * 64

SEVERAL = f"""
webhooks:
  lingers: {{url: RECEIVER/lingers}}
  hangs-up: {{url: RECEIVER/hangs-up, retries: 0}}
  nobody: {{url: "http://127.0.0.1:1/", retries: 0}}
  {LONG}: {{url: RECEIVER/long}}
  edge: {{url: RECEIVER/edge, timeout: 3, retries: 0}}
tasks:
  lingers: {{webhook: lingers}}
  hangs-up: {{webhook: hangs-up}}
  nobody: {{webhook: nobody}}
  {LONG_TASK}: {{webhook: {LONG}, message: ["${{TASK}}", "${{WEBHOOK}}"]}}
events:
  e: {{type: vm, event: x, task: {LONG_TASK}}}
"""


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def several(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async def answer(request: Received) -> bytes:
        if request.target == "/hangs-up":
            raise ConnectionError
        if request.target == "/lingers":
            await asyncio.sleep(0.15)
        return response(204)

    async with Stage(tmp_path_factory.mktemp("several")) as stage:
        stage.receiver.reply = answer
        stage.write(SEVERAL)
        await stage.start()
        yield stage


async def test_x8_a_run_on_demand_is_told_as_such_and_how_long_it_took(several: Stage) -> None:
    receipt = await several.trigger("lingers", "--object", "web-01")
    [record] = await several.settled(receipt)
    assert record["cause"] == {"kind": "trigger", "event_id": receipt["id"], "rule": ""}
    assert (record["state"], record["last_status"]) == ("delivered", 204)
    assert 0.15 <= record["attempts"][0]["duration_s"] < 15
    event = await several.daemon.get(f"/v1/events/{receipt['id']}")
    assert (event["kind"], event["object"]["name"]) == ("trigger", "web-01")
    assert event["deliveries"] == receipt["deliveries"]


@pytest.mark.parametrize(
    ("task", "reason"),
    [
        ("hangs-up", "127.0.0.1:PORT closed the connection without an answer"),
        ("nobody", "cannot connect to 127.0.0.1:1: Connection refused"),
    ],
)
async def test_x8_an_attempt_without_an_answer_says_why(several: Stage, task: str, reason: str) -> None:
    [record] = await several.settled(await several.trigger(task))
    [attempt] = record["attempts"]
    assert (record["state"], attempt["status"], attempt["response"]) == ("dead", None, "")
    assert attempt["error"] == record["last_error"] == reason.replace("PORT", str(several.receiver.port))
    assert record["detail"] == f"1 attempt failed, no retries left; the last: {attempt['error']}"


async def test_x7_x12_defaults_are_those_of_the_contract(several: Stage) -> None:
    config = await several.daemon.get("/v1/config")
    webhooks = config["webhooks"]
    assert {
        name: (webhooks[name]["timeout_s"], webhooks[name]["retries"]) for name in ("lingers", "edge")
    } == {
        "lingers": (15, 11),
        "edge": (3, 0),
    }
    kept = config["daemon"]["keep_delivered_s"], config["daemon"]["keep_dead_s"]
    assert kept == (7 * 86400, 30 * 86400)


async def test_x7_the_longest_names_work(several: Stage) -> None:
    await several.settled(await several.emit("vm", "x"))
    await several.settled(await several.trigger(LONG_TASK))
    assert [r.body for r in several.receiver.at("/long")] == [f'["{LONG_TASK}", "{LONG}"]'.encode()] * 2
    assert await ids(several, f"webhook={LONG}") == [LONG_TASK, LONG_TASK]


async def test_x7_bounds_of_timeout_and_retries(stage: Stage) -> None:
    url = "url: RECEIVER/x"
    assert (
        await stage.findings(f"""webhooks:
  a: {{{url}, timeout: 3, retries: 0}}
  b: {{{url}, timeout: 120, retries: 100}}
  c: {{{url}, timeout: 2m, retries: 1}}
  d: {{{url}, timeout: 3.5}}
""")
        == []
    ), "the bounds themselves are good"
    found = await stage.findings(f"""webhooks:
  a: {{{url}, timeout: 2}}
  b: {{{url}, timeout: 2.999}}
  c: {{{url}, timeout: 121}}
  d: {{{url}, timeout: 0}}
  e: {{{url}, retries: -1}}
  f: {{{url}, retries: 101}}
  g: {{{url}, retries: 1.5}}
""")
    timeout, retries = (
        "must be a duration from 3 to 120 seconds, not",
        "must be a whole number from 0 to 100, not",
    )
    assert [(each["line"], each["where"], each["message"]) for each in found] == [
        (2, "webhooks.a.timeout", f"{timeout} 2"),
        (3, "webhooks.b.timeout", f"{timeout} 2.999"),
        (4, "webhooks.c.timeout", f"{timeout} 121"),
        (5, "webhooks.d.timeout", f"{timeout} 0"),
        (6, "webhooks.e.retries", f"{retries} -1"),
        (7, "webhooks.f.retries", f"{retries} 101"),
        (8, "webhooks.g.retries", f"{retries} 1.5"),
    ]


async def test_x7_bounds_of_names(stage: Stage) -> None:
    found = await stage.findings(f"""webhooks:
  {LONG}n: {{url: RECEIVER/x}}
  {LONG}: {{url: RECEIVER/x}}
tasks:
  {LONG_TASK}ü: {{webhook: {LONG}}}
  {LONG_TASK}: {{webhook: {LONG}}}
""")
    assert [(each["line"], each["message"]) for each in found] == [
        (2, "a name has 1 to 128 printable characters and no space at either end"),
        (5, "a name has 1 to 64 printable characters and no space at either end"),
    ]


async def restart(stage: Stage) -> None:
    """Stop and start again."""
    await stage.stop()
    await stage.start()


async def reload(stage: Stage) -> dict[str, Any]:
    answered, answer = await stage.daemon.request("POST", "/v1/reload")
    assert answered == 200, answer
    changes: dict[str, Any] = answer["changes"]
    return changes


async def test_x10_deleting_a_webhook_parks_what_waits_and_keeps_the_history(stage: Stage) -> None:
    down = True

    async def answer(_request: Received) -> bytes:
        return response(500 if down else 200)

    stage.receiver.reply = answer
    keep = "  keep: {url: RECEIVER/keep}\n"
    gone = "  gone: {url: RECEIVER/gone, backoff: [100ms]}\n"
    rules = "tasks: {g: {webhook: gone}, k: {webhook: keep}}\nevents: {e: {type: vm, event: x, task: [g]}}\n"
    stage.write(f"webhooks:\n{keep}{gone}{rules}")
    await stage.start()
    receipt = await stage.emit("vm", "x")
    delivery = receipt["deliveries"][0]["id"]
    await stage.arrivals("/gone", 1)

    stage.write(f"webhooks:\n{keep}tasks: {{k: {{webhook: keep}}}}\n")
    assert (await reload(stage))["webhooks"]["removed"] == ["gone"]
    record = await stage.daemon.delivery_when(delivery, "pending")
    assert record["parked"] == "gone"
    arrived = len(stage.receiver.at("/gone"))
    down = False
    [also] = await stage.settled(await stage.trigger("k"))
    assert also["state"] == "delivered", "others go on"
    await restart(stage)
    record = await stage.daemon.get(f"/v1/deliveries/{delivery}")
    assert (record["state"], record["parked"], record["task"], record["webhook"]) == (
        "pending",
        "gone",
        "g",
        "gone",
    )
    assert record["attempts"][0]["status"] == 500
    assert [
        each["id"]
        for each in json.loads((await stage.hookd("deliveries", "--webhook", "gone", "--json")).out)
    ] == [delivery]
    assert len(stage.receiver.at("/gone")) == arrived, "nothing goes where the webhook used to point"

    stage.write(f"webhooks:\n{keep}  gone: {{url: RECEIVER/new-place}}\n{rules}")
    await reload(stage)
    record = await stage.daemon.delivery_when(delivery, "delivered")
    [request] = await stage.arrivals("/new-place", 1)
    assert (request.id, request.body) == (delivery, b'{"text": "Webhook"}')
    assert len(stage.receiver.at("/gone")) == arrived
    assert [attempt["status"] for attempt in record["attempts"]][-1] == 200


async def test_x10_status_tells_what_waits_for_a_deleted_webhook(stage: Stage) -> None:
    stage.write("webhooks: {w: {url: RECEIVER/x, enabled: false}}\ntasks: {t: {webhook: w}}\n")
    await stage.start()
    await stage.trigger("t")
    stage.write("")
    await reload(stage)
    assert (await stage.daemon.get("/v1/status"))["deliveries"]["pending"] == 1
    lanes = (await stage.daemon.get("/v1/webhooks"))["webhooks"]
    assert [(lane["name"], lane["parked"], lane["pending"]) for lane in lanes] == [("w", "gone", 1)]
    assert "everything is all right" not in (await stage.hookd("status")).out


async def test_r37_r52_x10_what_is_referred_to_cannot_be_deleted(stage: Stage) -> None:
    whole = {
        "webhooks": "webhooks: {w: {url: RECEIVER/x}}\n",
        "tasks": "tasks: {t: {webhook: w}}\n",
        "events": "events: {e: {type: vm, event: x, task: t}}\n",
    }
    stage.write("".join(whole.values()))
    await stage.start()
    for section, fault in (
        ("webhooks", 'tasks.t.webhook: there is no webhook "w" (there are no webhooks)'),
        ("tasks", 'events.e.task: there is no task "t" (there are no tasks)'),
    ):
        stage.write("".join(text for name, text in whole.items() if name != section))
        answered, problem = await stage.daemon.request("POST", "/v1/reload")
        assert answered == 422
        assert [fault in each["message"] for each in problem["errors"]] == [True], problem
        assert (await stage.settled(await stage.emit("vm", "x")))[0]["state"] == "delivered"


async def test_x10_a_deleted_task_or_rule_fires_no_more_and_leaves_its_deliveries(stage: Stage) -> None:
    webhook = "webhooks: {w: {url: RECEIVER/x, enabled: false}}\n"
    task = "tasks: {t: {webhook: w, message: [old]}}\n"
    rule = "events: {e: {type: vm, event: x, task: t}}\n"
    stage.write(webhook + task + rule)
    await stage.start()
    receipt = await stage.emit("vm", "x")
    stage.write(webhook + task)
    await reload(stage)
    assert (await stage.emit("vm", "x"))["deliveries"] == []
    stage.write(webhook.replace(", enabled: false", ""))
    assert (await reload(stage))["tasks"]["removed"] == ["t"]
    [record] = await stage.settled(receipt)
    assert (record["state"], record["task"], record["cause"]["rule"]) == ("delivered", "t", "events.e")
    assert [request.body for request in stage.receiver.at("/x")] == [b'["old"]']
    assert (await stage.hookd("trigger", "t")).code == 1


KEPT = "daemon: {{listen: [{{unix: h.sock}}], store: h.db{retention}}}\n"


async def gone(stage: Stage, delivery: str) -> None:
    await stage.daemon.gone(f"/v1/deliveries/{delivery}")


async def test_x12_retention_is_configurable(stage: Stage) -> None:
    """What is past its time goes when hookd starts (and every minute); what waits is never pruned."""
    config = HISTORY.replace("slow, ", "") + "  one of them: {type: vm, event: stopped, task: good}\n"
    stage.receiver.reply = Answers()
    stage.write(config, daemon=KEPT.format(retention=""))
    await stage.start()
    receipt = await stage.emit("vm", "started", id="all")
    alone = await stage.emit("vm", "stopped", id="alone")
    unmatched = await stage.emit("vm", "of no rule", id="unmatched")
    made = {each["task"]: each["id"] for each in receipt["deliveries"]}
    finished = [
        instant((await stage.daemon.delivery_when(delivery, "delivered", "dead"))["finished_at"])
        for delivery in (made["good"], made["bad"], alone["deliveries"][0]["id"])
    ]
    while time.time() < max(finished) + 1.01:
        await asyncio.sleep(0.05)
    assert sorted(await ids(stage, "limit=500")) == ["bad", "good", "good", "later", "resting"]

    stage.write(config, daemon=KEPT.format(retention=", retention: {delivered: 1s}"))
    await restart(stage)
    await gone(stage, made["good"])
    await gone(stage, alone["deliveries"][0]["id"])
    assert sorted(await ids(stage, "limit=500")) == ["bad", "later", "resting"]
    kept = await stage.daemon.get("/v1/events/all")
    assert kept["id"] == "all", "an event lives as long as any of its deliveries"
    for event in (alone, unmatched):
        await stage.daemon.gone(f"/v1/events/{event['id']}")
    assert (await stage.daemon.get("/v1/status"))["deliveries"]["delivered"] == 0
    assert not (await stage.emit("vm", "stopped", id="alone"))["duplicate"], "its id is forgotten with it"
    assert (await stage.emit("vm", "started", id="all"))["duplicate"]

    stage.write(config, daemon=KEPT.format(retention=", retention: {dead: 1s}"))
    await restart(stage)
    await gone(stage, made["bad"])
    assert sorted(await ids(stage, "limit=500")) == ["good", "later", "resting"]


async def test_x12_bounds(stage: Stage) -> None:
    assert await stage.findings("daemon: {retention: {delivered: 70d, dead: 1s}}\n") == []
    found = await stage.findings("daemon: {retention: {delivered: 70 days, dead: 0s}}\n")
    assert [(each["where"], each["message"]) for each in found] == [
        (
            "daemon.retention.delivered",
            (
                'must be seconds as a number, or a duration such as 250ms, 10s, 5m, 2h, 7d, 2w, not "70 days";'
                " write one number and one unit, such as 90s or 90m"
            ),
        ),
        ("daemon.retention.dead", 'must be a duration from 1s to 3650d, not "0s"'),
    ]
