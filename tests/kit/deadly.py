"""Ends the thread of a SQLite store in the middle of its work; as a program, of the `hookd run` that it is.

`python -m tests.kit.deadly FILE run …` is `hookd run …` with a store that dies when FILE is there.
"""

import asyncio
import sys
from pathlib import Path
from typing import Any

from hookd.cli.main import main
from hookd.store.sqlite.operations import Write
from hookd.store.sqlite.store import SqliteStore


class Deadly(Write):
    """A call of which the thread cannot even note that it failed."""

    deadly: BaseException = MemoryError()

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "error" and value is not None:
            raise self.deadly
        super().__setattr__(name, value)


def deadly(store: SqliteStore, error: BaseException) -> Deadly:
    """The call, which ends the thread with that error."""

    def work(*_: object) -> None:
        raise SystemExit

    call = Deadly(store._future(), work)
    call.__class__.deadly = error
    return call


async def _die_at(store: SqliteStore, file: Path) -> None:
    while not file.exists():  # noqa: ASYNC240  looking costs next to nothing
        await asyncio.sleep(0.01)
    call = deadly(store, MemoryError())
    store._writer.submit(call)
    await asyncio.wait({call.future})


class _Dying(SqliteStore):
    """A store that dies when a file is there."""

    file = Path()
    _dying: asyncio.Task[None]

    async def clock_seen(self) -> float | None:
        self._dying = asyncio.create_task(_die_at(self, self.file))
        return await super().clock_seen()


if __name__ == "__main__":
    import hookd.store.sqlite.store

    _Dying.file = Path(sys.argv[1])
    hookd.store.sqlite.store.SqliteStore = _Dying  # type: ignore[misc]
    sys.exit(main(sys.argv[2:]))
