"""A daemon with every kind of backlog under a clock that is set, and the books of what its receiver saw.

Each webhook of the scene waits for something else: a backoff, a Retry-After, an answer, a pause by hand, an open
breaker, its rate. `Books` counts requests by delivery and target, so that a flood, a duplicate and a stuck delivery all
show. Called by: the parts of this package.
"""

import asyncio
import base64
import hashlib
import hmac
import json
from collections import Counter, defaultdict
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.chaos.proof import Findings
from tests.kit.receiver import Received, response
from tests.kit.waiting import comes_true
from tests.kit.wall_clock import TimedStage

CONCURRENCY = 4
RATE = 10
SECRET = b"time-proof-signing-secret"

CONFIG = """
daemon:
  listen: [{{unix: h.sock}}]
  store: h.db
  timezone: UTC
  log: {{format: json, level: debug}}
  limits: {{in_flight: 400}}
  shutdown_grace: 1s
webhooks:
  retry:
    url: RECEIVER/retry
    backoff: [{backoff_s}s]
    timeout: 3
    retries: 100
    concurrency: {concurrency}
    signing: {{secret: "whsec_{secret}"}}
  held: {{url: RECEIVER/held, retries: 100, backoff: [1s], concurrency: {concurrency}}}
  hang: {{url: RECEIVER/hang, timeout: {timeout_s}, retries: 100, backoff: [1s], concurrency: 200}}
  paused: {{url: RECEIVER/paused}}
  broken: {{url: RECEIVER/{broken}, retries: 100, backoff: [1s], concurrency: 1}}
  limited: {{url: RECEIVER/limited, rate_limit: {rate}/s, concurrency: 10}}
  ticks: {{url: RECEIVER/ticks, timeout: 60, concurrency: 10}}
tasks:
  retry: {{webhook: retry}}
  held: {{webhook: held}}
  hang: {{webhook: hang}}
  paused: {{webhook: paused}}
  broken: {{webhook: broken}}
  limited: {{webhook: limited}}
  tick-second: {{webhook: ticks, message: {{id: "${{ID}}", task: "${{TASK}}"}}}}
  tick-cron: {{webhook: ticks, message: {{id: "${{ID}}", task: "${{TASK}}"}}}}
  tick-at: {{webhook: ticks, message: {{id: "${{ID}}", task: "${{TASK}}"}}}}
  tick-skip: {{webhook: ticks, message: {{id: "${{ID}}", task: "${{TASK}}"}}}}
events:
  retry: {{type: load, event: retry, task: retry}}
  held: {{type: load, event: held, task: held}}
  hang: {{type: load, event: hang, task: hang}}
  paused: {{type: load, event: paused, task: paused}}
  broken: {{type: load, event: broken, task: broken}}
  limited: {{type: load, event: limited, task: limited}}
schedules:
  second: {{every: 1s, task: tick-second}}
  minute: {{cron: "* * * * *", task: tick-cron}}
  once: {{at: "2026-06-01T12:30:00", task: tick-at}}
  hourly: {{cron: "0 * * * *", missed: skip, task: tick-skip}}
"""

STARTS = "2026-06-01T11:50:20Z"
"""The clock of a scene at first: forty seconds before a minute, forty minutes before the moment of `once`."""


@dataclass
class Books:
    """What the receiver saw. Instants are of the event loop (seconds, monotonic).

    Attributes:
        came: when each request of a delivery came, by its `webhook-id`.
        served: how often a delivery was answered 200.
        arrivals: when requests came, by target.
        most: the most requests of a target that were open at once.
        fired: how often the event of a moment arrived, by task and event id, as different deliveries.
        wrong: what was wrong with single requests (time stamps, signatures).
    """

    came: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    served: Counter[str] = field(default_factory=Counter)
    arrivals: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    open: Counter[str] = field(default_factory=Counter)
    most: Counter[str] = field(default_factory=Counter)
    fired: dict[tuple[str, str], set[str]] = field(default_factory=lambda: defaultdict(set))
    wrong: list[str] = field(default_factory=list)

    def within(self, target: str, seconds: float) -> int:
        """The most requests of a target that came within so many seconds."""
        arrivals, most, first = self.arrivals[target], 0, 0
        for last, at in enumerate(arrivals):
            while at - arrivals[first] > seconds:
                first += 1
            most = max(most, last - first + 1)
        return most

    def fired_by(self, task: str) -> int:
        """How many moments of a task's schedule arrived."""
        return sum(name == task for name, _ in self.fired)


@dataclass
class Scene:
    """One daemon, its clock, its receiver's books, and the deliveries that were acknowledged, by kind.

    Attributes:
        healed: whether `/retry` and `/held` succeed by now.
        answer: lets the answers of `/hang` go.
        began_at: when the scene began (of the event loop), without the time it was frozen.
        steps: how often the clock was stepped, or the process frozen.
        stepped_at: when the clock was last set (of the event loop).
        ended_at: when the daemon was stopped or killed.
        stamped: how many time stamps were looked at.
    """

    stage: TimedStage
    findings: Findings
    name: str
    backoff_s: int
    timeout_s: int
    books: Books = field(default_factory=Books)
    made: dict[str, list[str]] = field(default_factory=lambda: defaultdict(list))
    ours: dict[str, None] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    healed: bool = False
    answer: asyncio.Event = field(default_factory=asyncio.Event)
    began_at: float = field(default_factory=lambda: asyncio.get_running_loop().time())
    steps: int = 0
    stepped_at: float = 0.0
    ended_at: list[float] = field(default_factory=list)
    stamped: int = 0

    def expect(self, holds: object, violation: str) -> None:
        """Note a violation of this scene unless something holds."""
        self.findings.expect(holds, f"{self.name}: {violation}")

    def write(self, *, broken: str = "broken") -> None:
        """Write the configuration; another target for `broken` corrects that webhook."""
        secret = base64.b64encode(SECRET).decode()
        values = {
            "backoff_s": self.backoff_s,
            "timeout_s": self.timeout_s,
            "broken": broken,
            "secret": secret,
        }
        config = CONFIG.format(concurrency=CONCURRENCY, rate=RATE, **values)
        self.stage.write(config, daemon="")

    async def post(self, kind: str, count: int) -> None:
        """Have so many deliveries of a kind acknowledged."""
        first = len(self.made[kind])
        batch = [
            {"type": "load", "event": kind, "id": f"{self.name}-{kind}-{first + n}"} for n in range(count)
        ]
        answered, receipt = await self.stage.daemon.post(batch)
        self.expect(answered == 202, f"a batch was answered {answered}: {receipt}")
        if answered == 202:
            self.events += batch
            ids = [made["id"] for each in receipt["events"] for made in each["deliveries"]]
            self.made[kind] += ids
            self.ours.update(dict.fromkeys(ids))

    def set_clock(self, by_s: float) -> None:
        """Step the wall clock."""
        self.steps += abs(by_s) > 1
        self.stepped_at = asyncio.get_running_loop().time()
        self.stage.clock.set(self.stage.clock.now() + by_s)

    async def until(self, what: str, met: Callable[[], bool | Awaitable[bool]], *, within_s: float) -> bool:
        """Wait for something; a violation if it does not happen in time."""
        came = await comes_true(met, within_s=within_s, every_s=0.05)
        self.expect(came, f"stuck: {what} did not happen within {within_s:g} s")
        return came

    async def reply(self, request: Received) -> bytes:
        """The receiver: book the request, answer by its target."""
        target = request.target.removeprefix("/")
        books, now = self.books, asyncio.get_running_loop().time()
        books.came[request.id].append(now)
        books.arrivals[target].append(now)
        books.open[target] += 1
        books.most[target] = max(books.most[target], books.open[target])
        self._look_at(request, now)
        try:
            code, *headers = await self._answer(target, request)
        finally:
            books.open[target] -= 1
        books.served[request.id] += code == "200"
        return response(int(code), *headers)

    async def _answer(self, target: str, request: Received) -> tuple[str, ...]:
        match target:
            case "retry":
                await asyncio.sleep(0.05)
                return ("200",) if self.healed else ("404",)
            case "held":
                if self.healed:
                    return ("200",)
                lives = len(self.books.arrivals[target]) % 5 == 0  # or the breaker would open
                return ("404",) if lives else ("503", f"Retry-After: {self.backoff_s}")
            case "hang":
                await self.answer.wait()
            case "broken":
                return ("500",)
            case "ticks":
                body = json.loads(request.body)
                self.books.fired[body["task"], body["id"]].add(request.id)
        return ("200",)

    def _look_at(self, request: Received, now: float) -> None:
        """The time stamp follows the wall clock, and the signature covers it."""
        stamp = request.header("webhook-timestamp") or ""
        self.stamped += 1
        if now - self.stepped_at > 5 and abs(self.stage.clock.now() - int(stamp)) > 10:
            self.books.wrong.append(f"{request.target} came stamped {stamp} at {self.stage.clock.now():.0f}")
        given = request.header("webhook-signature")
        if request.target == "/retry":
            signed = f"{request.id}.{stamp}.".encode() + request.body
            good = base64.b64encode(hmac.digest(SECRET, signed, hashlib.sha256)).decode()
            if given != f"v1,{good}":
                self.books.wrong.append(f"{request.id} is signed {given}, not v1,{good}")

    async def metric(self, name: str) -> list[float]:
        """The values of a metric, over its labels."""
        text = (await self.stage.daemon.get("/metrics")).decode()
        return [float(line.rsplit(" ", 1)[1]) for line in text.splitlines() if line.startswith(name)]

    @property
    def accepted(self) -> list[str]:
        """The posted deliveries in the order in which they were acknowledged."""
        return list(self.ours)

    async def sums(self) -> dict[str, int]:
        """How many deliveries there are, by state."""
        found: dict[str, int] = (await self.stage.daemon.get("/v1/status"))["deliveries"]
        return found

    def all_served(self, *kinds: str) -> bool:
        """Whether the receiver served every delivery of these kinds."""
        return all(self.books.served[one] for kind in kinds for one in self.made[kind])


@asynccontextmanager
async def scene(
    directory: Path, findings: Findings, name: str, *, backoff_s: int, timeout_s: int
) -> AsyncIterator[Scene]:
    """A scene whose daemon has not been started yet."""
    async with TimedStage(directory, starts=STARTS) as stage:
        made = Scene(stage, findings, name, backoff_s, timeout_s)
        stage.receiver.reply = made.reply
        made.write()
        try:
            yield made
        finally:
            made.answer.set()
