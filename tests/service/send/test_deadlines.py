"""Times that are bounded: each is up at its own, in whatever order they begin."""

import asyncio

import pytest

from hookd.delivery.http.deadlines import INTERVAL_S, LATE_S, READING_S, Deadlines
from tests.kit.loop_time import LoopClock

pytestmark = pytest.mark.asyncio(loop_factories=["asyncio"])


class Task:
    def __init__(self, deadlines: Deadlines, seconds: float) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._begun_at = self._loop.time()
        self.seconds = seconds
        self.took_s: float | None = None
        deadlines.begin(self, seconds)

    def expire(self) -> None:
        self.took_s = self._loop.time() - self._begun_at

    def end(self) -> None:
        self._deadlines.end(self, self.seconds)


@pytest.fixture
async def deadlines() -> Deadlines:
    return Deadlines(asyncio.get_running_loop())


async def test_each_is_up_at_its_time(deadlines: Deadlines, clock: LoopClock) -> None:
    with clock.skipping():
        tasks = []
        for seconds in (9.0, 3.0, 9.0, 30.0, 3.0, 3.02):
            tasks.append(Task(deadlines, seconds))
            await asyncio.sleep(0.05)
        await asyncio.sleep(40)
    for task in tasks:
        assert task.took_s is not None
        assert 0 <= task.took_s - task.seconds <= INTERVAL_S + 0.05


async def test_what_has_ended_is_never_up(deadlines: Deadlines, clock: LoopClock) -> None:
    with clock.skipping():
        tasks = [Task(deadlines, 3.0) for _ in range(3)]
        await asyncio.sleep(1)
        for task in tasks[:2]:
            task.end()
            task.end()
        await asyncio.sleep(5)
    assert [task.took_s is None for task in tasks] == [True, True, False]


async def test_after_a_freeze_there_is_time_to_read_what_came(deadlines: Deadlines, clock: LoopClock) -> None:
    silent, answered = Task(deadlines, 3.0), Task(deadlines, 3.0)
    await asyncio.sleep(0)
    clock.advance(3.0 + LATE_S + 0.1)
    await asyncio.sleep(0.01)
    assert silent.took_s is None
    answered.end()
    with clock.skipping():
        await asyncio.sleep(READING_S + 0.2)
    assert silent.took_s == pytest.approx(3.0 + LATE_S + 0.1 + READING_S, abs=0.2)
    assert answered.took_s is None


async def test_nothing_is_looked_at_once_they_are_closed(deadlines: Deadlines, clock: LoopClock) -> None:
    task = Task(deadlines, 3.0)
    deadlines.close()
    with clock.skipping():
        await asyncio.sleep(5)
    assert task.took_s is None
