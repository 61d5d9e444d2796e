"""Damaged files at start: flipped bits everywhere, cuts everywhere, broken logs, and what is no store at all.

Each damage is done to a copy of a sound store, on which a real daemon is then started. Refused means: exit code 74, one
line that names the file and what to do, no traceback, file and log byte for byte as they were. What starts must hold
events; whether `hookd check --store` finds something in it is counted, and what neither finds.
"""

import asyncio
import itertools
import os
import random
import shutil
import sqlite3
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.disk.stage import CONFIG, Load
from tests.chaos.proof import Findings, Options
from tests.kit.commands import hookd
from tests.kit.daemon import DaemonProcess
from tests.kit.disk import mounted
from tests.kit.receiver import Receiver

PAGE = 4096
KINDS = {0x02: "interior index", 0x05: "interior table", 0x0A: "leaf index", 0x0D: "leaf table"}
TOGETHER = 3


@dataclass(frozen=True)
class Store:
    """The bytes of a file and of its log."""

    file: bytes
    log: bytes = b""


@dataclass(frozen=True)
class Damage:
    """A damaged store; `must_refuse`: starting on it would be wrong."""

    kind: str
    where: str
    store: Store
    must_refuse: bool = False


async def files(options: Options, found: Findings) -> dict[str, Any]:
    """Start a daemon on each damaged copy; count what became of it, by kind of damage."""
    place, chance = options.place("damage"), options.chance()
    sound, crashed = await _make(place)
    damages = list(_damages(sound, crashed, chance, options))
    contents = await asyncio.to_thread(_contents, sound, place / "sound.db")
    figures: dict[str, Counter[str]] = {}
    slots = asyncio.Semaphore(TOGETHER)

    async def one(number: int, damage: Damage) -> None:
        async with slots:
            verdict = await _start(place / str(number), damage, contents, found)
            figures.setdefault(damage.kind, Counter())[verdict] += 1

    await asyncio.gather(*(one(number, damage) for number, damage in enumerate(damages)))
    return {"damages": len(damages), **{kind: dict(verdicts) for kind, verdicts in figures.items()}}


async def _make(place: Path) -> tuple[Store, Store]:
    """A store after a clean stop, and one as a kill leaves it: most of what it holds is in its log."""
    async with Receiver() as receiver:
        (place / "hookd.yaml").write_text(CONFIG.format(store="h.db", url=receiver.url))
        async with DaemonProcess(place) as daemon:
            load = Load(daemon, pad=300)
            crashed = await _crashed(daemon, load)
            await daemon.start()
            await load.one(900)
            for _ in range(3):
                await load.one(5)
            await receiver.wait_for(600)
            await load.stop()
            await daemon.stop()
    return Store((place / "h.db").read_bytes()), crashed


async def _crashed(daemon: DaemonProcess, load: Load) -> Store:
    for _ in range(20):
        await load.one()
    await daemon.kill()
    await load.stop()
    file = daemon.directory / "h.db"
    return Store(file.read_bytes(), file.with_name("h.db-wal").read_bytes())


def _damages(sound: Store, crashed: Store, chance: random.Random, options: Options) -> Iterator[Damage]:
    few = options.scale(short=1, long=6)
    yield from _header_flips(sound, chance, few * 2)
    for kind, pages in _pages(sound.file).items():
        yield from _page_flips(sound, kind, pages, chance, few)
    for _ in range(options.scale(short=2, long=60)):
        place = chance.randrange(len(sound.file))
        yield Damage("any bit flipped", f"byte {place}", Store(_flip(sound.file, place, chance)))
    for size in [1, 15, 16, 99, 100, 512, PAGE, len(sound.file) - 1][:: options.scale(short=3, long=1)]:
        yield Damage("cut", f"to {size}", Store(sound.file[:size]), must_refuse=True)
    for _ in range(few * 2):
        size = chance.randrange(1, len(sound.file))
        yield Damage("cut", f"to {size}", Store(sound.file[:size]), must_refuse=True)
    yield from _log_damages(crashed, chance, few)


def _header_flips(sound: Store, chance: random.Random, count: int) -> Iterator[Damage]:
    for _ in range(count):
        place = chance.randrange(100)
        yield Damage("bit flipped: file header", f"byte {place}", Store(_flip(sound.file, place, chance)))


def _page_flips(
    sound: Store, kind: str, pages: list[int], chance: random.Random, count: int
) -> Iterator[Damage]:
    for _ in range(count):
        page = chance.choice(pages)
        place = page * PAGE + (100 if page == 0 else 0) + chance.randrange(8)
        name = f"bit flipped: page header, {kind}"
        yield Damage(name, f"byte {place}", Store(_flip(sound.file, place, chance)))
        content = bytearray(sound.file)
        content[page * PAGE : (page + 1) * PAGE] = chance.randbytes(PAGE)
        yield Damage(f"page overwritten: {kind}", f"page {page + 1}", Store(bytes(content)), must_refuse=True)


def _pages(content: bytes) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for page in range(len(content) // PAGE):
        kind = KINDS.get(content[page * PAGE + (100 if page == 0 else 0)])
        if kind is not None:
            found.setdefault(kind, []).append(page)
    return found


def _log_damages(crashed: Store, chance: random.Random, few: int) -> Iterator[Damage]:
    log, frame = crashed.log, PAGE + 24
    for _ in range(few * 2):
        place = chance.randrange(len(log) * 2 // 3)
        damaged = Store(crashed.file, _flip(log, place, chance))
        yield Damage("log: bit flipped before others' commits", f"byte {place}", damaged, must_refuse=True)
    for _ in range(few * 2):
        size = chance.randrange(len(log) // 2, len(log))
        yield Damage("log: torn end", f"to {size}", Store(crashed.file, log[:size]))
    torn = log[:-frame] + chance.randbytes(frame)
    yield Damage("log: torn end", "the last frame is noise", Store(crashed.file, torn))
    yield Damage("log: whole", "", crashed)


def _flip(content: bytes, place: int, chance: random.Random) -> bytes:
    changed = bytearray(content)
    changed[place] ^= 1 << chance.randrange(8)
    return bytes(changed)


async def _start(place: Path, damage: Damage, contents: str, found: Findings) -> str:
    file, log = place / "h.db", place / "h.db-wal"
    await asyncio.to_thread(_write, damage.store, file)
    (place / "hookd.yaml").write_text(CONFIG.format(store="h.db", url="http://127.0.0.1:9"))
    name = f"{damage.kind}, {damage.where}"
    daemon = DaemonProcess(place)
    try:
        if await _is_refused(daemon):
            _look_at_refusal(name, daemon, found)
            same = file.read_bytes() == damage.store.file and (
                not damage.store.log or (log.exists() and log.read_bytes() == damage.store.log)
            )
            found.expect(same, f"{name}: refused, and not left as it was")
            found.expect("torn" not in damage.kind and "whole" not in damage.kind, f"{name}: refused")
            return "refused at start"
        await _use(name, daemon, found)
    finally:
        await daemon.close()
    found.expect(not damage.must_refuse, f"{name}: it was started on")
    verdict = await _unseen(place, damage, contents, name, found)
    shutil.rmtree(place)
    return verdict


def _write(store: Store, file: Path) -> None:
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(store.file)
    if store.log:
        file.with_name(f"{file.name}-wal").write_bytes(store.log)


async def _is_refused(daemon: DaemonProcess) -> bool:
    try:
        await daemon.start()
    except AssertionError:
        return True
    return False


def _look_at_refusal(name: str, daemon: DaemonProcess, found: Findings) -> None:
    assert daemon.process is not None
    said = daemon.log.read_text()
    found.expect(daemon.process.returncode == 74, f"{name}: exit {daemon.process.returncode}: {said[-800:]}")
    found.expect("Traceback" not in said and said.startswith("hookd: "), f"{name}: said {said[-800:]}")
    found.expect(len(said.splitlines()) == 1 and "h.db" in said, f"{name}: said {said[-800:]}")


async def _use(name: str, daemon: DaemonProcess, found: Findings) -> None:
    """What started is used for a moment: it may refuse (503), it may not look empty or end."""
    code, listed = await daemon.request("GET", "/v1/events?limit=500")
    found.expect(code == 503 or listed["events"], f"{name}: it started with an empty store")
    for path in ("/v1/status", "/v1/deliveries?limit=500", "/v1/deliveries?state=dead"):
        code, _ = await daemon.request("GET", path)
        found.expect(code in (200, 503), f"{name}: GET {path} is answered {code}")
    for _ in range(5):
        code, _ = await daemon.post({"type": "load", "event": "tick", "data": {"n": 0, "pad": ""}})
        found.expect(code in (202, 503), f"{name}: a post is answered {code}")
    code = await daemon.stop()
    found.expect(code == 0, f"{name}: it ended with {code}: {daemon.log.read_text()[-1500:]}")
    found.expect("Traceback" not in daemon.log.read_text(), f"{name}: {daemon.log.read_text()[-1500:]}")


async def _unseen(place: Path, damage: Damage, contents: str, name: str, found: Findings) -> str:
    if damage.kind.startswith("log"):
        return "started with what was committed"
    again = place / "again"
    _write(damage.store, again / "h.db")
    check = await hookd("check", "--store", "-c", place / "hookd.yaml", cwd=again)
    said = check.out + check.err
    found.expect("Traceback" not in said and check.code in {0, 1}, f"{name}: check says {said!r}")
    if check.code == 1:
        return "found by the deep check"
    try:
        same = await asyncio.to_thread(_contents, damage.store, place / "same.db") == contents
    except sqlite3.Error:
        same = False
    return "nothing changed that can be seen" if same else "seen by no check: a value is another one"


def _contents(store: Store, path: Path) -> str:
    _write(store, path)
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    try:
        tables = [
            name for (name,) in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")
        ]
        rows = itertools.chain.from_iterable(
            connection.execute(f'SELECT * FROM "{name.decode()}"').fetchall() for name in sorted(tables)
        )
        return str(list(rows))
    finally:
        connection.close()


async def no_stores(options: Options, found: Findings) -> dict[str, Any]:
    """What stands where the store should be and is none; each is refused and left as it is, but the empty file."""
    place = options.place("no-store")
    figures = {}
    for name, (prepare, said) in NO_STORES.items():
        directory = place / name
        directory.mkdir()
        file = directory / "h.db"
        await asyncio.to_thread(prepare, file)
        (directory / "hookd.yaml").write_text(CONFIG.format(store="h.db", url="http://127.0.0.1:9"))
        before = _picture(file)
        daemon = DaemonProcess(directory)
        refused = await _is_refused(daemon)
        if refused:
            _look_at_refusal(name, daemon, found)
            found.expect(said in daemon.log.read_text(), f"{name}: said {daemon.log.read_text()[-800:]}")
            found.expect(_picture(file) == before, f"{name}: it was changed")
        found.expect(refused is bool(said), f"{name}: {'refused' if refused else 'started'}")
        await daemon.close()
        await asyncio.to_thread(_clear, file)
        figures[name] = "refused" if refused else "started"
    return figures


def _picture(file: Path) -> tuple[str, ...]:
    if file.is_symlink():
        return ("link", str(file.readlink()))
    if file.is_file():
        return ("file", file.read_bytes().hex())
    return ("other", *sorted(path.name for path in file.iterdir())) if file.is_dir() else ("nothing",)


def _clear(file: Path) -> None:
    subprocess.run(["chattr", "-i", str(file)], check=False, capture_output=True)


def _newer(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE events (seq)")
    connection.execute("PRAGMA application_id = 1752133483")
    connection.execute("PRAGMA user_version = 99")
    connection.close()


def _foreign(file: Path) -> None:
    connection = sqlite3.connect(file)
    connection.execute("CREATE TABLE recipes (title)")
    connection.close()


def _immutable(file: Path) -> None:
    _newer(file)
    connection = sqlite3.connect(file)
    connection.execute("PRAGMA user_version = 1")
    connection.close()
    subprocess.run(["chattr", "+i", str(file)], check=True)


def _lone_log(file: Path) -> None:
    file.touch()
    file.with_name("h.db-wal").write_bytes(b"\x37\x7f\x06\x82" + b"\0" * 5000)


NO_STORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "a text": (lambda file: file.write_text("not a database\n" * 999), "is not a database"),
    "a newer schema": (_newer, "schema version 99"),
    "of another program": (_foreign, "of another program"),
    "a directory": (lambda file: file.mkdir(), "is a directory"),
    "a link to itself": (lambda file: file.symlink_to(file.name), "link"),
    "a link into nowhere": (lambda file: file.symlink_to("gone/h.db"), "gone"),
    "a pipe": (os.mkfifo, "not a regular file"),
    "an immutable file": (_immutable, "cannot be opened for writing"),
    "an empty file beside a log": (_lone_log, "is empty, but"),
    "an empty file": (lambda file: file.touch(), ""),
}


async def read_only_at_start(options: Options, found: Findings) -> dict[str, Any]:
    """A start on a read-only disk is refused; the same start works once it can be written."""
    place = options.place("read-only")
    with mounted(place / "disk", megabytes=16) as disk:
        (place / "hookd.yaml").write_text(CONFIG.format(store="disk/h.db", url="http://127.0.0.1:9"))
        async with DaemonProcess(place) as daemon:
            load = Load(daemon)
            found.expect(await load.one() == 202, "read-only: nothing was taken in before")
            await load.stop()
            await daemon.kill()
            await asyncio.to_thread(disk.read_only, on=True)
            daemon.log.unlink()
            found.expect(await _is_refused(daemon), "read-only: it was started on")
            _look_at_refusal("read-only", daemon, found)
            found.expect("Read-only" in daemon.log.read_text(), "read-only: the refusal does not say so")
            await asyncio.to_thread(disk.read_only, on=False)
            await daemon.start()
            found.expect((await daemon.get("/v1/events"))["events"], "read-only: the event is gone")
            await daemon.stop()
    return {"refused": 1, "started_once_writable": 1}
