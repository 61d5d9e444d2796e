"""Waits for the end of deliveries that an event has made: `hookd emit --wait` (spec 8); says what keeps them waiting.

The daemon is asked again and again, one delivery at a time and less and less often. A daemon that is started again
meanwhile still has the deliveries, so that one that does not answer is no reason to end.

Must never: ask more often than once in `FIRST_PAUSE_S`, or take silence for an end.
"""

import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from hookd.cli.client.api_client import NOBODY_THERE, Client, Foreign, Refusal
from hookd.cli.client.delivery_ids import path_of
from hookd.cli.failure import REFUSED, UNREACHABLE, WAITING, Failure
from hookd.cli.output.health import what_holds
from hookd.cli.output.receipts import receipt_lines
from hookd.cli.output.terminal import as_json
from hookd.domain.text import printable

FIRST_PAUSE_S = 0.02
LONGEST_PAUSE_S = 1.0
GROWTH = 1.5
ANSWER_S = 5.0
"""How long one answer may take (seconds)."""

LAST_ASK_S = 1.0
"""How long is asked for what is left once the time is up (seconds)."""

ENDED = ("delivered", "dead", "cancelled")
GONE = "gone"
"""Instead of a state, of a delivery that is no longer kept."""

UNKNOWN = "unknown"
"""Instead of a state, where the daemon did not answer."""

Made = dict[str, Any]
"""A delivery of an event's answer; `state` is added to it, and `detail` where there is something to say."""


def follow(
    client: Client, answers: Sequence[Mapping[str, Any]], for_s: float, *, as_answer: Mapping[str, Any] | None
) -> int:
    """Wait up to `for_s` seconds for the end of every delivery; say what became of each.

    Args:
        client: asks the daemon.
        answers: to the events that were taken; each delivery is given its state.
        for_s: seconds.
        as_answer: printed as JSON in the end, in place of lines.

    Returns:
        0 where all were delivered, or there is none; 1 where one is dead, cancelled or no longer kept; 4 where one
        still waits.
    """
    wait = _Wait(client, time.monotonic() + for_s, aloud=as_answer is None)
    for answer in answers:
        wait.add(answer)
    try:
        wait.run()
    finally:
        if as_answer is not None:
            print(as_json(as_answer))
    return exit_code([made["state"] for answer in answers for made in answer["deliveries"]])


def exit_code(states: Sequence[str]) -> int:
    """One that failed decides before one that waits: nothing can change that."""
    if any(state in {"dead", "cancelled", GONE} for state in states):
        return REFUSED
    return 0 if all(state == "delivered" for state in states) else WAITING


class _Wait:
    """The deliveries that are waited for, in order, and how long to wait before asking again."""

    def __init__(self, client: Client, until: float, *, aloud: bool) -> None:
        self._client = client
        self._until = until
        self._aloud = aloud
        self._left: deque[Made] = deque()
        self._pause_s = FIRST_PAUSE_S

    def add(self, answer: Mapping[str, Any]) -> None:
        """Wait for an event's deliveries too."""
        for made in answer["deliveries"]:
            made["state"] = UNKNOWN
            self._left.append(made)

    def run(self) -> None:
        """Return when every delivery has ended, or the time is up; say what became of each."""
        while self._left and (left_s := self._until - time.monotonic()) > 0:
            made = self._left.popleft()
            self._look(made, min(ANSWER_S, left_s))
            if made["state"] in (*ENDED, GONE):
                self._say(made)
                continue
            self._left.append(
                made
            )  # the others come before it is asked for again: one that never ends must not hold up the rest
            time.sleep(max(0.0, min(self._pause_s, self._until - time.monotonic())))
            self._pause_s = min(self._pause_s * GROWTH, LONGEST_PAUSE_S)
        self._look_once_more()

    def _look_once_more(self) -> None:
        """Ask for all that is left, since some may have ended meanwhile; not for longer than `LAST_ASK_S`."""
        until, asks = time.monotonic() + LAST_ASK_S, True
        for made in self._left:
            left_s = until - time.monotonic()
            asks = asks and left_s > 0 and self._look(made, left_s)
            self._say(made)

    def _look(self, made: Made, timeout_s: float) -> bool:
        """Note the delivery's state; whether the daemon answered."""
        try:
            found = self._client.get(path_of(made["id"]), timeout_s=max(timeout_s, FIRST_PAUSE_S))
        except Failure as failure:
            return self._without_answer(made, failure)
        made["state"] = found["state"]
        made["detail"] = _detail(found)
        return True

    def _without_answer(self, made: Made, failure: Failure) -> bool:
        status = failure.status if isinstance(failure, Refusal | Foreign) else None
        if status == 404 and isinstance(failure, Refusal):
            made["state"], made["detail"] = GONE, "it is no longer kept, so how it ended is not known"
            return True
        if failure.code != UNREACHABLE and status not in NOBODY_THERE:
            raise failure
        made["state"], made["detail"] = UNKNOWN, failure.lines[0]
        return False

    def _say(self, made: Made) -> None:
        if self._aloud:
            print(printable(f"  {made['id']}  {_verdict(made)}"), flush=True)


def _verdict(made: Made) -> str:
    detail = f": {made['detail']}" if made.get("detail") else ""
    match made["state"]:
        case "delivered" | "dead" | "cancelled" | "gone":
            return f"{made['state']}{detail}"
        case "unknown":
            return f"not known to have ended{detail}"
        case _:
            return f"still waiting{detail}"


def _detail(found: Mapping[str, Any]) -> str:
    """What there is to say about a delivery beside its state."""
    match found["state"]:
        case "delivered":
            return f"at attempt {found['attempt']}" if found["attempt"] > 1 else ""
        case "pending" if waits := what_holds(found):
            return waits
        case "pending" if found["failures"]:
            last = found["last_status"] or found["last_error"]
            return f"attempt {found['attempt']} failed ({last}), the next is due at {found['due_at']}"
        case "sending":
            return f"attempt {found['attempt']} is under way"
        case "pending":
            return ""
        case _:
            return str(found["detail"] or found["last_error"] or "")


def print_made(client: Client, answer: Mapping[str, Any], *, as_answer: bool) -> None:
    """Print the answer to a send or trigger: as JSON, or its delivery and what keeps that waiting."""
    if as_answer:
        print(as_json(answer))
        return
    print("\n".join(receipt_lines(answer)))
    for line in _parked_lines(client, answer):
        print(line)


def _parked_lines(client: Client, answer: Mapping[str, Any]) -> Iterator[str]:
    """A line for each delivery of a receipt that waits for more than its turn: why, and what helps.

    They are stored, so that one of which nothing can be found out is left out.
    """
    for made in answer["deliveries"]:
        try:
            delivery = client.get(path_of(made["id"]))
        except Failure:
            continue
        if waits := what_holds(delivery):
            yield printable(f"  it waits: {waits}")
