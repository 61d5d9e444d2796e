"""What the daemon says about itself: logs, metrics, the service manager (spec 10, 12)."""

import asyncio
import json
import os
from pathlib import Path

import pytest

from tests.e2e.conftest import Running
from tests.kit.commands import hookd
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Received, Receiver, response
from tests.kit.terminal import shown_in_terminal

RULES = """
tasks:
  t: {webhook: w}
events:
  e: {type: vm, event: "on", task: t}
"""
EVENT = {"type": "vm", "event": "on"}


def samples(text: bytes) -> dict[str, float]:
    lines = [line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in lines}


async def test_metrics(receiver: Receiver, running: Running) -> None:
    async def fail_once(request: Received) -> bytes:
        return response(500 if len(receiver.requests) == 1 else 200)

    receiver.reply = fail_once
    daemon = await running(f"webhooks:\n  w: {{url: '{receiver.url}', backoff: [50ms]}}\n{RULES}")
    _, receipt = await daemon.post({**EVENT, "id": "one"})
    await daemon.post({**EVENT, "id": "one"})
    await daemon.post({"type": "vm"})
    await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
    seen = samples(await daemon.get("/metrics"))
    assert seen['hookd_events_total{result="accepted"}'] == 1
    assert seen['hookd_events_total{result="duplicate"}'] == 1
    assert seen['hookd_events_total{result="rejected"}'] == 1
    assert seen['hookd_attempts_total{result="ok",webhook="w"}'] == 1
    assert seen['hookd_attempts_total{result="status",webhook="w"}'] == 1
    assert seen['hookd_deliveries_total{outcome="delivered",webhook="w"}'] == 1
    assert seen['hookd_attempt_duration_seconds_count{webhook="w"}'] == 2
    assert seen['hookd_pending{webhook="w"}'] == 0
    assert seen["hookd_config_last_reload_success"] == 1
    assert seen["hookd_store_commit_duration_seconds_count"] > 0


async def test_an_id_as_a_terminal_shows_it_is_taken_by_every_command(
    receiver: Receiver, running: Running
) -> None:
    daemon = await running(f"webhooks:\n  w: {{url: '{receiver.url}'}}\n{RULES}")
    _, receipt = await daemon.post(EVENT)
    whole = receipt["deliveries"][0]["id"]
    await daemon.delivery_when(whole, "delivered")
    env = {"HOOKD_SOCKET": str(daemon.socket)}
    head, row = await asyncio.to_thread(shown_in_terminal, "deliveries", columns=80, rows=24, env=env)
    short = row.split()[0]
    assert head.startswith("ID ")
    assert len(short) == 20
    assert short in whole
    for words in (("show", short), ("retry", short), ("deliveries", "--event", receipt["id"][4:24])):
        ended = await hookd(*words, env=env)
        assert (ended.code, whole in ended.out) == (0, True), (words, ended)
    ended = await hookd("show", short[:11], env=env)
    assert (ended.code, ended.err.splitlines()[1]) == (1, f"did you mean: {whole}")


async def test_log_lines_are_facts_in_json(receiver: Receiver, running: Running) -> None:
    daemon = await running(f"webhooks:\n  w: {{url: '{receiver.url}'}}\n{RULES}")
    _, receipt = await daemon.post(EVENT)
    delivery = receipt["deliveries"][0]["id"]
    await daemon.delivery_when(delivery, "delivered")
    assert await daemon.stop() == 0
    lines = [json.loads(line) for line in daemon.log.read_text().splitlines()]
    facts = {line["event"]: line for line in lines}
    assert {"daemon.ready", "delivery.delivered", "daemon.stopping", "daemon.stopped"} <= facts.keys()
    assert facts["delivery.delivered"]["delivery_id"] == delivery
    assert facts["delivery.delivered"]["webhook"] == "w"


@pytest.mark.promise
async def test_no_secret_is_told(tmp_path: Path, receiver: Receiver) -> None:
    canary = {name: f"canary-{name}-5ecret" for name in ("URL", "TOKEN", "HEADER", "SIGN")}

    async def echo(request: Received) -> bytes:
        echoed = "\n".join([request.target, *(value for _, value in request.headers)]).encode()
        return response(500 if len(receiver.requests) < 2 else 200, body=echoed)

    receiver.reply = echo
    (tmp_path / "hookd.yaml").write_text(
        "daemon: {listen: [{unix: h.sock}], store: h.db, log: {level: debug}}\n"
        "webhooks:\n  w:\n    url: {env: URL}\n    auth: {type: bearer, token: {env: TOKEN}}\n"
        "    headers: {X-Secret: {env: HEADER}}\n    signing: {secret: {env: SIGN}}\n    backoff: [50ms]\n"
        "  dead: {url: {env: DEAD}, retries: 0}\n"
        "tasks: {t: {webhook: w}, d: {webhook: dead}}\nevents: {e: {type: vm, event: 'on', task: [t, d]}}\n"
    )
    env = {**canary, "URL": f"{receiver.url}/{canary['URL']}", "DEAD": f"http://127.0.0.1:9/{canary['URL']}"}
    daemon = DaemonProcess(tmp_path, env=env)
    async with daemon:
        _, receipt = await daemon.post(EVENT)
        shown = [
            json.dumps(await daemon.delivery_when(d["id"], "delivered", "dead"))
            for d in receipt["deliveries"]
        ]
        paths = ("/v1/status", "/v1/config", "/v1/webhooks", "/v1/deliveries", "/v1/events")
        shown += [json.dumps(await daemon.get(path)) for path in paths]
        shown.append((await daemon.get("/metrics")).decode())
        (tmp_path / "hookd.yaml").write_text("webhooks: {w: {url: {env: NOT_SET}}}\n")
        shown.append(json.dumps((await daemon.request("POST", "/v1/reload"))[1]))
        assert await daemon.stop() == 0
    assert receiver.requests[0].header("authorization") == f"Bearer {canary['TOKEN']}"
    shown.append(daemon.log.read_text())
    shown += [
        path.read_bytes().decode("latin-1")
        for path in (tmp_path / "h.db", tmp_path / "h.db-wal")
        if path.exists()
    ]
    for name, value in canary.items():
        assert not any(value in text for text in shown), name
    assert any("NOT_SET" in text for text in shown)


async def test_the_watchdog_is_fed(tmp_path: Path) -> None:
    (tmp_path / "hookd.yaml").write_text("daemon: {listen: [{unix: h.sock}], store: h.db}\n")
    async with DaemonProcess(tmp_path, env={"WATCHDOG_USEC": "400000"}) as daemon:
        for _ in range(3):
            await daemon.notifications.wait_for("WATCHDOG", "1", within_s=2)
        os.kill(daemon.pid, 19)  # SIGSTOP: a frozen process feeds nobody
        try:
            await daemon.notifications.wait_for("WATCHDOG", within_s=1)
        except TimeoutError:
            pass
        else:
            raise AssertionError("fed while frozen")
        finally:
            os.kill(daemon.pid, 18)
        stop = asyncio.create_task(daemon.stop())
        await daemon.notifications.wait_for("STOPPING")
        assert await stop == 0


async def test_retention(receiver: Receiver, running: Running) -> None:
    config = f"webhooks:\n  w: {{url: '{receiver.url}'}}\n{RULES}"
    section = "daemon: {{listen: [{{unix: h.sock}}], store: h.db, retention: {{delivered: {keep}}}}}\n"
    daemon = await running(config, daemon=section.format(keep="1s"))
    _, receipt = await daemon.post({**EVENT, "id": "one"})
    delivery = receipt["deliveries"][0]["id"]
    await daemon.delivery_when(delivery, "delivered")
    await asyncio.sleep(1.1)
    await daemon.stop()
    await daemon.start()
    await daemon.gone(f"/v1/deliveries/{delivery}")
    assert (await daemon.get("/v1/events"))["events"] == []
    assert (await daemon.post({**EVENT, "id": "one"}))[0] == 202
