"""The tail of the log: numbered, bounded, shared by readers, fed by every log call."""

import asyncio
import json
import threading
from collections.abc import Iterator

import pytest

from hookd.api.tail import TailFilter, _stream_lines
from hookd.domain.clock import Clock
from hookd.observability import log
from hookd.observability.log_tail import LogTail


@pytest.fixture
async def log_tail() -> LogTail:
    return LogTail(Clock(), kept=4)


@pytest.fixture
def followed(log_tail: LogTail) -> Iterator[LogTail]:
    log.follow(log_tail.put)
    yield log_tail
    log.follow(None)


def put(log_tail: LogTail, count: int) -> None:
    for number in range(count):
        log_tail.put("info", f"f{number}", {})


@pytest.mark.parametrize(
    ("count", "after", "most", "missed", "names"),
    [
        (0, 0, 9, 0, []),
        (3, 0, 9, 0, ["f0", "f1", "f2"]),
        (3, 1, 1, 0, ["f1"]),
        (3, 3, 9, 0, []),
        (4, 0, 9, 0, ["f0", "f1", "f2", "f3"]),
        (6, 0, 9, 2, ["f2", "f3", "f4", "f5"]),
        (6, 0, 2, 2, ["f2", "f3"]),
        (6, 2, 9, 0, ["f2", "f3", "f4", "f5"]),
        (9, 4, 9, 1, ["f5", "f6", "f7", "f8"]),
    ],
)
async def test_a_reader_gets_what_is_kept_and_is_told_what_is_not(
    log_tail: LogTail, count: int, *, after: int, most: int, missed: int, names: list[str]
) -> None:
    put(log_tail, count)
    told, facts = log_tail.after(after, most)
    assert (told, [fact.name for fact in facts]) == (missed, names)
    assert [fact.number for fact in facts] == list(range(after + missed + 1, after + missed + 1 + len(facts)))


async def test_readers_share_a_record(log_tail: LogTail) -> None:
    put(log_tail, 5)
    assert log_tail.after(2, 1)[1][0] is log_tail.after(0, 2)[1][1]


async def test_readers_are_woken_and_counted(log_tail: LogTail) -> None:
    with log_tail.subscribe() as one, log_tail.subscribe() as other:
        assert log_tail.readers == 2
        assert not one.is_set()
        put(log_tail, 1)
        assert one.is_set()
        assert other.is_set()
        one.clear()
        log_tail.close()
        assert one.is_set()
        assert log_tail.closed
    assert log_tail.readers == 0


async def test_facts_of_another_thread_come_in_the_loop(log_tail: LogTail) -> None:
    with log_tail.subscribe() as wakeup:
        thread = threading.Thread(target=put, args=(log_tail, 2))
        thread.start()
        thread.join()
        assert log_tail.latest == 0
        async with asyncio.timeout(5):
            await wakeup.wait()
        assert [fact.name for fact in log_tail.after(0, 9)[1]] == ["f0", "f1"]


@pytest.mark.parametrize("level", list(log.LEVELS))
async def test_every_fact_is_told_whatever_is_written(followed: LogTail, level: str) -> None:
    getattr(log, level)("it.happened", webhook="w", number=3)
    (fact,) = followed.after(0, 9)[1]
    assert (fact.level, fact.name, fact.facts) == (level, "it.happened", {"webhook": "w", "number": 3})


async def test_an_exception_is_told_without_its_message(followed: LogTail) -> None:
    log.error("it.failed", exc_info=ValueError("hush"))
    (fact,) = followed.after(0, 9)[1]
    assert fact.facts["exception"] == "ValueError"
    assert "hush" not in str(fact.facts)


@pytest.mark.parametrize("busy", [False, True])
async def test_a_reader_to_whom_nothing_can_be_told_hears_that_hookd_is_there(busy: bool) -> None:
    """Also where much happens that it does not want."""
    log_tail = LogTail(Clock())
    lines = _stream_lines(log_tail, 0, {"started_at": None}, TailFilter(webhook="w"), alive_s=0.05)
    assert json.loads(await anext(lines))["event"] == "tail.began"

    async def happen() -> None:
        while busy:
            put(log_tail, 1)
            await asyncio.sleep(0.001)

    happening = asyncio.create_task(happen())
    async with asyncio.timeout(5):
        alive = json.loads(await anext(lines))
    happening.cancel()
    assert alive["event"] == "tail.alive"
    assert (int(alive["cursor"].rpartition("-")[2]) > 0) is busy
    log_tail.close()
    rest = [json.loads(line)["event"] async for line in lines]
    assert rest[-1] == "tail.ended"
    assert set(rest[:-1]) <= {"tail.alive"}
    assert log_tail.readers == 0


async def test_what_was_missed_is_told_before_what_was_not(log_tail: LogTail) -> None:
    put(log_tail, 7)
    lines = _stream_lines(log_tail, 0, {}, TailFilter())
    await anext(lines)
    told = [json.loads(line) for line in (await anext(lines)).splitlines()]
    assert [(line["event"], line["cursor"].rpartition("-")[2]) for line in told] == [
        ("tail.missed", "3"),
        ("f3", "4"),
        ("f4", "5"),
        ("f5", "6"),
        ("f6", "7"),
    ]
    assert told[0]["count"] == 3
    await lines.aclose()
