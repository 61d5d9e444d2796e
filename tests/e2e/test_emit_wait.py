"""`hookd emit --wait`, with the real process: it ends when the deliveries have (spec 8)."""

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.conftest import DAEMON, Running
from tests.kit.commands import emit
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response
from tests.kit.waiting import until

RULES = """
webhooks:
  good: {{url: {url}/good, timeout: 5}}
  bad: {{url: {url}/bad, retries: 0}}
  slow: {{url: {url}/slow, timeout: 60}}
  away: {{url: {url}/away, enabled: false}}
tasks:
  to good: {{webhook: good}}
  to bad: {{webhook: bad}}
  to slow: {{webhook: slow}}
  to away: {{webhook: away}}
events:
  good: {{type: t, event: good, task: to good}}
  both: {{type: t, event: both, task: [to bad, to good]}}
  stay: {{type: t, event: stay, task: to away}}
  mixed: {{type: t, event: mixed, task: [to away, to bad]}}
  slow: {{type: t, event: slow, task: to slow}}
"""


class Answering:
    """Answers by path; `slow` when it is let go."""

    def __init__(self) -> None:
        self.arrived = asyncio.Event()
        self.go = asyncio.Event()

    async def __call__(self, request: Received) -> bytes:
        if request.target == "/slow":
            self.arrived.set()
            await self.go.wait()
        return response(500 if request.target == "/bad" else 200)


@pytest.fixture
def answering(receiver: Receiver) -> Answering:
    receiver.reply = made = Answering()
    return made


@pytest.fixture
async def daemon(receiver: Receiver, answering: Answering, running: Running) -> DaemonProcess:
    return await running(RULES.format(url=receiver.url))


async def made_by(daemon: DaemonProcess, event_id: str) -> list[dict[str, Any]]:
    """The deliveries of an event, oldest first."""
    listed = (await daemon.get(f"/v1/deliveries?event={event_id}"))["deliveries"]
    return list(reversed(listed))


@pytest.mark.promise
async def test_all_delivered(daemon: DaemonProcess, tmp_path: Path) -> None:
    ended = await emit(tmp_path, "t", "good", "--id", "e1", "--wait")
    [made] = await made_by(daemon, "e1")
    assert (ended.code, ended.err) == (0, "")
    assert ended.out == f"e1\n  {made['id']}  to good → good\n  {made['id']}  delivered\n"


async def test_no_delivery(daemon: DaemonProcess, tmp_path: Path) -> None:
    ended = await emit(tmp_path, "--wait", "t", "other", "--id", "e1")
    assert ended.code == 0
    assert ended.out == "e1  (nothing is sent: no rule matches, or its task is off or spent)\n"


async def test_one_is_dead(daemon: DaemonProcess, tmp_path: Path) -> None:
    ended = await emit(tmp_path, "t", "both", "--id", "e1", "--wait=30s")
    states = {made["webhook"]: made for made in await made_by(daemon, "e1")}
    assert ended.code == 1
    assert sorted(ended.out.splitlines()[3:]) == sorted(
        [
            f"  {states['bad']['id']}  dead: {states['bad']['detail']}",
            f"  {states['good']['id']}  delivered",
        ]
    )


async def test_one_still_waits_when_the_time_is_up(daemon: DaemonProcess, tmp_path: Path) -> None:
    ended = await emit(tmp_path, "t", "stay", "--id", "e1", "--wait=300ms")
    [made] = await made_by(daemon, "e1")
    assert ended.code == 4
    told = "still waiting: `enabled: false` parks what is for it; set it to true to send"
    assert ended.out.splitlines()[2:] == [f"  {made['id']}  {told}"]


async def test_a_dead_one_decides_before_one_that_waits(daemon: DaemonProcess, tmp_path: Path) -> None:
    ended = await emit(tmp_path, "t", "mixed", "--wait=2s", "--json")
    assert ended.code == 1
    states = {made["webhook"]: made["state"] for made in json.loads(ended.out)["deliveries"]}
    assert states == {"away": "pending", "bad": "dead"}


async def test_one_is_cancelled_while_it_is_waited_for(daemon: DaemonProcess, tmp_path: Path) -> None:
    waiting = asyncio.create_task(emit(tmp_path, "t", "stay", "--id", "e1", "--wait=30s"))
    made = await until(lambda: made_by(daemon, "e1"), within_s=20)
    await daemon.request("POST", f"/v1/deliveries/{made[0]['id']}/cancel")
    ended = await waiting
    assert ended.code == 1
    assert f"  {made[0]['id']}  cancelled" in ended.out


async def test_a_duplicate_waits_for_the_first_deliveries(
    daemon: DaemonProcess, answering: Answering, tmp_path: Path
) -> None:
    await daemon.post({"type": "t", "event": "slow", "id": "e1"})
    waiting = asyncio.create_task(emit(tmp_path, "t", "slow", "--id", "e1", "--wait", "--json"))
    await answering.arrived.wait()
    answering.go.set()
    ended = await waiting
    assert ended.code == 0
    answer = json.loads(ended.out)
    assert (answer["duplicate"], [made["state"] for made in answer["deliveries"]]) == (True, ["delivered"])


async def test_it_outlasts_a_restart(daemon: DaemonProcess, answering: Answering, tmp_path: Path) -> None:
    waiting = asyncio.create_task(emit(tmp_path, "t", "slow", "--wait=60s"))
    await answering.arrived.wait()
    await daemon.stop()
    answering.go.set()
    await daemon.start()
    ended = await waiting
    assert (ended.code, ended.err) == (0, "")
    assert ended.out.endswith("  delivered: at attempt 2\n")


async def test_a_daemon_that_is_gone_is_told_when_the_time_is_up(
    daemon: DaemonProcess, answering: Answering, tmp_path: Path
) -> None:
    waiting = asyncio.create_task(emit(tmp_path, "t", "slow", "--wait=3s"))
    await answering.arrived.wait()
    await daemon.kill()
    ended = await waiting
    assert ended.code == 4
    assert f"not known to have ended: hookd is not reachable at {tmp_path}/h.sock" in ended.out


@pytest.mark.parametrize(("second", "code"), [("good", 0), ("both", 1), ("stay", 4)])
async def test_a_file(daemon: DaemonProcess, second: str, code: int, tmp_path: Path) -> None:
    events = [{"type": "t", "event": name} for name in ("good", second)]
    (tmp_path / "events").write_text("\n".join(map(json.dumps, events)))
    ended = await emit(tmp_path, "--file", str(tmp_path / "events"), "--wait=2s", "--json")
    assert ended.code == code
    states = [made["state"] for event in json.loads(ended.out)["events"] for made in event["deliveries"]]
    assert states == [
        "delivered",
        *{"good": ["delivered"], "both": ["dead", "delivered"]}.get(second, ["pending"]),
    ]


async def test_a_file_told_in_lines(daemon: DaemonProcess, tmp_path: Path) -> None:
    (tmp_path / "events").write_text('{"type": "t", "event": "good", "id": "e1"}')
    ended = await emit(tmp_path, "--file", str(tmp_path / "events"), "--wait")
    [made] = await made_by(daemon, "e1")
    assert ended.code == 0
    assert ended.out == f"taken: 1 event, 1 delivery\n  {made['id']}  delivered\n"


async def test_one_that_is_no_longer_kept(receiver: Receiver, running: Running, tmp_path: Path) -> None:
    """The store is replaced while it is waited for."""
    daemon = await running(
        RULES.format(url=receiver.url), daemon=DAEMON.replace("store: h.db", "store: first.db")
    )
    waiting = asyncio.create_task(emit(tmp_path, "t", "stay", "--id", "e1", "--wait=60s"))
    await until(lambda: made_by(daemon, "e1"), within_s=20)
    await daemon.stop()
    (tmp_path / "hookd.yaml").write_text(DAEMON + RULES.format(url=receiver.url))
    await daemon.start()
    ended = await waiting
    assert ended.code == 1
    assert "gone: it is no longer kept, so how it ended is not known" in ended.out


@pytest.mark.parametrize("given", ["", "soon", "10 s", "-1", "1y"])
async def test_a_time_that_is_none(given: str, tmp_path: Path) -> None:
    ended = await emit(tmp_path, "t", "good", f"--wait={given}")
    assert ended.code == 2
    last = ended.err.splitlines()[-1]
    form = "is not a duration such as 250ms, 10s, 5m, 2h, 7d or 2w"
    assert last == f"hookd emit: error: argument --wait: {given!r} {form}"


async def test_waiting_and_spooling_exclude_each_other(tmp_path: Path) -> None:
    ended = await emit(tmp_path, "t", "good", "--wait", "--spool")
    assert ended.code == 2
    assert "--wait and --spool exclude each other: what is spooled has no deliveries yet" in ended.err
