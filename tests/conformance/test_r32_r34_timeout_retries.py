"""R32 to R34: how long an answer is waited for, how often is tried again, and what happens to bad definitions."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import pytest
import pytest_asyncio

from tests.kit.receiver import Received, Receiver, Server, response
from tests.kit.stage import Stage
from tests.kit.waiting import until

ERRORS = (301, 400, 401, 404, 429, 500, 502, 503, 504)
SUCCESSES = (200, 201, 202, 204, 299)
MESSAGE = '{"random": "${RANDOM}", "timestamp": "${TIMESTAMP}", "date": "${DATE}", "id": "${ID}"}'

WEBHOOKS = {
    "silent": "RECEIVER/silent, timeout: 3, retries: 0",
    "silent, again": "RECEIVER/silent-again, timeout: 3, retries: 1, backoff: [100ms]",
    "silent, patient": "RECEIVER/silent-patient, timeout: 120, retries: 0",
    "dripping hints": "http://DRIPPING/hints, timeout: 3, retries: 0",
    "dripping head": "http://DRIPPING/head, timeout: 3, retries: 0",
    "no accept": "http://FULL/full, timeout: 3, retries: 0",
    "slow": "RECEIVER/slow, timeout: 3, retries: 0",
    "refused": "http://CLOSED/refused, timeout: 3, retries: 2, backoff: [50ms]",
    "closed": "http://CLOSING/closed, timeout: 3, retries: 2, backoff: [50ms]",
    "not http": "RECEIVER/not-http, timeout: 3, retries: 2, backoff: [50ms]",
    **{f"status {code}": f"RECEIVER/{code}, retries: 2, backoff: [50ms]" for code in (*ERRORS, *SUCCESSES)},
    "gone": "RECEIVER/410, retries: 2, backoff: [50ms]",
    "once": "RECEIVER/once, retries: 0, backoff: [50ms]",
    "heals": "RECEIVER/heals, retries: 5, backoff: [50ms]",
    "paced": "RECEIVER/paced, retries: 4, backoff: [100ms, 400ms, 200ms]",
    "defaults": "RECEIVER/defaults",
}
"""By name, which is also the event that fires it: URL and settings."""


async def reply(stage: Stage, request: Received) -> bytes:
    """What the receiver answers, by target."""
    match request.target.removeprefix("/").split("-")[0]:
        case "silent":
            await asyncio.Event().wait()
        case "slow":
            await asyncio.sleep(1.5)
        case "not":
            return b"220 mail.example ESMTP\r\n\r\n"
        case "heals":
            return response(500 if len(stage.receiver.at("/heals")) < 3 else 200)
        case "once" | "paced":
            return response(500)
        case code if code.isdecimal():
            return response(int(code))
    return response(200)


@contextmanager
def closed_port() -> Iterator[int]:
    """A port that is taken, so that nobody else listens there, and refuses connections."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@contextmanager
def full_port() -> Iterator[int]:
    """A port whose queue of connections is full: what comes further gets no answer at all."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(4)]
        for one in waiting:
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
        yield listening.getsockname()[1]
        for one in waiting:
            one.close()


async def close(_request: Received) -> bytes:
    """Close the connection instead of answering."""
    raise ConnectionResetError


async def drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Send the head of an answer, or of hints before it (RFC 8297), that never ends, one byte after the other."""
    asked = await reader.readuntil(b"\r\n\r\n")
    status = b"103 Early Hints" if b"/hints " in asked else b"200 OK"
    writer.write(b"HTTP/1.1 " + status + b"\r\nX-Endless: ")
    while not writer.is_closing():
        writer.write(b"a")
        await writer.drain()
        await asyncio.sleep(0.1)


@dataclass
class Fired:
    """One daemon on which each webhook has been fired once, all at the same time."""

    stage: Stage
    closing: Receiver
    receipts: dict[str, dict[str, Any]]

    async def record(self, name: str) -> dict[str, Any]:
        [record] = await self.stage.settled(self.receipts[name])
        return record


def config() -> str:
    return "".join(
        (
            "webhooks:\n",
            *(f'  "{name}": {{url: {rest}}}\n' for name, rest in WEBHOOKS.items()),
            "tasks:\n",
            *(f'  "{name}": {{webhook: "{name}", message: {MESSAGE}}}\n' for name in WEBHOOKS),
            "events:\n",
            *(f'  "{name}": {{type: wait, event: "{name}", task: "{name}"}}\n' for name in WEBHOOKS),
        )
    )


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def fired(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Fired]:
    stage = Stage(tmp_path_factory.mktemp("retries"))
    async with stage, Receiver(reply=close) as closing, Server(drip) as dripping:
        with closed_port() as closed, full_port() as full:
            stage.receiver.reply = lambda request: reply(stage, request)
            ports = {"CLOSED": closed, "FULL": full, "CLOSING": closing.port, "DRIPPING": dripping.port}
            stage.write(config(), **{word: f"127.0.0.1:{port}" for word, port in ports.items()})
            await stage.start()
            lines = "".join(json.dumps({"type": "wait", "event": name}) + "\n" for name in WEBHOOKS)
            ran = await stage.hookd("emit", "--file", "-", "--json", stdin=lines.encode())
            assert ran.code == 0, ran.err
            yield Fired(stage, closing, dict(zip(WEBHOOKS, json.loads(ran.out)["events"], strict=True)))
            await stage.kill()


def told(record: dict[str, Any]) -> tuple[str, list[str], list[int | None]]:
    attempts = record["attempts"]
    return record["state"], [one["reason"] for one in attempts], [one["status"] for one in attempts]


def assert_one_message(requests: list[Received], record: dict[str, Any]) -> None:
    """All attempts carry the same id and the same bytes, though these hold a moment and a random number."""
    assert {(request.id, request.body) for request in requests} == {(record["id"], record["body"].encode())}
    assert [request.lines_of("webhook-id") for request in requests] == [
        [f"webhook-id: {record['id']}".encode()]
    ] * len(requests)
    assert requests[0].body.startswith(b'{"random": "')
    moments = [int(str(request.header("webhook-timestamp"))) for request in requests]
    assert moments == sorted(moments)


async def test_r32_timeout_is_3_to_120_seconds(stage: Stage) -> None:
    wrong = ("2", "2.999", "2999ms", "0", "-3", "121", "121s", "3m", '"3 parsecs"', "true", "12:30", "[3]")
    right = ("3", "3.5", "3s", "3000ms", "15", "2m", "120")
    rows = "".join(
        f"  w{n}: {{url: RECEIVER/x, timeout: {value}}}\n" for n, value in enumerate((*wrong, *right))
    )
    found = await stage.findings(f"webhooks:\n{rows}")
    assert [(one["where"], one["severity"]) for one in found] == [
        (f"webhooks.w{n}.timeout", "error") for n in range(len(wrong))
    ]
    assert "from 3 to 120 seconds" in found[0]["message"]


async def test_r32_timeout_and_retries_have_their_defaults(fired: Fired) -> None:
    webhook = (await fired.stage.daemon.get("/v1/config"))["webhooks"]["defaults"]
    assert (webhook["timeout_s"], webhook["retries"]) == (15, 11)
    assert webhook["backoff_s"] == [5, 30, 120, 600, 1800, 7200, 18000, 36000, 50400, 72000, 86400]


async def test_r32_not_shorter(fired: Fired) -> None:
    record = await fired.record("slow")
    assert told(record) == ("delivered", ["ok"], [200])
    assert record["attempts"][0]["duration_s"] >= 1.5


async def test_r33_retries_are_0_to_100(stage: Stage) -> None:
    wrong, right = ("-1", "101", "1.5", '"3"', "true", "many", "null"), ("0", "1", "100")
    rows = "".join(
        f"  w{n}: {{url: RECEIVER/x, retries: {value}}}\n" for n, value in enumerate((*wrong, *right))
    )
    found = await stage.findings(f"webhooks:\n{rows}")
    assert [(one["where"], one["severity"]) for one in found] == [
        (f"webhooks.w{n}.retries", "error") for n in range(len(wrong))
    ]
    assert "from 0 to 100" in found[0]["message"]


async def test_r33_a_refused_connection_is_tried_again(fired: Fired) -> None:
    record = await fired.record("refused")
    assert told(record) == ("dead", ["connect"] * 3, [None] * 3)
    assert record["detail"].startswith(
        "3 attempts failed, no retries left; the last: cannot connect to 127.0.0.1:"
    )
    assert record["detail"].endswith(": Connection refused")


async def test_r33_a_connection_closed_without_an_answer_is_tried_again(fired: Fired) -> None:
    record = await fired.record("closed")
    assert told(record) == ("dead", ["disconnected"] * 3, [None] * 3)
    assert record["detail"].startswith("3 attempts failed, no retries left; the last: ")
    assert len(fired.closing.requests) == 3
    assert_one_message(fired.closing.requests, record)


async def test_r33_an_answer_that_is_no_http_is_tried_again(fired: Fired) -> None:
    record = await fired.record("not http")
    assert told(record) == ("dead", ["protocol"] * 3, [None] * 3)
    assert record["detail"].startswith("3 attempts failed, no retries left; the last: ")
    requests = fired.stage.receiver.at("/not-http")
    assert len(requests) == 3
    assert_one_message(requests, record)


@pytest.mark.parametrize("code", ERRORS)
async def test_r33_an_error_response_is_tried_again(fired: Fired, code: int) -> None:
    record = await fired.record(f"status {code}")
    assert told(record) == ("dead", ["status"] * 3, [code] * 3)
    assert record["detail"].startswith("3 attempts failed, no retries left; the last: ")
    assert str(code) in record["detail"]
    requests = fired.stage.receiver.at(f"/{code}")
    assert len(requests) == 3
    assert_one_message(requests, record)


@pytest.mark.parametrize("code", SUCCESSES)
async def test_r33_a_success_is_not_tried_again(fired: Fired, code: int) -> None:
    record = await fired.record(f"status {code}")
    assert told(record) == ("delivered", ["ok"], [code])
    assert len(fired.stage.receiver.at(f"/{code}")) == 1


async def test_r33_gone_is_final(fired: Fired) -> None:
    record = await fired.record("gone")
    assert told(record) == ("dead", ["status"], [410])
    assert len(fired.stage.receiver.at("/410")) == 1


async def test_r33_retries_0_is_one_request(fired: Fired) -> None:
    record = await fired.record("once")
    assert told(record) == ("dead", ["status"], [500])
    assert record["detail"].startswith("1 attempt failed, no retries left; the last: ")
    assert len(fired.stage.receiver.at("/once")) == 1


async def test_r33_it_ends_with_the_first_success(fired: Fired) -> None:
    record = await fired.record("heals")
    assert told(record) == ("delivered", ["status", "status", "ok"], [500, 500, 200])
    requests = fired.stage.receiver.at("/heals")
    assert len(requests) == 3
    assert_one_message(requests, record)


async def test_r33_the_pauses_are_those_of_backoff_and_the_last_repeats(fired: Fired) -> None:
    record = await fired.record("paced")
    assert told(record) == ("dead", ["status"] * 5, [500] * 5)
    moments = [request.at for request in fired.stage.receiver.at("/paced")]
    pauses = [after - before for before, after in pairwise(moments)]
    assert [pause >= least for pause, least in zip(pauses, (0.1, 0.4, 0.2, 0.2), strict=True)] == [True] * 4
    assert_one_message(fired.stage.receiver.at("/paced"), record)


async def test_r33_a_receiver_that_comes_back_gets_the_message(stage: Stage) -> None:
    with closed_port() as port:
        stage.write(
            f"webhooks: {{w: {{url: 'http://127.0.0.1:{port}/back', backoff: [100ms], retries: 100}}}}\n"
            f"tasks: {{t: {{webhook: w, message: {MESSAGE}}}}}\nevents: {{e: {{type: wait, event: back, task: t}}}}\n"
        )
        await stage.start()
        receipt = await stage.emit("wait", "back")
        [made] = receipt["deliveries"]
        await stage.daemon.get_when(f"/v1/deliveries/{made['id']}", itemgetter("attempts"))
    async with Receiver(port=port) as back:
        [record] = await stage.settled(receipt)
        reasons = [attempt["reason"] for attempt in record["attempts"]]
        assert reasons == ["connect"] * (len(reasons) - 1) + ["ok"]
        assert len(reasons) >= 2
        assert_one_message(back.requests, record)
        assert len(back.requests) == 1


GOOD = """
webhooks:
  w: {url: RECEIVER/r34/old, headers: {X-Config: old}}
tasks:
  t: {webhook: w, message: {"config": "old"}}
events:
  e: {type: r34, event: happened, task: t}
"""
BAD = """
webhooks:
  w: {url: RECEIVER/r34/new, headers: {X-Config: new}}
  further: {url: RECEIVER/r34/further, timeout: 2}
tasks:
  t: {webhook: w, message: {"config": "new"}}
  dangling: {webhook: furthr}
events:
  e: {type: r34, event: happened, task: t}
  f: {type: r34, event: further, task: t}
"""
FAULTS = {
    "webhooks.further.timeout": "must be a duration from 3 to 120 seconds, not 2",
    "tasks.dangling.webhook": 'there is no webhook "furthr"',
}
MENDED = BAD.replace("timeout: 2", "timeout: 3").replace("furthr", "further")


def names_all_faults(text: str) -> bool:
    lines = text.splitlines()
    return all(any(f": {where}: {what}" in line for line in lines) for where, what in FAULTS.items())


async def sends(stage: Stage, config: str) -> bool:
    """Whether what is sent is all of this configuration."""
    before = len(stage.receiver.requests)
    [record] = await stage.settled(await stage.emit("r34", "happened"))
    assert record["state"] == "delivered"
    [request] = stage.receiver.requests[before:]
    return (request.target, request.lines_of("x-config"), request.body) == (
        f"/r34/{config}",
        [f"X-Config: {config}".encode()],
        f'{{"config": "{config}"}}'.encode(),
    )


async def by_command(stage: Stage) -> None:
    ran = await stage.hookd("reload")
    assert ran.code == 1
    assert names_all_faults(ran.err)


async def by_itself(stage: Stage) -> None:
    await until(lambda: stage.daemon.logged("config.rejected"))


@pytest.mark.parametrize("noticed", [by_command, by_itself])
async def test_r34_definitions_take_effect_as_a_whole_or_not_at_all(
    stage: Stage, noticed: Callable[[Stage], Awaitable[None]]
) -> None:
    stage.write(GOOD)
    await stage.start()
    assert await sends(stage, "old")
    in_force = await stage.daemon.get("/v1/config")
    stage.write(BAD)
    await noticed(stage)
    assert await stage.daemon.get("/v1/config") == in_force
    assert await sends(stage, "old")
    assert (await stage.emit("r34", "further"))["deliveries"] == []
    shown = await stage.hookd("status")
    assert "the old one is in force" in shown.out
    assert names_all_faults(shown.out)
    [rejected] = [fact for fact in stage.log if fact["event"] == "config.rejected"]
    assert names_all_faults("\n".join(rejected["faults"]))
    stage.write(MENDED)
    assert (await stage.hookd("reload")).code == 0
    assert await sends(stage, "new")
    assert len(await stage.settled(await stage.emit("r34", "further"))) == 1
    await stage.stop()
    await stage.start()
    assert await sends(stage, "new"), "what is in force is what is saved"


async def test_r34_a_daemon_does_not_start_on_invalid_definitions(stage: Stage) -> None:
    stage.write(BAD)
    ran = await stage.hookd("run", "-c", "hookd.yaml")
    assert ran.code == 78
    assert names_all_faults(ran.out + ran.err)
    assert sorted(path.name for path in stage.directory.iterdir()) == ["hookd.yaml"], "nothing was begun"


async def test_r34_check_finds_every_fault_at_once(stage: Stage) -> None:
    found = await stage.findings(BAD)
    assert {one["where"]: one["message"].split(" (")[0].split(";")[0] for one in found} == FAULTS
    assert await stage.findings(MENDED) == []


# What follows waits for timeouts; it stands last, so that these run out while the others are tested.


@pytest.mark.parametrize(
    ("name", "phase"),
    [
        ("silent", "waiting for the answer"),
        ("dripping hints", "waiting for the answer"),
        ("no accept", "connecting"),
    ],
)
async def test_r32_an_answer_is_waited_for_as_long_as_timeout_says(
    fired: Fired, name: str, phase: str
) -> None:
    record = await fired.record(name)
    assert told(record) == ("dead", ["timeout"], [None])
    [attempt] = record["attempts"]
    assert attempt["error"] == f"timed out after 3 s while {phase}"
    assert 2.99 <= attempt["duration_s"] < 10  # timers count in milliseconds


async def test_r32_a_head_that_never_ends_is_over_at_the_timeout_and_its_status_counts(fired: Fired) -> None:
    record = await fired.record("dripping head")
    assert told(record) == ("delivered", ["ok"], [200])
    [attempt] = record["attempts"]
    assert "timed out after 3 s" in attempt["error"]
    assert 2.99 <= attempt["duration_s"] < 10


async def test_r32_the_timeout_is_the_webhooks_own(fired: Fired) -> None:
    await fired.record("silent")
    [made] = fired.receipts["silent, patient"]["deliveries"]
    patient = await fired.stage.daemon.get(f"/v1/deliveries/{made['id']}")
    assert patient["attempt"] == 1
    lasted = [attempt["duration_s"] for attempt in patient["attempts"]]
    assert all(duration_s > 119 for duration_s in lasted), "it is under way, or has had its own time"


async def test_r33_no_response_is_tried_again(fired: Fired) -> None:
    record = await fired.record("silent, again")
    assert told(record) == ("dead", ["timeout"] * 2, [None] * 2)
    assert (
        record["detail"]
        == "2 attempts failed, no retries left; the last: timed out after 3 s while waiting for the answer"
    )
    requests = fired.stage.receiver.at("/silent-again")
    assert len(requests) == 2
    assert_one_message(requests, record)
