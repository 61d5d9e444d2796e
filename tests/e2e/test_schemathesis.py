"""The running API against its own description: schemathesis asks for what is allowed and for what is not (spec 9)."""

import asyncio
import os
import shutil
import sys
from pathlib import Path

import pytest

from tests.bench.nginx import free_port
from tests.e2e.conftest import Running
from tests.e2e.recorder import Recorder

ROOT = Path(__file__).parents[2]
TOKEN = "schemathesis-token"
EXAMPLES = os.environ.get("HOOKD_API_EXAMPLES", "15")
SEED = os.environ.get("HOOKD_API_SEED", "1")

CONFIG = """
webhooks:
  w: {{url: '{url}', headers: {{Content-Type: text/plain}}}}
  paused w: {{url: '{url}', headers: {{Content-Type: text/plain}}}}
tasks:
  t: {{webhook: w}}
  once: {{webhook: w, delete_after_running: true}}
events:
  e: {{type: vm, event: "on", task: [t, once]}}
"""


def schemathesis() -> str:
    """The program beside the interpreter that runs the tests."""
    return shutil.which("schemathesis", path=str(Path(sys.executable).parent)) or "schemathesis"


@pytest.mark.skipif(not shutil.which(schemathesis()), reason="needs schemathesis (in the test extra)")
async def test_schemathesis_finds_no_violation(tmp_path: Path, recorder: Recorder, running: Running) -> None:
    port = free_port()
    section = f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}', tokens: [{TOKEN}]}}], store: h.db}}\n"
    daemon = await running(CONFIG.format(url=recorder.url), daemon=section)
    env = {**os.environ, "SCHEMATHESIS_HOOKS": "tests.e2e.schemathesis_hooks", "PYTHONPATH": str(ROOT)}
    process = await asyncio.create_subprocess_exec(
        schemathesis(), "run", f"http://127.0.0.1:{port}/openapi.json", "-H", f"Authorization: Bearer {TOKEN}",
        "--checks", "all", "--max-examples", EXAMPLES, "--seed", SEED, "--continue-on-failure", "--no-color",
        "--warnings", "off", "--generation-database", "none",
        cwd=tmp_path, env=env, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
    )  # fmt: skip
    said = (await process.communicate())[0].decode()
    assert process.returncode == 0, said
    tested = len((await daemon.get("/openapi.json"))["paths"])
    assert f"{tested} selected / {tested} total" in said
    assert (await daemon.get("/healthz")) == {"status": "ok"}
    assert '"event": "request.failed"' not in daemon.log.read_text()
