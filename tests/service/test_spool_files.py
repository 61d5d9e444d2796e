"""The spool's directory on the disk: whose it is, and what is left of a move that fails."""

import fcntl
import os
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookd.sources.spool import spool_files
from hookd.sources.spool.rejected_directory import open_rejected
from hookd.sources.spool.spool_files import FileResult, look, settle
from hookd.sources.spool.spool_lock import HeldElsewhere, SpoolLock
from tests.kit.procfs import open_files

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users")
MEMBER = 4321


@pytest.fixture
def claim() -> Iterator[SpoolLock]:
    made = SpoolLock()
    yield made
    made.close()


@pytest.fixture
def spool(tmp_path: Path) -> Path:
    directory = tmp_path / "spool"
    directory.mkdir()
    directory.chmod(0o3730)
    return directory


def test_a_directory_that_is_replaced_is_taken_anew_and_none_stays_open(tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"
    before, claim = len(open_files()), SpoolLock()
    for directory in (spool, spool, other):
        directory.mkdir()
        assert claim.open(directory) == claim.open(directory)
        assert claim.take() == claim.take()
        assert os.path.samestat(os.fstat(claim.descriptor), directory.stat())
        assert os.path.samestat(os.fstat(claim.rejected), (directory / "rejected").stat())
        (directory / "rejected").rmdir()
        directory.rmdir()
    with pytest.raises(FileNotFoundError):
        claim.open(spool)
    assert len(open_files()) == before


def test_one_of_two_has_it_also_where_nothing_may_be_written(spool: Path, claim: SpoolLock) -> None:
    (spool / "rejected").mkdir()
    spool.chmod(0o555)
    second = SpoolLock()
    before = len(open_files())
    for each in (claim, second):
        each.open(spool)
    claim.take()
    with pytest.raises(HeldElsewhere):
        second.take()
    assert len(open_files()) == before + 3
    claim.close()
    second.take()
    second.close()
    assert len(open_files()) == before
    spool.chmod(0o755)


def test_a_lock_on_the_spool_itself_keeps_nobody_out(spool: Path, claim: SpoolLock) -> None:
    opened = os.open(spool, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(opened, fcntl.LOCK_EX)
    (spool / "a.json").touch()
    assert look(claim, spool, frozenset(), again=True, now=0).names == ("a.json",)
    os.close(opened)


def test_rejected_that_is_made_anew_is_locked_anew(spool: Path, claim: SpoolLock) -> None:
    claim.open(spool)
    claim.take()
    (spool / "rejected").rmdir()
    other = SpoolLock()
    other.open(spool)
    other.take()
    with pytest.raises(HeldElsewhere):
        claim.take()
    other.close()
    claim.take()


def test_a_move_that_fails_leaves_no_reason(spool: Path, claim: SpoolLock) -> None:
    opened = claim.open(spool)
    settled = settle(opened, claim.take(), spool, [FileResult("gone.json", refused="odd")])
    assert settled == ({}, {})
    assert not list((spool / "rejected").iterdir())


def test_a_look_brings_the_first_names_and_counts_the_others(
    spool: Path, claim: SpoolLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(spool_files, "MOST_LISTED", 3)
    for number in range(7):
        (spool / f"{number}.json").touch()
    left = frozenset({"0.json", "gone.json"})
    listing = look(claim, spool, left, again=False, now=0)
    assert (listing.names, listing.waiting) == (("1.json", "2.json", "3.json"), 7)
    assert listing.still == {"0.json"}
    assert look(claim, spool, left, again=True, now=0).names == ("0.json", "1.json", "2.json")
    for number in range(5):
        (spool / "rejected" / f"{number}.json").touch()
        (spool / "rejected" / f"x{number}.json.reason").touch()
    assert look(claim, spool, left, again=True, now=0).rejected == 5
    assert len(list((spool / "rejected").iterdir())) == 10


def test_what_nobody_takes_away_costs_little(spool: Path, claim: SpoolLock) -> None:
    """However much of it there is; it is not remembered, and what the look took is told."""
    for number in range(20_000):
        (spool / f"{number:060d}.json").mkdir()
    tracemalloc.start()
    listing = look(claim, spool, frozenset(), again=True, now=0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert listing.skipped == tuple(f"{number:060d}.json" for number in range(20))
    assert listing.cpu_s > 0
    assert peak < 1 << 18


class TestRejected:
    """Whose `rejected/` is."""

    def test_a_new_one_is_for_hookd_alone(self, spool: Path, claim: SpoolLock) -> None:
        claim.open(spool)
        claim.take()
        assert (spool / "rejected").stat().st_mode & 0o777 == 0o700

    @ROOT
    @pytest.mark.parametrize("kind", ["directory", "file", "symlink", "closed"])
    def test_what_a_member_made_first_is_moved_aside(self, kind: str, spool: Path, claim: SpoolLock) -> None:
        false = spool / "rejected"
        if kind == "file":
            false.touch()
        elif kind == "symlink":
            false.symlink_to("/etc")
        else:
            false.mkdir(0o777 if kind == "directory" else 0)
        os.chown(false, MEMBER, -1, follow_symlinks=False)
        (spool / "rejected.foreign").mkdir()
        look(claim, spool, frozenset(), again=True, now=0)
        assert (spool / "2-rejected.foreign").lstat().st_uid == MEMBER
        assert (spool / "rejected").lstat().st_uid == 0
        listing = look(claim, spool, frozenset(), again=True, now=0)
        odd = ("rejected.foreign",) if kind == "file" else ("2-rejected.foreign", "rejected.foreign")
        assert (listing.skipped, listing.fault) == (odd, None)

    @ROOT
    @pytest.mark.parametrize("owner", [0, MEMBER])
    def test_roots_and_the_spools_owners_are_used(self, owner: int, spool: Path, claim: SpoolLock) -> None:
        os.chown(spool, MEMBER, -1)
        (spool / "rejected").mkdir()
        os.chown(spool / "rejected", owner, -1)
        look(claim, spool, frozenset(), again=True, now=0)
        assert [path.name for path in spool.iterdir()] == ["rejected"]

    @ROOT
    @pytest.mark.parametrize(
        ("group", "mode", "narrowed"),
        [
            (MEMBER, 0o770, 0o700),  # the spool's group may leave files, so it may not look here
            (MEMBER + 1, 0o770, 0o750),
            (MEMBER + 1, 0o757, 0o750),
            (MEMBER + 1, 0o2750, 0o2750),
        ],
    )
    def test_what_is_too_wide_is_narrowed(self, group: int, mode: int, narrowed: int, spool: Path) -> None:
        os.chown(spool, -1, MEMBER)
        spool.chmod(0o3730)
        rejected = spool / "rejected"
        rejected.mkdir()
        os.chown(rejected, -1, group)
        rejected.chmod(mode)
        opened = os.open(spool, os.O_RDONLY)
        os.close(open_rejected(opened))
        os.close(opened)
        assert rejected.stat().st_mode & 0o7777 == narrowed

    @ROOT
    def test_one_that_cannot_be_moved_holds_back_what_waits(
        self, spool: Path, claim: SpoolLock, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (spool / "rejected").mkdir()
        os.chown(spool / "rejected", MEMBER, -1)
        (spool / "a.json").touch()

        def denied(*_: object, **__: object) -> None:
            raise PermissionError(1, "Operation not permitted")

        monkeypatch.setattr(os, "rename", denied)
        listing = look(claim, spool, frozenset(), again=True, now=0)
        remedy = "make it a directory that only hookd can write to"
        assert listing.fault == f"{spool}/rejected cannot be used: operation not permitted; {remedy}"
        assert (listing.names, listing.waiting) == ((), 1)
