"""`GET /v1/tail` and `hookd tail`: facts as they happen, across restarts, for as many readers as there may be."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager, suppress
from typing import Any

import aiohttp
import pytest

from hookd.api.tail import MOST_FACTS, MOST_READERS
from hookd.observability.log_tail import KEPT
from tests.e2e.conftest import DAEMON, Running
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response

CONFIG = """
webhooks:
  a: {{url: "{url}/a", retries: 1, backoff: [10ms]}}
  b: {{url: "{url}/b"}}
  mark: {{url: "{url}/mark"}}
tasks:
  ta: {{webhook: a, triggers: [{{type: vm, event: a}}]}}
  tb: {{webhook: b, triggers: [{{type: vm, event: b}}]}}
"""
A = {"type": "vm", "event": "a", "object": "web-01"}
B = {"type": "vm", "event": "b"}
WITHIN_S = 20.0

Facts = list[dict[str, Any]]


class Stream:
    """One reader of `GET /v1/tail`."""

    def __init__(self, response: aiohttp.ClientResponse) -> None:
        self._response = response

    async def next(self) -> dict[str, Any]:
        async with asyncio.timeout(WITHIN_S):
            line = await self._response.content.readline()
        fact: dict[str, Any] = json.loads(line)
        return fact

    async def until(self, event: str) -> Facts:
        """The facts up to one with this name."""
        found: Facts = []
        while not found or found[-1]["event"] != event:
            found.append(await self.next())
        return found

    async def ended(self) -> bool:
        async with asyncio.timeout(WITHIN_S):
            return await self._response.content.readline() == b""


NDJSON = {"Accept": "application/x-ndjson"}


@asynccontextmanager
async def following(daemon: DaemonProcess, **query: str) -> AsyncIterator[Stream]:
    connector = aiohttp.UnixConnector(path=str(daemon.socket))
    async with (
        aiohttp.ClientSession(connector=connector) as session,
        session.get("http://localhost/v1/tail", params=query, headers=NDJSON) as response,
    ):
        assert response.status == 200, await response.text()
        assert response.content_type == "application/x-ndjson"
        yield Stream(response)


def names(facts: Facts) -> list[str]:
    return [fact["event"] for fact in facts]


async def failing(request: Received) -> bytes:
    return response(500 if request.target == "/a" else 200)


async def test_the_life_of_deliveries(receiver: Receiver, running: Running) -> None:
    receiver.reply = failing
    daemon = await running(CONFIG.format(url=receiver.url))
    async with following(daemon) as stream:
        began = await stream.next()
        assert began["event"] == "tail.began"
        _, receipt = await daemon.post({**A, "id": "e1"})
        facts = await stream.until("delivery.dead")
        assert names(facts) == [
            "event.accepted", "delivery.made", "attempt.failed", "attempt.failed", "delivery.dead",
        ]  # fmt: skip
        assert {key: facts[0][key] for key in ("event_id", "occurrence", "object", "deliveries")} == {
            "event_id": "e1", "occurrence": "vm a", "object": "web-01", "deliveries": 1,
        }  # fmt: skip
        assert {fact["delivery_id"] for fact in facts[1:]} == {receipt["deliveries"][0]["id"]}
        assert [fact["state"] for fact in facts[2:4]] == ["pending", "dead"]
        run, _, first = facts[0]["cursor"].partition("-")
        assert [fact["cursor"] for fact in facts] == [f"{run}-{int(first) + n}" for n in range(5)]

        await daemon.request("POST", "/v1/webhooks/b/pause")
        _, receipt = await daemon.post(B)
        made = receipt["deliveries"][0]["id"]
        await stream.until("webhook.parked")
        await daemon.request("POST", f"/v1/deliveries/{made}/cancel")
        await daemon.request("POST", f"/v1/deliveries/{made}/retry")
        await daemon.request("POST", "/v1/webhooks/b/resume")
        facts = await stream.until("delivery.delivered")
        assert [name for name in names(facts) if name.startswith("delivery")] == [
            "delivery.cancelled", "delivery.retried", "delivery.delivered",
        ]  # fmt: skip
        good = daemon.config.read_text()
        daemon.config.write_text("{")
        await daemon.request("POST", "/v1/reload")
        await stream.until("config.rejected")
        daemon.config.write_text(good)
        await daemon.request("POST", "/v1/reload")
        assert (await stream.until("config.mended"))[-1]["number"] == 1
        await daemon.request("POST", "/v1/reload")
        await daemon.post(B)
        assert "config.mended" not in names(await stream.until("delivery.delivered"))


FILTERED: list[tuple[dict[str, str], list[str]]] = [
    ({"webhook": "b"}, ["delivery.made", "delivery.delivered"]),
    ({"task": "ta"}, ["delivery.made", "attempt.failed", "attempt.failed", "delivery.dead"]),
    ({"state": "dead"}, ["attempt.failed", "delivery.dead"]),
    ({"state": "pending", "webhook": "a"}, ["delivery.made", "attempt.failed"]),
    ({"webhook": "a", "task": "tb"}, []),
]


async def test_filters(receiver: Receiver, running: Running) -> None:
    receiver.reply = failing
    daemon = await running(CONFIG.format(url=receiver.url))
    async with AsyncExitStack() as stack:
        streams = [await stack.enter_async_context(following(daemon, **query)) for query, _ in FILTERED]
        for stream in streams:
            await stream.next()
        for event, state in ((A, "dead"), (B, "delivered")):
            _, receipt = await daemon.post(event)
            await daemon.delivery_when(receipt["deliveries"][0]["id"], state)
        await daemon.stop()
        for stream, (query, told) in zip(streams, FILTERED, strict=True):
            assert names(await stream.until("tail.ended"))[:-1] == told, query


async def test_a_cursor_goes_on_behind_its_line(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    async with following(daemon) as stream:
        await stream.next()
        await daemon.post(A)
        (accepted,) = await stream.until("event.accepted")
    await daemon.post({**B, "id": "while away"})
    async with following(daemon, after=accepted["cursor"]) as stream:
        facts = await stream.until("event.accepted")
        assert names(facts)[:2] == ["tail.began", "delivery.made"]
        assert facts[-1]["event_id"] == "while away"
    async with following(daemon, after=f"{'0' * 12}-99") as stream:
        facts = await stream.until("event.accepted")
        assert names(facts) == ["tail.began", "daemon.ready", "event.accepted"], (
            "an earlier run: from the start"
        )


async def test_what_is_kept_no_more_is_counted(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    async with following(daemon) as stream:
        cursor = (await stream.next())["cursor"]
    number = int(cursor.rpartition("-")[2])
    unmatched = [{"type": "vm", "event": "none"}] * 500
    for _ in range(KEPT // 500 + 1):
        assert (await daemon.post(unmatched))[0] == 202
    async with following(daemon, after=cursor) as stream:
        _, missed, first = await stream.next(), await stream.next(), await stream.next()
        assert missed["event"] == "tail.missed"
        assert int(first["cursor"].rpartition("-")[2]) == number + missed["count"] + 1
        assert missed["count"] >= 500 * (KEPT // 500 + 1) - KEPT


async def test_a_reader_that_sleeps_holds_nobody_up(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    _, writer = await asyncio.open_unix_connection(str(daemon.socket), limit=1)
    writer.write(b"GET /v1/tail HTTP/1.1\r\nHost: localhost\r\n\r\n")
    async with following(daemon) as stream:
        await stream.next()
        for _ in range(20):
            assert (await daemon.post([{"type": "vm", "event": "none"}] * 500))[0] == 202
        await daemon.post({**B, "id": "last"})
        while (await stream.until("event.accepted"))[-1]["event_id"] != "last":
            pass
        assert await daemon.stop() == 0
        await stream.until("tail.ended")
        assert await stream.ended()
    writer.close()


async def test_who_does_not_ask_for_a_stream_gets_an_answer_that_ends(
    receiver: Receiver, running: Running
) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    latest = await daemon.get("/v1/tail")
    assert "daemon.ready" in names(latest["facts"])
    assert (latest["missed"], latest["cursor"]) == (0, latest["facts"][-1]["cursor"])
    nothing = await daemon.get(f"/v1/tail?after={latest['cursor']}")
    assert nothing == {"facts": [], "cursor": latest["cursor"], "missed": 0}
    for _ in range(MOST_FACTS):
        await daemon.post({"type": "vm", "event": "none"})
    found: Facts = []
    cursor = latest["cursor"]
    while facts := (page := await daemon.get(f"/v1/tail?after={cursor}"))["facts"]:
        assert len(facts) <= MOST_FACTS
        found, cursor = found + facts, page["cursor"]
    assert names(found).count("event.accepted") == MOST_FACTS
    assert (await daemon.get(f"/v1/tail?after={latest['cursor']}&webhook=none"))["facts"] == []


async def test_there_is_a_bound_on_readers(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    opened = [following(daemon) for _ in range(MOST_READERS)]
    streams = [await each.__aenter__() for each in opened]
    assert [(await stream.next())["event"] for stream in streams] == ["tail.began"] * MOST_READERS
    refused, problem = await daemon.request("GET", "/v1/tail", headers=NDJSON)
    assert (refused, problem["detail"]) == (503, f"{MOST_READERS} are following already on this listener")
    await opened.pop().__aexit__(None, None, None)
    async with asyncio.timeout(WITHIN_S):
        while True:
            try:
                async with following(daemon) as stream:
                    assert (await stream.next())["event"] == "tail.began"
                break
            except AssertionError:  # the one that left is still being taken leave of
                await asyncio.sleep(0.02)
    for each in opened:
        await each.__aexit__(None, None, None)


async def test_bad_queries(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    for query, told in (
        ("after=7", "query parameter after is not a cursor that a line of /v1/tail had"),
        ("state=gone", "query parameter state must be one of pending, sending, delivered, dead, cancelled"),
        ("webhok=a", "unknown query parameter 'webhok'; did you mean webhook?"),
    ):
        refused, problem = await daemon.request("GET", f"/v1/tail?{query}")
        assert (refused, problem["detail"]) == (400, told)


class Tail:
    """A running `hookd tail`."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    async def until(self, enough: Callable[[str], bool], *, errors: bool = False) -> list[str]:
        """The lines up to one that is enough, without those that only marked its begin."""
        stream = self.process.stderr if errors else self.process.stdout
        assert stream is not None
        lines: list[str] = []
        async with asyncio.timeout(WITHIN_S):
            while not lines or not enough(lines[-1]):
                line = (await stream.readline()).decode()
                assert line, lines
                lines.append(line.rstrip("\n"))
        return [line for line in lines if "mark" not in line]

    async def end(self) -> int:
        if self.process.returncode is None:
            self.process.send_signal(signal.SIGINT)
        async with asyncio.timeout(WITHIN_S):
            await self.process.communicate()
            return await self.process.wait()


@asynccontextmanager
async def tail(
    daemon: DaemonProcess, *words: str, seen_first: bool = False, **env: str
) -> AsyncIterator[Tail]:
    """`hookd tail`, connected: facts about the webhook `mark` are made until one is told (`seen_first`: or not)."""
    where = () if "--url" in words else ("--socket", str(daemon.socket))
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hookd", "tail", *words, *where,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, env={**os.environ, **env},
    )  # fmt: skip
    running = Tail(process)
    if seen_first:
        yield running
        await running.end()
        return
    told = asyncio.ensure_future(running.until(lambda line: "mark" in line))
    while not told.done():
        for verb in ("pause", "resume"):
            await daemon.request("POST", f"/v1/webhooks/mark/{verb}")
        await asyncio.wait({told}, timeout=0.05)
    told.result()
    try:
        yield running
    finally:
        await running.end()


async def delivered(daemon: DaemonProcess, event: dict[str, Any]) -> str:
    _, receipt = await daemon.post(event)
    made = str(receipt["deliveries"][0]["id"])
    await daemon.delivery_when(made, "delivered")
    return made


@pytest.mark.promise
async def test_lines_for_people_and_the_end_by_ctrl_c(receiver: Receiver, running: Running) -> None:
    receiver.reply = failing
    daemon = await running(CONFIG.format(url=receiver.url))
    async with tail(daemon) as told:
        await daemon.post({**A, "id": "eA", "object": 'x "y'})
        lines = await told.until(lambda line: "delivery.dead" in line)
        assert [line.split()[1] for line in lines] == [
            "event.accepted", "delivery.made", "attempt.failed", "attempt.failed", "delivery.dead",
        ]  # fmt: skip
        assert 'event_id=eA kind=event occurrence="vm a" object="x \\"y" duplicate=false' in lines[0]
        assert "warning: " in lines[2]
        assert " status=500 " in lines[2]
        assert all(line.isprintable() for line in lines)
        assert await told.end() == 130


async def test_it_goes_on_after_a_restart_and_after_a_crash(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    async with tail(daemon, "--json") as told:
        seen = [await delivered(daemon, B)]
        for end in (daemon.stop, daemon.kill):
            await end()
            await told.until(lambda line: "waiting for it to come back" in line, errors=True)
            await daemon.start()
            seen.append(await delivered(daemon, B))
            await told.until(lambda line: "connected again: hookd was restarted" in line, errors=True)
            await told.until(lambda line: "is not shown here" in line, errors=True)
        last = await delivered(daemon, {**B, "id": "last"})
        facts = [
            json.loads(line)
            for line in await told.until(lambda line: f'delivered","delivery_id":"{last}' in line)
        ]
        for event in ("delivery.made", "delivery.delivered"):
            assert [fact["delivery_id"] for fact in facts if fact["event"] == event] == [*seen, last]


async def test_what_happened_out_of_reach_comes_from_the_history(
    receiver: Receiver, running: Running
) -> None:
    """A reader is cut off (its socket file is away) while hookd works, and is restarted, on another address."""
    daemon = await running(CONFIG.format(url=receiver.url))
    async with tail(daemon, "--json", "--webhook", "mark") as told:
        assert await daemon.stop() == 0
        await told.until(lambda line: "waiting" in line, errors=True)
        daemon.config.write_text(daemon.config.read_text().replace("h.sock", "other.sock"))
        here, daemon.socket = daemon.socket, daemon.directory / "other.sock"
        await daemon.start()
        await daemon.request("POST", "/v1/webhooks/mark/send", body={"message": {"text": "history"}})
        (missed,) = (await daemon.get("/v1/deliveries"))["deliveries"]
        await daemon.delivery_when(missed["id"], "delivered")
        await daemon.stop()
        daemon.config.write_text(daemon.config.read_text().replace("other.sock", "h.sock"))
        daemon.socket = here
        await daemon.start()
        assert told.process.stdout is not None
        async with asyncio.timeout(WITHIN_S):
            facts: Facts = []
            while not facts or facts[-1]["event"] != "delivery.delivered":
                facts.append(json.loads(await told.process.stdout.readline()))
        assert [
            (fact["event"], fact["delivery_id"], fact["history"]) for fact in facts if "history" in fact
        ] == [
            ("delivery.made", missed["id"], True),
            ("delivery.delivered", missed["id"], True),
        ]


async def test_since_begins_with_the_history_and_repeats_nothing(
    receiver: Receiver, running: Running
) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    before = [await delivered(daemon, B) for _ in range(3)]
    async with tail(daemon, "--json", "--since", "1h", seen_first=True) as told:
        lines = await told.until(lambda line: f'delivered","delivery_id":"{before[-1]}' in line)
        last = await delivered(daemon, B)
        lines += await told.until(lambda line: f'delivered","delivery_id":"{last}' in line)
    facts = [json.loads(line) for line in lines]
    for event in ("delivery.made", "delivery.delivered"):
        assert [fact["delivery_id"] for fact in facts if fact["event"] == event] == [*before, last]
    assert {fact["delivery_id"] for fact in facts if "history" in fact} == set(before)


async def test_the_reader_of_its_output_may_go(receiver: Receiver, running: Running) -> None:
    daemon = await running(CONFIG.format(url=receiver.url))
    made = await delivered(daemon, B)
    words = f"--since 1h --state delivered --socket {daemon.socket}"
    line = f"export COLUMNS=40; {sys.executable} -m hookd tail {words} | head -n 1"
    piped = await asyncio.create_subprocess_exec(
        "bash", "-c", f"{line}; echo ended ${{PIPESTATUS[0]}}",
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    try:
        async with asyncio.timeout(WITHIN_S):
            out, err = await piped.communicate()
    finally:
        with suppress(ProcessLookupError):
            os.killpg(piped.pid, signal.SIGKILL)
    first, ended = out.decode().splitlines()
    assert made in first
    assert (ended, err) == ("ended 141", b"")


async def test_over_tcp_with_a_token(receiver: Receiver, running: Running) -> None:
    listen = '{unix: h.sock}, {http: "127.0.0.1:0", tokens: [hush-hush]}'
    daemon = await running(CONFIG.format(url=receiver.url), daemon=DAEMON.replace("{unix: h.sock}", listen))
    url = (await daemon.get("/v1/status"))["listen"][1]
    async with tail(daemon, "--json", "--url", url, "--token-env", "TOK", TOK="hush-hush") as told:
        made = await delivered(daemon, B)
        await told.until(lambda line: f'delivered","delivery_id":"{made}' in line)
    refused = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "hookd", "tail", "--url", url,
        stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    _, err = await refused.communicate()
    needed = b"hookd: a bearer token of this listener is needed\n"
    remedy = b"--token-env NAME says which environment variable holds the token\n"
    assert (refused.returncode, err) == (1, needed + remedy)
