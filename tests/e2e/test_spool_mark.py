"""A spooled file with which hookd ends each time is not tried for ever (spec 11)."""

import json
from pathlib import Path

from tests.e2e.spooled import DAEMON, RULES, UP, ids, put, until_settled, until_there
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver
from tests.kit.waiting import until

SLOW = {
    f"slow-{number}": {
        "type": "vm",
        "event": "down",
        "where": "data.m.map(a, a).size() == 0",
        "task": "t",
    }
    for number in range(1000)
}
"""Rules that make an event of seconds."""


async def test_it_is_tried_last_and_alone_and_then_rejected(tmp_path: Path, receiver: Receiver) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    rules, _, events = RULES.format(url=receiver.url).partition("events: ")
    slow = json.dumps(SLOW).removeprefix("{")
    (tmp_path / "hookd.yaml").write_text(
        f"{DAEMON}{rules}events: {events.rstrip().removesuffix('}')}, {slow}\n"
    )
    mark = spool / "rejected" / ".taking"
    put(spool, "a.json", {"type": "vm", "event": "down", "id": "slow", "data": {"m": list(range(700))}})
    put(spool, "b.json", {**UP, "id": "beside"})
    daemon = DaemonProcess(tmp_path)
    try:
        await daemon.launch()
        await until(lambda: mark.exists() and "a.json" in mark.read_text())
        await daemon.kill()
        assert {"a.json", "b.json"} <= {file.name for file in spool.iterdir()}

        put(spool, "c.json", {**UP, "id": "later"})
        await daemon.start()
        await until(lambda: not (spool / "c.json").exists())
        assert (spool / "a.json").exists(), "the newest file comes before those that are suspects"
        await until(lambda: mark.exists() and '"taking": {"a.json"' in mark.read_text())
        await daemon.kill()
        assert (spool / "a.json").exists()

        await daemon.start()
        await until_there(spool / "rejected", "a.json")
        assert (await until_settled(daemon, spool))["rejected"] == 1
        reason = (spool / "rejected" / "a.json.reason").read_text()
        assert reason.startswith("hookd ended twice while it took this file in")
        await receiver.wait_for(2)
        assert sorted(set(ids(receiver))) == ["beside", "later"]
        assert await daemon.stop() == 0
    finally:
        await daemon.close()
    assert not mark.exists()
