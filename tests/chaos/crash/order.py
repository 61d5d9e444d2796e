"""The order of things behind a 202, read from the daemon's own system calls.

For each accepted event: its request was read; its row went into the write-ahead log, and that transaction's last frame
too; then an fdatasync of the log began and ended with 0; then its 202 was written. strace stops a thread at the entry
and the exit of each call, one at a time, so that the order of its lines is the order of what happened.

Called by: the proof `crash`.
"""

import ast
import asyncio
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.bench.load import request_bytes
from tests.chaos.crash.books import write_config
from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import processes
from tests.kit.receiver import Receiver

READS = frozenset({"read", "readv", "recvfrom", "recvmsg"})
WRITES = frozenset({"write", "writev", "sendto", "sendmsg"})
SYNCS = frozenset({"fdatasync", "fsync"})
CALLS = (*sorted(READS), *sorted(WRITES), *sorted(SYNCS), "pwrite64")

_FRAME_HEAD_BYTES = 24
_ID = re.compile(r"ord-\d{6}")
_LINE = re.compile(
    r"^(?P<thread>\d+) +(?:<\.\.\. (?P<resumed>\w+) resumed>|(?P<call>\w+)\((?P<fd>\d+)(?:<(?P<path>[^>]*>?)>)?)"
    r"(?P<rest>.*)$"
)
_RESULT = re.compile(r"\) += (-?\d+)")
_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')


@dataclass(frozen=True, slots=True)
class Step:
    """A system call's entry or exit. `data` stands at the exit of a read and the entry of a write."""

    call: str
    on_log: bool
    data: str
    result: int | None

    @property
    def is_entry(self) -> bool:
        return self.result is None


def steps(lines: Iterable[str]) -> Iterator[Step]:
    """What strace wrote, as entries and exits in the order in which they happened."""
    begun: dict[str, tuple[str, bool]] = {}
    for line in lines:
        found = _LINE.match(line)
        if found is None:
            continue
        thread, rest = found["thread"], found["rest"]
        texts = "".join(_STRING.findall(rest))
        if found["call"] is not None:
            begun[thread] = (found["call"], (found["path"] or "").endswith("-wal"))
            yield Step(*begun[thread], texts, None)
        result = _RESULT.search(rest, rest.rfind('"') + 1)
        if result is not None and thread in begun:
            yield Step(*begun.pop(thread), texts, int(result[1]))


@dataclass
class Ledger:
    """How far each event is, by its id; `wrong` names answers that came too early."""

    read: set[str] = field(default_factory=set)
    in_transaction: set[str] = field(default_factory=set)
    written: set[str] = field(default_factory=set)
    durable: set[str] = field(default_factory=set)
    wrong: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    _syncing: set[str] = field(default_factory=set)
    _last_frame: bool = False

    def take(self, step: Step) -> None:
        """Note one step."""
        if step.call in READS and not step.is_entry:
            self.read.update(_ID.findall(step.data))
        elif step.call == "pwrite64" and step.on_log:
            self._log_written(step)
        elif step.call in SYNCS and step.on_log:
            self._log_synced(step)
        elif step.call in WRITES and step.is_entry and step.data.startswith("HTTP/1.1 202 "):
            self._answered(_ID.findall(step.data))

    def _log_written(self, step: Step) -> None:
        """A frame's head says whether it is the last of its transaction; then the page follows."""
        data = _bytes(step.data) if step.is_entry else b""
        if len(data) == _FRAME_HEAD_BYTES:
            self._last_frame = any(data[4:8])
        elif step.is_entry:
            self.in_transaction.update(_ID.findall(step.data))
        elif step.result and step.result > _FRAME_HEAD_BYTES and self._last_frame:
            self.written |= self.in_transaction
            self.in_transaction = set()
            self._last_frame = False
            self.counts["transactions"] += 1

    def _log_synced(self, step: Step) -> None:
        if step.is_entry:
            self._syncing = set(self.written)
        elif step.result == 0:
            self.durable |= self._syncing
            self.counts["syncs"] += 1

    def _answered(self, ids: list[str]) -> None:
        for key in dict.fromkeys(ids):
            self.counts["answered"] += 1
            if key not in self.read:
                self.wrong.append(f"{key} was answered 202, but its request was never read")
            elif key not in self.written:
                self.wrong.append(f"{key} was answered 202 before its transaction was in the log")
            elif key not in self.durable:
                self.wrong.append(f"{key} was answered 202 before an fdatasync that covers it had ended")


def _bytes(text: str) -> bytes:
    """A string as strace writes it: C escapes."""
    value = ast.literal_eval(f'b"{text}"')
    assert isinstance(value, bytes)
    return value


async def watch_accepts(directory: Path, *, accepts: int, connections: int = 16) -> Findings:
    """Post so many events over several connections and follow each to its 202."""
    trace = directory.with_name(f"{directory.name}.trace")  # not in the directory that hookd watches
    async with Receiver() as receiver:
        write_config(directory, receiver.url)
        async with DaemonProcess(directory) as daemon:
            traced = processes(daemon.pid)
            tracer = await asyncio.create_subprocess_exec(
                "strace", "-f", "-y", "-s", "5000", "-o", str(trace), "-e", f"trace={','.join(CALLS)}",
                *(f"-p{pid}" for pid in traced), stderr=asyncio.subprocess.PIPE,
            )  # fmt: skip
            assert tracer.stderr is not None
            for _ in traced:
                assert b"attached" in await tracer.stderr.readline()
            answered = await _post_all(daemon.socket, accepts, connections)
            await receiver.wait_for(2 * answered, within_s=60)
            code = await daemon.stop()
            await tracer.communicate()
    ledger = Ledger()
    with trace.open(errors="replace") as lines:
        for step in steps(lines):
            ledger.take(step)
    trace.unlink()
    return _findings(ledger, accepts=accepts, answered=answered, code=code)


def _findings(ledger: Ledger, *, accepts: int, answered: int, code: int) -> Findings:
    covered = ledger.counts["answered"] - len(ledger.wrong)
    figures = {"accepts": accepts, "covered by an fdatasync": covered, **ledger.counts}
    found = Findings(figures, ledger.wrong[:20])
    found.expect(answered == accepts, f"{answered} of {accepts} were answered 202")
    found.expect(ledger.counts["answered"] == accepts, f"only {figures} were seen in the trace")
    found.expect(ledger.counts["syncs"], "no fdatasync of the write-ahead log was seen")
    found.expect(code == 0, f"the daemon ended with {code}")
    return found


async def _post_all(socket: Path, accepts: int, connections: int) -> int:
    numbers = iter(range(accepts))
    return sum(await asyncio.gather(*(_post_some(socket, numbers) for _ in range(connections))))


async def _post_some(socket: Path, numbers: Iterator[int]) -> int:
    """Post on one connection until there are no more; returns how many were answered 202."""
    reader, writer = await asyncio.open_unix_connection(str(socket))
    accepted = 0
    for number in numbers:
        key = f"ord-{number:06}"
        writer.write(request_bytes({"id": key, "type": "load", "event": "tick", "data": {"mark": "m"}}))
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        accepted += head.startswith("HTTP/1.1 202 ")
        length = re.search(r"content-length: (\d+)", head, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
    writer.close()
    return accepted
