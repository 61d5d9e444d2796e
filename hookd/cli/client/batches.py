"""Posts a file of events in parts (spec 2: a batch is taken whole or refused whole).

Must never: look into an event.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from hookd.cli.client.api_client import Refusal, fault_line
from hookd.cli.client.event_file import NumberedLine, numbered_events
from hookd.cli.client.exchange import NDJSON
from hookd.cli.failure import Failure
from hookd.domain.text import counted

MOST_BYTES = 512 << 10
MOST_EVENTS = 500

Send = Callable[[bytes, str], Any]
"""Posts a body of a media type."""


class Taken:
    """What the daemon has taken so far.

    Attributes:
        answers: the answer for each event; only where they are to be kept.
        spooled: events that were not taken yet.
    """

    def __init__(self, *, keep: bool) -> None:
        self.answers: list[dict[str, Any]] = []
        self._keep = keep
        self._events = self._duplicates = self._deliveries = 0
        self.spooled = 0

    def add(self, answers: list[dict[str, Any]]) -> None:
        """Count the answers to one part."""
        fresh = [answer for answer in answers if not answer["duplicate"]]
        self._events += len(answers)
        self._duplicates += len(answers) - len(fresh)
        self._deliveries += sum(len(answer["deliveries"]) for answer in fresh)
        if self._keep:
            self.answers += answers

    def __str__(self) -> str:
        known = f" ({self._duplicates} of them taken before)" if self._duplicates else ""
        made = counted(self._deliveries, "delivery", "deliveries")
        later = f"; spooled: {counted(self.spooled, 'event')}" if self.spooled else ""
        return f"taken: {counted(self._events, 'event')}{known}, {made}{later}"


def post_file(send: Send, path: str, taken: Taken, *, fix_ids: bool = False) -> None:
    """Post every event of the file at `path` (`-`: standard input).

    Args:
        send: posts a part; its answer is None where the part was spooled.
        path: the file.
        taken: counts what was taken, also of a file that is refused in the end.
        fix_ids: give every event an id before it is posted.

    Raises:
        Failure: the file cannot be read, or a part was refused; the lines concerned are named.
    """
    for batch in batches(numbered_events(path)):
        _post(send, _identified(batch) if fix_ids else batch, taken)


def _identified(batch: list[NumberedLine]) -> list[NumberedLine]:
    from hookd.cli.client.spool_writer import with_id

    made = []
    for number, content in batch:
        try:
            made.append((number, with_id(content)))
        except ValueError as error:
            headline = f"{_lines(batch)} refused, nothing after them was sent"
            raise Failure(headline, f"line {number}: {error}") from None
    return made


def batches(
    lines: Iterable[NumberedLine], *, most_bytes: int = MOST_BYTES, most_events: int = MOST_EVENTS
) -> Iterator[list[NumberedLine]]:
    """Lines in parts below both bounds; a line longer than the bound is a part of its own."""
    batch: list[NumberedLine] = []
    size = 0
    for number, content in lines:
        if batch and (len(batch) == most_events or size + len(content) + 1 > most_bytes):
            yield batch
            batch, size = [], 0
        batch.append((number, content))
        size += len(content) + 1
    if batch:
        yield batch


def _post(send: Send, batch: list[NumberedLine], taken: Taken) -> None:
    """Post one part, in halves where it is larger than this daemon's `limits.event_size` allows."""
    try:
        body = b"".join(content + b"\n" for _, content in batch)
        answer = send(body, NDJSON)
    except Refusal as refusal:
        if refusal.status != 413 or len(batch) == 1:
            raise _located(refusal, batch) from None
        middle = len(batch) // 2
        _post(send, batch[:middle], taken)
        _post(send, batch[middle:], taken)
    except Failure as failure:
        raise Failure(
            *failure.lines, f"{_lines(batch)} and what follows were not confirmed", code=failure.code
        ) from None
    else:
        taken.add(answer["events"] if answer else [])
        taken.spooled += 0 if answer else len(batch)


def _located(refusal: Refusal, batch: list[NumberedLine]) -> Failure:
    """The refusal of a part, in terms of the file's lines."""
    headline = f"{_lines(batch)} refused, nothing after them was sent"
    faults = refusal.problem.get("errors") or ()
    if faults:
        return Failure(headline, *(_fault_line(fault, batch) for fault in faults), code=refusal.code)
    counting = f"a line named in that message counts from line {batch[0][0]} on, without blank ones"
    hints = (*refusal.lines[1:], *([counting] if len(batch) > 1 else []))
    return Failure(f"{headline}: {refusal.lines[0]}", *hints, code=refusal.code)


def _fault_line(fault: dict[str, Any], batch: list[NumberedLine]) -> str:
    """A fault whose pointer begins with the event's index in its part, in terms of the line it stands on."""
    index, _, rest = str(fault.get("pointer", "")).removeprefix("/").partition("/")
    if not (index.isdecimal() and int(index) < len(batch)):
        return fault_line(fault)
    return f"line {batch[int(index)][0]}: " + fault_line({**fault, "pointer": f"/{rest}" if rest else ""})


def _lines(batch: list[NumberedLine]) -> str:
    first, last = batch[0][0], batch[-1][0]
    return f"line {first}" if first == last else f"lines {first} to {last}"
