"""How many cores may be used decides whether the store has a process of its own."""

import os
from pathlib import Path

import pytest

from hookd.domain.definitions import SqliteDef
from hookd.store import open as opening
from hookd.store.cores import usable_cores
from hookd.store.open import open_store


@pytest.fixture(autouse=True)
def four(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: {0, 1, 2, 3})


@pytest.mark.parametrize(
    ("own", "quotas", "cores"),
    [
        ("/", {}, 4),
        ("/a/b", {"a/b": "max 100000"}, 4),
        ("/a/b", {"a/b": "150000 100000"}, 1.5),
        ("/a/b", {"a": "200000 100000", "a/b": "max 100000"}, 2),
        ("/a/b", {"": "50000 100000"}, 0.5),
        ("/a/b", {"a/b": "900000 100000"}, 4),
        ("/a/b", {"a/b": "nonsense"}, 4),
        ("/a/b", {"c": "50000 100000"}, 4),
    ],
)
def test_the_tightest_quota_counts(tmp_path: Path, own: str, quotas: dict[str, str], cores: float) -> None:
    (tmp_path / "own").write_text(f"3:cpu:/elsewhere\n0::{own}\n")
    for name, quota in quotas.items():
        (tmp_path / "cgroup" / name).mkdir(parents=True, exist_ok=True)
        (tmp_path / "cgroup" / name / "cpu.max").write_text(f"{quota}\n")
    assert usable_cores(tmp_path / "own", tmp_path / "cgroup") == cores


def test_where_nothing_can_be_read_affinity_alone_counts(tmp_path: Path) -> None:
    assert usable_cores(tmp_path / "own", tmp_path / "cgroup") == 4


@pytest.mark.parametrize(
    ("wanted", "cores", "has_process"),
    [("auto", 2.0, True), ("auto", 1.9, False), (True, 1.0, True), (False, 4.0, False)],
)
async def test_auto_takes_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, wanted: bool | str, cores: float, has_process: bool
) -> None:
    monkeypatch.setattr(opening, "usable_cores", lambda: cores)
    store = await open_store(SqliteDef(str(tmp_path / "hookd.db")), in_process=wanted)
    assert ((await store.describe()).pid is not None) is has_process
    await store.close()
