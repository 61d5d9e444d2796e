"""Clients that vanish before, during and after the commit, and a hundred that post one id at once (spec 2).

Called by: the proof.
"""

import asyncio
import json
from collections import Counter
from typing import Any

from tests.chaos.intake.client import Answered
from tests.chaos.intake.scene import EVENT, Scene, judge_log, post, scene
from tests.chaos.proof import Findings, Options
from tests.kit.procfs import open_files
from tests.kit.strace import Injection

SLOW_SYNC = ("fdatasync:delay_enter=100000", "fsync:delay_enter=100000")
"""Every sync takes 0.1 s longer, so that a client can be gone while its commit is under way."""


async def gone_clients(options: Options, findings: Findings) -> None:
    """At every stage a vanished client's event is stored whole or not at all, and its id says which."""
    rounds = options.scale(short=6, long=60)
    async with scene(options.place("gone")) as stage, Injection(stage.daemon.pid, *SLOW_SYNC):
        before = len(open_files(stage.daemon.pid))
        fates: Counter[str] = Counter()
        expected: set[str] = set()
        for number in range(rounds):
            for stage_name, wait_s in (("before", None), ("during", 0.03), ("after", 0.5)):
                for reset in (False, True):
                    name = f"{stage_name}-{number}-{reset}"
                    await _vanish(stage, name, number, wait_s, reset=reset)
                    expected.add(name)
        for name in sorted(expected):
            fates[await _fate(stage, name, findings)] += 1
        left = await stage.daemon.rested(before + 10)
        missing = await stage.until_delivered(sorted(expected))
        twice = [each for each, times in stage.count.deliveries.items() if times > 1]
        many = [each for each, times in stage.count.events.items() if times > 1]
        findings.expect(not missing, f"gone: {len(missing)} events never arrived: {missing[:3]}")
        findings.expect(not twice and not many, f"gone: arrived twice: {twice[:3]} {many[:3]}")
        findings.expect(left <= before + 10, f"gone: {left} descriptors, {before} before")
        findings.figures["gone_clients"] = {"clients": 6 * rounds, **dict(fates), "missing": len(missing)}
        judge_log(stage, findings, "gone")


async def _vanish(stage: Scene, name: str, number: int, wait_s: float | None, *, reset: bool) -> None:
    """Post and go: before the body's last byte, or so many seconds after it."""
    raw = post({**EVENT, "id": name, "data": {"text": "x" * 5000}})
    client = await stage.client(number)
    await client.send(raw[:-1] if wait_s is None else raw)
    if wait_s is not None:
        await asyncio.sleep(wait_s)
    if reset:
        client.reset()
    else:
        client.close()


async def _fate(stage: Scene, name: str, findings: Findings) -> str:
    """Whether the event had been stored; told by posting it again."""
    found, kept = await stage.daemon.request("GET", f"/v1/events/{name}")
    status, receipt = await stage.daemon.post({**EVENT, "id": name, "data": {"text": "x" * 5000}})
    fate = f"{name.partition('-')[0]}_{'stored' if found == 200 else 'not_stored'}"
    wanted = (200, True) if found == 200 else (202, False)
    findings.expect((status, receipt.get("duplicate")) == wanted, f"gone: {name} is {found}, then {status}")
    findings.expect(len(receipt.get("deliveries", ())) == 1, f"gone: {name} has no delivery: {receipt}")
    if found == 200:
        findings.expect(kept["deliveries"] == receipt["deliveries"], f"gone: {name} has other deliveries")
    findings.expect(fate not in ("before_stored", "after_not_stored"), f"gone: {name} cannot be {fate}")
    return fate


async def same_id(options: Options, findings: Findings) -> None:
    """100 connections post one id at once, alike or each with other content: one is stored."""
    rounds = options.scale(short=6, long=100)
    async with scene(options.place("same-id")) as stage:
        alike: Counter[int] = Counter()
        other: Counter[int] = Counter()
        for number in range(rounds):
            same = await _at_once(stage, [{**EVENT, "id": f"s{number}"}] * 100)
            alike.update(each.status for each in same)
            made = {json.dumps(json.loads(each.body)["deliveries"]) for each in same if each.status < 300}
            findings.expect(_statuses(same) == {202: 1, 200: 99}, f"same id: {_statuses(same)}")
            findings.expect(len(made) == 1, f"same id: {len(made)} different sets of deliveries")
            events = [{**EVENT, "id": f"o{number}", "data": {"n": n}} for n in range(100)]
            differing = await _at_once(stage, events)
            other.update(each.status for each in differing)
            findings.expect(_statuses(differing) == {202: 1, 409: 99}, f"same id: {_statuses(differing)}")
        names = [f"{letter}{number}" for letter in "so" for number in range(rounds)]
        missing = await stage.until_delivered(names)
        kept = {name: stage.count.events[name] for name in names}
        findings.expect(not missing, f"same id: never arrived: {missing[:3]}")
        findings.expect(set(kept.values()) <= {1}, "same id: something arrived more than once")
        findings.figures["same_id"] = {
            "rounds": rounds,
            "connections": 100,
            "alike": {str(status): count for status, count in alike.items()},
            "different": {str(status): count for status, count in other.items()},
            "delivered": len(names) - len(missing),
        }
        judge_log(stage, findings, "same id")


async def _at_once(stage: Scene, events: list[dict[str, Any]]) -> list[Answered]:
    """Post each on a connection of its own; the last byte of all goes out when all the others are there."""
    clients = [await stage.client(number) for number in range(len(events))]
    raws = [post(event) for event in events]
    try:
        for client, raw in zip(clients, raws, strict=True):
            await client.send(raw[:-1])
        for client, raw in zip(clients, raws, strict=True):
            await client.send(raw[-1:])
        return [await client.answer() for client in clients]
    finally:
        for client in clients:
            client.close()


def _statuses(answers: list[Answered]) -> dict[int, int]:
    return dict(Counter(each.status for each in answers))
