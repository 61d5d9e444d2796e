"""The main job: YAML in, events in, webhooks out."""

import asyncio
import json
from pathlib import Path

import pytest
import standardwebhooks

from tests.e2e.conftest import Running
from tests.kit.receiver import Received, Receiver, always, held, response

SECRET = "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE="
VM_ON = {"type": "vm", "event": "on", "object": {"name": "web-01", "tags": ["production"]}}

CONFIG = """
webhooks:
  w:
    url: {url}/hook%20a?x=1+2
    backoff: [100ms]
    retries: 3
    timeout: 3
    signing: {{secret: {secret}}}
  other: {{url: {url}/other, backoff: [100ms]}}
tasks:
  t: {{webhook: w, message: {{text: "${{NAME}} is on", pct: "${{data.pct}}"}}}}
  o: {{webhook: other}}
events:
  e: {{type: vm, event: "on", tag: production, task: t}}
  f: {{type: vm, event: "off", task: [o]}}
"""


def config(receiver: Receiver) -> str:
    return CONFIG.format(url=receiver.url, secret=SECRET)


@pytest.mark.promise
async def test_event_is_matched_rendered_signed_and_delivered(receiver: Receiver, running: Running) -> None:
    daemon = await running(config(receiver))
    answered, receipt = await daemon.post({**VM_ON, "data": {"pct": 80.5}})
    assert answered == 202
    assert receipt["duplicate"] is False
    [reference] = receipt["deliveries"]
    assert (reference["task"], reference["webhook"]) == ("t", "w")
    [request] = await receiver.wait_for(1)
    assert (request.method, request.target) == ("POST", "/hook%20a?x=1+2")
    assert request.body == b'{"text": "web-01 is on", "pct": 80.5}'
    assert request.header("content-type") == "application/json"
    assert request.header("accept-encoding") is None
    assert request.id == reference["id"]
    standardwebhooks.Webhook(SECRET).verify(request.body, {k.lower(): v for k, v in request.headers})
    record = await daemon.delivery_when(reference["id"], "delivered")
    assert [a["number"] for a in record["attempts"]] == [1]
    assert record["cause"] == {"kind": "event", "event_id": receipt["id"], "rule": "events.e"}


async def test_nothing_matches_is_accepted_and_kept(receiver: Receiver, running: Running) -> None:
    daemon = await running(config(receiver))
    answered, receipt = await daemon.post({"type": "vm", "event": "paused"})
    assert (answered, receipt["deliveries"]) == (202, [])
    kept = await daemon.get(f"/v1/events/{receipt['id']}")
    assert (kept["type"], kept["event"]) == ("vm", "paused")


@pytest.mark.promise
async def test_failures_are_retried_with_the_same_id_and_bytes(receiver: Receiver, running: Running) -> None:
    async def twice_503(request: Received) -> bytes:
        return response(503 if len(receiver.requests) < 3 else 200, body=b"busy")

    receiver.reply = twice_503
    daemon = await running(config(receiver))
    _, receipt = await daemon.post({**VM_ON, "data": {"pct": 1}})
    requests = await receiver.wait_for(3)
    assert len({(r.id, r.body) for r in requests}) == 1
    record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
    assert [(a["status"], a["response"]) for a in record["attempts"]] == [
        (503, "busy"),
        (503, "busy"),
        (200, "busy"),
    ]


async def test_retries_used_up_is_dead_with_its_reason(receiver: Receiver, running: Running) -> None:
    receiver.reply = always(500)
    daemon = await running(config(receiver))
    _, receipt = await daemon.post(VM_ON)
    record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "dead")
    assert len(record["attempts"]) == 4
    assert "500" in record["detail"]


async def test_gone_is_final_at_once(receiver: Receiver, running: Running) -> None:
    receiver.reply = always(410)
    daemon = await running(config(receiver))
    _, receipt = await daemon.post(VM_ON)
    record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "dead")
    assert len(record["attempts"]) == 1


async def test_retry_after_holds_the_whole_webhook(receiver: Receiver, running: Running) -> None:
    async def slow_down_once(request: Received) -> bytes:
        return response(429, "Retry-After: 2") if len(receiver.requests) == 1 else response(200)

    receiver.reply = slow_down_once
    daemon = await running(config(receiver))
    loop = asyncio.get_running_loop()
    await daemon.post(VM_ON)
    await receiver.wait_for(1)
    began = loop.time()
    await daemon.post(VM_ON)
    await daemon.post({"type": "vm", "event": "off"})
    await receiver.wait_for(2)
    assert receiver.requests[1].target == "/other", "another webhook does not wait"
    await receiver.wait_for(4)
    assert loop.time() - began > 1.5


async def test_a_batch_is_stored_whole_or_refused_whole(receiver: Receiver, running: Running) -> None:
    daemon = await running(config(receiver))
    answered, answer = await daemon.post([VM_ON, {"type": "vm"}, {"type": "vm", "event": "on", "nmae": 1}])
    assert answered == 422
    assert {e["pointer"] for e in answer["errors"]} == {"/1/event", "/2/nmae"}
    lines = b"\n".join(json.dumps(VM_ON).encode() for _ in range(3))
    answered, answer = await daemon.request(
        "POST", "/v1/events", body=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (answered, len(answer["events"])) == (202, 3)
    assert len(await receiver.wait_for(3)) == 3
    assert len((await daemon.get("/v1/events"))["events"]) == 3


@pytest.mark.promise
async def test_a_duplicate_sends_nothing_and_other_content_conflicts(
    receiver: Receiver, running: Running
) -> None:
    daemon = await running(config(receiver))
    event = {**VM_ON, "id": "once"}
    answers = await asyncio.gather(*(daemon.post(event) for _ in range(50)))
    assert sorted(code for code, _ in answers) == [200] * 49 + [202]
    assert len({json.dumps(answer["deliveries"]) for _, answer in answers}) == 1
    assert (await daemon.post({**event, "data": {"x": 1}}))[0] == 409
    await receiver.wait_for(1)
    await daemon.delivery_when(answers[0][1]["deliveries"][0]["id"], "delivered")
    assert len(receiver.requests) == 1


async def test_trigger_runs_a_task(receiver: Receiver, running: Running) -> None:
    daemon = await running(config(receiver))
    answered, receipt = await daemon.request("POST", "/v1/tasks/t/trigger", body={"object": "db-1"})
    assert answered == 202
    [request] = await receiver.wait_for(1)
    assert request.body == b'{"text": "db-1 is on", "pct": null}'
    record = await daemon.get(f"/v1/deliveries/{receipt['deliveries'][0]['id']}")
    assert record["cause"]["kind"] == "trigger"
    answered, problem = await daemon.request("POST", "/v1/tasks/tt/trigger")
    assert (answered, problem["near"]) == (404, ["t"])


async def test_a_dead_endpoint_does_not_slow_another(receiver: Receiver, running: Running) -> None:
    async def hang_on_hook(request: Received) -> bytes:
        if request.target.startswith("/hook"):
            await asyncio.Event().wait()
        return response(200)

    receiver.reply = hang_on_hook
    daemon = await running(config(receiver))
    for _ in range(300):
        await daemon.post(VM_ON)
    _, receipt = await daemon.post({"type": "vm", "event": "off"})
    await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered", within_s=1.0)


@pytest.mark.promise
async def test_sigterm_drains_and_the_rest_survives(
    receiver: Receiver, running: Running, tmp_path: Path
) -> None:
    release = asyncio.Event()

    receiver.reply = held(release)
    daemon = await running(config(receiver))
    receipts = [(await daemon.post(VM_ON))[1] for _ in range(30)]
    await receiver.wait_for(10)
    asyncio.get_running_loop().call_later(0.3, release.set)
    assert await daemon.stop() == 0
    await daemon.start()
    for receipt in receipts:
        record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
        assert len(record["attempts"]) == 1
    assert len(receiver.requests) == len({r.id for r in receiver.requests}) == 30
