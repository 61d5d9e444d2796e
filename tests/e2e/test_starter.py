"""What `hookd init` writes, run as it is; only the ports and the socket's name are other ones."""

import asyncio
import json
import shlex
import sys
from pathlib import Path

from hookd.cli.main import main
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver


async def test_the_starter_runs_and_sends_what_its_tests_say(receiver: Receiver, tmp_path: Path) -> None:
    assert main(["init", str(tmp_path)]) == 0
    config = tmp_path / "hookd.yaml"
    text = config.read_text()
    words = next(line for line in text.splitlines() if line.startswith("#   hookd emit"))
    for written, here in (
        ("9099", str(receiver.port)),
        ("hookd.sock", "h.sock"),
    ):
        assert written in text
        text = text.replace(written, here)
    config.write_text(text)
    async with DaemonProcess(tmp_path):
        emit = await asyncio.create_subprocess_exec(
            sys.executable, "-m", *shlex.split(words.lstrip("# ")), cwd=tmp_path
        )
        assert await asyncio.wait_for(emit.wait(), 30) == 0
        [request] = await receiver.wait_for(1)
    body = json.loads(request.body)
    assert (request.method, request.target) == ("POST", "/slack")
    assert body["text"].startswith("Sync of nas-2 failed at ")
    assert body["text"].endswith(": disk full")
    assert body["attachments"] == [{"title": "Attempt", "text": 3}]
