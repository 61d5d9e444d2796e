"""Standard streams that are closed, as by `2>&-`, change nothing of what a command does (spec 8)."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.kit.daemon import DaemonProcess

CONFIG = "daemon: {listen: [{unix: h.sock}], store: h.db}\n"


@pytest.mark.parametrize("closed", ["2>&-", ">&-", "<&- >&- 2>&-"])
async def test_the_daemon_serves_and_ends_well(tmp_path: Path, closed: str) -> None:
    (tmp_path / "hookd.yaml").write_text(CONFIG)
    async with DaemonProcess(tmp_path, wrap=("sh", "-c", f'"$@" {closed}; exit $?', "-")) as daemon:
        code, receipt = await daemon.post({"type": "vm", "event": "on"})
        assert (code, receipt["deliveries"]) == (202, [])
        assert await daemon.stop() == 0


@pytest.mark.parametrize("words", ["bogus", "deliveries --state x", "check --no-such"])
def test_wrong_usage_is_2(words: str) -> None:
    command = ["sh", "-c", f'"$0" -m hookd {words} 2>&-', sys.executable]
    done = subprocess.run(command, check=False, capture_output=True)
    assert (done.returncode, done.stdout) == (2, b"")
