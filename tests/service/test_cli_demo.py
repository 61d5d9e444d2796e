"""`hookd demo`: the story as a user sees it, and that nothing of it is left behind."""

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.process

DEMO = [sys.executable, "-m", "hookd", "demo"]


def environment(short_path: Path) -> dict[str, str]:
    return {**os.environ, "TMPDIR": str(short_path), "PYTHONWARNINGS": "default"}


def test_everything_arrives_and_nothing_is_left(short_path: Path) -> None:
    ran = subprocess.run(
        DEMO, capture_output=True, text=True, timeout=60, check=False, env=environment(short_path)
    )
    assert (ran.returncode, ran.stderr) == (0, "")
    assert ran.stdout.count("signature verified") == 5
    assert ran.stdout.count("answered 503") == 2
    assert ran.stdout.count("  delivered  ") == 3
    assert "kill -9" in ran.stdout
    assert "What to do next" in ran.stdout
    assert list(short_path.iterdir()) == []
    assert not any(_alive(int(pid)) for pid in re.findall(r"pid (\d+)", ran.stdout))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_it_cleans_up_when_it_is_interrupted(number: signal.Signals, code: int, short_path: Path) -> None:
    with subprocess.Popen(
        DEMO, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment(short_path)
    ) as demo:
        assert demo.stdout
        pid = int(re.findall(r"daemon \(pid (\d+)\)", demo.stdout.readline())[0])
        demo.send_signal(number)
        _, err = demo.communicate(timeout=30)
    assert (demo.returncode, err) == (code, "")
    assert list(short_path.iterdir()) == []
    assert not _alive(pid)


def test_a_daemon_that_does_not_start_is_told_with_its_log(short_path: Path) -> None:
    crooked = short_path / "uvloop.py"
    crooked.write_text("raise SystemExit('uvloop is broken here')")
    ran = subprocess.run(
        DEMO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        env={**environment(short_path), "PYTHONPATH": str(short_path)},
    )
    assert ran.returncode == 1
    assert "the demo did not go as it should: the daemon ended while starting" in ran.stderr
    assert "  uvloop is broken here" in ran.stderr
    assert [left.name for left in short_path.iterdir() if left.name.startswith("hookd")] == []


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
