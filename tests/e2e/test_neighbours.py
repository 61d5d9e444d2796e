"""Parts nobody here wrote: Debian's webhook receiver, nginx, curl; skipped, visibly, where they are not installed."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.bench.nginx import nginx
from tests.docs import pages
from tests.e2e.conftest import Running
from tests.kit.ports import free_port, listens
from tests.kit.tools import found, needs
from tests.kit.waiting import until

RULES = """
tasks:
  t: {webhook: w}
events:
  e: {type: vm, event: "on", task: t}
"""
EVENT = {"type": "vm", "event": "on"}


@asynccontextmanager
async def debian_webhook(directory: Path, secret: str, command: str = "/bin/true") -> AsyncIterator[str]:
    """Debian's `webhook` with the rule that docs/recipes.md shows."""
    program, port = found("webhook"), free_port()
    hooks = json.loads(pages.files("docs/recipes.md")["hooks.json"])
    hooks[0]["execute-command"] = command
    hooks[0]["trigger-rule"]["match"]["secret"] = secret
    (directory / "hooks.json").write_text(json.dumps(hooks))
    process = await asyncio.create_subprocess_exec(
        program, "-hooks", str(directory / "hooks.json"), "-ip", "127.0.0.1", "-port", str(port),
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        await until(lambda: listens(port))
        yield f"http://127.0.0.1:{port}/hooks/ops"
    finally:
        process.kill()
        await process.wait()


@needs("webhook")
@pytest.mark.parametrize(
    ("signing", "state", "status"),
    [
        ("signing: {style: github, secret: s3cret}", "delivered", 200),
        ("signing: {style: github, secret: wrong}", "dead", 500),
        ("signing: {style: standard, secret: s3cret}", "dead", 403),
        ("signing: {style: standard, secret: s3cret}, method: GET", "dead", 403),
        ("enabled: true", "dead", 403),
    ],
)
async def test_debian_webhook_checks_the_github_signature(
    running: Running, tmp_path: Path, signing: str, state: str, status: int
) -> None:
    command, ran = tmp_path / "on-message", tmp_path / "ran"
    command.write_text(f"#!/bin/sh\n: > '{ran}'\n")
    command.chmod(0o755)
    async with debian_webhook(tmp_path, "s3cret", str(command)) as url:
        daemon = await running(f"webhooks:\n  w: {{url: '{url}', retries: 0, {signing}}}\n{RULES}")
        _, receipt = await daemon.post(EVENT)
        record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered", "dead")
        assert (record["state"], record["last_status"]) == (state, status)
        if state == "delivered":
            await until(ran.exists)
    assert ran.exists() == (state == "delivered")


@needs("nginx", package="nginx-light")
async def test_nginx_receives(running: Running, tmp_path: Path) -> None:
    with nginx(tmp_path) as url:
        daemon = await running(f"webhooks:\n  w: {{url: '{url}'}}\n{RULES}")
        _, receipt = await daemon.post(EVENT)
        record = await daemon.delivery_when(receipt["deliveries"][0]["id"], "delivered")
        assert record["last_status"] == 204


@needs("curl")
async def test_curl_posts_on_both_listeners(running: Running, tmp_path: Path) -> None:
    curl, port = found("curl"), free_port()
    daemon = await running(
        "", daemon=f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}'}}], store: h.db}}\n"
    )
    big = tmp_path / "big.json"
    big.write_text(json.dumps({**EVENT, "data": {"text": "x" * 900_000}}))
    for target in (
        ["--unix-socket", str(daemon.socket), "http://localhost/v1/events"],
        [f"http://127.0.0.1:{port}/v1/events"],
    ):
        for data in ('{"type": "vm", "event": "on"}', f"@{big}"):
            process = await asyncio.create_subprocess_exec(
                curl, "-sS", "-w", "%{http_code}", "-H", "Content-Type: application/json", "-d", data, *target,
                stdout=asyncio.subprocess.PIPE,
            )  # fmt: skip
            out, _ = await process.communicate()
            assert out.endswith(b"202"), out
