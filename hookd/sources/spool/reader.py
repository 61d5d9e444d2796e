"""Takes in the events that `hookd emit --spool` left while hookd did not answer, each once (spec 11).

A file is removed only after its events are committed. A crash between the two does no harm: each event in the spool has
an id, and the store takes an id once.

A file that can be neither removed nor moved is tried again every few seconds; its events are not taken in again.

Must never: stop or hold up the daemon, whatever lies in the spool; or drop a file: what cannot be taken in is moved to
`rejected/` with the reason beside it.
"""

import asyncio
from collections import deque
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import NamedTuple

from hookd.config.generation import CurrentConfig
from hookd.domain.clock import Clock
from hookd.domain.errors import (
    EventRejected,
    IdConflict,
    PendingLimitReached,
    PendingLimitTooSmall,
    StoreUnavailable,
)
from hookd.domain.spool_layout import REJECTED, SpoolState
from hookd.domain.text import printable
from hookd.intake.pipeline import Intake, Prepared
from hookd.observability import log
from hookd.observability.metrics import Metrics
from hookd.sources.spool import spool_files
from hookd.sources.spool.content import FileRefused, conflict, events_of
from hookd.sources.spool.spool_files import FileIdentity, FileResult, Settled, SpoolFile
from hookd.sources.spool.spool_lock import SpoolLock
from hookd.sources.spool.taking_mark import CONDEMNED, TakingMark

POLL_S = 1.0
"""How often the directory is looked at. A poll, because it need not be there, and no notice of a change can be lost."""

RETRY_S = 2.0
"""Pause before files are tried again that could not be taken in now."""

LEFT_S = 3.0
"""Pause before files are tried again that could be neither removed nor moved."""

LOOK_SHARE = 0.05
"""Of one processor: looking takes no more of it, however much lies in the directory that nobody takes away."""

BETWEEN_S = 0.01
"""Pause between two lots, so that a full spool leaves room for what is posted."""

MOST_NAMED = 20
"""Files that a line of the log names."""

AT_ONCE = 50
"""Files whose events share a commit."""


class StuckFile(NamedTuple):
    """A file that can be neither removed nor moved.

    Attributes:
        error: what is said about it.
        taken: which file it was whose events are taken in; None where it was refused.
    """

    error: str
    taken: FileIdentity | None


class SpoolReader:
    """Empties the spool directory of the configuration in force. One instance for a daemon."""

    def __init__(self, intake: Intake, current_config: CurrentConfig, clock: Clock, metrics: Metrics) -> None:
        self._intake = intake
        self._current_config = current_config
        self._clock = clock
        self._metrics = metrics
        self._directory = Path()
        self._claim = SpoolLock()
        self._mark = TakingMark()
        self._queue: deque[str] = deque()
        self._left: dict[str, StuckFile] = {}
        self._left_until = 0.0
        self._poll_s = POLL_S
        self._turned_away: set[str] = set()
        self._waits: str | None = None
        self._state = SpoolState(current_config.generation.config.daemon.spool)

    def state(self) -> SpoolState:
        """What is known of the spool now."""
        return self._state

    async def run(self) -> None:
        """Take files in until cancelled."""
        while True:
            try:
                pause_s = await self._turn()
            except Exception as exc:  # noqa: BLE001 - nothing in a directory that others write to may end the daemon
                log.error("spool.failed", path=str(self._directory), exc_info=exc)
                self._queue.clear()
                pause_s = RETRY_S
            await asyncio.sleep(pause_s)

    async def _turn(self) -> float:
        """Take one lot in; returns after how many seconds to go on."""
        self._follow_config()
        if not self._queue:
            await self._look()
        if not self._queue:
            return self._poll_s
        try:
            read = await self._read_lot()
            verdicts = await self._take_all(read)
            await self._settle(self._claim.descriptor, read, verdicts)
        except asyncio.CancelledError:
            self._mark.withdraw(self._claim.rejected)  # the process ends as it should
            raise
        except Exception:
            self._mark.end(self._claim.rejected)  # it goes on
            raise
        self._turned_away |= {verdict.name for verdict in verdicts if verdict.later}
        self._waits = next((verdict.later for verdict in verdicts if verdict.later), None)
        self._note_error(None)
        if self._waits is None:
            return BETWEEN_S
        self._queue.clear()
        return RETRY_S

    def _next_lot(self) -> list[str]:
        """The names of the next files: as many as may be at once, or one alone that may be why hookd ended before."""
        names = [self._queue.popleft()]
        if not self._mark.is_suspect(names[0]):
            while self._queue and len(names) < AT_ONCE and not self._mark.is_suspect(self._queue[0]):
                names.append(self._queue.popleft())
        return names

    async def _read_lot(self) -> list[SpoolFile]:
        """Read the next files, and mark that they are being taken in."""
        names = self._next_lot()
        limit = self._current_config.generation.config.daemon.event_size
        taken = {name: left.taken for name, left in self._left.items() if left.taken}
        spool, rejected, mark = self._claim.descriptor, self._claim.rejected, self._mark

        def read() -> list[SpoolFile]:
            found = [
                SpoolFile(each.name, FileResult(each.name, refused=CONDEMNED), each.mark)
                if mark.is_condemned(each.name, each.mark)
                else each
                for each in spool_files.read(spool, names, limit, taken)
            ]
            mark.begin(rejected, {each.name: each.mark for each in found if each.mark is not None})
            return found

        lot = await asyncio.to_thread(read)
        self._queue.extendleft(reversed(names[len(lot) :]))
        return lot

    def _follow_config(self) -> None:
        directory = Path(self._current_config.generation.config.daemon.spool)
        if directory != self._directory:
            self._directory, self._state = directory, SpoolState(str(directory))
            self._queue.clear()
            self._left.clear()
            self._turned_away.clear()

    async def _look(self) -> None:
        again = self._clock.monotonic() >= self._left_until
        left, now = frozenset(self._left), self._clock.now()
        listing = await asyncio.to_thread(
            spool_files.look, self._claim, self._directory, left, again=again, now=now
        )
        self._poll_s = max(POLL_S, listing.cpu_s / LOOK_SHARE)
        for name in left - listing.still:
            del self._left[name]
        self._turned_away.intersection_update(listing.names)
        if not self._turned_away:
            self._waits = None
        if listing.names:
            suspects = await asyncio.to_thread(self._mark.load, self._claim.descriptor, self._claim.rejected)
            if suspects:
                log.warning("spool.interrupted", files=[printable(name) for name in suspects[:MOST_NAMED]])
        # Those that may be why hookd ended come last; the others stay in order.
        self._queue.extend(sorted(listing.names, key=self._mark.is_suspect))
        self._note(waiting=listing.waiting, rejected=listing.rejected)
        self._note_skipped(listing.skipped)
        self._note_error(listing.fault)

    async def _take_all(self, read: Sequence[SpoolFile]) -> list[FileResult]:
        """Hand every file to the intake, in order, so that they share a commit."""
        taking = []
        for found in read:
            prepared = await self._prepare(found)
            taking.append(asyncio.ensure_future(self._store(found, prepared)))
            await asyncio.sleep(0)
        return list(await asyncio.gather(*taking))

    async def _prepare(self, found: SpoolFile) -> FileResult | Prepared:
        if isinstance(found.content, FileResult):
            return found.content
        generation = self._current_config.generation
        decoding = partial(
            events_of,
            found.name,
            found.content,
            limit=generation.config.daemon.event_size,
            types=generation.config.types,
            make_id=self._intake.make_event_id,
        )
        try:
            events = await self._intake.decode(len(found.content), decoding)
            return await self._intake.prepare(events, generation)
        except (FileRefused, EventRejected) as exc:
            return FileResult(found.name, refused=str(exc))

    async def _store(self, found: SpoolFile, prepared: FileResult | Prepared) -> FileResult:
        if isinstance(prepared, FileResult):
            return prepared
        again = found.name in self._turned_away or found.name in self._left
        try:
            receipts = await self._intake.store(prepared, again=again)
        except PendingLimitTooSmall as exc:
            return FileResult(found.name, refused=str(exc))
        except IdConflict as exc:
            assert isinstance(found.content, bytes)
            return FileResult(found.name, refused=conflict(exc, found.name, found.content))
        except PendingLimitReached:
            return FileResult(found.name, later="too many deliveries are waiting (daemon.limits.pending)")
        except StoreUnavailable as exc:
            return FileResult(found.name, later=f"the store cannot write now: {exc}")
        log.debug(
            "spool.taken",
            file=found.name,
            events=len(receipts),
            duplicates=sum(receipt.duplicate for receipt in receipts),
        )
        return FileResult(found.name)

    async def _settle(self, spool: int, read: Sequence[SpoolFile], verdicts: Sequence[FileResult]) -> None:
        """Remove what was taken in, move what was refused, and count both."""
        done = tuple(verdict.name for verdict in verdicts if not verdict.later)

        def settle() -> Settled:
            settled = spool_files.settle(spool, self._claim.rejected, self._directory, verdicts)
            self._mark.end(self._claim.rejected, done)
            return settled

        settled = await asyncio.to_thread(settle)
        for found, verdict in zip(read, verdicts, strict=True):
            if verdict.later:
                continue
            if error := settled.failed.get(verdict.name):
                self._leave(verdict, found.mark, error)
                continue
            self._left.pop(verdict.name, None)
            kept = settled.kept.get(verdict.name)
            self._note(waiting=self._state.waiting - 1, rejected=self._state.rejected + bool(kept))
            if kept:
                path = str(self._directory / kept)
                log.warning("spool.rejected", file=verdict.name, path=path, reason=verdict.refused)
                self._metrics.spool_files["rejected"].inc()
            elif not (verdict.refused or verdict.gone):
                self._metrics.spool_files["taken"].inc()

    def _leave(self, verdict: FileResult, mark: FileIdentity | None, error: str) -> None:
        """Let a file lie that can be neither removed nor moved: taken in over and over, it is sent anew one day."""
        name = printable(verdict.name)
        if verdict.refused:
            remedy = f"make {REJECTED}/ beside it a directory that hookd can write to, with room on its disk"
            left = StuckFile(
                f"{name} cannot be moved to {REJECTED}/: {error}; {remedy}, or remove the file", None
            )
        else:
            left = StuckFile(
                f"{name} cannot be removed, though its events are taken in: {error}; remove it", mark
            )
        if self._left.get(verdict.name) != left:
            log.error("spool.left", file=verdict.name, error=error, refused=verdict.refused)
        self._left[verdict.name] = left
        self._left_until = self._clock.monotonic() + LEFT_S

    def _note(self, *, waiting: int, rejected: int) -> None:
        self._state = self._state._replace(waiting=max(0, waiting), rejected=rejected)
        self._metrics.spool_waiting.set(self._state.waiting)
        self._metrics.spool_rejected.set(rejected)

    def _note_skipped(self, names: tuple[str, ...]) -> None:
        """Note what is no regular file; it is logged when something is new among it."""
        if not set(names) <= set(self._state.skipped):
            log.warning("spool.skipped", path=str(self._directory), names=names)
        self._state = self._state._replace(skipped=names)

    def _note_error(self, fault: str | None) -> None:
        """Note what keeps files waiting: the directory, else what turned them away, else that one is left."""
        error = fault or self._waits or next((left.error for left in self._left.values()), None)
        if error and error != self._state.error:
            log.warning("spool.waiting", path=str(self._directory), error=error)
        self._state = self._state._replace(error=error)
