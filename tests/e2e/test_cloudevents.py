"""CloudEvents through the real daemon, posted by the CNCF's own SDK and by hand (spec 2)."""

import asyncio
import json
import urllib.request
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from cloudevents.core.bindings.http import HTTPMessage, to_binary_event, to_structured_event
from cloudevents.core.v1.event import CloudEvent

from tests.e2e.conftest import Running
from tests.kit.commands import emit
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.receiver import Receiver

BATCH = {"Content-Type": "application/cloudevents-batch+json"}
STRUCTURED = {"Content-Type": "application/cloudevents+json"}
OK: dict[str, Any] = {"specversion": "1.0", "type": "com.example.vm.on", "source": "/nodes/2", "id": "a-1"}
HEADERS = {f"ce-{name}": value for name, value in OK.items()}
MESSAGE = '{type: "${TYPE}", event: "${EVENT}", name: "${NAME}", tags: "${TAGS}", id: "${ID}", value: "${data.value}"}'
CONFIG = f"""
webhooks: {{w: {{url: "URL"}}}}
tasks: {{t: {{webhook: w, message: {MESSAGE}}}}}
events:
  named: {{type: com.example.vm, event: "on", object: "wéb 01", task: t}}
  tagged: {{type: com.example.vm, event: "on", tag: production, task: t}}
"""


def sdk_event(**attributes: Any) -> CloudEvent:
    given = {name: value for name, value in OK.items() if name != "specversion"}
    time = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)
    more = {
        "subject": "wéb 01",
        "tags": "production,web",
        "time": time,
        "datacontenttype": "application/json",
    }
    data = attributes.pop("data", {"value": {"n": 1}})
    left = {name: value for name, value in (given | more | attributes).items() if value is not None}
    return CloudEvent(left, data)


async def post(daemon: DaemonProcess, message: HTTPMessage) -> tuple[int, Any]:
    return await daemon.request("POST", "/v1/events", body=message.body, headers=cased(message.headers))


def cased(headers: Mapping[str, str]) -> dict[str, str]:
    """The headers with the one name that the test client would add beside another spelling."""
    return {"Content-Type" if name == "content-type" else name: value for name, value in headers.items()}


async def raw(daemon: DaemonProcess, *lines: str, body: bytes = b"", port: int = 0) -> tuple[int, bytes]:
    """The status and the whole answer to a request that says exactly this."""
    if port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
    else:
        reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    head = [*lines, "Host: localhost", f"Content-Length: {len(body)}", "Connection: close"]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + body)
    answer = await reader.read()
    writer.close()
    return int(answer.split()[1]), answer


@pytest.mark.promise
async def test_the_sdk_in_both_modes(running: Running, receiver: Receiver) -> None:
    daemon = await running(CONFIG.replace("URL", receiver.url))
    status, receipt = await post(daemon, to_structured_event(sdk_event()))
    assert (status, receipt["id"], receipt["duplicate"]) == (202, "/nodes/2 a-1", False)
    assert [made["task"] for made in receipt["deliveries"]] == ["t"]
    [request] = await receiver.wait_for(1)
    wanted = {
        "type": "com.example.vm",
        "event": "on",
        "name": "wéb 01",
        "tags": "production,web",
        "id": "/nodes/2 a-1",
        "value": {"n": 1},
    }
    assert json.loads(request.body) == wanted
    kept = await daemon.get("/v1/events/%2Fnodes%2F2%20a-1")
    assert kept["object"] == {"id": None, "name": "wéb 01", "tags": ["production", "web"]}
    assert (kept["time"], kept["data"]) == ("2026-01-02T03:04:05Z", {"value": {"n": 1}})
    assert await post(daemon, to_binary_event(sdk_event())) == (200, {**receipt, "duplicate": True})
    status, other = await post(daemon, to_binary_event(sdk_event(id="a-2")))
    assert (status, other["id"]) == (202, "/nodes/2 a-2")
    await receiver.wait_for(2)
    assert json.loads(receiver.requests[1].body) == wanted | {"id": "/nodes/2 a-2"}


async def test_one_id_is_one_content(running: Running) -> None:
    daemon = await running("")
    assert (await post(daemon, to_binary_event(sdk_event())))[0] == 202
    status, problem = await post(daemon, to_structured_event(sdk_event(subject="db-01")))
    assert (status, [fault["pointer"] for fault in problem["errors"]]) == (409, ["/id"])
    batch = [OK | {"id": "new"}, OK | {"data": 1}]
    status, problem = await daemon.request("POST", "/v1/events", body=batch, headers=BATCH)
    assert (status, [fault["pointer"] for fault in problem["errors"]]) == (409, ["/1/id"])
    assert len((await daemon.get("/v1/events"))["events"]) == 1


async def test_batches(running: Running) -> None:
    daemon = await running("")
    batch = [OK, OK | {"id": "a-2", "data_base64": "AAH/"}]
    status, answer = await daemon.request("POST", "/v1/events", body=batch, headers=BATCH)
    assert (status, [each["id"] for each in answer["events"]]) == (202, ["/nodes/2 a-1", "/nodes/2 a-2"])
    assert (await daemon.get("/v1/events/%2Fnodes%2F2%20a-2"))["data"] == {"base64": "AAH/"}
    assert (await daemon.request("POST", "/v1/events", body=batch, headers=BATCH))[0] == 200
    assert await daemon.request("POST", "/v1/events", body=[], headers=BATCH) == (200, {"events": []})
    status, problem = await daemon.request("POST", "/v1/events", body=[OK | {"id": "a-3"}, {}], headers=BATCH)
    assert status == 422
    assert problem["title"] == "Invalid CloudEvent"
    assert problem["detail"] == "/1/specversion: is required (and 3 more)"
    assert (await daemon.request("GET", "/v1/events/%2Fnodes%2F2%20a-3"))[0] == 404


async def test_binary_without_a_content_type(running: Running) -> None:
    daemon = await running("")
    lines = ["POST /v1/events HTTP/1.1", *(f"{name}: {value}" for name, value in HEADERS.items())]
    assert (await raw(daemon, *lines, body=b'{"n": 1}'))[0] == 202
    assert (await daemon.get("/v1/events/%2Fnodes%2F2%20a-1"))["data"] == {"n": 1}
    assert (await raw(daemon, *lines, "Content-Type:", body=b'{"n": 1}'))[0] == 200
    assert (await raw(daemon, *lines, body=b"{"))[0] == 400
    message = to_binary_event(sdk_event(id="a-2", datacontenttype=None, data="hé"))
    lines = ["POST /v1/events HTTP/1.1", *(f"{name}: {value}" for name, value in message.headers.items())]
    assert (await raw(daemon, *lines, body=message.body))[0] == 202
    assert (await daemon.get("/v1/events/%2Fnodes%2F2%20a-2"))["data"] == {"value": "hé"}


def with_urllib(url: str, headers: dict[str, str], body: bytes) -> int:
    with urllib.request.urlopen(urllib.request.Request(url, body, headers)) as answer:
        return int(answer.status)


def with_requests(url: str, headers: dict[str, str], body: bytes) -> int:
    return int(pytest.importorskip("requests").post(url, data=body, headers=headers).status_code)


def with_httpx(url: str, headers: dict[str, str], body: bytes) -> int:
    return int(pytest.importorskip("httpx").post(url, content=body, headers=headers).status_code)


def with_aiohttp(url: str, headers: dict[str, str], body: bytes) -> int:
    async def post() -> int:
        async with (
            aiohttp.ClientSession() as session,
            session.post(url, data=body, headers=headers) as answer,
        ):
            return answer.status

    return asyncio.run(post())


@pytest.mark.parametrize("client", [with_urllib, with_requests, with_httpx, with_aiohttp])
async def test_json_of_the_sdk_is_json_by_whichever_client(
    running: Running, receiver: Receiver, client: Callable[[str, dict[str, str], bytes], int]
) -> None:
    """The SDK names no type for its JSON; some clients then add one of their own."""
    port = free_port()
    await running(
        f"webhooks: {{w: {{url: '{receiver.url}'}}}}\n"
        "tasks: {t: {webhook: w, message: {n: '${data.n}'}}}\n"
        "events: {e: {type: vm, event: up, where: data.n == 1, task: t}}\n",
        daemon=f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}'}}], store: h.db}}\n",
    )
    url = f"http://127.0.0.1:{port}/v1/events"
    event = CloudEvent({"type": "vm.up", "source": "/s", "id": "1"}, {"n": 1})
    for made, wanted in ((to_binary_event(event), 202), (to_structured_event(event), 200)):
        assert await asyncio.to_thread(client, url, made.headers, made.body) == wanted
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body) == {"n": 1}


TAKEN: list[tuple[dict[str, str], Any, int]] = [
    ({"Content-Type": "application/cloudevents+json; charset=utf-8"}, OK, 202),
    ({"Content-Type": "application/cloudevents+json; charset=latin-1"}, OK, 415),
    ({"Content-Type": "application/cloudevents+avro"}, OK, 415),
    ({"Content-Type": "application/cloudevents"}, OK, 415),
    ({**STRUCTURED, "ce-id": "ignored"}, OK | {"id": "a-2"}, 202),
    ({**STRUCTURED, "Content-Encoding": "gzip"}, OK, 415),
    (STRUCTURED, [OK], 422),
    (STRUCTURED, b'{"specversion":"1.0","specversion":"1.0"}', 400),
    (BATCH, OK, 422),
    ({"Content-Type": "application/json"}, OK, 422),
    ({**HEADERS, "Content-Type": "application/json; charset=latin-1"}, {}, 415),
    ({**HEADERS, "ce-id": "a-3", "Content-Type": "text/plain; charset=latin-1"}, b"h\xe9", 202),
    ({**HEADERS, "Content-Type": "foo"}, b"x", 422),
    ({**HEADERS, "Content-Type": "application/json", "Content-Encoding": "gzip"}, {}, 415),
    ({**HEADERS, "ce-type": "hookd.delivery.dead"}, {}, 422),
    (STRUCTURED, OK | {"type": "hookd.dead"}, 422),
    (BATCH, [OK | {"type": "hookd.delivery.dead"}], 422),
    ({**HEADERS, "ce-specversion": "0.3"}, {}, 422),
    ({"ce-id": "1", "Content-Type": "application/json"}, {"type": "vm", "event": "on"}, 422),
]


async def test_what_is_taken(running: Running) -> None:
    daemon = await running("")
    kept = 0
    for headers, body, wanted in TAKEN:
        status, answer = await daemon.request("POST", "/v1/events", body=body, headers=headers)
        assert status == wanted, (headers, body)
        kept += status == 202
        assert len((await daemon.get("/v1/events"))["events"]) == kept, (headers, body)
        assert status == 202 or answer["detail"], (headers, body)


async def test_the_door_says_what_is_taken(running: Running) -> None:
    daemon = await running("")
    _, problem = await daemon.request("POST", "/v1/events", body=OK, headers={"Content-Type": "text/plain"})
    assert problem["detail"] == (
        "the Content-Type must be application/json, application/x-ndjson, application/cloudevents+json or "
        "application/cloudevents-batch+json; a CloudEvent in binary mode has any, and its attributes in headers "
        "that begin with ce-"
    )


async def test_another_mode_than_meant_is_told(running: Running, tmp_path: Path) -> None:
    daemon = await running("")
    remedy = (
        "this is a CloudEvent: it is posted with Content-Type: application/cloudevents+json, "
        "an array of them with application/cloudevents-batch+json"
    )
    status, problem = await daemon.request("POST", "/v1/events", body=OK)
    assert (status, problem["detail"]) == (422, f"/specversion: {remedy}")
    (tmp_path / "event.json").write_text(json.dumps(OK))
    emitted = await emit(daemon.directory, "--file", str(tmp_path / "event.json"))
    assert emitted.code == 1
    assert remedy in emitted.err
    headers = {**HEADERS, **STRUCTURED}
    for body, wanted in (({"n": 1}, 422), (b"{", 400)):
        status, problem = await daemon.request("POST", "/v1/events", body=body, headers=headers)
        assert status == wanted
        assert problem["detail"].endswith(
            "; with this Content-Type the body is the CloudEvent, and the ce- headers are not read; "
            "where the body is the data, name the data's own Content-Type"
        )
    assert (await daemon.request("POST", "/v1/events", body=OK, headers=headers))[0] == 202


async def test_a_web_page_cannot_post_one(running: Running) -> None:
    """What a page may send without asking for leave is refused, and leave is not given."""
    port = free_port()
    section = f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}'}}], store: h.db}}\n"
    daemon = await running("", daemon=section)
    body = json.dumps(OK).encode()
    line, page = "POST /v1/events HTTP/1.1", f"Origin: http://127.0.0.1:{port + 1}"
    simple = ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b", ""]
    for kind in [*simple, "text/plain; application/cloudevents+json", "text/plain;x=ce-id"]:
        status, _ = await raw(daemon, line, f"Content-Type: {kind}", body=body, port=port)
        assert status == 415, kind
    assert (await raw(daemon, line, "Accept: ce-id", "Accept-Language: ce-id", body=body, port=port))[
        0
    ] == 415
    attributes = [f"{name}: {value}" for name, value in HEADERS.items()]
    assert (await raw(daemon, line, page, *attributes, body=b"{}", port=port))[0] == 403
    asking = ["Access-Control-Request-Method: POST", "Access-Control-Request-Headers: ce-id"]
    for origin in ([page], []):
        status, answer = await raw(daemon, "OPTIONS /v1/events HTTP/1.1", *origin, *asking, port=port)
        assert status in (403, 405)
        assert b"access-control" not in answer.lower()
    assert (await daemon.get("/v1/events"))["events"] == []
    assert (await raw(daemon, line, "Content-Type: text/plain", *attributes, body=b"hi", port=port))[0] == 202


async def test_the_catalogue_holds(running: Running) -> None:
    daemon = await running("types: {com.example.vm: {events: ['on', 'off']}}\n")
    assert (await daemon.request("POST", "/v1/events", body=OK, headers=STRUCTURED))[0] == 202
    wrong = {**HEADERS, "ce-type": "com.example.vm.of"}
    status, problem = await daemon.request("POST", "/v1/events", body={}, headers=wrong)
    assert (status, problem["errors"]) == (
        422,
        [
            {
                "pointer": "/type",
                "message": 'unknown event of type com.example.vm "of"; did you mean "off"? valid: off, on',
            }
        ],
    )
