"""A small file system of a test's own, in memory; mounting one needs root."""

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest


class Disk:
    """A mounted file system whose size can be changed."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self._ballast = place / "ballast"

    def fill(self) -> None:
        """Take all the room that is left."""
        with self._ballast.open("ab", buffering=0) as ballast:
            for size in (65536, 4096, 1):
                with suppress(OSError):
                    while ballast.write(b"x" * size):
                        pass

    def make_room(self) -> None:
        """Give back what was taken, and more."""
        self._remount("size=64m")
        self._ballast.unlink(missing_ok=True)

    def shrink(self, megabytes: int) -> None:
        """Leave only so much; fails where more is used."""
        self._remount(f"size={megabytes}m")

    def read_only(self, *, on: bool = True) -> None:
        """Allow no writing, or allow it again."""
        self._remount("ro" if on else "rw")

    def _remount(self, option: str) -> None:
        _run("mount", "-o", f"remount,{option}", str(self.place))


def can_mount() -> bool:
    """Whether this user can have a file system of its own."""
    return os.geteuid() == 0 and shutil.which("mount") is not None


@contextmanager
def mounted(place: Path, *, megabytes: int) -> Iterator[Disk]:
    """Mount one, at a directory that is made."""
    place.mkdir(exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(place))
    try:
        yield Disk(place)
    finally:
        _run("umount", "--lazy", str(place))


@contextmanager
def small_disk(place: Path, *, megabytes: int) -> Iterator[Disk]:
    """The same for a test, which is skipped where none can be had."""
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(mounted(place, megabytes=megabytes))
        except (subprocess.CalledProcessError, OSError) as exc:
            pytest.skip(f"no small file system can be mounted here: {exc}")
        yield disk


def _run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)
