"""Reloads that change something while 200 deliveries are in flight: none is cancelled, none repeated (spec 7).

Must never: count an attempt that was refused by a receiver told to refuse. Used by: `reload`.
"""

import asyncio
import json
import random
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response

SEATS = 200
ENOUGH = 180
"""As many in flight count as all: a seat that gets free is taken again a moment later."""
WEBHOOKS = 10
BACKLOG = 300
"""Deliveries under way or waiting, so that each seat that gets free is taken."""

HEALED = 20


@dataclass
class _Receiver:
    """Takes seconds for each request, and knows how many it has."""

    chance: random.Random
    open: int = 0
    most: int = 0
    seen: Counter[str] = field(default_factory=Counter)

    async def reply(self, request: Received) -> bytes:
        self.open += 1
        self.seen[request.id] += 1
        try:
            await asyncio.sleep(self.chance.uniform(1.5, 4.5))
        finally:
            self.open -= 1
        return response(200)


@dataclass
class _Setting:
    """What the configuration says now.

    Attributes:
        number: raised by every change.
        gone: webhooks that are left out.
        heal_url: where the webhook that cannot be reached points to.
    """

    url: str
    heal_url: str
    number: int = 0
    gone: frozenset[int] = frozenset()
    token: str = "wrong"
    listen: str = "h.sock"

    def text(self) -> str:
        hooks = [
            f"  w{n}: {{url: '{self.url}/{n}', concurrency: {24 + self.number % 5}, timeout: {30 + self.number % 50}, "
            f"headers: {{X-Generation: '{self.number}'}}}}\n"
            for n in range(WEBHOOKS)
            if n not in self.gone
        ]
        tasks = [
            f"  t{n}: {{webhook: w{n}, message: {{n: {n}, generation: {self.number}}}, "
            f"triggers: [{{type: load, event: n{n}}}]}}\n"
            for n in range(WEBHOOKS)
            if n not in self.gone
        ]
        heal = f"url: '{self.heal_url}', auth: {{type: bearer, token: {self.token}}}, backoff: [1s], retries: 100"
        return (
            f"daemon: {{listen: [{{unix: {self.listen}}}], store: h.db, log: {{format: json}}, "
            f"limits: {{in_flight: {SEATS}}}}}\n"
            f"webhooks:\n{''.join(hooks)}  heal: {{{heal}}}\n"
            f"tasks:\n{''.join(tasks)}  heal: {{webhook: heal, triggers: [{{type: load, event: heal}}]}}\n"
        )


async def prove(options: Options, found: Findings) -> None:
    """Reload again and again under full seats, then count every delivery."""
    chance = options.chance()
    receiver, healer = _Receiver(chance), _Receiver(chance)

    async def heals(request: Received) -> bytes:
        if request.header("authorization") != "Bearer right":
            return response(401)
        healer.seen[request.id] += 1
        return response(200)

    async with Receiver(reply=receiver.reply) as slow, Receiver(reply=heals) as healing:
        setting = _Setting(slow.url, "http://127.0.0.1:9")
        root = options.place("flight")
        (root / "hookd.yaml").write_text(setting.text())
        async with DaemonProcess(root) as daemon:
            flight = _Flight(daemon, root, setting, receiver, found=found, chance=chance)
            await flight.run(options.scale(short=6, long=100), healing.url)
            await flight.count(healer)


class _Flight:
    """One run against one daemon."""

    def __init__(
        self,
        daemon: DaemonProcess,
        root: Path,
        setting: _Setting,
        receiver: _Receiver,
        *,
        found: Findings,
        chance: random.Random,
    ) -> None:
        self._daemon = daemon
        self._root = root
        self._setting = setting
        self._receiver = receiver
        self._found = found
        self._chance = chance
        self._posted: dict[str, str] = {}
        self._in_flight: list[int] = []
        self._slow_posts = 0
        self._reloads = 0

    async def run(self, reloads: int, heal_url: str) -> None:
        await self._post("heal", HEALED)
        feeding = asyncio.create_task(self._feed())
        try:
            async with asyncio.timeout(30):
                while self._receiver.open < ENOUGH:
                    await asyncio.sleep(0.05)
            for number in range(reloads):
                await self._change(number, heal_url, last=number == reloads - 1)
        finally:
            feeding.cancel()
            with suppress(asyncio.CancelledError):
                await feeding

    async def _change(self, number: int, heal_url: str, *, last: bool) -> None:
        """One reload that changes every webhook; with a request that is sent half before it, half after."""
        setting = self._setting
        setting.number += 1
        # A webhook goes while its deliveries are in flight and waiting, and comes back with the next reload.
        leaves = number % 3 == 1 and not last
        setting.gone = frozenset({self._chance.randrange(WEBHOOKS)}) if leaves else frozenset()
        setting.listen = "other.sock" if number % 10 == 2 else "h.sock"
        if number >= 3:
            setting.heal_url = heal_url
        if number >= 4:
            setting.token = "right"
        self._in_flight.append(self._receiver.open)
        post = asyncio.create_task(self._slow_post(half := asyncio.Event()))
        (self._root / "new.yaml~").write_text(setting.text())
        (self._root / "new.yaml~").rename(self._root / "hookd.yaml")
        code, answer = await self._daemon.request("POST", "/v1/reload")
        self._found.expect(code == 200, f"reload {number} answered {code}: {answer}")
        self._reloads += code == 200
        if code == 200:
            wanted = ["daemon.listen"] if setting.listen != "h.sock" else []
            said = answer["restart_needed"]
            self._found.expect(said == wanted, f"reload {number}: restart needed for {said}, not {wanted}")
        in_force = (await self._daemon.get("/v1/config"))["tasks"]
        self._found.expect(
            str(setting.number) in json.dumps(in_force.get("t0", in_force.get("t1"))),
            f"reload {number}: generation {setting.number} is not in force",
        )
        half.set()
        await post
        for gone in setting.gone:
            await self._expect_parked(gone)

    async def _expect_parked(self, gone: int) -> None:
        waiting = await self._daemon.get(f"/v1/deliveries?webhook=w{gone}&state=pending&limit=5")
        told = {delivery["parked"] for delivery in waiting["deliveries"]}
        self._found.expect(told <= {"gone"}, f"deliveries of a webhook that is gone are parked as {told}")

    async def _slow_post(self, half: asyncio.Event) -> None:
        """A request whose body is complete only after the reload."""
        body = json.dumps({"type": "load", "event": "n0", "id": f"slow-{self._setting.number}"}).encode()
        reader, writer = await asyncio.open_unix_connection(str(self._daemon.socket))
        writer.write(
            b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            + f"Content-Length: {len(body)}\r\n\r\n".encode()
            + body[:10]
        )
        await half.wait()
        writer.write(body[10:])
        head = await reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        receipt = json.loads(await reader.readexactly(length))
        writer.close()
        held = head.startswith(b"HTTP/1.1 202")
        self._found.expect(held, f"a request that spans a reload was answered {head[:20]!r}")
        self._note(receipt)
        self._slow_posts += held

    async def _feed(self) -> None:
        """Keep every seat taken, with some waiting for each webhook."""
        while True:
            under_way = len(self._posted) - len(self._receiver.seen)
            if under_way < BACKLOG - SEATS:
                await asyncio.gather(*(self._post(f"n{n}", 4) for n in range(WEBHOOKS)))
            await asyncio.sleep(0.05)

    async def _post(self, event: str, count: int) -> None:
        code, answer = await self._daemon.post([{"type": "load", "event": event} for _ in range(count)])
        self._found.expect(code == 202, f"events were answered {code} during a reload: {answer}")
        for receipt in answer.get("events", []):
            self._note(receipt)

    def _note(self, receipt: Any) -> None:
        self._posted |= {d["id"]: d["webhook"] for d in receipt.get("deliveries", [])}

    async def count(self, healer: _Receiver) -> None:
        """Wait for the last delivery and count all of them, at the receiver and in the store."""
        seen = self._receiver.seen
        with suppress(TimeoutError):
            async with asyncio.timeout(90):
                while len(seen) + len(healer.seen) < len(self._posted) or self._receiver.open:
                    await asyncio.sleep(0.1)
        await asyncio.sleep(0)
        records = await self._records(len(self._posted))
        slow = {key for key, webhook in self._posted.items() if webhook != "heal"}
        lost = slow - seen.keys()
        repeated = {key: count for key, count in (seen + healer.seen).items() if count > 1}
        cancelled = [r["id"] for r in records if r["webhook"] != "heal" and r["attempt"] != 1]
        undelivered = Counter(r["state"] for r in records if r["state"] != "delivered")
        figures = self._found.figures
        figures["reloads with deliveries in flight"] = self._reloads
        figures["in flight at a reload"] = {
            "least": min(self._in_flight, default=0),
            "median": sorted(self._in_flight)[len(self._in_flight) // 2],
        }
        figures["deliveries across reloads"] = len(self._posted)
        figures["cancelled"] = f"{len(cancelled)} of {len(slow)}"
        figures["repeated"] = f"{len(repeated)} of {len(self._posted)}"
        figures["healed by a corrected URL and token"] = f"{len(healer.seen)} of {HEALED}"
        figures["requests that span a reload, answered 202"] = f"{self._slow_posts} of {self._reloads}"
        expect = self._found.expect
        expect(len(records) == len(self._posted), f"{len(records)} deliveries kept of {len(self._posted)}")
        expect(not cancelled, f"{len(cancelled)} attempts were cut off by a reload, such as {cancelled[:3]}")
        expect(not repeated, f"{len(repeated)} deliveries came more than once, such as {list(repeated)[:3]}")
        expect(not lost, f"{len(lost)} deliveries never came, such as {sorted(lost)[:3]}")
        expect(not undelivered, f"not delivered: {dict(undelivered)}")
        expect(len(healer.seen) == HEALED, f"only {len(healer.seen)} of {HEALED} were healed")
        expect(
            figures["in flight at a reload"]["median"] >= ENOUGH, "the seats were not taken: nothing is shown"
        )

    async def _records(self, enough: int) -> list[Any]:
        """All deliveries, once every one has been recorded as delivered or time is up."""
        with suppress(TimeoutError):
            await self._daemon.get_when(
                "/v1/status", lambda now: now["deliveries"]["delivered"] >= enough, within_s=20
            )
        return await self._daemon.listed()
