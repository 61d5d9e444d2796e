"""Asks git which commit the configuration's files come from, and whether they are exactly what it holds (spec 10).

It asks git, not a library such as dulwich: that saves only some 90 lines, for a dependency that is slow on large trees.

The files belong to the repository's keeper, often another user, who must not thereby run programs as hookd. So git
only names the commit and lists its tree; what is on disk is compared with that here, byte for byte. Neither runs
anything that a repository's own settings can name: no hook, no filter, no file system monitor, no transport.

Must never: block the event loop (run it in a thread), write to the repository, or fail: what git cannot tell is not
known.
"""

import hashlib
import os
import resource
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import IO

from hookd.config.fingerprint import digest
from hookd.config.isolated import chunks, start_child
from hookd.config.yaml.files import (
    MAX_CONFIG_BYTES,
    Unreadable,
    identity,
    is_config_name,
    list_tree,
    read_regular,
    work_tree_of,
)
from hookd.domain.definitions import Revision
from hookd.domain.text import error_text
from hookd.observability import log

GIT_S = 3.0
"""Seconds git is given for an answer: a reload has its verdict in time, whatever git does."""

_MEMORY_BYTES = 1 << 30
_MAX_OUTPUT_BYTES = 128 << 20
_AT_ONCE = 500
_ID_LENGTHS = {40: "sha1", 64: "sha256"}

_GIT = (
    "git", "--no-pager", "--literal-pathspecs",
    # Honoured on the command line from git 2.38 on; before, another user's repository has no commit here.
    "-c", "safe.directory=*",
    "-c", "core.fsmonitor=false",
    "-c", "core.hooksPath=/dev/null",
)  # fmt: skip

_ENVIRONMENT = {
    "LC_ALL": "C",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM": "1",
    "GIT_OPTIONAL_LOCKS": "0",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_NO_REPLACE_OBJECTS": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_ALLOW_PROTOCOL": "",
}
"""All that git is given besides `PATH`: nothing of the daemon's environment, whose secrets are none of its business."""


class GitSilent(Exception):
    """Git gave no answer; the message says why, for the log."""


def revision_of(
    path: Path, content: str, sources: Iterable[str], known: Revision | None = None
) -> Revision | None:
    """The commit that the files of a load come from.

    Args:
        path: the configuration's file or directory.
        content: the hash of what was loaded.
        sources: the files it refers to.
        known: what was found out about the same configuration before.

    Returns:
        None where the files are in no git work tree; `known` where git cannot tell, where the files are not what was
        loaded any more, and where its commit is still the one that is checked out.
    """
    try:
        place = work_tree(path)
        if place is None:
            return None
        top, commit = head_of(place)
        if known is not None and known.commit == commit:
            return known
        contents = [(file, read_regular(file, MAX_CONFIG_BYTES)) for file in list_tree(path).files]
        if digest(path, contents, {source: identity(source) for source in sources}) != content:
            return known
        return Revision(commit, dirty=_is_dirty(path, contents, top, commit))
    except (GitSilent, Unreadable, OSError, ValueError) as error:
        log.debug("config.commit_unknown", path=str(path), error=_why(error))
        return known


def _why(error: Exception) -> str:
    return error_text(error) if isinstance(error, OSError) else str(error)


def work_tree(path: Path) -> Path | None:
    """The top of the work tree of the configuration: that of its path, else of its first file; links resolved."""
    top = work_tree_of(path)
    if top is not None:
        return top
    first = next(iter(list_tree(path).files), None)
    return None if first is None else work_tree_of(first)


def _is_dirty(path: Path, contents: Sequence[tuple[Path, bytes]], top: Path, commit: str) -> bool:
    """Whether the commit does not hold exactly these files with these contents."""
    names = _WorkTreeNames(top)
    on_disk = {names.of(file): _blob(content, len(commit)) for file, content in contents}
    held = names_in(top, commit, _asked(path, on_disk, top))
    changed = any(held.get(name) != blob for name, blob in on_disk.items())
    return changed or _lacks(path, [file for file, _ in contents], held.keys() - on_disk.keys(), top)


class _WorkTreeNames:
    """What files are called from the top of the work tree, links resolved; each directory is looked at once."""

    def __init__(self, top: Path) -> None:
        self._top = top
        self._directory = cache(lambda directory: _within(directory.resolve(), top))

    def of(self, file: Path) -> str:
        """Begins with `..` where it is outside."""
        if file.is_symlink():
            return _within(file.resolve(), self._top)
        directory = self._directory(file.parent)
        return file.name if directory == os.curdir else f"{directory}{os.sep}{file.name}"


def head_of(place: Path) -> tuple[Path, str]:
    """The top of the work tree as git sees it, and the commit that is checked out in it."""
    answer = ask_git(place, ["rev-parse", "--show-toplevel", "--verify", "HEAD^{commit}"])
    top, _, commit = os.fsdecode(answer).removesuffix("\n").rpartition("\n")
    if len(commit) not in _ID_LENGTHS:
        raise GitSilent("git rev-parse did not print a commit")
    return Path(top).resolve(), commit


def names_in(top: Path, commit: str, asked: Sequence[str]) -> dict[str, str]:
    """What the commit holds of the asked paths and below them (of none: all): names, and the ids of their contents."""
    held: dict[str, str] = {}
    for start in range(0, max(1, len(asked)), _AT_ONCE):
        words = ["ls-tree", "-r", "-z", "--full-tree", commit, "--", *asked[start : start + _AT_ONCE]]
        for entry in os.fsdecode(ask_git(top, words)).split("\0"):
            facts, tab, name = entry.partition("\t")
            if tab:
                held[name] = facts.split(" ")[2]
    return held


def _asked(path: Path, on_disk: Iterable[str], top: Path) -> list[str]:
    """What to ask the commit's tree for: a directory, and files that links lead to elsewhere; nothing: for all."""
    if not path.is_dir():
        return [name for name in on_disk if _is_inside(name)]
    whole = _within(path.resolve(), top)
    if whole == os.curdir:
        return []
    beside = [name for name in on_disk if _is_inside(name) and not name.startswith(whole + os.sep)]
    return [whole, *beside] if _is_inside(whole) else beside


def _lacks(path: Path, files: Iterable[Path], others: Iterable[str], top: Path) -> bool:
    """Whether the commit holds, besides what was read, files that a load would read if they were there."""
    whole = path.resolve()
    if not whole.is_dir():
        return False
    prefix = _within(whole, top)
    below = "" if prefix == os.curdir else prefix + os.sep
    wanted = {name for name in others if name.startswith(below) and is_config_name(name.removeprefix(below))}
    # What is left is there under another name at most: a link.
    return bool(wanted) and bool(wanted - {below + os.path.relpath(file, path) for file in files})


def _within(file: Path, top: Path) -> str:
    return os.path.relpath(file, top)


def _is_inside(name: str) -> bool:
    return name.split(os.sep, 1)[0] != os.pardir


def _blob(content: bytes, length: int) -> str:
    """Git's id of a content, in the repository's kind of hash."""
    whole = hashlib.new(_ID_LENGTHS[length], usedforsecurity=False)
    whole.update(b"blob %d\0" % len(content))
    whole.update(content)
    return whole.hexdigest()


def ask_git(place: Path, words: Sequence[str], given: IO[bytes] | None = None) -> bytes:
    """What git prints, given a file as input; raises GitSilent where it fails, prints too much, or takes too long."""
    deadline = time.monotonic() + GIT_S
    with start_child([*_GIT, "-C", os.fspath(place), *words], _environment(os.environ), given) as child:
        try:
            _limit(child.pid)
            answer = b"".join(_bounded(child, deadline))
            code = child.wait(max(0.0, deadline - time.monotonic()))
        except (TimeoutError, subprocess.TimeoutExpired):
            raise GitSilent(f"git {words[0]} takes too long") from None
        finally:
            if child.returncode is None:
                os.killpg(child.pid, signal.SIGKILL)
    if code:
        raise GitSilent(f"git {words[0]} failed")
    return answer


def _limit(pid: int) -> None:
    with suppress(ProcessLookupError):  # it may have ended
        _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
        wanted = _MEMORY_BYTES if hard == resource.RLIM_INFINITY else min(_MEMORY_BYTES, hard)
        resource.prlimit(pid, resource.RLIMIT_DATA, (wanted, hard))


def _environment(env: Mapping[str, str]) -> dict[str, str]:
    return {"PATH": env.get("PATH", os.defpath), **_ENVIRONMENT}


def _bounded(child: "subprocess.Popen[bytes]", deadline: float) -> Iterator[bytes]:
    assert child.stdout is not None
    size = 0
    for chunk in chunks(child.stdout.fileno(), deadline):
        size += len(chunk)
        if size > _MAX_OUTPUT_BYTES:
            raise GitSilent("git prints too much")
        yield chunk
