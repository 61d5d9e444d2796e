"""R36: a task that is deleted after running runs once, ever: whatever races, crashes, restarts, reloads or comes back.

What counts is what a receiver got. Each scene has a daemon, and they are played at the same time.
"""

import asyncio
import json
import os
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.scenes import Playing, Scene, title
from tests.kit.receiver import Received, response
from tests.kit.stage import Stage


async def post(stage: Stage, event: str, **fields: Any) -> list[str]:
    """The tasks that an event fired, in the order of the receipt."""
    answered, receipt = await stage.daemon.post({"type": "vm", "event": event, **fields})
    assert answered == 202, receipt
    return [made["task"] for made in receipt["deliveries"]]


async def all_there(stage: Stage) -> Counter[str]:
    """How many requests came for each task, once nothing more can come: all that the history knows is delivered.

    Every request was a delivery of its own.
    """
    listed = (
        await stage.daemon.get_when(
            "/v1/deliveries?limit=500",
            lambda found: all(each["state"] == "delivered" for each in found["deliveries"]),
        )
    )["deliveries"]
    tasks = {each["id"]: each["task"] for each in listed}
    found = Counter(tasks[request.id] for request in stage.receiver.requests)
    assert found == Counter(tasks.values())
    return found


async def spent(stage: Stage) -> list[str]:
    """The tasks that the status lists as spent, the latest first."""
    return [mark["task"] for mark in (await stage.daemon.get("/v1/status"))["spent"]]


async def reload(stage: Stage) -> None:
    ran = await stage.hookd("reload")
    assert ran.code == 0, ran.err


RACED = """
webhooks:
  w: {url: RECEIVER/w}
  held: {url: RECEIVER/held}
tasks:
  first boot: {webhook: w, message: {boot: "${NAME}"}, delete_after_running: true}
  each boot: {webhook: w}
  held: {webhook: held, delete_after_running: true}
events:
  boot: {type: vm, event: boot, task: [first boot, each boot]}
  boot again: {type: vm, event: boot, task: first boot}
  held: {type: vm, event: held, task: held}
"""
RACERS = 100


async def once_however_many_race_through_a_crash_a_restart_and_a_reload(directory: Path) -> None:
    async with Stage(directory) as stage:
        stage.write(RACED)
        await stage.start()
        await nothing_is_spent_by_what_is_refused(stage)
        fired = await asyncio.gather(*(over_its_own_connection(stage, number) for number in range(RACERS)))
        assert Counter(task for each in fired for task in each) == {"first boot": 1, "each boot": RACERS}
        assert await all_there(stage) == {"first boot": 1, "each boot": RACERS}
        assert (
            await stage.hookd("pause", "held")
        ).code == 0  # so that its request can only come after the crash
        assert await post(stage, "held") == ["held"]
        await stage.kill()
        assert stage.receiver.at("/held") == []
        await stage.start()
        for again in ("crash", "restart", "reload"):
            if again == "restart":
                await stage.stop()
                await stage.start()
            if again == "reload":
                stage.write(RACED + "  more: {type: vm, event: more, task: first boot}\n")
                await reload(stage)
                assert await post(stage, "more") == []
            assert await post(stage, "held") == [], again
            assert await post(stage, "boot") == ["each boot"], again
        assert (await stage.hookd("resume", "held")).code == 0
        await stage.arrived("/held")
        assert await post(stage, "boot") == ["each boot"]
        assert await all_there(stage) == {"first boot": 1, "held": 1, "each boot": RACERS + 4}


async def over_its_own_connection(stage: Stage, number: int) -> list[str]:
    reader, writer = await asyncio.open_unix_connection(stage.daemon.socket)
    body = json.dumps({"type": "vm", "event": "boot", "object": f"web-{number}"}).encode()
    writer.write(
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nConnection: close\r\n"
        b"Content-Length: %d\r\n\r\n%s" % (len(body), body)
    )
    head, _, answer = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    assert head.startswith(b"HTTP/1.1 202 "), head
    return [made["task"] for made in json.loads(answer)["deliveries"]]


async def nothing_is_spent_by_what_is_refused(stage: Stage) -> None:
    """A batch is taken whole or not at all, so a one-shot in one that is refused has not run."""
    boot = {"type": "vm", "event": "boot"}
    for event in ({"type": "vm", "event": "other", "id": "taken"}, {"type": "vm", "event": "third"}):
        assert (await stage.daemon.post(event))[0] == 202
    for batch, code in (
        ([boot, {"type": "vm"}], 422),
        ([boot, {"type": "vm", "event": "changed", "id": "taken"}], 409),
    ):
        assert (await stage.daemon.post(batch))[0] == code
    assert (await spent(stage), stage.receiver.requests) == ([], [])


# Under git.

ONCE = """daemon: {listen: [{unix: h.sock}], store: ../state/h.db, log: {format: json, level: debug}}
webhooks: {w: {url: RECEIVER/w}}
tasks:
  welcome: {webhook: w, description: first, message: {text: "first"}, delete_after_running: true}
  sentinel: {webhook: w, message: {text: sentinel}}
events: {boot: {type: vm, event: boot, task: [welcome, sentinel]}}
"""
VERSIONS = {
    "first": ONCE,
    "described": ONCE.replace("description: first", "description: another"),
    "edited": ONCE.replace('text: "first"', 'text: "edited"'),
    "without": "".join(line for line in ONCE.splitlines(keepends=True) if "welcome:" not in line).replace(
        "[welcome, sentinel]", "sentinel"
    ),
}


class WorkTree:
    """A git work tree that holds a configuration, a commit for each version, tagged by its name."""

    def __init__(self, stage: Stage) -> None:
        self._stand = stage

    async def fill(self) -> None:
        await self.git("init", "-q")
        await self.git("config", "user.name", "An Operator")
        await self.git("config", "user.email", "operator@example.org")
        for name, text in VERSIONS.items():
            self._stand.write(text, daemon="", file="work/hookd.yaml")
            await self.git("add", "hookd.yaml")
            await self.git("commit", "-q", "-m", name)
            await self.git("tag", name)
        await self.git("checkout", "-q", "first")

    async def git(self, *words: str) -> None:
        place = self._stand.directory / "work"
        place.mkdir(exist_ok=True)
        (self._stand.directory / "state").mkdir(exist_ok=True)
        clean = {name: value for name, value in os.environ.items() if not name.startswith("GIT_")}
        nowhere = {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_NOSYSTEM": "1"}
        process = await asyncio.create_subprocess_exec("git", *words, cwd=place, env={**clean, **nowhere})
        assert await process.wait() == 0, words

    async def checkout(self, version: str) -> None:
        """Check a version out and wait until the daemon has it in force, asked for or noticed by itself."""
        await self.git("checkout", "-q", version)
        await reload(self._stand)

    async def checkout_unasked(self, version: str) -> None:
        before = (await self._stand.daemon.get("/v1/status"))["config"]["hash"]
        await self.git("checkout", "-q", version)
        await self._stand.daemon.get_when("/v1/status", lambda now: now["config"]["hash"] != before)


async def a_checkout_does_not_revive_it(directory: Path) -> None:
    async with Stage(directory) as stage:
        tree = WorkTree(stage)
        await tree.fill()
        (directory / "h.sock").symlink_to("work/h.sock")
        await stage.start("work/hookd.yaml")
        assert await post(stage, "boot") == ["welcome", "sentinel"]
        fired = []
        for version in ("edited", "first", "described", "without", "first", "edited"):
            await (tree.checkout_unasked if version == "without" else tree.checkout)(version)
            fired.append((version, "welcome" in await post(stage, "boot")))
        assert fired == [
            ("edited", True),  # what it does has changed: a new task
            ("first", False),
            ("described", False),
            ("without", False),
            ("first", False),
            ("edited", False),
        ]
        assert await all_there(stage) == {"welcome": 2, "sentinel": 7}
        bodies = [json.loads(request.body)["text"] for request in stage.receiver.requests]
        assert Counter(bodies) == {"first": 1, "edited": 1, "sentinel": 7}
        assert await spent(stage) == ["welcome"]


# By hand, by schedules, and what spends what.

WAYS = """
webhooks:
  w: {url: RECEIVER/w}
  bad: {url: RECEIVER/bad, retries: 1, backoff: [20ms]}
  held: {url: RECEIVER/held, enabled: false}
tasks:
  by hand: {webhook: w, delete_after_running: true}
  by hand, resting: {webhook: w, delete_after_running: true, enabled: false}
  scheduled: {webhook: w, delete_after_running: true}
  on the task: {webhook: w, delete_after_running: true, triggers: [{type: vm, event: inline}, {every: 1s}]}
  twin a: {webhook: w, delete_after_running: true}
  twin b: {webhook: w, delete_after_running: true}
  fails: {webhook: bad, delete_after_running: true}
  parked: {webhook: held, delete_after_running: true}
  resting: {webhook: w, delete_after_running: true, enabled: false}
  tick: {webhook: w}
schedules:
  ticks: {every: 1s, task: [scheduled, tick]}
events:
  by hand: {type: vm, event: hand, task: ["by hand", "by hand, resting"]}
  twin a: {type: vm, event: a, task: twin a}
  twins: {type: vm, event: twins, task: [twin a, twin b]}
  fails: {type: vm, event: fails, task: fails}
  parked: {type: vm, event: parked, task: parked}
  resting: {type: vm, event: resting, task: resting}
"""


async def every_way_to_fire_it_is_its_one_run(directory: Path) -> None:
    async def answer(request: Received) -> bytes:
        return response(500 if request.target == "/bad" else 200)

    async with Stage(directory) as stage:
        stage.receiver.reply = answer
        stage.write(WAYS)
        await stage.start()
        await by_hand(stage)
        await twins(stage)
        receipt = await stage.emit("vm", "fails")
        assert [each["state"] for each in await stage.settled(receipt)] == ["dead"]
        assert await post(stage, "fails") == [], "a run that led to nothing is a run"
        assert [await post(stage, "parked"), await post(stage, "parked")] == [["parked"], []]
        assert await post(stage, "resting") == []
        await by_schedules(stage)
        expected = {
            "by hand",
            "by hand, resting",
            "scheduled",
            "on the task",
            "twin a",
            "twin b",
            "fails",
            "parked",
        }
        assert set(await spent(stage)) == expected, "what has not run is not spent"
        told = (await stage.hookd("status")).out
        assert "spent" in told
        assert "hookd rearm" in told


async def by_hand(stage: Stage) -> None:
    for task in ("by hand", "by hand, resting"):
        receipt = await stage.trigger(task)
        [record] = await stage.settled(receipt)
        assert record["cause"] == {"kind": "trigger", "event_id": receipt["id"], "rule": ""}
        again = await stage.hookd("trigger", task)
        assert (again.code, again.out) == (1, "")
        assert f"hookd rearm '{task}'" in again.err
        answered, problem = await stage.daemon.request(
            "POST", f"/v1/tasks/{task.replace(' ', '%20')}/trigger"
        )
        assert (answered, problem["status"]) == (409, 409)
    assert await post(stage, "hand") == []
    rearmed = await stage.hookd("rearm", "by hand")
    assert (rearmed.code, "by hand" in rearmed.out) == (0, True)
    assert await post(stage, "hand") == ["by hand"]
    assert await post(stage, "hand") == []


async def twins(stage: Stage) -> None:
    assert await post(stage, "a") == ["twin a"]
    assert await post(stage, "twins") == ["twin b"]
    assert await post(stage, "twins") == []


async def by_schedules(stage: Stage) -> None:
    """Once each, though their schedules came three times at least."""
    async with asyncio.timeout(15):
        while len(await fired(stage, "tick")) < 3:
            await asyncio.sleep(0.05)
    [scheduled] = await fired(stage, "scheduled")
    assert (scheduled["kind"], scheduled["rule"]) == ("schedule", "schedules.ticks")
    [own] = await fired(stage, "on the task")
    assert (own["kind"], own["rule"]) == ("schedule", "tasks.on the task.triggers[1]")
    assert await post(stage, "inline") == []
    came = Counter(request.id for request in stage.receiver.requests if request.target == "/w")
    assert set(came.values()) == {1}
    listed = (await stage.daemon.get("/v1/deliveries?limit=500&webhook=w"))["deliveries"]
    counts = Counter(each["task"] for each in listed if each["task"] != "tick")
    assert counts == {
        "by hand": 2,  # it was rearmed
        "by hand, resting": 1,
        "scheduled": 1,
        "on the task": 1,
        "twin a": 1,
        "twin b": 1,
    }


async def fired(stage: Stage, task: str) -> list[dict[str, Any]]:
    """The causes of a task's deliveries so far."""
    listed = (await stage.daemon.get(f"/v1/deliveries?limit=500&task={task.replace(' ', '%20')}"))[
        "deliveries"
    ]
    return [each["cause"] for each in listed]


SCENES: Sequence[Scene] = (
    once_however_many_race_through_a_crash_a_restart_and_a_reload,
    a_checkout_does_not_revive_it,
    every_way_to_fire_it_is_its_one_run,
)


@pytest.mark.parametrize("scene", SCENES, ids=title)
async def test_r36(scene: Scene, playing: Playing) -> None:
    await playing[scene]
