"""The harness itself: what its books call lost and unexpected, what a power cut leaves, that mutants build."""

import asyncio
import random
import time
from pathlib import Path

import pytest

from tests.chaos import mutants
from tests.chaos.soak import power
from tests.chaos.soak.books import Arrival, Books, Fault, Posted, Reckoning, reconcile
from tests.chaos.soak.receivers import PATIENCE_S, ByChance

BODY = b'{"n": 1}'
RECORD = {"event_id": "own-1", "state": "delivered", "attempt": 1}


def books(*arrivals: Arrival, accepted: bool = True, refused: int = 0) -> Books:
    """One event with one delivery, and what came of it."""
    made = (("d", "t", "w"),) if accepted else None
    event = Posted(1, "one", "own-1", tries=1, refused=refused, deliveries=made, accepted_at=0.0)
    return Books(posted={1: event}, arrivals=list(arrivals))


def arrival(at: float, *, answered: bool = True, lost: bool = False, cut_off: bool = False) -> Arrival:
    return Arrival(
        "w", "d", BODY, 1, at, "ok", answered_at=at if answered else None, lost=lost, cut_off=cut_off
    )


def judged(given: Books, **record: object) -> Reckoning:
    return reconcile(given, {"d": {**RECORD, **record}})


def test_one_request_for_one_delivery_is_as_it_should_be() -> None:
    found = judged(books(arrival(1.0)))
    assert (found.lost, found.unexpected, found.violations) == (0, 0, [])


@pytest.mark.parametrize(
    ("given", "record", "violation"),
    [
        (books(), {}, "is delivered and never arrived"),
        (books(arrival(1, answered=False)), {}, "is called delivered, and no receiver took it"),
        (books(arrival(1)), {"state": "dead"}, "is called dead, and its receiver took it"),
        (books(arrival(1)), {"state": "cancelled"}, "is cancelled, and nobody asked for it"),
        (books(arrival(1, answered=False)), {"state": "pending"}, "is still pending"),
        (books(arrival(1), arrival(2)), {"attempt": 2}, "was repeated after it was delivered"),
        (books(arrival(1), arrival(1.2)), {"attempt": 2}, "was repeated while it was under way"),
        (
            books(arrival(1, answered=False, lost=True, cut_off=True), arrival(2)),
            {"attempt": 2},
            "was repeated after hookd had cut it off",
        ),
        (books(arrival(1, answered=False), arrival(2)), {}, "arrived 2 times in 1 attempts"),
        (books(arrival(1), accepted=False, refused=1), {}, "which was refused 1 times of 1"),
    ],
)
def test_a_broken_promise_is_a_violation(given: Books, record: dict[str, object], violation: str) -> None:
    found = judged(given, **record)
    assert found.lost + found.unexpected >= 1
    assert violation in "\n".join(found.violations)


def test_what_hookd_does_not_know_is_lost() -> None:
    assert "hookd knows nothing of it" in reconcile(books(arrival(1)), {}).violations[0]


def test_two_deliveries_of_one_task_are_unexpected() -> None:
    given = books(arrival(1))
    given.arrivals.append(Arrival("w", "other", BODY, 1, 2.0, answered_at=2.0))
    assert "made 2 deliveries" in "\n".join(reconcile(given).violations)


def test_bytes_that_change_are_unexpected() -> None:
    given = books(arrival(1, answered=False))
    given.arrivals.append(Arrival("w", "d", b'{"n": 1, "more": 2}', 1, 2.0, answered_at=2.0))
    assert "with different bodies" in judged(given, attempt=2).violations[0]


def test_a_crash_explains_a_repeat_only_while_the_answer_may_be_unrecorded() -> None:
    given = books(arrival(10), arrival(30))
    given.crashes.append(11)
    assert judged(given, attempt=2).duplicates == {"crash": 1}
    given.crashes[:] = [20]
    assert judged(given, attempt=2).unexpected == 1
    given.disk_faults.append(Fault("disk", 9, 19))
    assert judged(given, attempt=2).duplicates == {"crash": 1}


def test_a_hand_and_a_lost_answer_explain_a_repeat() -> None:
    given = books(arrival(10), arrival(30))
    given.retried_by_hand["d"] = [20]
    assert judged(given, attempt=2).duplicates == {"by hand": 1}
    lost = books(arrival(10, answered=False, lost=True), arrival(30))
    assert judged(lost, attempt=2).duplicates == {"answer lost": 1}


@pytest.mark.parametrize(("sent_before_s", "cut_off"), [(0, True), (PATIENCE_S, False), (-60, False)])
async def test_an_attempt_is_cut_off_before_its_time_however_late_it_is_noticed(
    sent_before_s: float, cut_off: bool
) -> None:
    given, clock = books(), time.time
    async with ByChance("w", "127.0.0.1", given, random.Random(1), wall=clock, mode="stuck") as receiver:
        reader, writer = await asyncio.open_connection(receiver.host, receiver.port)
        sent_at = int(clock() - sent_before_s)
        head = f"webhook-id: d\r\nwebhook-timestamp: {sent_at}\r\ncontent-length: {len(BODY)}"
        writer.write(f"POST / HTTP/1.1\r\n{head}\r\n\r\n".encode() + BODY)
        writer.write_eof()
        assert await reader.read() == b""
        writer.close()
    assert [arrival.cut_off for arrival in given.arrivals] == [cut_off]


def log_of(tmp_path: Path, *calls: str) -> Path:
    """What strace writes of calls on one file; `P` stands for its path."""
    path = "".join(f"\\x{byte:02x}" for byte in str(tmp_path / "h.db-wal").encode())
    log = tmp_path / "log"
    log.write_text("\n".join(f"7 {call}".replace("P", path) for call in calls) + "\n")
    return log


def image_after(tmp_path: Path, *calls: str) -> set[bytes]:
    """Every content that a power cut may leave, of a hundred."""
    log, name = log_of(tmp_path, *calls), str(tmp_path / "h.db-wal")
    return {power.image_after({}, log, random.Random(seed))[name] for seed in range(100)}


WRITE_A = r'pwrite64(4<P>, "\x61", 1, 0) = 1'
WRITE_B = r'pwrite64(4<P>, "\x62", 1, 1) = 1'
SYNC = "fdatasync(4<P>) = 0"


def test_what_was_synced_survives_a_power_cut_and_the_rest_may(tmp_path: Path) -> None:
    assert image_after(tmp_path, WRITE_A, SYNC, WRITE_B) == {b"a", b"ab"}


def test_a_sync_covers_only_what_was_written_before_it_began(tmp_path: Path) -> None:
    begun = ["fdatasync(4<P> <unfinished ...>", WRITE_B.replace("7 ", "8 "), "<... fdatasync resumed>) = 0"]
    assert image_after(tmp_path, WRITE_A, *begun) == {b"a", b"ab"}
    assert image_after(tmp_path, WRITE_A, begun[0]) == {b"", b"a"}


def test_a_sync_that_failed_covers_nothing(tmp_path: Path) -> None:
    assert image_after(tmp_path, WRITE_A, "fdatasync(4<P>) = -1 EIO (Input/output error) (INJECTED)") == {
        b"",
        b"a",
    }


@pytest.mark.parametrize("mutant", mutants.MUTANTS, ids=lambda mutant: mutant.name)
def test_each_mutant_can_be_built_and_is_a_program(mutant: mutants.Mutant, tmp_path: Path) -> None:
    mutants.build(mutant, tmp_path)
    for patch in mutant.patches:
        compile((tmp_path / "hookd" / patch.file).read_text(), patch.file, "exec")
