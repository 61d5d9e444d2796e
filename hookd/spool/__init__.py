"""Takes in the events that `hookd emit --spool` left while hookd did not answer, each once (spec 11).

A file is removed only after its events are committed. A crash between the two does no harm: each event in the spool has
an id, and the store takes an id once.

Must never: stop or hold up the daemon, whatever lies in the spool; or drop a file: what cannot be taken in is moved to
`rejected/` with the reason beside it. Called by: `daemon`.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from hookd import decode, log, spooldir
from hookd.defs import TypeDef
from hookd.errors import EventRejected, Fault, IdConflict, PendingLimitReached, StoreUnavailable
from hookd.generation import Holder
from hookd.intake import Intake
from hookd.metrics import Metrics
from hookd.model import Event
from hookd.spool import files
from hookd.spool.files import Found, Verdict
from hookd.spooldir import SpoolState

POLL_S = 1.0
"""How often the directory is looked at. A poll, because it need not be there, and no notice of a change can be lost."""

RETRY_S = 2.0
"""Pause before files are tried again that could not be taken in now."""

BETWEEN_S = 0.01
"""Pause between two lots, so that a full spool leaves room for what is posted."""

AT_ONCE = 50
"""Files whose events share a commit."""

MOST_FAULTS = 20
"""Faults that a reason lists."""


class Spool:
    """Empties the spool directory of the configuration in force. One instance for a daemon."""

    def __init__(self, intake: Intake, holder: Holder, metrics: Metrics) -> None:
        self._intake = intake
        self._holder = holder
        self._metrics = metrics
        self._directory = Path()
        self._queue: deque[str] = deque()
        self._left: dict[str, str] = {}
        self._state = SpoolState(holder.current.config.daemon.spool)

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
            return POLL_S
        names = [self._queue.popleft() for _ in range(min(AT_ONCE, len(self._queue)))]
        limit = self._holder.current.config.daemon.event_size
        read = await asyncio.to_thread(files.read, self._directory, names, limit)
        self._queue.extendleft(reversed(names[len(read) :]))
        verdicts = await self._take_all(read)
        await self._settle(verdicts)
        waits = next((verdict.later for verdict in verdicts if verdict.later), None)
        self._note_error(waits or next(iter(self._left.values()), None))
        if waits is None:
            return BETWEEN_S
        self._queue.clear()
        return RETRY_S

    def _follow_config(self) -> None:
        directory = Path(self._holder.current.config.daemon.spool)
        if directory != self._directory:
            self._directory, self._state = directory, SpoolState(str(directory))
            self._queue.clear()
            self._left.clear()

    async def _look(self) -> None:
        listing = await asyncio.to_thread(files.look, self._directory, frozenset(self._left))
        for name in self._left.keys() - listing.still:
            del self._left[name]
        self._queue.extend(listing.names)
        self._note(waiting=listing.waiting, rejected=listing.rejected)
        self._note_error(listing.fault or next(iter(self._left.values()), None))

    async def _take_all(self, read: Sequence[Found]) -> list[Verdict]:
        """Hand every file to the intake, in order, so that they share a commit."""
        taking = []
        for found in read:
            taking.append(asyncio.ensure_future(self._take(found)))
            await asyncio.sleep(0)
        return list(await asyncio.gather(*taking))

    async def _take(self, found: Found) -> Verdict:
        if isinstance(found.content, Verdict):
            return found.content
        generation = self._holder.current
        try:
            events = _decoded(found.name, found.content, generation.config.types, self._intake.make_event_id)
            receipts = await self._intake.accept(events, generation)
        except EventRejected as exc:
            return Verdict(found.name, refused=_reason(exc))
        except IdConflict as exc:
            return Verdict(found.name, refused=str(exc))
        except PendingLimitReached:
            return Verdict(found.name, later="too many deliveries are waiting (daemon.limits.pending)")
        except StoreUnavailable as exc:
            return Verdict(found.name, later=f"the store cannot write now: {exc}")
        log.debug(
            "spool.taken",
            file=found.name,
            events=len(receipts),
            duplicates=sum(receipt.duplicate for receipt in receipts),
        )
        return Verdict(found.name)

    async def _settle(self, verdicts: Sequence[Verdict]) -> None:
        """Remove what was taken in, move what was refused, and count both."""
        failed = await asyncio.to_thread(files.settle, self._directory, verdicts)
        for verdict in verdicts:
            if verdict.later:
                continue
            result = "rejected" if verdict.refused else "taken"
            if verdict.name in failed:
                self._leave(verdict, failed[verdict.name])
                continue
            self._note(
                waiting=self._state.waiting - 1,
                rejected=self._state.rejected + bool(verdict.refused),
            )
            if verdict.gone:
                continue
            self._metrics.spool_files.labels(result).inc()
            if verdict.refused:
                log.warning("spool.rejected", file=verdict.name, reason=verdict.refused)

    def _leave(self, verdict: Verdict, error: str) -> None:
        """Let a file lie that can be neither removed nor moved: taken in over and over, it is sent anew one day."""
        what = "moved to rejected/" if verdict.refused else "removed, though its events are taken in"
        self._left[verdict.name] = f"{log.printable(verdict.name)} cannot be {what}: {error}"
        log.error("spool.left", file=verdict.name, error=error, refused=verdict.refused)

    def _note(self, *, waiting: int, rejected: int) -> None:
        self._state = self._state._replace(waiting=max(0, waiting), rejected=rejected)
        self._metrics.spool_waiting.set(self._state.waiting)
        self._metrics.spool_rejected.set(rejected)

    def _note_error(self, error: str | None) -> None:
        if error and not self._state.error:
            log.warning("spool.waiting", path=str(self._directory), error=error)
        self._state = self._state._replace(error=error)


def _decoded(
    name: str, raw: bytes, types: Mapping[str, TypeDef] | None, make_id: Callable[[], str]
) -> list[Event]:
    """A file's events, as `POST /v1/events` would take them; each must have an id.

    Raises:
        EventRejected: as the API would refuse them.
    """
    value = decode.parse_ndjson(raw) if name.endswith(spooldir.NDJSON) else decode.parse_json(raw)
    _require_ids(value)
    if isinstance(value, list):
        return decode.decode_batch(value, types=types, make_id=make_id)
    return [decode.decode_event(value, index=None, types=types, default_id=None, make_id=make_id)]


def _require_ids(value: Any) -> None:
    events = enumerate(value) if isinstance(value, list) else ((None, value),)
    lacking = [
        Fault("/id" if index is None else f"/{index}/id", "is required in the spool")
        for index, event in events
        if isinstance(event, dict) and "id" not in event
    ]
    if lacking:
        detail = "an event in the spool must have an id: without one it could be taken in twice"
        raise EventRejected(422, "Invalid event", detail, tuple(lacking))


def _reason(exc: EventRejected) -> str:
    """The refusal's sentence, then a line for each of the first faults that it does not tell."""
    faults = [f"{fault.pointer}: {fault.message}" for fault in exc.faults[:MOST_FAULTS]]
    told = [fault for fault in faults if fault not in exc.detail and fault != f": {exc.detail}"]
    hidden = len(exc.faults) - MOST_FAULTS
    return "\n".join([exc.detail, *told, *([f"and {hidden} more"] if hidden > 0 else [])])
