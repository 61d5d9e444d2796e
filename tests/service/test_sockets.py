"""The file of a Unix socket: its mode and group from its first moment on, and that nothing else gets them."""

import grp
import os
import socket
import stat
from pathlib import Path

import pytest

from hookd.domain.definitions import UnixListen
from hookd.server import sockets
from hookd.server.sockets import bind_unix


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
@pytest.mark.parametrize("umask", [0o077, 0o022, 0])
def test_its_mode_is_the_one_that_is_configured(mode: int, umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        with bind_unix(UnixListen(str(tmp_path / "h.sock"), mode=mode)):
            assert stat.S_IMODE((tmp_path / "h.sock").stat().st_mode) == mode
            assert list(tmp_path.iterdir()) == [tmp_path / "h.sock"]
    finally:
        assert os.umask(before) == umask


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to another group")
def test_what_takes_its_place_is_not_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    victim = tmp_path / "victim"
    victim.touch(0o600)

    def swap(sock: socket.socket, path: str, _mode: int) -> None:
        sock.bind(str(tmp_path / "aside"))
        Path(path).symlink_to(victim)

    monkeypatch.setattr(sockets, "_bind_with_mode", swap)
    other = next(group.gr_name for group in grp.getgrall() if group.gr_gid != os.getegid())
    bind_unix(UnixListen(str(tmp_path / "h.sock"), mode=0o666, group=other)).close()
    facts = victim.stat()
    assert (stat.S_IMODE(facts.st_mode), facts.st_gid) == (0o600, os.getegid())
