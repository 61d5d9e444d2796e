"""Keeps an event for later where the daemon does not answer: `hookd emit --spool` (spec 11).

The event's id is fixed before the first try, so that what the daemon took after all is no second event when it finds it
in the spool.

Must never: keep what the daemon refused, or leave half a file under a name that the daemon reads.
"""

import contextlib
import json
import os
import stat
import struct
import time
from typing import Any

from hookd.cli.client.api_client import NOBODY_THERE, Client, Foreign, Refusal, permission_remedy
from hookd.cli.failure import UNREACHABLE, Failure
from hookd.domain import spool_layout
from hookd.domain.ids import new_id
from hookd.domain.json_text import json_fault
from hookd.domain.text import error_text

ANSWER_S = 2.0
"""How long the daemon may take to answer before the event is spooled (seconds)."""

MODE = 0o640
"""Of a spooled file: its group, that of the directory, reads it; the directory's mode lets the daemon remove it."""

_ACL = "system.posix_acl_access"
_ACL_ENTRY = struct.Struct("<HHI")
_NO_ID = 0xFFFFFFFF


def fresh_id() -> str:
    """An id for an event that was given none, as the daemon makes them."""
    return new_id("evt_", now_ms=time.time_ns() // 1_000_000, entropy=os.urandom(10))


def with_id(line: bytes) -> bytes:
    """An event's JSON with an id; it is not changed where it has one that is not null.

    Raises:
        ValueError: it is not a JSON object.
    """
    try:
        event = json.loads(line.decode())
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"not JSON: {json_fault(error)}") from None
    if not isinstance(event, dict):
        raise ValueError("not a JSON object")  # noqa: TRY004 - one kind of refusal for a line
    if event.get("id") is not None:
        return line
    if "id" in event:
        return json.dumps(json.loads(line, object_pairs_hook=_without_twins) | {"id": fresh_id()}).encode()
    rest = line.lstrip()[1:]
    return b'{"id":' + json.dumps(fresh_id()).encode() + (b"," if event else b"") + rest


def _without_twins(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object, or ValueError where a key stands in it twice, which the daemon would refuse."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def directory(given: str, config: str | None) -> tuple[str, str]:
    """The spool: what `--spool` names, else `$HOOKD_SPOOL`, else the config's `daemon.spool`, else the default.

    Beside it, where the config cannot be read, the reason why it is the default: the event matters more.
    """
    named = given or os.environ.get("HOOKD_SPOOL")
    if named:
        return named, ""
    from hookd.cli.client.address import config_path
    from hookd.config import spool_directory, why_unread

    try:
        path = config_path(config)
    except Failure as failure:
        return spool_layout.DEFAULT, failure.lines[0]
    if found := spool_directory(path):
        return found, ""
    return spool_layout.DEFAULT, why_unread(path) or ""


def keep(where: str, content: bytes, suffix: str, why: Failure) -> str:
    """Write a file into the spool, whole or not at all; its path, once it is on disk.

    Args:
        where: the directory.
        content: what was to be posted.
        suffix: `spooldir.JSON` or `spooldir.NDJSON`.
        why: what kept it from being posted; reported too where spooling fails.

    Raises:
        Failure: it cannot be written (exit code 3).
    """
    name = spool_layout.file_name(
        now_ns=time.time_ns(), pid=os.getpid(), entropy=os.urandom(8), suffix=suffix
    )
    try:
        opened = os.open(where, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC)  # its group cannot list it
        try:
            _write(opened, name, content)
        finally:
            os.close(opened)
    except OSError as error:
        raise Failure(
            *why.lines[:1],
            f"the event could not be spooled in {where}: {error_text(error).lower()}",
            _remedy(where, error),
            code=UNREACHABLE,
        ) from None
    return f"{where.rstrip('/')}/{name}"


def _write(where: int, name: str, content: bytes) -> None:
    part = f".{name}{spool_layout.PART}"
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    opened = os.open(part, flags, MODE, dir_fd=where)
    try:
        try:
            # Without the setgid bit the file has the writer's group, which the daemon need not be in.
            spool = os.fstat(where)
            if os.fstat(opened).st_gid != spool.st_gid:
                with contextlib.suppress(PermissionError):
                    os.fchown(opened, -1, spool.st_gid)
            os.fchmod(opened, MODE)
            _close_to_members(opened, spool)
            _write_all(opened, content)
            os.fsync(opened)
            os.rename(part, name, src_dir_fd=where, dst_dir_fd=where)
            _sync_name(where, opened)
        finally:
            os.close(opened)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(part, dir_fd=where)
        raise


def _close_to_members(opened: int, spool: os.stat_result) -> None:
    """Let no other member of the spool's group read a file, also one who knows its name.

    Where the directory has the sticky bit, only its owner can empty it: that is the daemon's user, and gets an entry of
    its own in the file's access control list, acl(5). A file system without such lists leaves it to the group.
    """
    if not spool.st_mode & stat.S_ISVTX:
        return
    if os.fstat(opened).st_uid == spool.st_uid:
        os.fchmod(opened, 0o600)
        return
    entries = ((1, 6, _NO_ID), (2, 4, spool.st_uid), (4, 0, _NO_ID), (16, 4, _NO_ID), (32, 0, _NO_ID))
    with contextlib.suppress(OSError):
        os.setxattr(
            opened, _ACL, struct.pack("<I", 2) + b"".join(_ACL_ENTRY.pack(*entry) for entry in entries)
        )


def _sync_name(where: int, opened: int) -> None:
    """Bring the new name onto the disk: by the directory, or by the file itself where the directory cannot be opened.

    ext4, XFS and btrfs write a file's new name with its next fsync.
    """
    try:
        readable = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=where)
    except PermissionError:
        os.fsync(opened)
        return
    try:
        os.fsync(readable)
    finally:
        os.close(readable)


def _write_all(opened: int, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[os.write(opened, left) :]


def _remedy(where: str, error: OSError) -> str:
    """What the user can do about a spool that cannot be written to."""
    if isinstance(error, FileNotFoundError):
        from shlex import quote

        return (
            f"make it: `install -d -m 3730 -o hookd -g hookd-emit {quote(where)}`; "
            "or name another: --spool=DIR, $HOOKD_SPOOL or daemon.spool"
        )
    if isinstance(error, PermissionError):
        return permission_remedy(where)
    return "fix that, or name another directory: --spool=DIR, $HOOKD_SPOOL or daemon.spool"


class SpoolWriter:
    """Posts events whose ids are fixed, and spools them from the first one on that is not answered.

    Attributes:
        kept: the files that were written.
        silent: what kept events from being posted; None while the daemon answers.
    """

    def __init__(self, client: Client, given: str, config: str | None) -> None:
        """Post through `client`; `given` and `config` as `directory` takes them."""
        self._client = client
        self._given = given
        self._config = config
        self._doubt = ""
        self.kept: list[str] = []
        self.silent: Failure | None = None

    def send(self, body: bytes, media: str = "application/json") -> Any:
        """Post events; the answer, or None where they were spooled.

        Raises:
            Failure: the daemon refused them (exit code 1), or they can be neither posted nor spooled (3).
        """
        if self.silent is None:
            try:
                return self._client.post_event(body, media=media, timeout_s=ANSWER_S)
            except Failure as failure:
                if not _unanswered(failure):
                    raise
                self.silent = failure
        suffix = spool_layout.JSON if media == "application/json" else spool_layout.NDJSON
        where, self._doubt = directory(self._given, self._config)
        self.kept.append(keep(where, body, suffix, self.silent))
        return None

    def remark(self, events: int = 1) -> str:
        """What is said about events that were spooled."""
        assert self.silent is not None
        what = "the event is" if events == 1 else f"{events} events are"
        where = self.kept[0] if len(self.kept) == 1 else f"{len(self.kept)} files beside {self.kept[0]}"
        doubt = f" if that is its spool: {self._doubt}" if self._doubt else ""
        return f"{self.silent.lines[0]}; {what} spooled in {where}, to be taken in when hookd runs{doubt}"


def _unanswered(failure: Failure) -> bool:
    return failure.code == UNREACHABLE or (
        isinstance(failure, Refusal | Foreign) and failure.status in NOBODY_THERE
    )
