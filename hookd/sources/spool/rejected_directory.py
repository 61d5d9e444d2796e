"""`rejected/` in the spool, hookd's own: made, opened, and taken for that only where nobody else could have made it.

Members of the spool's group can make any name in the spool that is not there yet. What they made under this name is
moved aside, since whose directory it is could read and remove the events of others that are kept in it.

Must never: remove anything, follow a symlink, or use a directory of another user. Blocks; runs in threads.
"""

import os
import stat
from collections.abc import Iterator
from contextlib import suppress

from hookd.config.yaml.files import kind_of
from hookd.domain.spool_layout import REJECTED
from hookd.observability import log

DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

MODE = 0o700
"""Of a new one."""

FOREIGN = f"{REJECTED}.foreign"
"""What is called `rejected`, but is not hookd's, is moved there, with a number where that name is taken."""

LONGEST_NAME = 200
"""Bytes of a name that is given: that of a reason is longer, and 255 is the limit of file systems."""

_TRIES = 5
"""Somebody may make a false one again and again, until this one is there: then nobody can."""


def open_rejected(spool: int) -> int:
    """The descriptor of the spool's `rejected/`; it is made where it is not there.

    Args:
        spool: the spool's directory.

    Raises:
        OSError: it can be neither used nor made, or what stands at its name cannot be moved.
    """
    for _ in range(_TRIES):
        with suppress(FileExistsError):
            os.mkdir(REJECTED, MODE, dir_fd=spool)
        with suppress(FileNotFoundError):
            if (opened := _opened(spool)) is not None:
                return opened
            _move_aside(spool)
    raise FileExistsError(f"another user makes {REJECTED}/ in it again and again")


def is_current(opened: int, spool: int) -> bool:
    """Whether a descriptor that `open_rejected` returned is still that of the spool's `rejected/`."""
    try:
        return os.path.samestat(os.fstat(opened), _look(spool))
    except OSError:
        return False


def free_name(directory: int, wanted: str) -> str:
    """The name, cut where it is too long, else another made of it: what is there is never replaced."""
    return next(name for name in _names_like(wanted) if not _is_there(directory, name))


def _names_like(wanted: str) -> Iterator[str]:
    short = os.fsdecode(os.fsencode(wanted)[:LONGEST_NAME])
    yield short
    for number in range(2, 1_000_000):
        yield f"{number}-{short}"


def _is_there(directory: int, name: str) -> bool:
    try:
        os.stat(name, dir_fd=directory, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True


def _look(spool: int) -> os.stat_result:
    return os.stat(REJECTED, dir_fd=spool, follow_symlinks=False)


def _opened(spool: int) -> int | None:
    """What stands at the name, opened; None where it is not hookd's."""
    if not _is_own(_look(spool), spool):
        return None
    opened = os.open(REJECTED, DIRECTORY | os.O_NOFOLLOW, dir_fd=spool)
    try:
        # The name may stand for something else since the first look; what counts is what was opened.
        if _is_own(os.fstat(opened), spool):
            _narrow(opened, spool)
            return opened
    except BaseException:
        os.close(opened)
        raise
    os.close(opened)
    return None


def _is_own(facts: os.stat_result, spool: int) -> bool:
    """Whether it is a directory of hookd's, root's or the spool's owner's, who could replace any other one."""
    return stat.S_ISDIR(facts.st_mode) and facts.st_uid in {0, os.geteuid(), os.fstat(spool).st_uid}


def _narrow(opened: int, spool: int) -> None:
    """Take from hookd's own directory what lets others change it, or lets those look who may leave files."""
    facts, outer = os.fstat(opened), os.fstat(spool)
    mode = stat.S_IMODE(facts.st_mode)
    members = facts.st_gid == outer.st_gid and outer.st_mode & stat.S_IWGRP
    narrow = mode & ~(0o077 if members else 0o027)
    if narrow != mode and facts.st_uid == os.geteuid():
        os.fchmod(opened, narrow)
        log.warning("spool.narrowed", name=REJECTED, mode=f"{mode:04o}", now=f"{narrow:04o}")


def _move_aside(spool: int) -> None:
    facts = _look(spool)
    name = free_name(spool, FOREIGN)
    os.rename(REJECTED, name, src_dir_fd=spool, dst_dir_fd=spool)
    what = kind_of(facts.st_mode) or "a regular file"
    log.warning("spool.foreign", name=REJECTED, moved_to=name, what=what, uid=facts.st_uid)
