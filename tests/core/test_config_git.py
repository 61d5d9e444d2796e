"""Which commit the config's files come from, by real git: what counts as dirty, and that nothing of it can fail."""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from hookd import config as configuration
from hookd.config import git as config_git
from hookd.config.git import revision_of
from hookd.domain.definitions import Config, Revision

TEXT = "webhooks:\n  ops:\n    url: http://127.0.0.1:9/\n"


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)
    monkeypatch.setenv("GIT_CONFIG_NOSYSTEM", "1")


def git(place: Path, *words: str) -> str:
    done = subprocess.run(["git", *words], cwd=place, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def commit_all(place: Path) -> str:
    git(place, "add", "-A")
    git(place, "commit", "-qm", "c")
    return git(place, "rev-parse", "HEAD")


def loaded(path: Path) -> Config:
    found = configuration.load(path, env={"TZ": "UTC"})
    assert found.config is not None, found.diagnostics
    return found.config


def told(path: Path) -> Revision | None:
    return about(loaded(path))


def about(config: Config, known: Revision | None = None) -> Revision | None:
    return revision_of(Path(config.path), config.hash, config.sources, known)


@pytest.fixture
def repo(tmp_path: Path) -> Path:
    """A work tree with the config in a folder of it, all committed."""
    repo = tmp_path / "repo"
    (repo / "conf" / "more").mkdir(parents=True)
    git(repo, "init", "-q")
    (repo / "conf" / "a.yaml").write_text(TEXT)
    (repo / "conf" / "more" / "b.yml").write_text(TEXT.replace("ops", "ö ps"))
    (repo / "conf" / "ä ☃.yaml").write_text("")
    (repo / "other.txt").write_text("x")
    commit_all(repo)
    return repo


def head(repo: Path) -> str:
    return git(repo, "rev-parse", "HEAD")


@pytest.mark.parametrize("path", ["conf", "conf/a.yaml", "."])
def test_clean(repo: Path, path: str) -> None:
    assert told(repo / path) == Revision(head(repo), dirty=False)


def edit(repo: Path) -> None:
    (repo / "conf" / "a.yaml").write_text(TEXT + "# more\n")


def stage(repo: Path) -> None:
    edit(repo)
    git(repo, "add", "-A")


def untracked(repo: Path) -> None:
    (repo / "conf" / "new.yaml").write_text("")


def ignored(repo: Path) -> None:
    (repo / ".gitignore").write_text("conf/local.yaml\n")
    commit_all(repo)
    (repo / "conf" / "local.yaml").write_text("")


def removed(repo: Path) -> None:
    (repo / "conf" / "more" / "b.yml").unlink()


def removed_from_the_index(repo: Path) -> None:
    git(repo, "rm", "-q", "--cached", "conf/a.yaml")
    commit = git(repo, "commit", "-qm", "c")
    assert not commit


def assumed_unchanged(repo: Path) -> None:
    git(repo, "update-index", "--assume-unchanged", "conf/a.yaml")
    edit(repo)


def linked_outside(repo: Path) -> None:
    outside = repo.parent / "outside.yaml"
    outside.write_text("")
    (repo / "conf" / "link.yaml").symlink_to(outside)
    commit_all(repo)


def of_a_nested_repository(repo: Path) -> None:
    nested = repo / "conf" / "nested"
    nested.mkdir()
    git(nested, "init", "-q")
    (nested / "n.yaml").write_text("")
    commit_all(nested)


@pytest.mark.parametrize(
    "change",
    [
        edit, stage, untracked, ignored, removed, removed_from_the_index, assumed_unchanged, linked_outside,
        of_a_nested_repository,
    ],
)  # fmt: skip
def test_dirty(repo: Path, change: Callable[[Path], None]) -> None:
    change(repo)
    assert told(repo / "conf") == Revision(head(repo), dirty=True)


def beside(repo: Path) -> None:
    (repo / "other.txt").write_text("y")
    (repo / "new.yaml").write_text("")


def no_config(repo: Path) -> None:
    for name in ("x.test.yaml", ".hidden.yaml", "README", "a.yaml~"):
        (repo / "conf" / name).write_text("")


def removed_no_config(repo: Path) -> None:
    no_config(repo)
    commit_all(repo)
    git(repo, "rm", "-q", "--cached", "-r", "other.txt")
    for name in ("x.test.yaml", ".hidden.yaml", "README"):
        (repo / "conf" / name).unlink()


def staged_and_undone(repo: Path) -> None:
    stage(repo)
    (repo / "conf" / "a.yaml").write_text(TEXT)


def touched(repo: Path) -> None:
    os.utime(repo / "conf" / "a.yaml", (1, 1))


def linked_inside(repo: Path) -> None:
    (repo / "shared").mkdir()
    (repo / "shared" / "s.yaml").write_text("tasks: {t: {webhook: ops}}\n")
    (repo / "conf" / "s.yaml").symlink_to("../shared/s.yaml")
    (repo / "shared" / "dir").mkdir()
    (repo / "shared" / "dir" / "d.yaml").write_text("")
    (repo / "conf" / "dir").symlink_to("../shared/dir")
    (repo / "conf" / "again").symlink_to("more")
    commit_all(repo)


@pytest.mark.parametrize(
    "change", [beside, no_config, removed_no_config, staged_and_undone, touched, linked_inside]
)
def test_only_the_configs_own_files_and_their_content_count(
    repo: Path, change: Callable[[Path], None]
) -> None:
    change(repo)
    assert told(repo / "conf") == Revision(head(repo), dirty=False)


def test_a_change_behind_a_link_counts(repo: Path) -> None:
    linked_inside(repo)
    (repo / "shared" / "dir" / "d.yaml").write_text("# changed\n")
    assert told(repo / "conf") == Revision(head(repo), dirty=True)


@pytest.mark.parametrize("through", ["directory", "file", "files"])
def test_a_path_that_leads_into_the_work_tree(repo: Path, tmp_path: Path, through: str) -> None:
    link = tmp_path / "etc"
    if through == "directory":
        link.symlink_to(repo / "conf")
    elif through == "file":
        link.symlink_to(repo / "conf" / "a.yaml")
    else:
        link.mkdir()
        (link / "a.yaml").symlink_to(repo / "conf" / "a.yaml")
        (link / "more").symlink_to(repo / "conf" / "more")
    assert told(link) == Revision(head(repo), dirty=False)
    edit(repo)
    assert told(link) == Revision(head(repo), dirty=True)


def test_a_linked_work_tree_and_a_submodule(repo: Path, tmp_path: Path) -> None:
    git(repo, "worktree", "add", "-q", str(tmp_path / "tree"))
    assert (tmp_path / "tree" / ".git").is_file()
    assert told(tmp_path / "tree" / "conf") == Revision(head(repo), dirty=False)
    outer = tmp_path / "outer"
    outer.mkdir()
    git(outer, "init", "-q")
    git(outer, "-c", "protocol.file.allow=always", "submodule", "--quiet", "add", str(repo), "sub")
    assert told(outer / "sub" / "conf") == Revision(head(repo), dirty=False)


def test_a_repository_of_sha256(tmp_path: Path) -> None:
    git(tmp_path, "init", "-q", "--object-format=sha256")
    (tmp_path / "h.yaml").write_text(TEXT)
    commit = commit_all(tmp_path)
    assert len(commit) == 64
    assert told(tmp_path / "h.yaml") == Revision(commit, dirty=False)


def test_a_replaced_object_hides_nothing(repo: Path) -> None:
    before = git(repo, "rev-parse", "HEAD:conf/a.yaml")
    edit(repo)
    after = git(repo, "hash-object", "-w", "conf/a.yaml")
    git(repo, "replace", before, after)
    assert told(repo / "conf") == Revision(head(repo), dirty=True)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_repository_of_another_user(repo: Path) -> None:
    for place, directories, files in os.walk(repo.parent / "repo"):
        for name in (".", *directories, *files):
            os.chown(Path(place, name), 12345, 12345)
    with pytest.raises(subprocess.CalledProcessError):
        git(repo, "status")  # git itself refuses
    assert told(repo / "conf") == Revision(
        git(repo, "-c", "safe.directory=*", "rev-parse", "HEAD"), dirty=False
    )


class TestUnknown:
    """Where git cannot tell there is no commit, and nothing fails."""

    def test_outside_of_a_work_tree(self, tmp_path: Path) -> None:
        (tmp_path / "h.yaml").write_text(TEXT)
        assert told(tmp_path / "h.yaml") is None

    def test_no_commit_yet(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "-q")
        (tmp_path / "h.yaml").write_text(TEXT)
        assert told(tmp_path / "h.yaml") is None

    def test_a_bare_repository(self, tmp_path: Path) -> None:
        git(tmp_path, "init", "-q", "--bare")
        (tmp_path / "h.yaml").write_text(TEXT)
        assert told(tmp_path / "h.yaml") is None
        git(tmp_path, "init", "-q")
        git(tmp_path, "config", "core.bare", "true")
        assert told(tmp_path / "h.yaml") is None

    def test_git_is_not_installed(self, repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PATH", "/nowhere")
        assert told(repo / "conf") is None

    @pytest.mark.parametrize("damage", ["HEAD", "config", "objects"])
    def test_a_broken_repository(self, repo: Path, damage: str) -> None:
        place = repo / ".git" / damage
        if place.is_dir():
            shutil.rmtree(place)
        else:
            place.write_bytes(b"\xff[")
        assert told(repo / "conf") is None

    def test_a_git_file_that_leads_nowhere(self, tmp_path: Path) -> None:
        (tmp_path / ".git").write_text("gitdir: /nowhere\n")
        (tmp_path / "h.yaml").write_text(TEXT)
        assert told(tmp_path / "h.yaml") is None

    @pytest.mark.parametrize("script", ["sleep 60", "sleep 60 & sleep 60", "yes", "exec >&-; sleep 60"])
    def test_a_git_that_does_not_end(
        self, repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str
    ) -> None:
        fake = tmp_path / "bin"
        fake.mkdir()
        (fake / "git").write_text(f"#!/bin/sh\n{script}\n")
        (fake / "git").chmod(0o755)
        monkeypatch.setenv("PATH", f"{fake}:{os.environ['PATH']}")
        monkeypatch.setattr(config_git, "GIT_S", 0.3)
        monkeypatch.setattr(config_git, "_MAX_OUTPUT_BYTES", 1 << 20)
        begun = time.monotonic()
        assert told(repo / "conf") is None
        assert time.monotonic() - begun < 30

    def test_files_that_changed_since_they_were_loaded(self, repo: Path) -> None:
        config = loaded(repo / "conf")
        edit(repo)
        assert about(config) is None
        known = Revision("0" * 40, dirty=True)
        assert about(config, known) == known


def test_what_is_known_is_looked_into_again_only_for_another_commit(repo: Path) -> None:
    config = loaded(repo / "conf")
    known = Revision(head(repo), dirty=True)
    assert about(config, known) is known
    git(repo, "commit", "-q", "--allow-empty", "-m", "next")
    assert about(config, known) == Revision(head(repo), dirty=False)


def test_what_git_cannot_tell_any_more_stays(repo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = loaded(repo / "conf")
    known = about(config)
    with monkeypatch.context() as without:
        without.setenv("PATH", "/nowhere")
        assert about(config, known) == known
    shutil.rmtree(repo / ".git")
    assert about(config, known) is None


def test_the_environment_misleads_nobody(repo: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = tmp_path / "other"
    other.mkdir()
    git(other, "init", "-q")
    expected = Revision(head(repo), dirty=False)
    monkeypatch.setenv("GIT_DIR", str(other / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other))
    monkeypatch.setenv("GIT_TRACE", "2")
    monkeypatch.delenv("HOME")
    assert told(repo / "conf") == expected


def test_nothing_that_a_repository_names_is_run(repo: Path, tmp_path: Path) -> None:
    """Who keeps the config may be another user than hookd's, and must not run programs as it."""
    trap, sprung = tmp_path / "trap", tmp_path / "sprung"
    trap.write_text(f"#!{sys.executable}\nopen({str(sprung)!r}, 'w').close()\n")
    trap.chmod(0o755)
    for hook in ("post-index-change", "post-checkout", "reference-transaction", "fsmonitor-watchman"):
        shutil.copy(trap, repo / ".git" / "hooks" / hook)
    edit(repo)
    with (repo / ".git" / "config").open("a") as file:
        file.write(
            f"[core]\n fsmonitor = {trap}\n pager = {trap}\n hooksPath = {repo}/.git/hooks\n sshCommand = {trap}\n"
            f'[filter "f"]\n clean = {trap}\n process = {trap}\n required = true\n'
            f'[diff "f"]\n command = {trap}\n textconv = {trap}\n[diff]\n external = {trap}\n'
            f"[alias]\n rev-parse = !{trap}\n ls-tree = !{trap}\n[gpg]\n program = {trap}\n"
            f'[remote "origin"]\n url = ext::{trap}\n promisor = true\n[extensions]\n partialClone = origin\n'
        )
    (repo / ".git" / "info" / "attributes").write_text("* filter=f diff=f\n")
    assert told(repo / "conf") == Revision(head(repo), dirty=True)
    assert not sprung.exists()
    subprocess.run(["git", "status"], cwd=repo, check=False, capture_output=True)
    assert sprung.exists()  # it would have


def test_the_repository_is_not_written_to(repo: Path) -> None:
    touched(repo)
    before = {path: path.stat().st_mtime_ns for path in repo.rglob("*")}
    told(repo / "conf")
    assert {path: path.stat().st_mtime_ns for path in repo.rglob("*")} == before
