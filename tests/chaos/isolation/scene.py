"""What the breaker's proofs share: a daemon, receivers told apart by webhook, and ways to look at both."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Behaviour, Line, Poster, Receivers, Request
from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.waiting import comes_true

Json = dict[str, Any]


@dataclass
class Scene:
    """One daemon on webhooks that can be redefined while it runs; receivers answer 200 unless told otherwise."""

    place: Path
    findings: Findings
    webhooks: dict[str, Json]
    env: Mapping[str, str] = field(default_factory=dict)
    receivers: Receivers = field(default_factory=Receivers)
    behaves: dict[str, Behaviour] = field(default_factory=dict)
    _close: AsyncExitStack = field(default_factory=AsyncExitStack)
    _redefining: asyncio.Lock = field(default_factory=asyncio.Lock)

    async def __aenter__(self) -> Self:
        self.receivers.behaves = self._behave
        await self._close.enter_async_context(self.receivers)
        self._write()
        self.daemon = DaemonProcess(self.place, env=self.env)
        self._close.push_async_callback(self.daemon.close)
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close.aclose()

    async def start(self) -> None:
        await self.daemon.start()
        self.poster = Poster(str(self.daemon.socket))

    def expect(self, holds: object, violation: str) -> None:
        self.findings.expect(holds, violation)

    async def redefine(self, name: str, **fields: Any) -> None:
        """Change one definition and reload."""
        async with self._redefining:
            self.webhooks[name] = {**self.webhooks[name], **fields}
            self._write()
            status, answer = await self.daemon.request("POST", "/v1/reload")
            assert status == 200, answer

    async def lane(self, name: str) -> Json:
        lanes: list[Json] = (await self.daemon.get("/v1/webhooks"))["webhooks"]
        return next(lane for lane in lanes if lane["name"] == name)

    async def until(self, met: Callable[[], bool], *, within_s: float = 20.0) -> bool:
        """Wait until something holds; whether it did in time."""
        return await comes_true(met, within_s=within_s)

    async def until_lane(self, name: str, *, within_s: float = 20.0, **values: Any) -> Json:
        """The lane once its values are these, with no attempt under way unless asked for; or the last one seen."""
        wanted = {"in_flight": 0, **values}
        lane: Json = {}

        async def look() -> bool:
            lane.update(await self.lane(name))
            return wanted.items() <= lane.items()

        came = await comes_true(look, within_s=within_s, every_s=0.05)
        self.expect(came, f"{name}: not {wanted} within {within_s} s but {lane}")
        return lane

    async def records(self, name: str) -> list[Json]:
        """Every delivery of a webhook."""
        return await self.daemon.listed(f"webhook={name}")

    async def states(self, name: str) -> Counter[str]:
        return Counter(record["state"] for record in await self.records(name))

    async def spent(self, name: str) -> int:
        """Retries and first attempts that counted."""
        return sum(record["failures"] for record in await self.records(name))

    def logged(self, fact: str, **keys: Any) -> list[Json]:
        return self.daemon.logged(fact, **keys)

    async def metric(self, name: str, webhook: str) -> float:
        return await self.daemon.metric(f'{name}{{webhook="{webhook}"}}')

    async def all_arrive_once(self, name: str, numbers: list[int], answered: list[Request]) -> None:
        """Every event is delivered, and the receiver answered 200 to each of them once."""
        wanted = len(numbers)
        done = await self.until(lambda: len({each.n for each in answered}) >= wanted, within_s=40)
        self.expect(done, f"{name}: {len({each.n for each in answered})} of {wanted} arrived")
        await self.until_lane(name, pending=0, breaker="closed", parked=None)
        self.expect(len(answered) == wanted, f"{name}: {len(answered)} deliveries of {wanted} events")
        states = await self.states(name)
        self.expect(states == {"delivered": wanted}, f"{name}: {wanted} should be delivered: {states}")

    def _behave(self, line: Line, request: Request) -> None:
        self.behaves.get(request.webhook, load.answer)(line, request)

    def _write(self) -> None:
        self.place.mkdir(exist_ok=True)
        full = {
            name: {"url": f"{self.receivers.url}/{name}", **fields} for name, fields in self.webhooks.items()
        }
        (self.place / "hookd.yaml").write_text(load.definitions(full, level="info"))


class Answering:
    """Answers 200 and keeps what it answered."""

    def __init__(self, after_s: float = 0.0) -> None:
        self.answered: list[Request] = []
        self._after = load.after(after_s)

    def __call__(self, line: Line, request: Request) -> None:
        self.answered.append(request)
        self._after(line, request)
