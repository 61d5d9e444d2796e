"""What systemd gives a service: a notification socket, a watchdog's interval, sockets to listen on.

See sd_notify(3), sd_watchdog_enabled(3), sd_listen_fds(3).

Must never: block, raise for systemd's sake, or know anything of hookd. Outside systemd every call is a no-op.
"""

import os
import socket
import time
from collections.abc import Mapping

from hookd.domain.value_class import value_class

FIRST_PASSED = 3
"""The number of the first descriptor that is passed (sd_listen_fds(3))."""


LONGEST = 1000
"""Bytes of a status."""


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
                sock.sendto(message.encode(errors="replace"), self._address)
        except OSError:
            return


def one_line(text: str) -> str:
    """The text without line breaks, which would start a new field of the notification, and at most `LONGEST` bytes.

    systemd drops a notification of more than 4,096 bytes whole, READY=1 with it.
    """
    raw = " ".join(text.split()).encode(errors="replace")
    return raw.decode() if len(raw) <= LONGEST else raw[:LONGEST].decode(errors="ignore") + "…"


@value_class
class PassedDescriptor:
    """A descriptor that the service manager has opened for this process, and the name it gave it."""

    fd: int
    name: str


def passed_descriptors(env: Mapping[str, str] = os.environ) -> tuple[PassedDescriptor, ...]:
    """What was passed to this very process (sd_listen_fds_with_names(3)); what was passed to another one is ignored."""
    count, names = env.get("LISTEN_FDS", ""), env.get("LISTEN_FDNAMES", "").split(":")
    if env.get("LISTEN_PID") != str(os.getpid()) or not (count.isascii() and count.isdigit()):
        return ()
    numbers = range(FIRST_PASSED, FIRST_PASSED + int(count))
    named = names if len(names) == len(numbers) else ["unknown"] * len(numbers)
    return tuple(PassedDescriptor(*each) for each in zip(numbers, named, strict=True))


def passed_to_another(env: Mapping[str, str] = os.environ) -> str | None:
    """The process id that sockets were passed to, where that is not this process; else None."""
    pid = env.get("LISTEN_PID", "")
    return pid if pid and env.get("LISTEN_FDS", "0") != "0" and pid != str(os.getpid()) else None
