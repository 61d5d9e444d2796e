"""A terminal of a given size, as a pseudo-terminal, in which a command is run.

Must never: leave a process behind.
"""

import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios
from collections.abc import Mapping

import pytest


def shown_in_terminal(
    *words: str, columns: int, rows: int, env: Mapping[str, str] | None = None
) -> list[str]:
    """The lines that `hookd WORDS` prints to a terminal; it must end by itself."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    command = [sys.executable, "-m", "hookd", *words]
    without = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"}}
    with subprocess.Popen(command, stdout=theirs, stderr=theirs, env={**without, **(env or {})}) as child:
        os.close(theirs)
        output = b"".join(iter(lambda: _piece(ours), b""))
        child.wait(30)
    os.close(ours)
    return output.decode().replace("\r\n", "\n").splitlines()


def terminal_of(patch: pytest.MonkeyPatch, *, columns: int, rows: int = 1000) -> None:
    """Let the commands of this process take their standard output for a terminal of this size."""
    patch.setattr("hookd.cli.output.terminal.is_terminal", lambda: True)
    patch.setenv("COLUMNS", str(columns))
    patch.setenv("LINES", str(rows))


def _piece(terminal: int) -> bytes:
    try:
        return os.read(terminal, 1 << 16)
    except OSError:  # EIO: the other end is closed
        return b""
