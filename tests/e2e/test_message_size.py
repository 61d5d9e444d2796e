"""Messages are bounded one by one, and those of a request together, before any is stored (spec 2, 4)."""

import json
from pathlib import Path

import pytest

from tests.e2e.conftest import DAEMON, Running
from tests.kit import procfs
from tests.kit.receiver import Receiver

CONFIG = """
webhooks:
  w: {{url: '{url}/w', concurrency: 1}}
tasks:
  small: {{webhook: w, message: {{id: "${{ID}}"}}}}
  large: {{webhook: w, message: {{all: "${{data.text}}${{data.text}}"}}}}
events:
  e: {{type: t, event: one, task: [large, small]}}
"""


def many_tasks(url: str) -> str:
    """Forty innocent tasks, each of which repeats what came."""
    tasks = "".join(f"  t{number}: {{webhook: w, message: {{all: '${{data}}'}}}}\n" for number in range(40))
    names = ", ".join(f"t{number}" for number in range(40))
    return (
        f"webhooks:\n  w: {{url: '{url}/w', enabled: false}}\ntasks:\n{tasks}"
        f"events:\n  e: {{type: t, event: one, task: [{names}]}}\n"
    )


def event(size: int) -> dict[str, object]:
    return {"type": "t", "event": "one", "data": {"text": "x" * size}}


async def test_a_message_that_is_too_large_is_dead_at_once_and_the_others_go_out(
    receiver: Receiver, running: Running
) -> None:
    daemon = await running(
        CONFIG.format(url=receiver.url),
        daemon=DAEMON.replace("{listen", "{limits: {message_size: 4KiB}, listen"),
    )
    status, answer = await daemon.post(event(3000))
    assert status == 202
    large, small = answer["deliveries"]
    dead = await daemon.delivery_when(large["id"], "dead")
    assert dead["detail"].startswith("the message is larger than 4096 bytes (daemon.limits.message_size)")
    assert (dead["body"], [attempt["reason"] for attempt in dead["attempts"]]) == ("", ["size"])
    await daemon.delivery_when(small["id"], "delivered")
    assert len(receiver.requests) == 1
    await daemon.request("POST", f"/v1/deliveries/{large['id']}/retry")
    again = await daemon.delivery_when(large["id"], "dead")
    assert again["detail"] == dead["detail"]
    fits = (await daemon.post(event(1500)))[1]["deliveries"][0]
    await daemon.delivery_when(fits["id"], "delivered")


@pytest.mark.parametrize("batch", [False, True])
async def test_what_a_request_makes_is_bounded(receiver: Receiver, running: Running, batch: bool) -> None:
    daemon = await running(many_tasks(receiver.url))
    before = procfs.memory_mib(daemon.pid)
    posted: object = [event(90_000) for _ in range(10)] if batch else event(1_000_000)
    status, problem = await daemon.request("POST", "/v1/events", body=posted)
    assert status == 413
    assert problem["detail"] == (
        "the messages of this request take more than 32 MiB; nothing was stored: "
        "post fewer events at once, or let fewer or shorter messages hold their data"
    )
    assert (await daemon.get("/v1/events"))["events"] == []
    assert (await daemon.get("/v1/deliveries"))["deliveries"] == []
    assert procfs.memory_mib(daemon.pid, "VmHWM") - before < 64
    assert (await daemon.post(event(500_000)))[0] == 202


async def test_a_spooled_file_of_that_kind_is_rejected(
    receiver: Receiver, running: Running, tmp_path: Path
) -> None:
    daemon = await running(
        many_tasks(receiver.url), daemon=DAEMON.replace("{listen", "{spool: spool, listen")
    )
    (tmp_path / "spool").mkdir(exist_ok=True)
    raw = json.dumps({"id": "large-one", **event(1_000_000)})
    part = tmp_path / "spool" / ".x.part"
    part.write_text(raw)
    part.rename(tmp_path / "spool" / "x.json")
    status = await daemon.get_when("/v1/status", lambda found: found["spool"]["rejected"] == 1)
    assert status["spool"]["waiting"] == 0
    assert "take more than 32 MiB" in (tmp_path / "spool" / "rejected" / "x.json.reason").read_text()
