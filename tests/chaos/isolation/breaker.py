"""The breaker in real time: when it opens, what goes out while it is open (nothing), and how a lane comes back.

A corrected definition is probed at once, so nothing here waits for the first probe after 30 s; `probes` does.
"""

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

from tests.chaos.isolation import load
from tests.chaos.isolation.load import Line, Request
from tests.chaos.isolation.scene import Answering, Scene
from tests.chaos.proof import Findings, Options

OPENS_AFTER = 10
QUICK: dict[str, Any] = {"backoff": ["20ms"], "concurrency": 1}

WEBHOOKS: dict[str, dict[str, Any]] = {
    "down": QUICK,
    "bystander": QUICK,
    "ramp": {"backoff": ["20ms"], "concurrency": 10},
    "ramp_one": QUICK,
    "ramp_slowly": {**QUICK, "concurrency": 10, "rate_limit": "100/s"},
    "alternate": {**QUICK, "retries": 100},
    "wide": {"concurrency": 1000, "backoff": ["20ms"]},
    "once": {"retries": 0, "concurrency": 1},
    "late": {"concurrency": 12, "backoff": ["20ms"]},
    "late_failure": {"concurrency": 12, "backoff": ["20ms"]},
    "disabled": QUICK,
    "asks": {**QUICK, "concurrency": 4},
    "asks_nothing": {"concurrency": 1, "backoff": ["1s"]},
    "busy": QUICK,
    "corrected_twice": QUICK,
}


async def prove(options: Options) -> Findings:
    """All scenes at once on one daemon, each with a webhook of its own."""
    findings = Findings()
    parked = options.scale(short=300, long=1000)
    scenes: list[Callable[[Scene], Coroutine[Any, Any, None]]] = [
        _down, _alternate, _wide, _once, _late, _late_failure, _disabled, _asks, _asks_nothing, _busy,
        _corrected_twice,
    ]  # fmt: skip
    async with Scene(options.place("breaker"), findings, {**WEBHOOKS}) as scene:
        async with asyncio.TaskGroup() as group:
            for each in scenes:
                group.create_task(each(scene))
            group.create_task(_ramp(scene, "ramp", count=parked, most=10))
            group.create_task(_ramp(scene, "ramp_one", count=parked // 3, most=1))
            group.create_task(_ramp(scene, "ramp_slowly", count=parked // 3, most=10, per_s=100))
        findings.figures["scenes"] = len(WEBHOOKS)
        findings.figures["requests"] = len(scene.receivers.requests)
    return findings


async def _opened(scene: Scene, name: str, count: int) -> list[int]:
    """Post so many events to a receiver that is down, until its breaker is open; their numbers."""
    scene.behaves[name] = load.refuse_service
    numbers = await scene.poster.post([name] * count)
    await scene.until_lane(name, breaker="open", parked="breaker")
    return numbers


async def _recover(scene: Scene, name: str, receiver: Answering) -> None:
    """The receiver is up again, and a change of the definition lets the probe out at once."""
    scene.behaves[name] = receiver
    await scene.redefine(name, headers={"X-Corrected": "yes"})


async def _down(scene: Scene) -> None:
    name = "down"
    numbers = await _opened(scene, name, 30)
    await _opened(scene, "bystander", 20)
    _expect_ten(scene, name)
    lane = await scene.lane(name)
    scene.expect(lane["next_probe_at"], f"{name}: no next probe in {lane}")
    status = await scene.daemon.get("/v1/status")
    shown = next(each for each in status["webhooks"] if each["name"] == name)
    scene.expect(
        (shown["breaker"], shown["parked"]) == ("open", "breaker"), f"{name}: the status shows {shown}"
    )
    scene.expect(await scene.metric("hookd_webhook_breaker_open", name) == 1, f"{name}: metric is not 1")
    scene.expect(await scene.metric("hookd_parked", name) == 30, f"{name}: not 30 parked in the metrics")
    said = scene.logged("webhook.parked", webhook=name, reason="breaker")
    scene.expect(len(said) == 1, f"{name}: the log says `webhook.parked` {len(said)} times")
    numbers += await _disturb(scene, name)
    _expect_ten(scene, name)
    scene.expect(await scene.spent(name) == OPENS_AFTER, f"{name}: not ten failures were counted")
    up = Answering()
    await _recover(scene, name, up)
    await scene.all_arrive_once(name, numbers, up.answered)
    scene.expect(await scene.spent(name) == OPENS_AFTER, f"{name}: retries were spent while it was parked")
    scene.expect(scene.logged("webhook.resumed", webhook=name), f"{name}: the log says no `webhook.resumed`")
    scene.expect(await scene.metric("hookd_webhook_breaker_open", name) == 0, f"{name}: metric is not 0")
    _expect_ten(scene, "bystander")


async def _disturb(scene: Scene, name: str) -> list[int]:
    """What must not let anything out: a new event, retries by hand, a pause and its end."""
    numbers = await scene.poster.post([name])
    for record in (await scene.records(name))[:5]:
        status, _ = await scene.daemon.request("POST", f"/v1/deliveries/{record['id']}/retry")
        scene.expect(status == 200, f"{name}: a retry by hand is answered {status}")
    for what in ("pause", "resume"):
        await scene.daemon.request("POST", f"/v1/webhooks/{name}/{what}")
    await asyncio.sleep(1.0)  # time in which a request that must not come would come
    return numbers


def _expect_ten(scene: Scene, name: str) -> None:
    came = len(scene.receivers.of(name))
    scene.expect(came == OPENS_AFTER, f"{name}: {came} requests, not ten, until it was parked")


async def _ramp(scene: Scene, name: str, *, count: int, most: int, per_s: float | None = None) -> None:
    numbers = await _opened(scene, name, count)
    spent, failed = await scene.spent(name), len(scene.receivers.of(name))
    scene.expect(spent == failed, f"{name}: {failed} requests failed, {spent} failures are counted")
    scene.expect(failed < OPENS_AFTER + most, f"{name}: {failed} requests until it was parked")
    scene.receivers.most[name] = 0
    up = Answering(after_s=0.005)
    await _recover(scene, name, up)
    await scene.all_arrive_once(name, numbers, up.answered)
    at_once = scene.receivers.most[name]
    scene.expect(at_once <= most, f"{name}: {at_once} at once at a receiver that came back, not {most}")
    scene.expect(await scene.spent(name) == spent, f"{name}: retries were spent while it was parked")
    if per_s is not None:
        took_s = up.answered[-1].at - up.answered[0].at
        rate = (len(up.answered) - 3) / took_s
        scene.expect(rate <= per_s * 1.05, f"{name}: {rate:.0f}/s at a receiver that came back")
    scene.findings.figures[name] = {"parked": count - failed, "at_once": at_once, "arrived": len(up.answered)}


def _fail(line: Line, _request: Request) -> None:
    """Answer 500: alternating with successes, 503 would slow the webhook down."""
    line.send(b"HTTP/1.1 500 Internal Server Error\r\nContent-Length: 0\r\n\r\n")


async def _alternate(scene: Scene) -> None:
    name, turn, up = "alternate", 0, Answering()

    def in_turn(line: Line, request: Request) -> None:
        nonlocal turn
        turn += 1
        (up if turn % OPENS_AFTER == 0 else _fail)(line, request)

    scene.behaves[name] = in_turn
    numbers = await scene.poster.post([name] * 20)
    await scene.all_arrive_once(name, numbers, up.answered)
    scene.expect(not scene.logged("webhook.parked", webhook=name), f"{name}: parked at nine in a row")


async def _wide(scene: Scene) -> None:
    name = "wide"

    def soon(line: Line, _request: Request) -> None:
        asyncio.get_running_loop().call_later(0.2, line.send, load.DOWN)

    scene.behaves[name] = soon
    numbers = await scene.poster.post([name] * 600)
    await scene.until_lane(name, breaker="open", parked="breaker")
    failed, at_once = len(scene.receivers.of(name)), scene.receivers.most[name]
    scene.expect(failed <= at_once + OPENS_AFTER, f"{name}: {failed} requests, {at_once} at once")
    await asyncio.sleep(0.5)  # time in which a request that must not come would come
    scene.expect(len(scene.receivers.of(name)) == failed, f"{name}: requests after it was parked")
    spent = await scene.spent(name)
    scene.expect(spent == failed, f"{name}: {failed} requests failed, {spent} failures are counted")
    scene.findings.figures[name] = {"at_once": at_once, "requests_until_parked": failed}
    up = Answering()
    await _recover(scene, name, up)
    await scene.all_arrive_once(name, numbers, up.answered)


async def _once(scene: Scene) -> None:
    name = "once"
    await _opened(scene, name, 40)
    _expect_ten(scene, name)
    states = await scene.states(name)
    scene.expect(states == {"dead": OPENS_AFTER, "pending": 30}, f"{name}: {states}")
    up = Answering()
    await _recover(scene, name, up)
    await scene.until_lane(name, pending=0)
    states = await scene.states(name)
    scene.expect(states == {"dead": OPENS_AFTER, "delivered": 30}, f"{name}: {states}")


class _Holding:
    """Answers 503, but keeps the first two waiting."""

    def __init__(self) -> None:
        self.held: list[tuple[Line, Request]] = []

    def __call__(self, line: Line, request: Request) -> None:
        if len(self.held) < 2:
            self.held.append((line, request))
        else:
            line.send(load.DOWN)


async def _late(scene: Scene) -> None:
    """An answer that comes late, after the breaker has opened, shows that the receiver is up."""
    name, holding, up = "late", _Holding(), Answering()
    scene.behaves[name] = holding
    numbers = await scene.poster.post([name] * 40)
    await scene.until_lane(name, breaker="open", in_flight=2)
    scene.behaves[name] = up
    for line, request in holding.held:
        up(line, request)
    await scene.all_arrive_once(name, numbers, up.answered)


async def _late_failure(scene: Scene) -> None:
    """A failure that comes late changes nothing."""
    name, holding, up = "late_failure", _Holding(), Answering()
    scene.behaves[name] = holding
    numbers = await scene.poster.post([name] * 40)
    before = await scene.until_lane(name, breaker="open", in_flight=2)
    for line, _ in holding.held:
        line.send(load.DOWN)
    after = await scene.until_lane(name, breaker="open")
    scene.expect(
        before["next_probe_at"] == after["next_probe_at"] or abs(_seconds(before) - _seconds(after)) < 0.1,
        f"{name}: a late failure moved the probe from {before['next_probe_at']} to {after['next_probe_at']}",
    )
    await _recover(scene, name, up)
    await scene.all_arrive_once(name, numbers, up.answered)


def _seconds(lane: dict[str, Any]) -> float:
    return float(lane["next_probe_at"].rstrip("Z").rsplit(":", 1)[1])


async def _disabled(scene: Scene) -> None:
    name = "disabled"
    numbers = await _opened(scene, name, 20)
    await scene.redefine(name, enabled=False)
    await scene.until_lane(name, parked="disabled")
    _expect_ten(scene, name)
    up = Answering()
    scene.behaves[name] = up
    await scene.redefine(name, enabled=True)
    await scene.all_arrive_once(name, numbers, up.answered)


class _Limiting:
    """Answers 429 once, then 200."""

    def __init__(self, header: bytes) -> None:
        self.up, self.at = Answering(), 0.0
        self._answer = b"HTTP/1.1 429 Too Many Requests\r\n" + header + b"Content-Length: 0\r\n\r\n"

    def __call__(self, line: Line, request: Request) -> None:
        if self.at:
            self.up(line, request)
        else:
            self.at = time.perf_counter()
            line.send(self._answer)


async def _asks(scene: Scene) -> None:
    await _limited(scene, "asks", b"Retry-After: 2\r\n", 2.0, under_way=3)


async def _asks_nothing(scene: Scene) -> None:
    await _limited(scene, "asks_nothing", b"", 1.0, under_way=0)


async def _limited(scene: Scene, name: str, header: bytes, quiet_s: float, *, under_way: int) -> None:
    """After a 429 the whole webhook waits, apart from what was under way."""
    limiting = _Limiting(header)
    scene.behaves[name] = limiting
    numbers = await scene.poster.post([name] * 20)
    await scene.all_arrive_once(name, numbers, limiting.up.answered)
    early = [each for each in scene.receivers.of(name) if 0 < each.at - limiting.at < quiet_s - 0.05]
    scene.expect(len(early) <= under_way, f"{name}: {len(early)} requests within {quiet_s} s after a 429")


async def _busy(scene: Scene) -> None:
    """429 slows a webhook down and never opens its breaker; corrected, it goes on at once."""
    name = "busy"

    def busy(line: Line, _request: Request) -> None:
        line.send(b"HTTP/1.1 429 Too Many Requests\r\nRetry-After: 0\r\nContent-Length: 0\r\n\r\n")

    scene.behaves[name] = busy
    numbers = await scene.poster.post([name] * 20)
    await scene.until(lambda: len(scene.receivers.of(name)) == 3)
    lane = await scene.lane(name)
    scene.expect(lane["breaker"] == "closed", f"{name}: {lane}")
    scene.expect((lane["slowed_to_per_s"] or 9) <= 1, f"{name}: not slowed down: {lane}")
    up = Answering()
    await _recover(scene, name, up)
    await scene.all_arrive_once(name, numbers, up.answered)
    scene.expect(not scene.logged("webhook.parked", webhook=name), f"{name}: parked by 429")


async def _corrected_twice(scene: Scene) -> None:
    """A webhook that is corrected while its probe hangs is probed again as soon as that has ended."""
    name, up = "corrected_twice", Answering()
    hanging: list[Line] = []
    numbers = await _opened(scene, name, 20)
    scene.behaves[name] = lambda line, _request: hanging.append(line)
    await scene.redefine(name, headers={"X-Corrected": "not quite"})
    await scene.until(lambda: bool(hanging))
    await scene.until_lane(name, breaker="half_open", in_flight=1)
    scene.behaves[name] = up
    await scene.redefine(name, headers={"X-Corrected": "yes"})
    hanging[0].send(load.DOWN)
    await scene.all_arrive_once(name, numbers, up.answered)
