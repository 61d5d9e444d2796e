"""The metrics as Prometheus' own tools see them: `promtool`, and a server that scrapes a running hookd (spec 10)."""

import asyncio
import json
import re
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import yaml

from tests.docs import pages
from tests.e2e.conftest import Running
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.receiver import Received, Receiver, response
from tests.kit.tools import needs

TOKEN = "scrape-token"

needs_promtool = needs("promtool", package="prometheus")
needs_prometheus = needs("prometheus")

RULES = """
tasks:
  t: {webhook: good}
  u: {webhook: 'bad "one" \\ über'}
  v: {webhook: parked}
events:
  e: {type: vm, event: "on", task: t}
  f: {type: vm, event: "off", task: u}
  g: {type: vm, event: paused, task: v}
  h: {type: vm, event: "on", where: "data.x > 1", task: t}
schedules:
  s: {every: 1s, task: t}
"""

FAMILIES = {
    "hookd_events_total": "counter",
    "hookd_deliveries_total": "counter",
    "hookd_attempts_total": "counter",
    "hookd_attempts_resent_total": "counter",
    "hookd_attempt_duration_seconds": "histogram",
    "hookd_pending": "gauge",
    "hookd_oldest_pending_age_seconds": "gauge",
    "hookd_parked": "gauge",
    "hookd_in_flight": "gauge",
    "hookd_webhook_breaker_open": "gauge",
    "hookd_webhook_slowed_to_per_second": "gauge",
    "hookd_rule_errors_total": "counter",
    "hookd_config_last_reload_success": "gauge",
    "hookd_config_last_reload_timestamp_seconds": "gauge",
    "hookd_config_reloads_total": "counter",
    "hookd_config_info": "gauge",
    "hookd_connections": "gauge",
    "hookd_connections_unserved_total": "counter",
    "hookd_certificate_end_timestamp_seconds": "gauge",
    "hookd_spool_files_total": "counter",
    "hookd_spool_waiting": "gauge",
    "hookd_spool_rejected": "gauge",
    "hookd_store_commit_duration_seconds": "histogram",
    "hookd_leases_lost_total": "counter",
    "hookd_store_writable": "gauge",
    "hookd_build_info": "gauge",
}


async def refuse_some(request: Received) -> bytes:
    return response(500 if request.target == "/bad" else 200)


def webhooks(url: str) -> str:
    return (
        f"webhooks:\n  good: {{url: '{url}/good'}}\n"
        f"  'bad \"one\" \\ über': {{url: '{url}/bad', retries: 0}}\n"
        f"  parked: {{url: '{url}/parked', enabled: false}}\n"
    )


async def traffic_of_every_kind(daemon: DaemonProcess, url: str) -> None:
    """Every result of an event, every outcome of a delivery, a refused and an applied reload."""
    delivered = (await daemon.post({"type": "vm", "event": "on", "id": "one"}))[1]
    assert (await daemon.post({"type": "vm", "event": "on", "id": "one"}))[0] == 200
    assert (await daemon.post({"type": "vm", "event": "off", "id": "one"}))[0] == 409
    assert (await daemon.post({"type": "vm"}))[0] == 422
    dead = (await daemon.post({"type": "vm", "event": "off"}))[1]
    waiting = (await daemon.post([{"type": "vm", "event": "paused"}] * 2))[1]["events"]
    gone = waiting[0]["deliveries"][0]["id"]
    assert (await daemon.request("POST", f"/v1/deliveries/{gone}/cancel"))[0] == 200
    assert (await daemon.request("POST", "/v1/tasks/t/trigger"))[0] == 202
    assert (await daemon.request("POST", "/v1/webhooks/good/send"))[0] == 202
    await daemon.delivery_when(delivered["deliveries"][0]["id"], "delivered")
    await daemon.delivery_when(dead["deliveries"][0]["id"], "dead")
    daemon.config.write_text("webhooks: [\n")
    assert (await daemon.request("POST", "/v1/reload"))[0] == 422


def families(text: str) -> dict[str, str]:
    return dict(re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE))


async def test_every_metric_of_the_table_is_there_after_traffic_of_every_kind(
    receiver: Receiver, running: Running
) -> None:
    receiver.reply = refuse_some
    daemon = await running(webhooks(receiver.url) + RULES)
    await traffic_of_every_kind(daemon, receiver.url)
    text = (await daemon.get("/metrics")).decode()
    assert families(text) == FAMILIES
    assert 'hookd_deliveries_total{outcome="dead",webhook="bad \\"one\\" \\\\ über"} 1\n' in text
    assert 'hookd_deliveries_total{outcome="cancelled",webhook="parked"} 1\n' in text
    assert 'hookd_deliveries_total{outcome="dead",webhook="good"} 0\n' in text
    assert 'hookd_events_total{result="conflict"} 1' in text
    assert 'hookd_rule_errors_total{rule="events.h"} 2\n' in text
    assert 'hookd_parked{webhook="parked"} 1\n' in text
    assert 'hookd_webhook_breaker_open{webhook="good"} 0\n' in text
    assert "hookd_config_last_reload_success 0\n" in text
    assert 'hookd_config_reloads_total{result="rejected"} 1\n' in text
    assert (await daemon.request("GET", "/v1/status"))[1]["config"]["hash"] in text


def test_the_table_of_the_docs_names_every_metric() -> None:
    section = pages.section("docs/metrics.md", "Which metrics are there?")
    table = "\n".join(line for line in section.splitlines() if line.startswith("| `"))
    assert set(re.findall(r"hookd_\w+", table)) == FAMILIES.keys()


def complaints_about(text: bytes) -> tuple[int, bytes]:
    command = ["promtool", "check", "metrics"]
    checked = subprocess.run(
        command, input=text, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=False
    )
    return checked.returncode, checked.stdout


@needs_promtool
async def test_promtool_has_no_complaint(receiver: Receiver, running: Running) -> None:
    receiver.reply = refuse_some
    daemon = await running(webhooks(receiver.url) + RULES)
    await traffic_of_every_kind(daemon, receiver.url)
    assert complaints_about(await daemon.get("/metrics")) == (0, b"")


async def test_what_left_the_configuration_leaves_the_metrics(receiver: Receiver, running: Running) -> None:
    receiver.reply = refuse_some
    one = "webhooks:\n  w{n}: {{url: '{url}'}}\ntasks:\n  t: {{webhook: w{n}}}\n"
    one += "events:\n  e{n}: {{type: vm, event: 'on', where: data.x > 1, task: t}}\n"
    daemon = await running(one.format(n=0, url=receiver.url))
    head = daemon.config.read_text().partition("webhooks:")[0]
    sizes = []
    for n in range(1, 4):
        await daemon.post({"type": "vm", "event": "on"})
        triggered = (await daemon.request("POST", "/v1/tasks/t/trigger"))[1]
        await daemon.delivery_when(triggered["deliveries"][0]["id"], "delivered")
        text = (await daemon.get("/metrics")).decode()
        assert f'webhook="w{n - 1}"' in text
        assert f'hookd_rule_errors_total{{rule="events.e{n - 1}"}} 1\n' in text
        sizes.append(text.count("\n"))
        daemon.config.write_text(head + one.format(n=n, url=receiver.url))
        assert (await daemon.request("POST", "/v1/reload"))[0] == 200
    assert sizes[0] == sizes[1] == sizes[2]
    async with asyncio.timeout(5):
        while b"w2" in (text_now := await daemon.get("/metrics")):
            await asyncio.sleep(0.02)
    assert b'hookd_pending{webhook="w3"} 0\n' in text_now
    assert [lane["name"] for lane in (await daemon.get("/v1/webhooks"))["webhooks"]] == ["w3"]


@asynccontextmanager
async def prometheus(directory: Path, target: str) -> AsyncIterator[str]:
    """A Prometheus that scrapes `target` each second, as docs/metrics.md says; yields its API's address."""
    port = free_port()
    (directory / "token").write_text(TOKEN)
    shown = pages.named("scrape").replace("/etc/prometheus/hookd-token", f"{directory}/token")
    config = "global: {scrape_interval: 1s}\n" + shown.replace("127.0.0.1:8420", target)
    (directory / "prometheus.yml").write_text(config)
    with (directory / "prometheus.log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            "prometheus", f"--config.file={directory}/prometheus.yml", f"--storage.tsdb.path={directory}/tsdb",
            f"--web.listen-address=127.0.0.1:{port}", stdout=log, stderr=log,
        )  # fmt: skip
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        await process.wait()


async def query(session: aiohttp.ClientSession, url: str, expression: str) -> list[dict[str, Any]]:
    try:
        async with session.get(f"{url}/api/v1/query", params={"query": expression}) as response:
            answer = await response.json()
    except (aiohttp.ClientConnectionError, aiohttp.ContentTypeError):
        return []  # not up yet
    found: list[dict[str, Any]] = answer.get("data", {}).get("result", [])
    return found


@needs_prometheus
async def test_a_prometheus_scrapes_it_with_a_token(
    tmp_path: Path, receiver: Receiver, running: Running
) -> None:
    receiver.reply = refuse_some
    port = free_port()
    section = f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}', tokens: [{TOKEN}]}}], store: h.db}}\n"
    daemon = await running(webhooks(receiver.url) + RULES, daemon=section)
    await traffic_of_every_kind(daemon, receiver.url)
    wanted = {
        "up": 1.0,
        'hookd_deliveries_total{outcome="dead",webhook="bad \\"one\\" \\\\ über"}': 1.0,
        'hookd_pending{webhook="parked"}': 1.0,
        "hookd_config_last_reload_success": 0.0,
        'histogram_quantile(0.9, hookd_attempt_duration_seconds_bucket{webhook="good"}) < bool 120': 1.0,
    }
    async with prometheus(tmp_path, f"127.0.0.1:{port}") as url, aiohttp.ClientSession() as session:
        for expression, value in wanted.items():
            async with asyncio.timeout(30):
                while not (found := await query(session, url, expression)) or (
                    expression == "up" and found[0]["value"][1] == "0"
                ):
                    await asyncio.sleep(0.1)
            assert [float(sample["value"][1]) for sample in found] == [value], expression


def alerts() -> str:
    """The rules file in docs/metrics.md."""
    return pages.named("alerts")


ON = {"job": "hookd", "instance": "a:8420"}

FIRING = {
    # alert: series, values once a minute, further labels of the alert, when it is silent, when it fires
    "HookdDown": ("up", "1 1 0 0 0 0 0", {}, "3m", "4m"),
    "HookdStoreCannotWrite": ("hookd_store_writable", "1 1 0 0 0", {}, "2m", "3m"),
    "HookdConfigRefused": ("hookd_config_last_reload_success", "1 1 0x7", {}, "6m", "7m"),
    "HookdDeliveriesDead": (
        "hookd_deliveries_total", "0 0 0 1 1 1", {"webhook": "w", "outcome": "dead"}, "2m", "3m",
    ),
    "HookdDeliveriesWaiting": (
        "hookd_oldest_pending_age_seconds", "3600 3660+60x8", {"webhook": "w"}, "5m", "6m",
    ),
}  # fmt: skip


@needs_promtool
def test_promtool_accepts_the_rules(tmp_path: Path) -> None:
    (tmp_path / "rules.yml").write_text(alerts())
    checked = subprocess.run(
        ["promtool", "check", "rules", "rules.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert checked.returncode == 0, checked.stderr
    assert "5 rules found" in checked.stdout
    named = [rule["alert"] for rule in yaml.safe_load(alerts())["groups"][0]["rules"]]
    assert named == list(FIRING)


@needs_promtool
@pytest.mark.parametrize("alert", FIRING)
def test_an_alert_is_silent_and_then_fires(tmp_path: Path, alert: str) -> None:
    series, values, labels, silent_at, fires_at = FIRING[alert]
    rule = next(rule for rule in yaml.safe_load(alerts())["groups"][0]["rules"] if rule["alert"] == alert)
    told = {**ON, **labels}
    texts = {
        name: re.sub(r"{{ \$labels\.(\w+) }}", lambda found: told[found[1]], text)
        for name, text in rule["annotations"].items()
    }
    expected = [{"exp_labels": {**told, **rule["labels"]}, "exp_annotations": texts}]
    selector = ",".join(f'{name}="{value}"' for name, value in told.items())
    case = {
        "rule_files": ["rules.yml"],
        "tests": [
            {
                "interval": "1m",
                "input_series": [{"series": f"{series}{{{selector}}}", "values": values}],
                "alert_rule_test": [
                    {"eval_time": silent_at, "alertname": alert, "exp_alerts": []},
                    {"eval_time": fires_at, "alertname": alert, "exp_alerts": expected},
                ],
            }
        ],
    }
    (tmp_path / "rules.yml").write_text(alerts())
    (tmp_path / "test.yml").write_text(json.dumps(case))
    tested = subprocess.run(
        ["promtool", "test", "rules", "test.yml"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert tested.returncode == 0, tested.stdout + tested.stderr
