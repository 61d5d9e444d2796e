"""The notification socket of systemd (sd_notify(3)) and the watchdog's interval (sd_watchdog_enabled(3)).

Must never: block, raise for systemd's sake, or know anything of hookd. Outside systemd every call is a no-op.
Called by: `daemon`.
"""

import os
import socket
import time
from collections.abc import Mapping


class Notifier:
    """Sends state changes to the service manager named by `$NOTIFY_SOCKET`."""

    def __init__(self, env: Mapping[str, str] = os.environ) -> None:
        address = env.get("NOTIFY_SOCKET", "")
        self._address = "\0" + address[1:] if address.startswith("@") else address
        self._watchdog_usec = env.get("WATCHDOG_USEC", "")
        self._watchdog_pid = env.get("WATCHDOG_PID", "")

    def ready(self, status: str) -> None:
        """Tell that intake works (first start) or that a reload has ended, whatever its verdict."""
        self._send(f"READY=1\nSTATUS={one_line(status)}")

    def reloading(self) -> None:
        """Tell that a reload has begun: both fields in one datagram, as `Type=notify-reload` demands."""
        self._send(f"RELOADING=1\nMONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def status(self, status: str) -> None:
        """Set the line that `systemctl status` shows."""
        self._send(f"STATUS={one_line(status)}")

    def stopping(self) -> None:
        """Tell that the service is going down."""
        self._send("STOPPING=1\nSTATUS=stopping")

    def alive(self) -> None:
        """Feed the watchdog."""
        self._send("WATCHDOG=1")

    def watchdog_interval_s(self) -> float | None:
        """Seconds between two feeds (half of what systemd allows), or None where no watchdog watches this process."""
        if not self._watchdog_usec.isdigit():
            return None
        if self._watchdog_pid and self._watchdog_pid != str(os.getpid()):
            return None
        return int(self._watchdog_usec) / 2_000_000

    def _send(self, message: str) -> None:
        if not self._address:
            return
        try:
            with socket.socket(
                socket.AF_UNIX, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK
            ) as sock:
                sock.sendto(message.encode(), self._address)
        except OSError:
            return


def one_line(text: str) -> str:
    """The text without line breaks, which would start a new field of the notification."""
    return " ".join(text.split())
