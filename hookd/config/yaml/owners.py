"""Who besides root and hookd's user could change, replace or read a file of the configuration, by owners and modes.

Whoever may write to a directory may put another file in the place of one that is in it; with the sticky bit, only its
owner, the file's and root may. So the whole way to a file counts, and that of each symlink on it.

Must never: open a file, or ask the user database for more than single names.
"""

import grp
import os
import pwd
import stat
from collections.abc import Callable, Iterator, Sequence
from functools import cache
from pathlib import Path
from shlex import quote
from typing import Any

SERVICE_USER = "hookd"
"""The user of the installed service, and its group: files may be its own, also for root who checks them."""

_MAX_LINKS = 40


def link_target(step: Path) -> Path | None:
    """Where a symlink points to; None for what is none."""
    try:
        return step.readlink()
    except OSError:
        return None


def way_to(
    path: Path, target_of: Callable[[Path], Path | None] = link_target
) -> Iterator[tuple[Path, Path | None]]:
    """Every name that is passed on the way to `path`, from the root on, with its target where it is a symlink.

    The directories on the way are real ones: what follows a symlink is that of its target.
    """
    current = Path("/")
    waiting = list(reversed(path.absolute().parts[1:]))
    links = 0
    while waiting:
        part = waiting.pop()
        if part == os.pardir:
            current = current.parent
            continue
        step = current / part
        target = target_of(step)
        if target is None or links == _MAX_LINKS:
            current = step
            yield step, None
            continue
        links += 1
        yield step, target
        if target.is_absolute():
            current = Path("/")
        waiting.extend(reversed([part for part in target.parts if part != "/"]))


def described(facts: os.stat_result) -> str:
    """`it belongs to root:hookd, its mode is 0640`."""
    owner, group = _user(facts.st_uid), _group(facts.st_gid)
    return f"it belongs to {owner}:{group}, its mode is {stat.S_IMODE(facts.st_mode):04o}"


def this_user() -> str:
    """The name of the user of this process."""
    return _user(os.geteuid())


class Ways:
    """The ways to many files, of which each directory is looked at once."""

    def __init__(self) -> None:
        self._found: dict[str, tuple[Path, str] | None] = {}

    def replaceable(self, path: Path) -> tuple[Path, str] | None:
        """The first directory on the way in which anybody could replace what leads to `path`, and why; else None."""
        for place in linked(path):
            directory = os.path.dirname(place)  # noqa: PTH120 - ten times as fast, for thousands of symlinks
            if directory not in self._found:
                self._found[directory] = _replaceable(Path(place))
            if (found := self._found[directory]) is not None:
                return found
        return None


def linked(path: Path) -> Iterator[str]:
    """The path, and where it leads while it is a symlink."""
    place = os.fspath(path)
    for _ in range(_MAX_LINKS):
        yield place
        try:
            target = os.readlink(place)  # noqa: PTH115 - likewise
        except (OSError, ValueError):
            return
        place = os.path.join(os.path.dirname(place), target)  # noqa: PTH118, PTH120 - likewise


def _replaceable(path: Path) -> tuple[Path, str] | None:
    for step, _ in way_to(path):
        facts = _facts(step.parent)
        if facts is not None and is_world_writable(facts, replace_only=True):
            return step.parent, world_writable(step.parent, facts, "replace what is in it")
    return None


def is_world_writable(facts: os.stat_result, *, replace_only: bool = False) -> bool:
    """Whether anybody may write to it; with `replace_only`, a directory with the sticky bit does not count."""
    return bool(facts.st_mode & stat.S_IWOTH) and not (replace_only and facts.st_mode & stat.S_ISVTX)


def world_writable(path: Path, facts: os.stat_result, what: str) -> str:
    """Why a world-writable file or directory is refused, as the end of a sentence, with what fixes it."""
    return f"is world-writable, so anybody could {what} ({described(facts)}; fix: chmod o-w {_shown(path)})"


class Doubts:
    """What is warned of in one load, each thing once: files that single users and groups could change or read."""

    def __init__(self) -> None:
        self._seen: set[tuple[int, int]] = set()
        self._owners: set[int] = set()
        self._groups: set[int] = set()
        self._ways: set[str] = set()

    def of_tree(
        self, top: Path, files: Sequence[Path], directories: Sequence[Path]
    ) -> Iterator[tuple[Path, str]]:
        """Each file and directory of a configuration, or on the way to it, that others could change, and why.

        What is true of the top directory is not repeated of what is in it.
        """
        yield from self._on_the_way(top)
        if top in directories:
            yield from self._of_top(top)
        for place in (*(directories if top in directories else ()), *files):
            facts = _facts(place, follow=False)
            if facts is not None and stat.S_ISLNK(facts.st_mode):
                yield from self._on_the_way(place)
                facts = _facts(place)
            yield from self._of(place, facts)

    def of_source(self, path: Path, *, secret: bool) -> Iterator[str]:
        """Why a file that the configuration refers to is doubtful, as ends of sentences.

        Args:
            path: the file.
            secret: whether nobody else should be able to read it.
        """
        facts = _facts(path)
        if facts is None or _identity(facts) in self._seen:
            return
        for place, doubt in self._on_the_way(path):
            yield f"stands below {_shown(place)}, which {doubt}"
        yield from (doubt for _, doubt in self._of(path, facts))
        if secret and _read_by_all(path, facts):
            yield f"can be read by every user of this machine ({described(facts)}; fix: {_closed(path, facts)})"

    def _on_the_way(self, path: Path) -> Iterator[tuple[Path, str]]:
        for place in map(Path, linked(path)):
            if place != path:
                yield from self._of(path, _facts(path, follow=False))
            path = place
            if str(place.parent) in self._ways:
                continue
            self._ways.add(str(place.parent))
            for step, target in way_to(place):
                yield from self._of(step.parent, _facts(step.parent), passed=True)
                if target is not None:
                    yield from self._of(step, _facts(step, follow=False))

    def _of_top(self, top: Path) -> Iterator[tuple[Path, str]]:
        facts = _facts(top)
        yield from self._of(top, facts, deep=" -R")
        if facts is not None:
            self._owners.add(facts.st_uid)
            if facts.st_mode & stat.S_IWGRP:
                self._groups.add(facts.st_gid)

    def _of(
        self, path: Path, facts: os.stat_result | None, *, passed: bool = False, deep: str = ""
    ) -> Iterator[tuple[Path, str]]:
        """What is said of one file or directory, once.

        Args:
            path: which.
            facts: about it; None where it cannot be looked at.
            passed: whether it is a directory of which only one entry counts.
            deep: an option of the commands that fix it.
        """
        if facts is None or _identity(facts) in self._seen:
            return
        self._seen.add(_identity(facts))
        what = "what is in it" if stat.S_ISDIR(facts.st_mode) else "it"
        elsewhere = "keep it elsewhere, or " if passed else ""
        if facts.st_uid not in _trusted() | self._owners:
            if passed:
                self._owners.add(facts.st_uid)
            fix = f"{elsewhere}chown{deep} root {_shown(path)}"
            yield path, f"lets its owner {_user(facts.st_uid)} change {what} ({described(facts)}; fix: {fix})"
        if _writable_by_group(facts, replace_only=passed) and facts.st_gid not in self._groups:
            fix = f"{elsewhere}chmod{deep} g-w {_shown(path)}"
            group = _group(facts.st_gid)
            yield path, f"lets the group {group} change {what} ({described(facts)}; fix: {fix})"


def doubt_of_spool(path: Path) -> str | None:
    """Why others could do more in a spool than leave files there, with what fixes it; None where they cannot."""
    facts = _facts(path)
    if facts is None or not stat.S_ISDIR(facts.st_mode):
        return None
    mode = facts.st_mode
    members = _writable_by_group(facts)
    if mode & stat.S_IWOTH:
        what = "every user of this machine may leave events there"
    elif _writable_by_group(facts, replace_only=True):
        what = f"members of the group {_group(facts.st_gid)} could remove and replace the events of others"
    elif members and mode & stat.S_IRGRP:
        what = f"members of the group {_group(facts.st_gid)} could list the events of others"
    else:
        return None
    fix = f"install -d -m 3730 -o hookd -g hookd-emit {_shown(path)}"
    return f"{what} ({described(facts)}; fix: {fix})"


def _facts(path: Path, *, follow: bool = True) -> os.stat_result | None:
    try:
        return path.stat(follow_symlinks=follow)
    except (OSError, ValueError):
        return None


def _identity(facts: os.stat_result) -> tuple[int, int]:
    return facts.st_dev, facts.st_ino


def _writable_by_group(facts: os.stat_result, *, replace_only: bool = False) -> bool:
    """Whether members of its group may write to it; those of a private group apart, and symlinks, which have no mode.

    With `replace_only`, a directory with the sticky bit does not count.
    """
    mode = facts.st_mode
    if stat.S_ISLNK(mode) or not mode & stat.S_IWGRP or (replace_only and mode & stat.S_ISVTX):
        return False
    return not _is_private(facts.st_gid, facts.st_uid)


def _shown(path: Path) -> str:
    return quote(str(path))


def _read_by_all(path: Path, facts: os.stat_result) -> bool:
    """Whether anybody may read it, and come there."""
    way = (_facts(step.parent) for step, _ in way_to(path))
    return bool(facts.st_mode & stat.S_IROTH) and all(
        passed is not None and passed.st_mode & stat.S_IXOTH for passed in way
    )


def _closed(path: Path, facts: os.stat_result) -> str:
    """The commands after which others cannot read a file and hookd's user still can."""
    uid, gid = _service()
    if facts.st_uid == uid or (facts.st_gid == gid and facts.st_mode & stat.S_IRGRP):
        return f"chmod o-r {_shown(path)}"
    return f"chgrp {_group(gid)} {_shown(path)} && chmod 0640 {_shown(path)}"


def _service() -> tuple[int, int]:
    """The user and group that hookd runs as: this process's own, or for root those of the installed service."""
    service = _service_user()
    if os.geteuid() == 0 and service is not None:
        return service.pw_uid, service.pw_gid
    return os.geteuid(), os.getegid()


@cache
def _service_user() -> pwd.struct_passwd | None:
    try:
        return pwd.getpwnam(SERVICE_USER)
    except KeyError:
        return None


def _trusted() -> set[int]:
    service = _service_user()
    return {0, os.geteuid(), *(() if service is None else (service.pw_uid,))}


@cache
def _is_private(gid: int, uid: int) -> bool:
    """Whether a group has no members but the file's owner and those who are trusted."""
    try:
        group = grp.getgrgid(gid)
    except KeyError:
        return gid in {uid, os.getegid()}
    names = {_user(each) for each in (uid, *_trusted())}
    own = gid in {0, os.getegid()} or group.gr_name in names
    return own and names.issuperset(group.gr_mem)


def _user(uid: int) -> str:
    return _name_of(pwd.getpwuid, uid)


def _group(gid: int) -> str:
    return _name_of(grp.getgrgid, gid)


def _name_of(look_up: Callable[[int], Any], number: int) -> str:
    try:
        return str(look_up(number)[0])
    except KeyError:
        return str(number)
