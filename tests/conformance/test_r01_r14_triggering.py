"""R1, R3 to R5, R7 to R10, R12 to R14: what sets a message off, what it is composed of, and how often it goes out."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio

from tests.kit.receiver import OK, Received, Receiver, held, response
from tests.kit.stage import Stage

CONFIG = """
webhooks:
  push: {url: RECEIVER/r01}
  manual: {url: RECEIVER/r03/manual}
  plain: {url: RECEIVER/r04/default}
  post: {url: RECEIVER/r04/POST, method: POST}
  put: {url: RECEIVER/r04/PUT, method: PUT}
  patch: {url: RECEIVER/r04/PATCH, method: PATCH}
  get: {url: RECEIVER/r04/GET, method: GET}
  delete: {url: RECEIVER/r04/DELETE, method: DELETE}
  fixed: {url: RECEIVER/r04/fixed}
  redirected: {url: RECEIVER/r04/redirected, retries: 0}
  sync: {url: RECEIVER/r05/sync}
  tenant: {url: RECEIVER/r05/tenant}
  vm: {url: RECEIVER/r05/vm}
  charge: {url: RECEIVER/r07/charge}
  retried: {url: RECEIVER/r07/retried, backoff: [100ms]}
  raced: {url: RECEIVER/r07/raced}
  idle: {url: RECEIVER/r08/idle, auth: {type: apikey, key: k-idle}, headers: {X-Idle: "yes"}}
  parts: {url: RECEIVER/r09, auth: {type: bearer, token: t-parts}, headers: {X-Parts: "yes"}}
  shared: {url: RECEIVER/r12, auth: {type: bearer, token: t-shared}, headers: {X-Shared: "yes"}}
  many: {url: RECEIVER/r13}
tasks:
  push: {webhook: push, message: {"text": "${NAME} pushed"}}
  manual: {webhook: manual, message: {"text": "by hand, ${NAME}"}, enabled: false}
  plain: {webhook: plain}
  post: {webhook: post}
  put: {webhook: put}
  patch: {webhook: patch}
  get: {webhook: get}
  delete: {webhook: delete}
  fixed: {webhook: fixed}
  redirected: {webhook: redirected}
  sync: {webhook: sync, message: {"text": "Sync Job Error", "job": "${NAME}"}}
  tenant: {webhook: tenant, message: {"text": "Tenant Online", "tenant": "${NAME}"}}
  vm: {webhook: vm, message: {"text": "VM Powered On", "vm": "${NAME}"}}
  charge: {webhook: charge, message: {"amount": "${data.amount}"}}
  retried: {webhook: retried, message: {"amount": "${data.amount}", "random": "${RANDOM}"}}
  raced: {webhook: raced}
  first part: {webhook: parts, message: {"part": 1}}
  second part: {webhook: parts, message: {"part": 2}}
  red: {webhook: shared, message: {"task": "red"}}
  green: {webhook: shared, message: {"task": "green"}}
  blue: {webhook: shared, message: {"task": "blue"}}
  many: {webhook: many, message: {"why": "${TYPE}.${EVENT}"}}
events:
  push: {type: r01, event: happened, task: push}
  plain: {type: r04, event: default, task: plain}
  post: {type: r04, event: POST, task: post}
  put: {type: r04, event: PUT, task: put}
  patch: {type: r04, event: PATCH, task: patch}
  get: {type: r04, event: GET, task: get}
  delete: {type: r04, event: DELETE, task: delete}
  fixed: {type: r04, event: fixed, task: fixed}
  redirected: {type: r04, event: redirected, task: redirected}
  sync: {type: outgoing_sync, event: error, object: nightly-offsite, task: sync}
  tenant: {type: tenant, event: online, object: Acme GmbH, task: tenant}
  vm: {type: virtual_machine, event: powered_on, object: web-01, task: vm}
  charge: {type: r07, event: charge, task: charge}
  retried: {type: r07, event: retried, task: retried}
  raced: {type: r07, event: raced, task: raced}
  one part: {type: r10, event: one, task: first part}
  both parts: {type: r10, event: both, task: [first part, second part]}
  red: {type: r12, event: red, task: red}
  all colours: {type: r12, event: all, task: [red, green, blue]}
  many on: {type: virtual_machine, event: "r13 on", task: many}
  many off: {type: virtual_machine, event: "r13 off", task: many}
  many error: {type: outgoing_sync, event: "r13 error", task: many}
  many error again: {type: outgoing_sync, event: "r13 error", task: many}
"""

DAEMON = 'daemon: {listen: [{unix: h.sock}, {http: "127.0.0.1:0"}], store: h.db, log: {format: json, level: debug}}\n'


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("triggering")) as stage:
        stage.write(CONFIG, daemon=DAEMON)
        await stage.start()
        yield stage


async def emit_command(stage: Stage) -> None:
    receipt = await stage.emit("r01", "happened", object="emitted")
    assert [made["webhook"] for made in receipt["deliveries"]] == ["push"]


async def curl_on_the_socket(stage: Stage) -> None:
    process = await asyncio.create_subprocess_exec(
        "curl", "-sS", "--fail", "--unix-socket", str(stage.directory / "h.sock"),
        "-H", "Content-Type: application/json", "-w", " %{http_code}",
        "-d", '{"type": "r01", "event": "happened", "object": "curled"}', "http://localhost/v1/events",
        stdout=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, _ = await process.communicate()
    assert (process.returncode, out[-4:]) == (0, b" 202")


async def bytes_on_tcp(stage: Stage) -> None:
    listening = (await stage.daemon.get("/v1/status"))["listen"]
    [port] = [urlsplit(place).port for place in listening if place.startswith("http:")]
    body = b'{"type": "r01", "event": "happened", "object": "raw"}'
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(
        b"POST /v1/events HTTP/1.1\r\nHost: 127.0.0.1:%d\r\nContent-Type: application/json\r\n" % port
        + b"Content-Length: %d\r\nConnection: close\r\n\r\n" % len(body)
        + body
    )
    assert (await reader.read()).split(b"\r\n")[0] == b"HTTP/1.1 202 Accepted"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize(
    ("post", "name"), [(emit_command, "emitted"), (curl_on_the_socket, "curled"), (bytes_on_tcp, "raw")]
)
async def test_r01_an_event_is_taken_in_and_pushed_to_the_receiver(
    shared: Stage, post: Callable[[Stage], Awaitable[None]], name: str
) -> None:
    body = b'{"text": "%s pushed"}' % name.encode()
    assert body not in [request.body for request in shared.receiver.at("/r01")]
    await post(shared)
    await shared.receiver.until(lambda: body in [request.body for request in shared.receiver.at("/r01")])


async def test_r03_an_event_is_sent_while_the_one_before_it_waits_for_its_answer(stage: Stage) -> None:
    answer_now = asyncio.Event()

    stage.receiver.reply = held(answer_now)
    stage.write(
        "webhooks: {w: {url: RECEIVER/r03}}\ntasks: {t: {webhook: w, message: {n: '${data.n}'}}}\n"
        "events: {e: {type: r03, event: happened, task: t}}\n"
    )
    await stage.start()
    receipts = []
    for number in range(3):
        receipts.append(await stage.emit("r03", "happened", data={"n": number}))
        requests = await stage.arrivals("/r03", number + 1, within_s=5)
        assert requests[-1].body == b'{"n": %d}' % number, "sent by itself, with nothing after it"
    states = [
        (await stage.daemon.get(f"/v1/deliveries/{r['deliveries'][0]['id']}"))["state"] for r in receipts
    ]
    assert states == ["sending"] * 3
    answer_now.set()
    for receipt in receipts:
        assert [record["state"] for record in await stage.settled(receipt)] == ["delivered"]


async def test_r03_a_task_runs_on_demand(shared: Stage) -> None:
    receipt = await shared.trigger("manual", "--object", "the admin")
    request = await shared.arrived("/r03/manual")
    assert request.body == b'{"text": "by hand, the admin"}', (
        "though the task is not enabled and no event names it"
    )
    [record] = await shared.settled(receipt)
    assert (record["cause"]["kind"], record["id"]) == ("trigger", request.id)


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
async def test_r04_the_method_is_the_webhooks(shared: Stage, method: str) -> None:
    await shared.emit("r04", method)
    request = await shared.arrived(f"/r04/{method}")
    assert request.head.startswith(f"{method} /r04/{method} HTTP/1.1\r\n".encode())
    assert request.body == b'{"text": "Webhook"}'


async def test_r04_the_method_is_post_by_default(shared: Stage) -> None:
    await shared.emit("r04", "default")
    request = await shared.arrived("/r04/default")
    assert request.head.startswith(b"POST /r04/default HTTP/1.1\r\n")
    assert (request.lines_of("content-length"), request.body) == (
        [b"Content-Length: 19"],
        b'{"text": "Webhook"}',
    )


async def test_r04_get_sends_no_body(shared: Stage) -> None:
    receipt = await shared.emit("r04", "GET")
    request = await shared.arrived("/r04/GET")
    assert request.head.startswith(b"GET /r04/GET HTTP/1.1\r\n")
    assert request.lines_of("content-length") == request.lines_of("transfer-encoding") == []
    assert request.lines_of("content-type") == []
    assert [record["state"] for record in await shared.settled(receipt)] == ["delivered"]


async def test_r04_an_unknown_method_is_refused(stage: Stage) -> None:
    [found] = await stage.findings("webhooks: {w: {url: RECEIVER/x, method: TRACE}}\n")
    assert (found["where"], found["severity"]) == ("webhooks.w.method", "error")
    assert all(method in found["message"] for method in ("POST", "PUT", "PATCH", "GET", "DELETE"))


async def test_r04_nothing_in_an_event_chooses_what_is_called(shared: Stage) -> None:
    async with Receiver() as decoy:
        receipt = await shared.emit(
            "r04",
            "fixed",
            object=f"{decoy.url}/evil",
            object_id=f"{decoy.url}/evil",
            tags=[f"{decoy.url}/evil"],
            data={
                "url": f"{decoy.url}/evil",
                "webhook": "get",
                "method": "DELETE",
                "host": f"127.0.0.1:{decoy.port}",
            },
        )
        request = await shared.arrived("/r04/fixed")
        assert request.head.startswith(b"POST /r04/fixed HTTP/1.1\r\n")
        assert request.lines_of("host") == [f"Host: 127.0.0.1:{shared.receiver.port}".encode()]
        await shared.settled(receipt)
        answered, problem = await shared.daemon.post(
            {"type": "r04", "event": "fixed", "url": f"{decoy.url}/evil"}
        )
        assert (answered, [fault["pointer"] for fault in problem["errors"]]) == (422, ["/url"])
        assert decoy.connections == 0


async def test_r04_nor_does_an_answer(shared: Stage) -> None:
    async with Receiver() as decoy:

        async def redirect(request: Received) -> bytes:
            return response(307, f"Location: {decoy.url}/elsewhere")

        shared.receiver.reply = redirect
        [record] = await shared.settled(await shared.emit("r04", "redirected"))
        shared.receiver.reply = OK
        assert (record["state"], [attempt["status"] for attempt in record["attempts"]]) == ("dead", [307])
        assert (len(shared.receiver.at("/r04/redirected")), decoy.connections) == (1, 0)


async def test_r04_a_url_takes_no_variables(stage: Stage) -> None:
    [found] = await stage.findings("webhooks: {w: {url: 'http://${NAME}/x'}}\n")
    assert (found["where"], found["severity"]) == ("webhooks.w.url", "error")
    assert "variables" in found["message"]


@dataclass(frozen=True)
class Change:
    type: str
    event: str
    name: str
    target: str
    body: bytes


CHANGES = {
    "sync error": Change(
        "outgoing_sync",
        "error",
        "nightly-offsite",
        "/r05/sync",
        b'{"text": "Sync Job Error", "job": "nightly-offsite"}',
    ),
    "tenant online": Change(
        "tenant", "online", "Acme GmbH", "/r05/tenant", b'{"text": "Tenant Online", "tenant": "Acme GmbH"}'
    ),
    "vm powered on": Change(
        "virtual_machine", "powered_on", "web-01", "/r05/vm", b'{"text": "VM Powered On", "vm": "web-01"}'
    ),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
async def test_r05_a_change_of_state_of_one_named_object(shared: Stage, change: Change) -> None:
    for other in (
        await shared.emit(change.type, change.event, object=f"{change.name}-2"),
        await shared.emit(change.type, change.event),
        await shared.emit(change.type, f"{change.event}_not", object=change.name),
        await shared.emit(f"{change.type}_other", change.event, object=change.name),
    ):
        assert other["deliveries"] == []
    receipt = await shared.emit(change.type, change.event, object=change.name)
    request = await shared.arrived(change.target)
    assert (request.body, request.id) == (change.body, receipt["deliveries"][0]["id"])
    [record] = await shared.settled(receipt)
    assert record["state"] == "delivered"
    assert len(shared.receiver.at(change.target)) == 1


async def test_r07_every_delivery_has_a_webhook_id_of_its_own(shared: Stage) -> None:
    receipts = [await shared.emit("r07", "charge", data={"amount": 5}) for _ in range(3)]
    requests = await shared.arrivals("/r07/charge", 3)
    assert [request.body for request in requests] == [b'{"amount": 5}'] * 3
    expected = {f"webhook-id: {receipt['deliveries'][0]['id']}".encode() for receipt in receipts}
    assert len(expected) == 3
    assert {line for request in requests for line in request.lines_of("webhook-id")} == expected


async def test_r07_a_retry_has_the_webhook_id_of_the_first_attempt(shared: Stage) -> None:
    async def fail_first(request: Received) -> bytes:
        seen = shared.receiver.at("/r07/retried")
        return response(500 if request.target == "/r07/retried" and len(seen) < 3 else 200)

    shared.receiver.reply = fail_first
    receipt = await shared.emit("r07", "retried", data={"amount": 7})
    [record] = await shared.settled(receipt)
    assert [attempt["status"] for attempt in record["attempts"]] == [500, 500, 200]
    requests = shared.receiver.at("/r07/retried")
    assert [request.lines_of("webhook-id") for request in requests] == [
        [f"webhook-id: {record['id']}".encode()]
    ] * 3
    assert len({request.body for request in requests}) == 1, (
        "so the receiver knows the charge for the same one"
    )


async def test_r07_an_event_posted_again_sends_nothing_new(shared: Stage) -> None:
    async def post() -> dict[str, Any]:
        return await shared.emit("r07", "raced", id="invoice-4711", data={"amount": 9})

    receipts = await asyncio.gather(*(post() for _ in range(6)))
    assert sorted(receipt["duplicate"] for receipt in receipts) == [False] + [True] * 5
    assert len({json.dumps(receipt["deliveries"]) for receipt in receipts}) == 1
    again = await post()
    assert (again["duplicate"], again["deliveries"]) == (True, receipts[0]["deliveries"])
    other = await shared.hookd("emit", "r07", "raced", "--id", "invoice-4711", "--data", '{"amount": 10}')
    assert other.code == 1
    assert "invoice-4711" in other.err
    [record] = await shared.settled(again)
    assert [request.id for request in shared.receiver.at("/r07/raced")] == [record["id"]]


async def test_r07_a_restart_sends_nothing_again(stage: Stage) -> None:
    stage.write(
        "webhooks: {w: {url: RECEIVER/r07}}\ntasks: {t: {webhook: w}}\n"
        "events: {e: {type: r07, event: charge, task: t}}\n"
    )
    await stage.start()
    first = await stage.emit("r07", "charge", id="invoice-1")
    await stage.settled(first)
    await stage.kill()
    await stage.start()
    again = await stage.emit("r07", "charge", id="invoice-1")
    assert (again["duplicate"], again["deliveries"]) == (True, first["deliveries"])
    second = await stage.emit("r07", "charge", id="invoice-2")
    await stage.settled(second)
    ids = [receipt["deliveries"][0]["id"] for receipt in (first, second)]
    assert [request.id for request in stage.receiver.at("/r07")] == ids


async def test_r08_a_webhook_is_url_authorization_and_headers(shared: Stage) -> None:
    [record] = await shared.settled(await shared.emit("r10", "one"))
    [request] = [request for request in shared.receiver.at("/r09") if request.id == record["id"]]
    assert (request.target, request.body) == ("/r09", b'{"part": 1}')
    assert request.lines_of("authorization") == [b"Authorization: Bearer t-parts"]
    assert request.lines_of("x-parts") == [b"X-Parts: yes"]


async def test_r08_a_webhook_has_no_message_and_no_trigger(stage: Stage) -> None:
    foreign = {
        "message": "x",
        "event": "on",
        "type": "vm",
        "task": "t",
        "triggers": "[]",
        "cron": "'* * * * *'",
    }
    rows = "".join(f"  {key}: {{url: RECEIVER/x, {key}: {value}}}\n" for key, value in foreign.items())
    found = await stage.findings(f"webhooks:\n{rows}")
    assert [(one["where"], one["severity"]) for one in found] == [
        (f"webhooks.{key}.{key}", "error") for key in foreign
    ]
    assert all("unknown key" in one["message"] for one in found)


async def test_r08_a_webhook_sends_nothing_by_itself(shared: Stage) -> None:
    listed = {lane["name"]: lane for lane in (await shared.daemon.get("/v1/webhooks"))["webhooks"]}
    assert listed["idle"]["last_result"] is None
    receipt = await shared.emit("idle", "idle", object="idle", tags=["idle"])
    assert receipt["deliveries"] == []
    assert shared.receiver.at("/r08/idle") == []


async def test_r09_the_message_is_the_tasks(shared: Stage) -> None:
    before = len(shared.receiver.at("/r09"))
    receipt = await shared.emit("r10", "both")
    assert [made["task"] for made in receipt["deliveries"]] == ["first part", "second part"]
    assert [made["webhook"] for made in receipt["deliveries"]] == ["parts", "parts"]
    await shared.settled(receipt)
    bodies = {request.id: request.body for request in shared.receiver.at("/r09")[before:]}
    ids = [made["id"] for made in receipt["deliveries"]]
    assert bodies == {ids[0]: b'{"part": 1}', ids[1]: b'{"part": 2}'}


async def test_r09_no_message_stands_elsewhere(stage: Stage) -> None:
    found = await stage.findings(
        "webhooks: {w: {url: RECEIVER/x, message: hi}}\ntasks: {t: {webhook: w}}\n"
        "events: {e: {type: a, event: b, task: t, message: hi}}\n"
    )
    assert [one["where"] for one in found] == ["webhooks.w.message", "events.e.message"]


async def test_r10_an_event_activates_its_task_and_no_other(shared: Stage) -> None:
    receipt = await shared.emit("r10", "one")
    assert [made["task"] for made in receipt["deliveries"]] == ["first part"]
    [record] = await shared.settled(receipt)
    assert record["cause"] == {"kind": "event", "event_id": receipt["id"], "rule": "events.one part"}
    [request] = [request for request in shared.receiver.at("/r09") if request.id == record["id"]]
    assert request.body == b'{"part": 1}'


@pytest.mark.parametrize(
    ("rule", "where", "words"),
    [
        ("{type: a, event: b}", "events.e", ["task", "missing"]),
        ("{event: b, task: t}", "events.e", ["type", "missing"]),
        ("{type: a, task: t}", "events.e", ["event", "missing"]),
        ("{type: a, event: b, task: tt}", "events.e.task", ['"tt"', "t"]),
        ("{type: a, event: b, task: []}", "events.e.task", []),
    ],
)
async def test_r10_an_event_binds_an_occurrence_to_a_task(
    stage: Stage, rule: str, where: str, words: list[str]
) -> None:
    [found] = await stage.findings(
        f"webhooks: {{w: {{url: RECEIVER/x}}}}\ntasks: {{t: {{webhook: w}}}}\nevents: {{e: {rule}}}\n"
    )
    assert (found["where"], found["severity"]) == (where, "error")
    assert all(word in found["message"] for word in words)


async def test_r12_many_tasks_share_a_webhook(shared: Stage) -> None:
    receipt = await shared.emit("r12", "all")
    assert [(made["task"], made["webhook"]) for made in receipt["deliveries"]] == [
        ("red", "shared"),
        ("green", "shared"),
        ("blue", "shared"),
    ]
    await shared.settled(receipt)
    requests = {request.id: request for request in shared.receiver.at("/r12")}
    bodies = [requests[made["id"]].body for made in receipt["deliveries"]]
    assert bodies == [b'{"task": "red"}', b'{"task": "green"}', b'{"task": "blue"}']
    for made in receipt["deliveries"]:
        assert requests[made["id"]].lines_of("authorization") == [b"Authorization: Bearer t-shared"]
        assert requests[made["id"]].lines_of("x-shared") == [b"X-Shared: yes"]
    one = await shared.emit("r12", "red")
    assert [made["task"] for made in one["deliveries"]] == ["red"]
    await shared.settled(one)
    assert len(shared.receiver.at("/r12")) == 4


async def test_r13_many_events_trigger_one_task(shared: Stage) -> None:
    occurrences = [
        ("virtual_machine", "r13 on"),
        ("virtual_machine", "r13 off"),
        ("outgoing_sync", "r13 error"),
    ]
    receipts = [await shared.emit(*occurrence) for occurrence in occurrences]
    rules = [(await shared.settled(receipt))[0]["cause"]["rule"] for receipt in receipts]
    assert rules[:2] == ["events.many on", "events.many off"]
    assert rules[2].startswith("events.many error")
    assert [request.body for request in shared.receiver.at("/r13")] == [
        b'{"why": "virtual_machine.r13 on"}',
        b'{"why": "virtual_machine.r13 off"}',
        b'{"why": "outgoing_sync.r13 error"}',
    ], "two events of the last kind name the task; one occurrence runs it once"


WEBHOOKS = "webhooks:\n  chat: {url: RECEIVER/r14/chat}\n  pager: {url: RECEIVER/r14/pager}\n"
TASKS = """
tasks:
  tell chat: {webhook: chat, message: {"to": "chat"}}
  tell chat loudly: {webhook: chat, message: {"to": "CHAT"}}
  page: {webhook: pager, message: {"to": "pager"}}
"""
EVENTS = """
events:
  hint: {type: r14, event: hint, task: tell chat}
  alarm: {type: r14, event: alarm, task: [tell chat loudly, page]}
  second alarm: {type: r14, event: second alarm, task: page}
"""


async def test_r14_parts_are_defined_once_and_referred_to_by_name(stage: Stage) -> None:
    stage.write(EVENTS, file="conf/10-rules.yaml", daemon="")
    stage.write(TASKS, file="conf/sub/messages.yml", daemon="")
    stage.write(
        WEBHOOKS, file="conf/webhooks.yaml", daemon="daemon: {listen: [{unix: ../h.sock}], store: ../h.db}\n"
    )
    await stage.start("conf")
    receipts = {event: await stage.emit("r14", event) for event in ("hint", "alarm", "second alarm")}
    for receipt in receipts.values():
        await stage.settled(receipt)
    assert {
        event: [made["task"] for made in receipt["deliveries"]] for event, receipt in receipts.items()
    } == {
        "hint": ["tell chat"],
        "alarm": ["tell chat loudly", "page"],
        "second alarm": ["page"],
    }
    assert [request.body for request in stage.receiver.at("/r14/chat")] == [
        b'{"to": "chat"}',
        b'{"to": "CHAT"}',
    ]
    assert [request.body for request in stage.receiver.at("/r14/pager")] == [b'{"to": "pager"}'] * 2


async def test_r14_any_number_of_each(stage: Stage) -> None:
    numbers = range(100)
    webhooks = "".join(f"  w{n}: {{url: RECEIVER/r14/{n}}}\n" for n in numbers)
    tasks = "".join(f"  t{n}: {{webhook: w{n}, message: {{n: {n}}}}}\n" for n in numbers)
    events = "".join(f"  e{n}: {{type: r14, event: all, task: t{n}}}\n" for n in numbers)
    stage.write(f"webhooks:\n{webhooks}tasks:\n{tasks}events:\n{events}")
    await stage.start()
    receipt = await stage.emit("r14", "all")
    assert len(receipt["deliveries"]) == 100
    await stage.settled(receipt)
    got = {request.target: request.body for request in stage.receiver.requests}
    assert got == {f"/r14/{n}": b'{"n": %d}' % n for n in numbers}
    assert len(stage.receiver.requests) == 100


async def test_r14_a_name_that_is_not_defined_is_an_error(stage: Stage) -> None:
    found = await stage.findings(
        "webhooks: {chat: {url: RECEIVER/x}}\ntasks: {page: {webhook: chatt}}\n"
        "events: {alarm: {type: a, event: b, task: [page, pag]}}\n"
    )
    assert [one["where"] for one in found] == ["tasks.page.webhook", "events.alarm.task[1]"]
    assert [name in one["message"] for name, one in zip(('"chat"', '"page"'), found, strict=True)] == [
        True,
        True,
    ]
