"""The spool's directory on the disk: whose it is, and what is left of a move that fails."""

import os
from pathlib import Path

import pytest

from hookd.sources.spool.spool_files import FileResult, settle
from hookd.sources.spool.spool_lock import HeldElsewhere, SpoolLock
from tests.kit.procfs import open_files


def test_a_directory_that_is_replaced_is_taken_anew_and_none_stays_open(tmp_path: Path) -> None:
    spool, other = tmp_path / "spool", tmp_path / "other"
    before, claim = len(open_files()), SpoolLock()
    for directory in (spool, spool, other):
        directory.mkdir()
        assert claim.take(directory) == claim.take(directory)
        assert os.path.samestat(os.fstat(claim.descriptor), directory.stat())
        directory.rmdir()
    with pytest.raises(FileNotFoundError):
        claim.take(spool)
    assert len(open_files()) == before


def test_one_of_two_has_it_also_where_nothing_may_be_written(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    before, first, second = len(open_files()), SpoolLock(), SpoolLock()
    first.take(tmp_path)
    with pytest.raises(HeldElsewhere):
        second.take(tmp_path)
    assert len(open_files()) == before + 1
    os.close(first.descriptor)
    second.take(tmp_path)
    os.close(second.descriptor)
    tmp_path.chmod(0o755)


def test_a_move_that_fails_leaves_no_reason(tmp_path: Path) -> None:
    (tmp_path / "spool/rejected").mkdir(parents=True)
    claim = SpoolLock()
    spool = claim.take(tmp_path / "spool")
    settled = settle(spool, tmp_path / "spool", [FileResult("gone.json", refused="odd")])
    os.close(spool)
    assert settled == ({}, {})
    assert not list((tmp_path / "spool/rejected").iterdir())
