"""`hookd run`: the daemon itself.

Must never: do anything of the daemon's; it hands over, and until then answers the signals.
"""

import argparse
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager

from hookd.cli.config_option import add_config

DESCRIPTION = """Run the daemon in the foreground until SIGTERM or Ctrl-C.

Exit codes: 0 stopped as asked, 78 the config is invalid or does not fit the sockets that systemd passes,
74 the store cannot be used, 75 its server cannot be reached now."""
EXAMPLE = "hookd run --config /etc/hookd"


def arguments(parser: argparse.ArgumentParser) -> None:
    """Take the config's path."""
    add_config(parser)


def run(options: argparse.Namespace) -> int:
    """Run it; its exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _leave)
    signal.signal(signal.SIGHUP, _pass_over)
    from concurrent.futures import ThreadPoolExecutor

    from hookd.config import default_path, isolated_load

    path = options.config or default_path()
    with ThreadPoolExecutor(1) as pool:
        loading = pool.submit(isolated_load, path)  # by a child process, while this one imports the daemon
        with _no_authorities_read():
            from hookd.daemon import run as run_daemon

        loaded = loading.result()
    return run_daemon(path, loaded)


@contextmanager
def _no_authorities_read() -> Iterator[None]:
    """While this lasts, a TLS context reads none of the system's authorities, and so trusts nobody.

    aiohttp makes two when it is imported, a third of what the daemon imports for. No connection of hookd's uses them:
    each gets a context of hookd's own.
    """
    import ssl

    ssl.SSLContext.set_default_verify_paths = _read_none  # type: ignore[method-assign, assignment]
    try:
        yield
    finally:
        del ssl.SSLContext.set_default_verify_paths  # and the inherited method is in its place again


def _read_none(_context: object) -> None:
    """Stand in for `SSLContext.set_default_verify_paths`."""


def _leave(_number: int, _frame: object) -> None:
    """Stop before there is anything to stop; at once, so that a second signal finds no moment to kill it."""
    os._exit(0)


def _pass_over(_number: int, _frame: object) -> None:
    """A reload is asked for while the files are still being read: the daemon begins with another look at them."""
