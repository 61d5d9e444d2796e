"""Files that were being taken in when the process ended: tried last and alone, and not a third time."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookd.sources.spool.spool_files import FileIdentity, look
from hookd.sources.spool.spool_lock import SpoolLock
from hookd.sources.spool.taking_mark import MARK, TakingMark, identity


class Place:
    """A spool with files, and what a new process makes of it."""

    def __init__(self, spool: Path) -> None:
        self.directory = spool
        self.lock = SpoolLock()
        self.spool, self.rejected = self.lock.open(spool), self.lock.take()
        self.kept = spool / "rejected" / MARK

    def put(self, *names: str) -> None:
        for name in names:
            (self.directory / name).write_text("{}")

    def files(self, *names: str) -> dict[str, FileIdentity]:
        found = {name: identity(self.spool, name) for name in names}
        return {name: mark for name, mark in found.items() if mark is not None}

    def next_process(self) -> tuple[TakingMark, tuple[str, ...]]:
        mark = TakingMark()
        return mark, mark.load(self.spool, self.rejected)


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "spool").mkdir()
    made = Place(tmp_path / "spool")
    yield made
    made.lock.close()


def test_what_was_being_taken_in_is_a_suspect_and_the_second_time_condemned(place: Place) -> None:
    place.put("a.json", "b.json", "c.json")
    first, suspects = place.next_process()
    assert suspects == ()
    first.begin(place.rejected, place.files("a.json", "b.json"))
    second, suspects = place.next_process()
    assert set(suspects) == {"a.json", "b.json"}
    assert [second.is_suspect(f"{name}.json") for name in "abc"] == [True, True, False]
    second.begin(place.rejected, place.files("c.json"))
    second.end(place.rejected, ("c.json",))
    second.begin(place.rejected, place.files("a.json"))
    second.end(place.rejected, ("a.json",))
    second.begin(place.rejected, place.files("b.json"))
    third, suspects = place.next_process()
    assert suspects == ()
    [(name, mark)] = place.files("b.json").items()
    assert third.is_condemned(name, mark)
    assert not third.is_suspect(name)
    assert not any(third.is_condemned(each, seen) for each, seen in place.files("a.json", "c.json").items())
    third.end(place.rejected, ("b.json",))
    assert not place.kept.exists()


def test_suspects_that_were_not_tried_again_stay_what_they_are(place: Place) -> None:
    place.put("a.json", "b.json", "c.json")
    place.next_process()[0].begin(place.rejected, place.files("a.json", "b.json"))
    place.next_process()[0].begin(place.rejected, place.files("c.json"))
    third, suspects = place.next_process()
    assert suspects == ("c.json",)
    assert all(third.is_suspect(f"{name}.json") for name in "abc")
    assert not any(third.is_condemned(each, seen) for each, seen in place.files("a.json", "b.json").items())


def test_a_stop_as_it_should_be_leaves_no_suspects(place: Place) -> None:
    place.put("a.json")
    mark, _ = place.next_process()
    mark.begin(place.rejected, place.files("a.json"))
    mark.withdraw(place.rejected)
    mark.begin(place.rejected, place.files("a.json"))  # a thread that comes late
    assert not place.kept.exists()
    assert place.next_process()[1] == ()


def test_another_file_of_the_name_is_no_suspect(place: Place) -> None:
    place.put("a.json", "b.json")
    place.next_process()[0].begin(place.rejected, place.files("a.json", "b.json"))
    (place.directory / "a.json").write_text('{"fixed": true}')
    (place.directory / "b.json").unlink()
    mark, suspects = place.next_process()
    assert suspects == ()
    assert not mark.is_suspect("a.json")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b'{"taking": 1, "suspects": {}}',
        b'{"taking": {"a.json": [1]}, "suspects": {}}',
        b"\xff",
    ],
)
def test_a_mark_that_is_of_no_use_is_none(place: Place, content: bytes) -> None:
    place.put("a.json")
    place.kept.write_bytes(content)
    assert place.next_process()[1] == ()


def test_names_may_be_any_bytes(place: Place) -> None:
    name = os.fsdecode(b"\xff\xe9.json")
    place.put(name)
    place.next_process()[0].begin(place.rejected, place.files(name))
    assert place.next_process()[1] == (name,)


def test_the_mark_cannot_be_written_and_nothing_is_kept_from_being_taken_in(place: Place) -> None:
    place.put("a.json")
    (place.directory / "rejected" / f"{MARK}.part").mkdir()
    place.next_process()[0].begin(place.rejected, place.files("a.json"))
    assert place.next_process()[1] == ()


def test_the_mark_is_no_rejected_file(place: Place) -> None:
    place.put("a.json")
    place.next_process()[0].begin(place.rejected, place.files("a.json"))
    assert set(json.loads(place.kept.read_text())["taking"]) == {"a.json"}
    found = look(place.lock, place.directory, frozenset(), again=True, now=0)
    assert (found.names, found.rejected) == (("a.json",), 0)
    assert place.kept.exists()
