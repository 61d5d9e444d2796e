"""The running API against its own description: schemathesis asks for what is allowed and for what is not (spec 9)."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from hookd.api.openapi import document
from tests.e2e.conftest import Running
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port
from tests.kit.receiver import Receiver

ROOT = Path(__file__).parents[2]
TOKEN = "schemathesis-token"
LONGEST_S = 600
EXAMPLES = os.environ.get("HOOKD_API_EXAMPLES", "10")
SEED = os.environ.get("HOOKD_API_SEED", "1")
"""How many requests for each operation besides the fixed ones, and which: more of both search longer."""

ANSWER_S = "60"
"""How long schemathesis waits for an answer: its own 10 s are hardly more than a reload's verdict may take."""

CONFIG = """
webhooks:
  "0": {{url: '{url}', headers: {{Content-Type: null}}}}
  a/b: {{url: '{url}', headers: {{Content-Type: null}}}}
tasks:
  "0": {{webhook: "0"}}
  once: {{webhook: a/b, delete_after_running: true}}
events:
  e: {{type: vm, event: "on", task: ["0", once]}}
"""


def schemathesis() -> str:
    """The program beside the interpreter that runs the tests."""
    return shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or "schemathesis"


async def kinds(daemon: DaemonProcess) -> set[str]:
    """What has made events: each kind is a route that was passed to its end."""
    found: set[str] = set()
    query = "?limit=500"
    while query:
        page = await daemon.get(f"/v1/events{query}")
        found |= {event["kind"] for event in page["events"]}
        query = f"?limit=500&cursor={page['cursor']}" if page["cursor"] else ""
    return found


@pytest.mark.exhaustive
@pytest.mark.skipif(not shutil.which(schemathesis()), reason="needs schemathesis (in the test extra)")
async def test_schemathesis_finds_no_violation(tmp_path: Path, receiver: Receiver, running: Running) -> None:
    port = free_port()
    section = f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}', tokens: [{TOKEN}]}}], store: h.db}}\n"
    daemon = await running(CONFIG.format(url=receiver.url), daemon=section)
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        schemathesis(), "run", f"http://127.0.0.1:{port}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}",
        "--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure", "--no-color",
        "--request-timeout", ANSWER_S, "--warnings", "off", "--generation-database", "none",
        cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    try:
        async with asyncio.timeout(LONGEST_S):
            said = (await process.communicate())[0].decode()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert process.returncode == 0, said
    described = sum(len(methods.keys() - {"parameters"}) for methods in document()["paths"].values())
    tested = described - 1  # where it reads the description it does not test
    assert f"{tested} selected / {tested} total" in said
    assert await kinds(daemon) == {"event", "trigger", "send"}
    assert '"event": "request.failed"' not in daemon.log.read_text()
