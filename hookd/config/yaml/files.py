"""Which files a configuration consists of, and how one is read without being caught by what is no plain file.

Must never: open what is not a regular file, block, read past the size limit, or read what anybody may write to, put
another file in the place of, or add a file to.
"""

import os
import stat
from collections.abc import Callable, Mapping
from errno import ELOOP, ENOENT, ENOTDIR
from math import inf
from pathlib import Path, PurePath

from hookd.config.yaml.owners import (
    Ways,
    described,
    is_world_writable,
    this_user,
    world_writable,
)
from hookd.domain.text import error_text
from hookd.domain.value_class import value_class

MAX_CONFIG_BYTES = 16 << 20
"""The largest YAML file that is read."""
MAX_SOURCE_BYTES = 1 << 20
"""The largest file that is read because the configuration refers to it (a secret, a certificate)."""
MAX_TREE_BYTES = 64 << 20
"""All YAML files of a tree together: what is read within a second, and held within the child's bound on memory."""
MAX_FILES = 20_000
"""YAML files in a tree."""
_MAX_ENTRIES = 100_000
_DEFAULT_NAME = "hookd.yaml"
_SYSTEM_PATH = Path("/etc/hookd/hookd.yaml")
_WHERE_ELSE = (
    "; the configuration is what --config or $HOOKD_CONFIG names, else ./hookd.yaml, else this file"
    " (`hookd init DIR` writes one to start from)"
)

_KINDS = (
    (stat.S_ISLNK, "a symlink"),
    (stat.S_ISDIR, "a directory"),
    (stat.S_ISFIFO, "a named pipe"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


class Unreadable(Exception):
    """A file that is not read.

    Attributes:
        reason: why, as the end of a sentence that begins with the file's name.
        token: what stands for its content in a hash, so that a change of the file changes the hash.
    """

    def __init__(self, reason: str, *, token: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.token = f"{reason} {token}".encode()


@value_class
class ConfigFiles:
    """The files of a configuration.

    Attributes:
        files: what is to be read, in sorted order.
        directories: every directory that was looked into.
        refused: what bears a configuration's name but cannot be one, or cannot be looked into, and why.
    """

    files: tuple[Path, ...]
    directories: tuple[Path, ...] = ()
    refused: tuple[tuple[Path, Unreadable], ...] = ()


def default_path(env: Mapping[str, str] = os.environ) -> Path:
    """Where the configuration is without `--config` (spec 1).

    `$HOOKD_CONFIG`, else `./hookd.yaml`, else `/etc/hookd/hookd.yaml`.
    """
    if named := env.get("HOOKD_CONFIG"):
        return Path(named)
    here = Path(_DEFAULT_NAME)
    return here if os.path.exists(here) else _SYSTEM_PATH  # noqa: PTH110 - what cannot be looked at is not there


def read_regular(path: Path, limit: int, *, whole: bool = True) -> bytes:
    """Reads a regular file that is not world-writable and has at most `limit` bytes (spec 7).

    Whether it could be replaced is not looked at: see `refuse_replaceable`.

    Args:
        path: the file.
        limit: the most bytes that are read.
        whole: whether a larger file is refused; else it is read up to there.

    Raises:
        Unreadable: it is anything else; it was then not opened, or closed unread.
    """
    try:
        most = limit if whole else inf
        _refuse(path, path.stat(), most)
        return _read(path, limit, most)
    except OSError as error:
        raise Unreadable(_why(path, error)) from None
    except ValueError:
        raise Unreadable("has a NUL in its name") from None


def refuse_replaceable(path: Path) -> None:
    """Refuses a file that anybody could put another one in the place of.

    Raises:
        Unreadable: so it is.
    """
    if (found := Ways().replaceable(path)) is not None:
        raise Unreadable(_below(*found))


def _below(directory: Path, why: str) -> str:
    return f"stands below {directory}, which {why}"


def kind_of(mode: int) -> str:
    """What a file is by its mode, with its article; empty for a regular file."""
    return next((kind for is_kind, kind in _KINDS if is_kind(mode)), "")


def is_config(name: str) -> bool:
    """Whether a file of this name in a configuration's directory is part of it (spec 1)."""
    return name.endswith((".yaml", ".yml")) and not is_test(name)


def is_test(name: str) -> bool:
    """Whether a file of this name holds tests (spec 8)."""
    return name.endswith(".test.yaml")


def list_tree(path: Path, wanted: Callable[[str], bool] = is_config) -> ConfigFiles:
    """The files a load of `path` reads: itself, or every `*.yaml` and `*.yml` below it, sorted (spec 1).

    Names that begin with a dot and `*.test.yaml` are skipped. A symlink to a directory is followed, but no
    directory is entered twice.

    Args:
        path: a file or directory.
        wanted: tells by its name whether a file is listed.
    """
    if (found := Ways().replaceable(path)) is not None:
        place, why = found
        return ConfigFiles((), (path.parent,), ((place, Unreadable(why)),))
    if not _is_directory(path):
        return ConfigFiles(files=(path,), directories=(path.parent,))
    return _TreeWalk(wanted).run(path)


def is_config_name(relative: str) -> bool:
    """Whether a file of this path, relative to the configuration's directory, belongs to it by its name (spec 1)."""
    path = PurePath(relative)
    hidden = any(name.startswith(".") for name in path.parts)
    return not hidden and is_config(path.name)


def work_tree_of(path: Path) -> Path | None:
    """The top of the git work tree that a file or directory stands in, links resolved, by the look of it; or None."""
    real = path.resolve()
    return next((place for place in (real, *real.parents) if os.path.lexists(place / ".git")), None)


def _too_many(directory: Path, directories: list[Path], what: str) -> ConfigFiles:
    """No file is read where there are too many; the directory in which the bound was passed is named."""
    error = Unreadable(f"brings the configuration to more than {what}; keep other files elsewhere")
    return ConfigFiles((), tuple(directories), ((directory, error),))


def _too_large(files: list[Path]) -> tuple[Path, Unreadable] | None:
    """The largest of the files, where all of them together are too large; each may still be within its own bound."""
    sizes = [(_size(file), file) for file in files]
    whole = sum(size for size, _ in sizes if size <= MAX_CONFIG_BYTES)
    if whole <= MAX_TREE_BYTES:
        return None
    largest = max(pair for pair in sizes if pair[0] <= MAX_CONFIG_BYTES)[1]
    reason = f"is the largest of files of {whole >> 20} MiB together; {MAX_TREE_BYTES >> 20} MiB are allowed"
    return largest, Unreadable(reason, token=str(whole))


def _size(file: Path) -> int:
    """How many bytes would be read; none of what is no regular file."""
    try:
        facts = file.stat()
    except (OSError, ValueError):
        return 0
    return facts.st_size if stat.S_ISREG(facts.st_mode) else 0


class _TreeWalk:
    """One walk through the directories of a configuration; `run` is called once."""

    def __init__(self, wanted: Callable[[str], bool]) -> None:
        self._wanted = wanted
        self._files: list[Path] = []
        self._directories: list[Path] = []
        self._refused: list[tuple[Path, Unreadable]] = []
        self._waiting: list[Path] = []
        self._seen: set[tuple[int, int]] = set()
        self._ways = Ways()

    def run(self, top: Path) -> ConfigFiles:
        self._waiting.append(top)
        entries = 0
        while self._waiting:
            directory = self._waiting.pop()
            try:
                names = self._enter(directory)
                entries += len(names)
                self._directories.append(directory)
                if entries > _MAX_ENTRIES:
                    return _too_many(directory, self._directories, f"{_MAX_ENTRIES:,} files and directories")
                for name, is_link in names:
                    self._sort_in(directory / name, is_link=is_link)
            except Unreadable as error:
                self._refused.append((directory, error))
            if len(self._files) > MAX_FILES:
                return _too_many(directory, self._directories, f"{MAX_FILES:,} YAML files")
        self._files.sort(key=lambda file: file.parts)
        if (large := _too_large(self._files)) is not None:
            self._refused.append(large)
            self._files.clear()
        return ConfigFiles(tuple(self._files), tuple(self._directories), tuple(self._refused))

    def _enter(self, directory: Path) -> list[tuple[str, bool]]:
        """The names in a directory that was not entered yet, and whether each is a symlink's.

        Raises:
            Unreadable: it cannot be looked into, or anybody may write to it.
        """
        try:
            facts = directory.stat()
            if (facts.st_dev, facts.st_ino) in self._seen:
                return []
            self._seen.add((facts.st_dev, facts.st_ino))
            if is_world_writable(facts):
                raise Unreadable(world_writable(directory, facts, "add files to it"))
            # In order: which of two ways leads into a directory with two names must not depend on chance.
            with os.scandir(directory) as entries:
                return sorted((each.name, each.is_symlink()) for each in entries if each.name[0] != ".")
        except OSError as error:
            raise Unreadable(_why(directory, error)) from None

    def _sort_in(self, entry: Path, *, is_link: bool) -> None:
        is_file = self._wanted(entry.name)
        if not is_file and (is_config(entry.name) or is_test(entry.name) or not _leads_down(entry)):
            return
        if is_link and (found := self._ways.replaceable(entry)) is not None:
            self._refused.append((entry, Unreadable(_below(*found))))
            return
        (self._files if is_file else self._waiting).append(entry)


def _is_directory(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # it cannot even be looked at; to read it says why
        return False


def _leads_down(entry: Path) -> bool:
    """Whether it is a directory; raises Unreadable where that cannot be told: a fault may hide below."""
    try:
        return stat.S_ISDIR(entry.stat().st_mode)
    except OSError as error:
        if error.errno in {ENOENT, ENOTDIR, ELOOP}:
            return False
        raise Unreadable(f"holds what {_why(entry, error)}") from None


def _read(path: Path, limit: int, most: float) -> bytes:
    descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        # The name may point elsewhere since the first look; what counts is what was opened.
        _refuse(path, os.fstat(descriptor), most)
        data = file.read(limit + 1)
    if len(data) > most:
        raise Unreadable(f"is larger than {limit} bytes", token=str(len(data)))
    return data[:limit]


def _denied(path: Path) -> str:
    """Who must be let in, and what bars the way, as far as that can be seen."""
    try:
        facts = path.stat()
    except OSError:
        return f"; let the user {this_user()} into its directory"
    return f"; let the user {this_user()} read it ({described(facts)})"


def _refuse(path: Path, facts: os.stat_result, limit: float) -> None:
    if kind := kind_of(facts.st_mode):
        raise Unreadable(f"is {kind}, not a regular file")
    if is_world_writable(facts):
        raise Unreadable(world_writable(path, facts, "change it"))
    if facts.st_size > limit:
        raise Unreadable(f"is larger than {limit} bytes", token=f"{facts.st_size} {facts.st_mtime_ns}")


def _why(path: Path, error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        if path.is_symlink():
            return "is a symlink to nothing"
        return "does not exist" + (_WHERE_ELSE if path == _SYSTEM_PATH else "")
    if isinstance(error, PermissionError):
        return f"cannot be read: permission denied{_denied(path)}"
    return f"cannot be read: {error_text(error).lower()}"


def identity(source: str | Path) -> bytes:
    """What tells a file from another one, and from itself once it was written to."""
    try:
        facts = Path(source).stat()
    except (OSError, ValueError):
        return b"none"
    return f"{facts.st_dev} {facts.st_ino} {facts.st_size} {facts.st_mtime_ns} {facts.st_ctime_ns}".encode()
