"""A trace that comes with an event goes out with its deliveries, through the real daemon (spec 10)."""

import asyncio
import json
from typing import Any

from tests.e2e.conftest import Running
from tests.e2e.test_cloudevents import HEADERS, OK, STRUCTURED
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

ID, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
OTHER = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = f"00-{ID}-{SPAN}-01"
STATE = "rojo=00f067aa0ba902b7, congo=t61rcWkgMzE"
TRACED = {"traceparent": PARENT, "tracestate": STATE}
EVENT = {"type": "com.example.vm", "event": "on"}
CONFIG = """
webhooks:
  w: {url: "URL/w", backoff: [1s]}
  own: {url: "URL/own", headers: {TraceParent: mine}}
tasks: {t: {webhook: w}, o: {webhook: own}}
events: {r: {type: com.example.vm, event: "on", task: t}, s: {type: own, event: "on", task: o}}
"""


def trace_of(request: Received) -> tuple[str, str, str, str]:
    value = request.header("traceparent")
    assert value is not None
    version, trace_id, span_id, flags = value.split("-")
    return version, trace_id, span_id, flags


async def test_every_attempt_is_a_span_of_the_trace_across_a_kill(
    running: Running, receiver: Receiver
) -> None:
    async def busy(_request: Received) -> bytes:
        return response(503)

    ok, receiver.reply = receiver.reply, busy
    daemon = await running(CONFIG.replace("URL", receiver.url))
    answered, receipt = await daemon.request("POST", "/v1/events", body=EVENT, headers=TRACED)
    assert answered == 202
    delivery_id = receipt["deliveries"][0]["id"]
    await receiver.wait_for(1)
    [failed] = await until(lambda: daemon.logged("attempt.failed"))
    assert failed["trace_id"] == ID
    await daemon.kill()
    receiver.reply = ok
    await daemon.start()
    first, second = (await receiver.wait_for(2))[:2]
    spans = [trace_of(request) for request in (first, second)]
    assert [(version, trace_id, flags) for version, trace_id, _, flags in spans] == [("00", ID, "01")] * 2
    assert len({SPAN, "0" * 16, *(span_id for *_, span_id, _ in spans)}) == 4
    assert [request.header("tracestate") for request in (first, second)] == [STATE] * 2
    shown = await daemon.delivery_when(delivery_id, "delivered")
    assert shown["trace_id"] == ID
    assert (await daemon.get(f"/v1/events/{receipt['id']}"))["trace_id"] == ID
    assert (await until(lambda: daemon.logged("delivery.delivered")))[0]["trace_id"] == ID


async def test_who_has_none_sends_none(running: Running, receiver: Receiver) -> None:
    daemon = await running(CONFIG.replace("URL", receiver.url))
    _, receipt = await daemon.post(EVENT)
    invalid = {"traceparent": f"00-{'0' * 32}-{SPAN}-01", "tracestate": STATE}
    await daemon.request("POST", "/v1/events", body=EVENT, headers=invalid)
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    body = json.dumps(EVENT).encode()
    head = [
        "POST /v1/events HTTP/1.1",
        "Host: localhost",
        "Content-Type: application/json",
        f"Content-Length: {len(body)}",
        *[f"traceparent: {PARENT}"] * 2,
    ]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    assert (await reader.readline()).split()[1] == b"202"
    writer.close()
    for request in await receiver.wait_for(3):
        assert request.header("traceparent") is None
        assert request.header("tracestate") is None
    shown = await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
    assert shown["trace_id"] is None
    assert all("trace_id" not in line for line in await until(lambda: daemon.logged("delivery.delivered")))


async def test_batches_triggers_and_sends_carry_it_too(running: Running, receiver: Receiver) -> None:
    daemon = await running(CONFIG.replace("URL", receiver.url))
    for path, body in [
        ("/v1/events", [EVENT, EVENT]),
        ("/v1/tasks/t/trigger", {}),
        ("/v1/webhooks/w/send", {}),
    ]:
        assert (await daemon.request("POST", path, body=body, headers=TRACED))[0] == 202
    requests = await receiver.wait_for(4)
    assert [trace_of(request)[1] for request in requests] == [ID] * 4
    assert len({trace_of(request)[2] for request in requests}) == 4


async def test_a_webhooks_own_header_replaces_it(running: Running, receiver: Receiver) -> None:
    daemon = await running(CONFIG.replace("URL", receiver.url))
    await daemon.request("POST", "/v1/events", body={"type": "own", "event": "on"}, headers=TRACED)
    [request] = await receiver.wait_for(1)
    assert request.header("traceparent") == "mine"
    assert request.header("tracestate") is None


async def test_a_cloudevents_own_trace_serves_where_no_header_is(
    running: Running, receiver: Receiver
) -> None:
    daemon = await running(CONFIG.replace("URL", receiver.url))
    own = f"00-{OTHER}-{SPAN}-00"
    extension = {"traceparent": own, "tracestate": "own=1"}
    posts: list[tuple[Any, dict[str, str]]] = [
        (OK | extension, STRUCTURED),
        ({}, HEADERS | {f"ce-{name}": value for name, value in extension.items()} | {"ce-id": "a-2"}),
        (OK | extension | {"id": "a-3"}, STRUCTURED | TRACED),
    ]
    for number, (body, headers) in enumerate(posts, start=1):
        assert (await daemon.request("POST", "/v1/events", body=body, headers=headers))[0] == 202
        await receiver.wait_for(number)
    told = [
        (trace_of(request)[1], trace_of(request)[3], request.header("tracestate"))
        for request in receiver.requests
    ]
    assert told == [(OTHER, "00", "own=1")] * 2 + [(ID, "01", STATE)]
