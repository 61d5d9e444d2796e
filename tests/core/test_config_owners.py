"""Files that others could change or read: what anybody could change is refused, the rest is warned of."""

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from hookd import config
from hookd.config.yaml import owners

HOOK = "webhooks: {hook: {url: http://127.0.0.1:9099/}}\n"
FROM_FILE = "webhooks: {hook: {url: {file: SECRET}}}\n"
OTHER = 4321
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to other users and groups")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    directory = tmp_path / "outer" / "tree"
    directory.mkdir(parents=True)
    (directory / "a.yaml").write_text(HOOK)
    return directory


@pytest.fixture
def reachable() -> Iterator[Path]:
    """A directory that every user can come to."""
    with tempfile.TemporaryDirectory() as made:
        Path(made).chmod(0o755)
        yield Path(made)


def said(path: Path, *, portable: bool = False) -> list[str]:
    loaded = config.load(path, env={}, portable=portable)
    assert (loaded.config is None) == any("warning: " not in str(each) for each in loaded.diagnostics)
    return [str(diagnostic) for diagnostic in loaded.diagnostics]


def owned(path: Path) -> str:
    return f"it belongs to {path.owner()}:{path.group()}, its mode is {path.stat().st_mode & 0o7777:04o}"


class TestRefused:
    """Anybody could change what is read."""

    @pytest.mark.parametrize("mode", [0o777, 0o1777, 0o757])
    @pytest.mark.parametrize("below", ["", "conf.d"])
    def test_a_directory_to_which_files_could_be_added(self, mode: int, below: str, tree: Path) -> None:
        place = tree / below
        place.mkdir(exist_ok=True)
        place.chmod(mode)
        why = f"is world-writable, so anybody could add files to it ({owned(place)}; fix: chmod o-w {place})"
        assert said(tree)[0] == f"{place}:1:1: file: {why}"
        before = config.tree_hash(tree)
        place.chmod(0o755)
        assert not said(tree)
        assert config.tree_hash(tree) != before

    @pytest.mark.parametrize("name", ["", "a.yaml"])
    def test_a_directory_in_which_the_way_could_be_replaced(self, name: str, tree: Path) -> None:
        outer = tree.parent
        outer.chmod(0o777)
        why = f"is world-writable, so anybody could replace what is in it ({owned(outer)}; fix: chmod o-w {outer})"
        assert said(tree / name) == [f"{outer}:1:1: file: {why}"]
        outer.chmod(0o1777)
        assert not said(tree / name)

    def test_a_single_file_in_a_directory_for_all(self, tree: Path) -> None:
        tree.chmod(0o1777)
        assert not said(tree / "a.yaml")
        tree.chmod(0o777)
        assert len(said(tree / "a.yaml")) == 1

    @pytest.mark.parametrize("kind", ["file", "directory"])
    def test_a_symlink_to_what_could_be_replaced(self, kind: str, tree: Path, tmp_path: Path) -> None:
        shared = tmp_path / "shared"
        (shared / "conf").mkdir(parents=True)
        (shared / "conf/b.yaml").write_text("tasks: {}\n")
        shared.chmod(0o777)
        name, target = ("b.yaml", "conf/b.yaml") if kind == "file" else ("conf", "conf")
        (tree / name).symlink_to(f"../../shared/{target}")
        why = f"stands below {shared}, which is world-writable, so anybody could replace what is in it ({owned(shared)}"
        assert said(tree) == [f"{tree}/{name}:1:1: file: {why}; fix: chmod o-w {shared})"]
        assert [each.name for each in config.yaml.files.list_tree(tree).files] == ["a.yaml"]

    def test_a_secret_that_could_be_replaced(self, tree: Path) -> None:
        (tree / "a.yaml").write_text(FROM_FILE.replace("SECRET", "../open/url"))
        shared = tree.parent / "open"
        shared.mkdir()
        (shared / "url").write_text("http://127.0.0.1:9/")
        shared.chmod(0o777)
        [line] = said(tree)
        assert "a.yaml:1:31: webhooks.hook.url.file: the file ../open/url stands below " in line
        assert f"{shared}, which is world-writable" in line
        shared.chmod(0o1777)
        assert not said(tree)


@ROOT
class TestOwners:
    """Others than root, hookd's user and the one who loads."""

    def test_a_file_of_another_user(self, tree: Path) -> None:
        file = tree / "a.yaml"
        os.chown(file, OTHER, -1)
        why = f"lets its owner {OTHER} change it (it belongs to {OTHER}:root, its mode is 0644; fix: chown root {file})"
        assert said(tree) == [f"{file}:1:1: warning: file: {why}"]
        assert said(file) == said(tree)
        assert not said(tree, portable=True)

    def test_a_whole_tree_is_named_once(self, tree: Path) -> None:
        for place in (tree, tree / "a.yaml"):
            os.chown(place, OTHER, OTHER)
            place.chmod(place.stat().st_mode | 0o020)
        assert [line.partition("warning: ")[2].partition(" (")[0] for line in said(tree)] == [
            f"file: lets its owner {OTHER} change what is in it",
        ]
        os.chown(tree, 0, OTHER)
        os.chown(tree / "a.yaml", 0, OTHER)
        [line] = said(tree)
        assert f"{tree}:1:1: warning: file: lets the group {OTHER} change what is in it" in line
        assert line.endswith(f"; fix: chmod -R g-w {tree})")

    def test_a_directory_on_the_way(self, tree: Path) -> None:
        outer = tree.parent
        os.chown(outer, OTHER, -1)
        [line] = said(tree)
        assert line.startswith(f"{outer}:1:1: warning: file: lets its owner {OTHER} change what is in it (")
        assert line.endswith(f"; fix: keep it elsewhere, or chown root {outer})")

    @pytest.mark.parametrize(("mode", "warned"), [(0o775, True), (0o1775, False), (0o755, False)])
    def test_a_group_on_the_way(self, mode: int, warned: bool, tree: Path) -> None:
        os.chown(tree.parent, 0, OTHER)
        tree.parent.chmod(mode)
        assert len(said(tree)) == warned

    @pytest.mark.parametrize(("mode", "warned"), [(0o775, True), (0o1775, True), (0o755, False)])
    def test_a_group_that_could_add_files(self, mode: int, warned: bool, tree: Path) -> None:
        os.chown(tree, 0, OTHER)
        tree.chmod(mode)
        assert len(said(tree)) == warned

    def test_a_private_group_is_its_owners(self, tree: Path) -> None:
        os.chown(tree / "a.yaml", OTHER, OTHER)
        (tree / "a.yaml").chmod(0o664)
        [line] = said(tree)
        assert "lets its owner" in line
        os.chown(tree / "a.yaml", 0, 0)
        assert not said(tree)

    def test_the_services_user_is_trusted(self, tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        os.chown(tree / "a.yaml", OTHER, -1)
        monkeypatch.setattr(owners, "_trusted", lambda: {0, OTHER})
        assert not said(tree)

    def test_a_symlink_of_another_user(self, tree: Path) -> None:
        (tree / "b.yaml").symlink_to("a.yaml")
        os.chown(tree / "b.yaml", OTHER, -1, follow_symlinks=False)
        fix = f"it belongs to {OTHER}:root, its mode is 0777; fix: chown root {tree}/b.yaml"
        why = f"lets its owner {OTHER} change it ({fix})"
        assert f"{tree}/b.yaml:1:1: warning: file: {why}" in said(tree)


class TestSecrets:
    """Files with secrets that others can read."""

    def test_one_that_everybody_can_read(self, reachable: Path) -> None:
        (reachable / "a.yaml").write_text(FROM_FILE.replace("SECRET", "url"))
        (reachable / "a.yaml").chmod(0o600)
        secret = reachable / "url"
        secret.write_text("http://127.0.0.1:9/")
        secret.chmod(0o644)
        [line] = said(reachable)
        why = f"the file url can be read by every user of this machine ({owned(secret)}; fix: chmod o-r {secret})"
        assert line == f"{reachable}/a.yaml:1:31: warning: webhooks.hook.url.file: {why}"
        assert not said(reachable, portable=True)
        secret.chmod(0o640)
        assert not said(reachable)
        secret.chmod(0o644)
        reachable.chmod(0o750)
        assert not said(reachable)

    @ROOT
    def test_one_that_would_be_kept_from_the_services_user_too(
        self, reachable: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (reachable / "a.yaml").write_text(FROM_FILE.replace("SECRET", "url"))
        secret = reachable / "url"
        secret.write_text("http://127.0.0.1:9/")
        secret.chmod(0o644)
        monkeypatch.setattr(owners, "_service", lambda: (OTHER, OTHER))
        assert said(reachable)[0].endswith(f"; fix: chgrp {OTHER} {secret} && chmod 0640 {secret})")
        os.chown(secret, -1, OTHER)
        assert said(reachable)[0].endswith(f"; fix: chmod o-r {secret})")

    @ROOT
    def test_one_that_a_group_could_change(self, tree: Path) -> None:
        (tree / "a.yaml").write_text(FROM_FILE.replace("SECRET", "../keys/url"))
        secret = tree.parent / "keys/url"
        secret.parent.mkdir()
        secret.write_text("http://127.0.0.1:9/")
        for place in (secret, secret.parent):
            os.chown(place, 0, OTHER)
            place.chmod(0o770)
        second, first = said(tree)
        assert (
            f"the file ../keys/url stands below {secret.parent}, which lets the group {OTHER} change" in first
        )
        assert f"the file ../keys/url lets the group {OTHER} change it (" in second


class TestSpool:
    """A spool in which others could do more than leave files."""

    @ROOT
    @pytest.mark.parametrize(
        ("mode", "what"),
        [
            (0o777, "every user of this machine may leave events there"),
            (0o1777, "every user of this machine may leave events there"),
            (0o2770, f"members of the group {OTHER} could remove and replace the events of others"),
            (0o3770, f"members of the group {OTHER} could list the events of others"),
            (0o3730, ""),
            (0o755, ""),
        ],
    )
    def test_one_that_is_too_wide(self, mode: int, what: str, tree: Path) -> None:
        (tree / "a.yaml").write_text("daemon: {spool: ../spool}\n")
        spool = tree.parent / "spool"
        assert not said(tree)
        spool.mkdir()
        os.chown(spool, -1, OTHER)
        spool.chmod(mode)
        fix = f"install -d -m 3730 -o hookd -g hookd-emit {spool}"
        wanted = f"{tree}/a.yaml:1:17: warning: daemon.spool: {spool}: {what} ({owned_by_number(spool)}; fix: {fix})"
        assert said(tree) == ([wanted] if what else [])
        assert not said(tree, portable=True)


def owned_by_number(path: Path) -> str:
    """As `owned`, of a group without a name."""
    return (
        f"it belongs to {path.owner()}:{path.stat().st_gid}, its mode is {path.stat().st_mode & 0o7777:04o}"
    )
