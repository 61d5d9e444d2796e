"""TCP ports of this machine's loopback interface."""

import socket
import subprocess
import time

START_S = 10.0


def free_port() -> int:
    """A port nobody listens on at this moment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def listens(port: int) -> bool:
    """Whether somebody does."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def wait_until_listening(process: subprocess.Popen[bytes], port: int) -> None:
    """Return when a server listens. Raises SystemExit where it ends before, or takes more than ten seconds."""
    give_up_at = time.monotonic() + START_S
    while process.poll() is None and time.monotonic() < give_up_at:
        if listens(port):
            return
        time.sleep(0.01)
    raise SystemExit(f"{process.args!r} did not start")
