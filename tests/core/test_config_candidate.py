"""A configuration beside the one in force: another checkout, a commit; what is read of it, and for whom."""

import os
import subprocess
from pathlib import Path

import pytest

from hookd import config as configuration
from hookd.config import tree_hash
from hookd.config.candidate import load_checkout, load_commit
from hookd.config.diff import changed_fields, differences
from hookd.config.yaml.diagnostics import Loaded
from hookd.domain.definitions import Config
from hookd.domain.errors import CandidateRefused
from tests.kit.tls import Authority

FILES = {
    "conf/hookd.yaml": "daemon: {store: ../h.db, listen: [{unix: h.sock}]}\n",
    "conf/w.yaml": (
        "webhooks:\n"
        "  ops:\n"
        "    url: http://127.0.0.1:9/\n"
        "    headers: {X-Key: {file: ../secrets/key}}\n"
        "    tls: {ca: ../ca.pem}\n"
    ),
    "conf/note.txt": "not read",
}


@pytest.fixture(autouse=True)
def identity(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AUTHOR", "COMMITTER"):
        monkeypatch.setenv(f"GIT_{name}_NAME", "t")
        monkeypatch.setenv(f"GIT_{name}_EMAIL", "t@example.org")
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", os.devnull)


def git(place: Path, *words: str) -> str:
    return subprocess.run(
        ["git", *words], cwd=place, check=True, capture_output=True, text=True
    ).stdout.strip()


def lay_out(place: Path, certificate: bytes) -> Path:
    """A checkout; its secret is not under git."""
    for name, text in FILES.items():
        (place / name).parent.mkdir(parents=True, exist_ok=True)
        (place / name).write_text(text)
    (place / "secrets").mkdir()
    (place / "secrets/key").write_text("s3cret-of-the-webhook")
    (place / "ca.pem").write_bytes(certificate)
    (place / ".gitignore").write_text("secrets/\n")
    return place / "conf"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return Path(Authority(tmp_path_factory.mktemp("ca")).ca).read_bytes()


@pytest.fixture
def own(tmp_path: Path, certificate: bytes) -> Path:
    conf = lay_out(tmp_path / "own", certificate)
    git(conf.parent, "init", "-q")
    commit(conf)
    return conf


@pytest.fixture
def in_force(own: Path) -> Config:
    return config_of(configuration.load(own, env=os.environ))


def commit(conf: Path) -> str:
    git(conf.parent, "add", "-A")
    git(conf.parent, "commit", "-qm", "c")
    return git(conf.parent, "rev-parse", "HEAD")


def config_of(loaded: Loaded) -> Config:
    assert loaded.config is not None, loaded.diagnostics
    return loaded.config


def places(in_force: Config, loaded: Loaded) -> list[str]:
    """What differs: each field by its place."""
    found = []
    for each in differences(in_force, config_of(loaded)):
        found += [f"{each.section}.{each.name}.{field.field}" for field in each.fields] or [
            f"{each.change} {each.section}.{each.name}"
        ]
    return found


class TestCheckout:
    @pytest.fixture
    def other(self, tmp_path: Path, certificate: bytes) -> Path:
        return lay_out(tmp_path / "other", certificate)

    def test_the_same_elsewhere_differs_in_nothing(self, other: Path, in_force: Config) -> None:
        found = load_checkout(other, tree_hash(other), in_force)
        assert places(in_force, found.loaded) == []
        assert found.revision is None

    def test_relative_paths_are_its_own(self, other: Path, in_force: Config, certificate: bytes) -> None:
        (other.parent / "secrets/key").write_text("another")
        (other.parent / "ca.pem").write_bytes(certificate + b"\n# renewed\n")
        found = load_checkout(other, tree_hash(other), in_force)
        assert places(in_force, found.loaded) == ["webhooks.ops.headers.X-Key", "webhooks.ops.tls.content"]

    def test_what_a_reload_would_change(self, other: Path, in_force: Config) -> None:
        (other / "w.yaml").write_text(
            FILES["conf/w.yaml"].replace("9/", "10/") + "  new: {url: 'http://a.example'}\n"
        )
        (other / "hookd.yaml").write_text(FILES["conf/hookd.yaml"].replace("h.db", "new.db"))
        found = load_checkout(other, tree_hash(other), in_force)
        assert places(in_force, found.loaded) == [
            "added webhooks.new",
            "webhooks.ops.url",
            "daemon.daemon.store",
        ]
        (change,) = changed_fields(in_force.daemon, config_of(found.loaded).daemon)
        assert change.new == str(Path(in_force.path).parent / "new.db"), "as it would be called there"

    def test_an_absolute_path_is_not_moved(self, other: Path, own: Path) -> None:
        for conf, store in ((own, f"{other}/a.db"), (other, f"{other}/b.db")):
            (conf / "hookd.yaml").write_text(f"daemon: {{store: {store}}}\n")
        in_force = config_of(configuration.load(own, env=os.environ))
        found = load_checkout(other, tree_hash(other), in_force)
        assert config_of(found.loaded).daemon.store.target == f"{other}/b.db"

    def test_nothing_is_told_to_who_cannot_read_it(self, tmp_path: Path, in_force: Config) -> None:
        hidden = tmp_path / "hidden.yaml"
        hidden.write_text("webhooks: {s3cret: {url: [p4ssword]}}\n")
        for guess in ("0" * 12, tree_hash(tmp_path / "none.yaml"), in_force.hash):
            with pytest.raises(CandidateRefused) as refused:
                load_checkout(hidden, guess, in_force)
            assert "sees other files at" in str(refused.value)
            assert "s3cret" not in str(refused.value)
            assert "p4ssword" not in str(refused.value)
        told = load_checkout(hidden, tree_hash(hidden), in_force).loaded.diagnostics
        assert "webhooks.s3cret.url" in str(told[0])

    def test_the_hash_is_of_the_bytes_that_were_loaded(self, other: Path) -> None:
        """So that files that are swapped meanwhile, and back, are not taken for those that are known."""
        assert configuration.load(other, env=os.environ).yaml_hash == tree_hash(other)
        loaded = configuration.isolated_load(other)
        assert loaded.yaml_hash == tree_hash(other) != loaded.hash
        (other / "w.yaml").write_text("root:x:0:0\n")
        assert configuration.isolated_load(other).yaml_hash == tree_hash(other) != loaded.yaml_hash

    def test_what_is_not_there_for_hookd(self, in_force: Config) -> None:
        with pytest.raises(CandidateRefused) as refused:
            load_checkout(Path("/home/nobody-here/conf"), "0" * 12, in_force)
        assert "does not exist" in str(refused.value) or "sees nothing at /home/nobody-here/conf" in str(
            refused.value
        )
        assert "sees no home directories" in str(refused.value)
        assert "`hookd diff --rev COMMIT`" in str(refused.value)


class TestCommit:
    def test_the_commit_in_force_differs_in_nothing(self, own: Path, in_force: Config) -> None:
        head = git(own, "rev-parse", "HEAD")
        found = load_commit(own, "HEAD", in_force)
        assert places(in_force, found.loaded) == []
        assert found.revision is not None
        assert (found.revision.commit, found.revision.dirty) == (head, False)

    def test_an_older_commit_by_its_names(self, own: Path, in_force: Config) -> None:
        old = git(own, "rev-parse", "HEAD")
        git(own, "tag", "before")
        (own / "w.yaml").write_text(FILES["conf/w.yaml"].replace("9/", "10/"))
        (own / "more.yaml").write_text("webhooks: {more: {url: 'http://a.example'}}\n")
        commit(own)
        newer = config_of(configuration.load(own, env=os.environ))
        for name in (old, old[:10], "before", "HEAD~1"):
            wanted = ["webhooks.ops.url", "removed webhooks.more"]
            assert places(newer, load_commit(own, name, newer).loaded) == wanted
        assert places(in_force, load_commit(own, "before", in_force).loaded) == []

    def test_nothing_is_written_to_the_repository(self, own: Path, in_force: Config) -> None:
        def state() -> dict[str, tuple[int, int]]:
            every = (place for place in own.parent.rglob("*") if place.is_file())
            return {str(each): (each.stat().st_mtime_ns, each.stat().st_size) for each in every}

        before = state()
        load_commit(own, "HEAD", in_force)
        assert state() == before

    def test_a_fault_is_named_by_its_commit(self, own: Path, in_force: Config) -> None:
        (own / "w.yaml").write_text("webhooks: {ops: {urls: x}}\n")
        wrong = commit(own)
        found = load_commit(own, wrong, in_force)
        assert found.loaded.config is None
        told = "\n".join(map(str, found.loaded.diagnostics))
        assert f"{wrong[:12]}:conf/w.yaml:1:18: webhooks.ops.urls: unknown key" in told
        assert "hookd-rev-" not in told

    def test_no_such_commit(self, own: Path, in_force: Config) -> None:
        with pytest.raises(CandidateRefused, match=r'has no commit "nowhere"'):
            load_commit(own, "nowhere", in_force)

    def test_no_work_tree(self, tmp_path: Path, in_force: Config) -> None:
        path = tmp_path / "hookd.yaml"
        path.write_text("{}")
        with pytest.raises(CandidateRefused, match="is in no git work tree"):
            load_commit(path, "HEAD", in_force)

    def test_a_single_file(self, own: Path) -> None:
        path = own / "w.yaml"
        in_force = config_of(configuration.load(path, env=os.environ))
        assert places(in_force, load_commit(path, "HEAD", in_force).loaded) == []

    @pytest.mark.parametrize(
        "target", ["/etc/passwd", "../../../../../../etc/passwd", "lnk/../../../../../../../etc/passwd"]
    )
    def test_a_link_out_of_the_commit_is_not_followed(self, own: Path, in_force: Config, target: str) -> None:
        (own / "x.yaml").symlink_to(target)
        (own / "lnk").symlink_to("..")
        found = load_commit(own, commit(own), in_force)
        told = "\n".join(map(str, found.loaded.diagnostics))
        assert "root" not in told
        assert found.loaded.config is not None or "x.yaml" in told

    def test_a_link_within_the_commit_is_followed(self, own: Path) -> None:
        (own.parent / "shared").mkdir()
        (own.parent / "shared/s.yaml").write_text("webhooks: {shared: {url: 'http://a.example'}}\n")
        (own / "dir").symlink_to("../shared")
        commit(own)
        in_force = config_of(configuration.load(own, env=os.environ))
        assert "shared" in in_force.webhooks
        assert places(in_force, load_commit(own, "HEAD", in_force).loaded) == []

    def test_no_program_of_the_repository_runs(self, own: Path, in_force: Config, tmp_path: Path) -> None:
        ran = tmp_path / "ran"
        git(own, "config", "filter.f.smudge", f"touch {ran}; cat")
        git(own, "config", "core.fsmonitor", f"touch {ran}")
        (own / ".gitattributes").write_text("*.yaml filter=f export-ignore\n")
        found = load_commit(own, commit(own), in_force)
        assert places(in_force, found.loaded) == []
        ran.unlink(missing_ok=True)  # what git ran for the commit itself
        load_commit(own, "HEAD", in_force)
        assert not ran.exists()
