"""The description of the API: every route is in it, and the routes answer as it says (spec 9)."""

import asyncio
import json
import re
from collections.abc import Iterator, Mapping
from typing import Any, cast

import aiohttp
import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import best_match

from hookd import __version__
from hookd.api.openapi import document
from hookd.api.routes import routes
from hookd.api.services import Services
from hookd.observability.metrics import Metrics
from tests.e2e.conftest import DAEMON, Running
from tests.e2e.test_tail import following
from tests.kit.config_files import unsettled
from tests.kit.receiver import Received, Receiver, response

CONFIG = """
types: {{vm: {{events: ["on"]}}}}
webhooks:
  w: {{url: '{url}/w', retries: 0, description: what it is}}
  parked: {{url: '{url}/parked', enabled: false}}
tasks:
  t: {{webhook: w, triggers: [{{type: vm, event: "on", tag: x}}]}}
  p: {{webhook: parked}}
  once: {{webhook: w, delete_after_running: true}}
events:
  e: {{type: vm, event: "on", task: [t, p]}}
schedules:
  s: {{at: 2099-01-01T00:00:00, task: t}}
"""
EVENT = {
    "type": "vm",
    "event": "on",
    "object": {"id": "1", "name": "web-01", "tags": ["x"]},
    "data": {"a": [1]},
}


def described() -> set[tuple[str, str]]:
    return {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
        if method != "parameters"
    }


def routed() -> set[tuple[str, str]]:
    parts = dict.fromkeys(Services.__slots__)
    services = Services(**cast(dict[str, Any], {**parts, "metrics": Metrics(__version__)}))
    return set(routes(services).routes())


def drift() -> list[str]:
    """What to do about each route that only one side knows."""
    described_in = "hookd/api/openapi.yaml"
    missing = [
        f"{method} {path} is not described: add `{method.lower()}:` below `{path}:` to `paths` in {described_in},"
        " and its shapes to `components`"
        for method, path in sorted(routed() - described())
    ]
    extra = [
        f"{method} {path} is described, but there is no such route: take it out of `paths` in {described_in}"
        for method, path in sorted(described() - routed())
    ]
    return missing + extra


def test_every_route_is_described_and_no_other() -> None:
    assert drift() == []


def test_drift_is_told_with_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    both = described()
    monkeypatch.setitem(globals(), "described", lambda: (both - {("GET", "/metrics")}) | {("PUT", "/v1/x")})
    missing, extra = drift()
    assert missing == (
        "GET /metrics is not described: add `get:` below `/metrics:` to `paths` in hookd/api/openapi.yaml,"
        " and its shapes to `components`"
    )
    assert extra == (
        "PUT /v1/x is described, but there is no such route: take it out of `paths` in hookd/api/openapi.yaml"
    )


def nodes(value: Any) -> Iterator[Mapping[str, Any]]:
    """Every object in a document."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from nodes(each)


def test_the_document_is_sound() -> None:
    found = json.loads(json.dumps(document(), allow_nan=False))
    schemas, answers = found["components"]["schemas"], found["components"]["responses"]
    used = {node["$ref"] for node in nodes(found) if "$ref" in node}
    assert used == {f"#/components/schemas/{name}" for name in schemas} | {
        f"#/components/responses/{name}" for name in answers
    }, "each component is used, and each reference leads to one"
    for schema in schemas.values():
        Draft202012Validator.check_schema(schema)
    operations = [
        each for methods in found["paths"].values() for each in methods.values() if "summary" in each
    ]
    names = [operation["operationId"] for operation in operations]
    assert len(set(names)) == len(names)
    for operation in operations:
        assert operation["responses"].keys() >= {"400", "401", "403", "421", "503"}
        assert any(code.startswith("2") for code in operation["responses"])
    unauthorized, unavailable = answers["Problem401"], answers["Problem503"]
    assert unauthorized["headers"]["WWW-Authenticate"]["required"]
    assert unavailable["headers"]["Retry-After"]["required"]


def closed(schema: Any) -> Any:
    """The schema, refusing fields that it does not name: clients may meet new ones, this test may not."""
    if isinstance(schema, list):
        return [closed(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    shut = {name: closed(each) for name, each in schema.items()}
    if "properties" in shut and isinstance(shut["properties"], dict):
        shut.setdefault("additionalProperties", False)
    return shut


def fault(path: str, method: str, code: int, answer: Any) -> str:
    """Where an answer is not as described; empty where it is."""
    found = document()
    said = found["paths"][path][method.lower()]["responses"].get(str(code))
    if said is None:
        return f"{method} {path} answered {code}, which is not described"
    if "$ref" in said:
        said = found["components"]["responses"][said["$ref"].rpartition("/")[2]]
    content = next(
        iter(said["content"].values())
    )  # the first is what is answered unless another is asked for
    schema = {**content["schema"], "components": {"schemas": closed(found["components"]["schemas"])}}
    error = best_match(Draft202012Validator(schema).iter_errors(answer))
    where = error.json_path if error else ""
    return f"{method} {path} {code}: {where}: {error.message} (hookd/api/openapi.yaml)" if error else ""


APART = {("GET", "/metrics")}
"""Operations that answer something else than one JSON document."""

TRACED = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}

Step = tuple[str, str, dict[str, str], Any, int]
"""Method, path, its variables, body, and the status that is due."""


def steps(ids: Mapping[str, str]) -> list[Step]:
    """Each operation at least once but those in `APART`, given deliveries by their task: one is dead, one waits."""
    delivery = "/v1/deliveries/{id}"
    return [
        ("POST", "/v1/events", {}, EVENT, 202),
        ("POST", "/v1/events", {}, [EVENT], 202),
        ("POST", "/v1/events", {}, {**EVENT, "id": "one"}, 200),
        ("POST", "/v1/events", {}, {"type": "vm", "event": "on", "id": "one"}, 409),
        ("POST", "/v1/events", {}, {"type": "v"}, 422),
        ("POST", "/v1/events", {}, b"{", 400),
        ("POST", "/v1/tasks/{name}/trigger", {"name": "once"}, {"data": {}}, 202),
        ("POST", "/v1/tasks/{name}/trigger", {"name": "once"}, {}, 409),
        ("POST", "/v1/tasks/{name}/trigger", {"name": "onc"}, {}, 404),
        ("GET", "/v1/status", {}, None, 200),
        ("GET", "/v1/tail", {}, None, 200),
        ("POST", "/v1/tasks/{name}/rearm", {"name": "once"}, None, 200),
        ("POST", "/v1/tasks/{name}/rearm", {"name": "t"}, None, 409),
        ("GET", "/v1/deliveries", {}, None, 200),
        ("GET", delivery, {"id": ids["t"]}, None, 200),
        ("GET", delivery, {"id": ids["p"]}, None, 200),
        ("GET", delivery, {"id": "none"}, None, 404),
        ("POST", f"{delivery}/retry", {"id": ids["t"]}, None, 200),
        ("POST", f"{delivery}/cancel", {"id": ids["p"]}, {}, 200),
        ("POST", f"{delivery}/cancel", {"id": ids["p"]}, {}, 409),
        ("POST", "/v1/deliveries/retry", {}, {"dry_run": True}, 200),
        ("GET", "/v1/events", {}, None, 200),
        ("GET", "/v1/events/{id}", {"id": "one"}, None, 200),
        ("GET", "/v1/events/{id}", {"id": "two"}, None, 404),
        ("POST", "/v1/webhooks/{name}/pause", {"name": "w"}, None, 200),
        ("GET", "/v1/webhooks", {}, None, 200),
        ("POST", "/v1/webhooks/{name}/resume", {"name": "w"}, None, 200),
        ("POST", "/v1/webhooks/{name}/send", {"name": "w"}, {"message": {"a": 1}}, 202),
        ("GET", "/v1/config", {}, None, 200),
        ("GET", "/v1/names", {}, None, 200),
        ("POST", "/v1/config/diff", {}, {}, 200),
        ("POST", "/v1/config/diff", {}, {"a": 1}, 422),
        ("POST", "/v1/reload", {}, None, 200),
        ("GET", "/healthz", {}, None, 200),
        ("GET", "/readyz", {}, None, 200),
        ("GET", "/openapi.json", {}, None, 200),
    ]


async def test_real_answers_are_as_described(receiver: Receiver, running: Running) -> None:
    async def first_fails(request: Received) -> bytes:
        return response(500 if request is receiver.requests[0] else 200, body=b"said")

    receiver.reply = first_fails
    daemon = await running(CONFIG.format(url=receiver.url))
    event = (await daemon.request("POST", "/v1/events", body={**EVENT, "id": "one"}, headers=TRACED))[1]
    ids = {each["task"]: each["id"] for each in event["deliveries"]}
    await daemon.delivery_when(ids["t"], "dead")
    for method, path, values, body, wanted in steps(ids):
        code, answer = await daemon.request(method, path.format(**values), body=body)
        assert code == wanted, (method, path, answer)
        assert fault(path, method, code, answer) == ""
    traced = await daemon.get(f"/v1/deliveries/{ids['t']}")
    assert traced["trace_id"] == TRACED["traceparent"][3:35]
    assert traced["attempts"][0]["generation"]["number"] == 1
    assert {(method, path) for method, path, *_ in steps(ids)} == described() - APART, (
        "each operation is asked here: add a step for a new one"
    )


async def test_real_changes_are_as_described(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    given = daemon.config.read_text()

    async def ask(path: str, config: str) -> dict[str, Any]:
        async with unsettled(daemon.directory):
            daemon.config.write_text(config)
            code, answer = await daemon.request("POST", path)
        assert fault(path, "POST", code, answer) == ""
        return cast(dict[str, Any], answer)

    found = await ask("/v1/config/diff", given.replace("retries: 0", "retries: many"))
    assert (found["valid"], found["findings"][0]["severity"]) == (False, "error")
    changed = given
    for number in range(10):  # on a busy machine the watcher may be faster, and then nothing differs any more
        text = f"what it was {number}"
        changed = changed.replace("  p:", f"  q{number}: {{webhook: w}}\n  p:")
        changed = re.sub(r"what it (is|was \d)", text, changed)
        found = await ask("/v1/config/diff", changed)
        if found["differs"]:
            break
    assert [(each["section"], each["change"]) for each in found["changes"]] == [
        ("webhooks", "changed"),
        ("tasks", "added"),
    ]
    # The watcher takes that change over, and then has nothing to do.
    await daemon.get_when("/v1/config", lambda now: now["webhooks"]["w"]["description"] == text, within_s=30)
    again = changed.replace("what it was", "what it became")
    assert (await ask("/v1/reload", again))["changes"]["webhooks"]["changed"] == ["w"]


async def test_real_answers_to_cloudevents_are_as_described(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    found = document()
    for number, (media_type, code) in enumerate((
        ("application/cloudevents+json", 202),
        ("application/cloudevents-batch+json", 202),
        ("application/cloudevents-batch+json; charset=latin1", 415),
    )):  # fmt: skip
        body = found["paths"]["/v1/events"]["post"]["requestBody"]["content"][media_type.partition(";")[0]]
        cloud = {**CLOUD, "id": str(number), "subject": None, "x": 1}
        given = [cloud] if "batch" in media_type else cloud
        schema = {**body["schema"], "components": found["components"]}
        assert best_match(Draft202012Validator(schema).iter_errors(given)) is None, media_type
        answered, answer = await daemon.request(
            "POST", "/v1/events", body=given, headers={"Content-Type": media_type}
        )
        assert (answered, fault("/v1/events", "POST", answered, answer)) == (code, ""), media_type


CLOUD = {"specversion": "1.0", "id": "1", "source": "/s", "type": "vm.on"}


REFUSED: list[tuple[str, str, dict[str, Any], list[dict[str, Any]]]] = [
    ("NewEvent", "/v1/events", {"type": "vm", "event": "on"}, [
        {"type": " vm"}, {"type": "v\tm"}, {"event": "on "}, {"id": ""}, {"object": "a\x85b"}, {"id": "i" * 257},
    ]),
    ("CloudEvent", "/v1/events", CLOUD, [
        {"type": ""}, {"type": "vm"}, {"type": "vm."}, {"type": "vm .on"}, {"type": f"vm.{'o' * 129}"},
        {"source": "/a b"}, {"source": "/\n/"}, {"id": "\x00"}, {"subject": "\x7f"},
    ]),
    ("RetryRequest", "/v1/deliveries/retry", {"dry_run": True}, [
        {"webhook": "a\x00"}, {"task": ""}, {"event": "\n."}, {"state": "sending"},
        {"cursor": "x"}, {"cursor": "1" * 19},
    ]),
]  # fmt: skip


async def test_what_is_refused_is_described(running: Running) -> None:
    daemon = await running("types: {vm: {events: ['on']}}\n")
    found = document()["components"]
    for shape, path, good, bad in REFUSED:
        schema = Draft202012Validator({**found["schemas"][shape], "components": found})
        media_type = "application/cloudevents+json" if shape == "CloudEvent" else "application/json"
        for change in ({}, *bad):
            body = {**good, **change}
            code, _ = await daemon.request("POST", path, body=body, headers={"Content-Type": media_type})
            assert (body, code < 300) == (body, not change)
            assert (body, schema.is_valid(body)) == (body, not change)


async def test_the_cursors_of_listings_are_described(running: Running) -> None:
    daemon = await running("")
    paths = document()["paths"]
    for path in ("/v1/events", "/v1/deliveries"):
        (schema,) = [each["schema"] for each in paths[path]["get"]["parameters"] if each["name"] == "cursor"]
        for cursor in ("0", "9" * 18, "9" * 19, "x", "", "-1"):
            code, _ = await daemon.request("GET", f"{path}?cursor={cursor}")
            assert (cursor, code == 200) == (cursor, Draft202012Validator(schema).is_valid(cursor))


async def test_the_lines_of_tail_are_as_described(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    schemas = document()["components"]["schemas"]
    seen = []
    code, answer = await daemon.request("GET", "/v1/tail?after=x")
    assert (code, fault("/v1/tail", "GET", code, answer)) == (400, "")
    async with following(daemon) as stream:
        seen.append(await stream.next())
        await daemon.post(EVENT)
        seen += await stream.until("delivery.delivered")
        assert await daemon.stop() == 0
        seen += await stream.until("tail.ended")
    for line in seen:
        assert best_match(Draft202012Validator(schemas["TailLine"]).iter_errors(line)) is None, line


async def test_a_query_that_is_not_described_is_refused_below_v1(running: Running) -> None:
    daemon = await running("")
    for path, methods in document()["paths"].items():
        for method in methods.keys() - {"parameters"}:
            code, answer = await daemon.request(method.upper(), f"{path.format(id='x', name='x')}?nosuch=1")
            if not path.startswith("/v1"):
                assert code == 200, path
                continue
            given = methods[method].get("parameters", ())
            known = ", ".join(sorted(each["name"] for each in given if each["in"] == "query"))
            told = f"unknown query parameter 'nosuch'; {f'known are {known}' if known else 'this path takes none'}"
            assert (path, code, answer["detail"]) == (path, 400, told)
            assert answer["errors"] == [{"pointer": "", "message": told}]


async def test_a_token_is_asked_for_only_where_the_listener_does(running: Running) -> None:
    listen = '{unix: h.sock}, {http: "127.0.0.1:0", tokens: [hush-hush]}'
    daemon = await running("", daemon=DAEMON.replace("{unix: h.sock}", listen))
    url = (await daemon.get("/v1/status"))["listen"][1]
    for _ in range(2):
        open_one = await daemon.get("/openapi.json")
        async with (
            aiohttp.ClientSession(headers={"Authorization": "Bearer hush-hush"}) as session,
            session.get(f"{url}/openapi.json") as response,
        ):
            guarded = await response.json()
        assert guarded.pop("security") == [{"token": []}]
        assert open_one == guarded


def test_an_answer_with_a_field_too_many_is_a_fault() -> None:
    assert fault("/healthz", "GET", 200, {"status": "ok"}) == ""
    assert fault("/healthz", "GET", 200, {"status": "ok", "mood": "good"}) == (
        "GET /healthz 200: $: Additional properties are not allowed ('mood' was unexpected)"
        " (hookd/api/openapi.yaml)"
    )
    assert fault("/healthz", "GET", 418, {}) == "GET /healthz answered 418, which is not described"


async def test_methods_that_are_not_described(running: Running) -> None:
    daemon = await running("")
    for method, path, allowed in (
        ("OPTIONS", "/v1/events", "GET, HEAD, POST"),
        ("DELETE", "/v1/status", "GET, HEAD"),
        ("GET", "/v1/reload", "POST"),
    ):
        code, answer = await daemon.request(method, path)
        assert (code, answer["detail"]) == (405, f"this path answers {allowed} only")
    for method, path, meant in (
        ("POST", "/v1/events/", "/v1/events"),
        ("GET", "/v1/events/", "/v1/events"),
        ("POST", "//v1//events", "/v1/events"),
        ("POST", "/v1/event", "/v1/events"),
        ("GET", "/v1/deliveries/x/", "/v1/deliveries/x"),
    ):
        code, answer = await daemon.request(method, path)
        assert (code, answer["detail"]) == (404, f'there is nothing at this path; did you mean "{meant}"?')
    _, writer = streams = await asyncio.open_unix_connection(str(daemon.socket))
    writer.write(b"FOO /v1/status HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await streams[0].readline()).startswith(b"HTTP/1.1 400 "), "no method at all"
    writer.close()
