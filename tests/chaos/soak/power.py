"""What a disk holds after a power cut: only what a finished fdatasync covers, and of the rest a random part.

The daemon runs under strace, which logs every write to the store's files with its bytes; the image is built from that
log, on top of what the files held before.

Must never: keep a write that no sync covers for certain. Called by: the nemesis.
"""

import random
import re
from dataclasses import dataclass, field
from pathlib import Path

_CALLS = "openat,pwrite64,write,ftruncate,fdatasync,fsync,unlink,unlinkat"
_LINE = re.compile(r"^(\d+) +(.*)$")
_UNFINISHED = " <unfinished ...>"
_RESUMED = re.compile(r"^<\.\.\. (\w+) resumed>(.*)$")
_PATH = re.compile(r"\d+<([^>]*)>")
_STRING = re.compile(r'"([^"]*)"')
_RESULT = re.compile(r"\) += (-?\d+)")
_NUMBERS = re.compile(r", (\d+)")

SECTOR = 512


def tracing(store: Path, log: Path) -> tuple[str, ...]:
    """The command that runs hookd as its child, logs what happens to the store's files, and makes each sync slow."""
    of_files = [word for path in _files(store) for word in ("-P", str(path))]
    return (
        "strace", "-f", "-qq", "-y", "-xx", "-s", "1000000", "-e", f"trace={_CALLS}",
        "-e", "inject=fdatasync:delay_enter=50000", *of_files, "-o", str(log), "--",
    )  # fmt: skip


def contents(store: Path) -> dict[str, bytes]:
    """What the store's files hold now; of a daemon that is not running, all of it is on the disk."""
    return {str(path): path.read_bytes() for path in _files(store) if path.exists()}


def lay(store: Path, image: dict[str, bytes]) -> None:
    """Put an image in the place of the store's files."""
    for path in _files(store):
        path.unlink(missing_ok=True)
    for name, content in image.items():
        Path(name).write_bytes(content)


def image_after(before: dict[str, bytes], log: Path, chance: random.Random) -> dict[str, bytes]:
    """The files as a power cut at the end of the log leaves them."""
    replay = _Replay({name: _File(bytearray(content)) for name, content in before.items()})
    with log.open(encoding="ascii", errors="replace") as lines:
        for line in lines:
            replay.feed(line.rstrip("\n"))
    return {name: file.after_cut(chance) for name, file in replay.disk.items()}


@dataclass(frozen=True, slots=True)
class _Write:
    offset: int
    data: bytes


@dataclass(slots=True)
class _File:
    """One file: what is on the disk, and what was written since (an int is a truncation to that size)."""

    synced: bytearray = field(default_factory=bytearray)
    unsynced: list[_Write | int] = field(default_factory=list)

    def sync(self, count: int) -> None:
        """The first `count` changes have reached the disk."""
        for change in self.unsynced[:count]:
            _put(self.synced, change)
        del self.unsynced[:count]

    def after_cut(self, chance: random.Random) -> bytes:
        """The changes that no sync covers reach the disk or do not, each for itself, the sectors of one too."""
        for change in self.unsynced:
            if chance.random() < 0.5:
                continue
            if isinstance(change, _Write) and chance.random() < 0.3:
                change = _Write(  # noqa: PLW2901 - torn
                    change.offset, change.data[: SECTOR * chance.randint(0, len(change.data) // SECTOR)]
                )
            _put(self.synced, change)
        return bytes(self.synced)


@dataclass(slots=True)
class _Replay:
    """Follows a log line by line."""

    disk: dict[str, _File]
    _halves: dict[str, str] = field(default_factory=dict)
    _covered: dict[str, int] = field(default_factory=dict)

    def feed(self, line: str) -> None:
        """Take one line; of calls that are told in two halves, the first is when it begins."""
        found = _LINE.match(line)
        if found is None:
            return
        thread, text = found.groups()
        if text.endswith(_UNFINISHED):
            self._halves[thread] = text.removesuffix(_UNFINISHED)
            self._begin(thread, text)
        elif resumed := _RESUMED.match(text):
            self._end(thread, self._halves.pop(thread, "") + resumed[2])
        else:
            self._begin(thread, text)
            self._end(thread, text)

    def _begin(self, thread: str, text: str) -> None:
        """A sync covers what was written before it began."""
        if text.startswith(("fdatasync(", "fsync(")):
            self._covered[thread] = len(self._file(text).unsynced)

    def _end(self, thread: str, text: str) -> None:
        result = _RESULT.search(text)
        if result is None or result[1].startswith("-"):
            return
        match text.partition("(")[0]:
            case "pwrite64":
                data = _bytes(_STRING.findall(text)[0])[: int(result[1])]
                offset = int(_NUMBERS.findall(text)[-1])
                self._file(text).unsynced.append(_Write(offset, data))
            case "ftruncate":
                self._file(text).unsynced.append(int(_NUMBERS.findall(text)[-1]))
            case "fdatasync" | "fsync":
                self._file(text).sync(self._covered.pop(thread))
            case "unlink" | "unlinkat":
                self.disk.pop(_bytes(_STRING.findall(text)[-1]).decode(), None)
            case "openat":
                self._file(text.rpartition("=")[2])

    def _file(self, text: str) -> _File:
        """The file of the first descriptor in a text."""
        found = _PATH.search(text)
        assert found is not None, text
        return self.disk.setdefault(_bytes(found[1]).decode(), _File())


def _bytes(escaped: str) -> bytes:
    """What strace's `-xx` wrote."""
    return bytes.fromhex(escaped.replace("\\x", ""))


def _put(content: bytearray, change: _Write | int) -> None:
    if isinstance(change, int):
        del content[change:]
        content.extend(bytes(change - len(content)))
        return
    end = change.offset + len(change.data)
    content.extend(bytes(max(0, end - len(content))))
    content[change.offset : end] = change.data


def _files(store: Path) -> tuple[Path, Path, Path]:
    return store, Path(f"{store}-wal"), Path(f"{store}-journal")
