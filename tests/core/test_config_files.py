"""Which files are read, which are refused by name, and how a change of them is noticed."""

import grp
import os
import pwd
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from hookd import config
from hookd.config import Severity, loader
from hookd.config.yaml import files
from hookd.config.yaml.files import MAX_CONFIG_BYTES, list_tree
from tests.kit.tls import Authority, encrypted

HOOK = "webhooks:\n  hook: {url: http://127.0.0.1:9099/}\n"
OWNER = f"{pwd.getpwuid(os.geteuid()).pw_name}:{grp.getgrgid(os.getegid()).gr_name}"
OPEN = (
    f"is world-writable, so anybody could change it (it belongs to {OWNER}, its mode is 0666; fix: chmod o-w"
)
TASK = "tasks:\n  note: {webhook: hook}\n"


def diagnostics(path: Path, **env: str) -> list[str]:
    return [str(diagnostic) for diagnostic in config.load(path, env=env).diagnostics]


def test_the_default_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert config.default_path({"HOOKD_CONFIG": "/a/b"}) == Path("/a/b")
    assert config.default_path({}) == Path("/etc/hookd/hookd.yaml")
    (tmp_path / "hookd.yaml").touch()
    assert config.default_path({"HOOKD_CONFIG": ""}) == Path("hookd.yaml")


def test_files_are_read_in_sorted_order_and_hidden_ones_are_not(tmp_path: Path) -> None:
    for name in ("b.yaml", "a/z.yml", "a/b/c.yaml", ".git/x.yaml", ".x.yaml", "x.test.yaml", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    found = [str(file.relative_to(tmp_path)) for file in list_tree(tmp_path).files]
    assert found == ["a/b/c.yaml", "a/z.yml", "b.yaml"]


def test_a_missing_path_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert diagnostics(Path("hookd.yaml")) == ["hookd.yaml:1:1: file: does not exist"]
    assert diagnostics(Path("/nowhere/hookd.yaml")) == ["/nowhere/hookd.yaml:1:1: file: does not exist"]


def test_symlinks_to_regular_files_count_and_others_are_named(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    tree.mkdir()
    (tmp_path / "real").write_text(HOOK)
    (tree / "a.yaml").symlink_to("../real")
    assert not diagnostics(tree)
    assert not diagnostics(tree / "a.yaml")
    (tree / "b.yaml").symlink_to("nowhere")
    (tree / "c.yaml").symlink_to("c.yaml")
    assert [line.partition(": file: ")[2] for line in diagnostics(tree)] == [
        "is a symlink to nothing",
        "cannot be read: too many levels of symbolic links",
    ]


def test_a_symlinked_directory_is_followed_once(tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    shared = tmp_path / "shared"
    tree.mkdir()
    shared.mkdir()
    (shared / "a.yaml").write_text(HOOK)
    (tree / "conf.d").symlink_to(shared)
    (shared / "loop").symlink_to(tree)
    assert [file.name for file in list_tree(tree).files] == ["a.yaml"]
    assert not diagnostics(tree)


def test_what_is_not_a_plain_file_is_refused_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    os.mkfifo("fifo.yaml")
    Path("device.yaml").symlink_to("/dev/zero")
    Path("directory.yaml").mkdir()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind("socket.yaml")
    Path("open.yaml").write_text(HOOK)
    Path("open.yaml").chmod(0o666)
    with Path("sparse.yaml").open("wb") as file:
        file.truncate(1 << 30)
    assert diagnostics(Path()) == [
        "device.yaml:1:1: file: is a device, not a regular file",
        "directory.yaml:1:1: file: is a directory, not a regular file",
        "fifo.yaml:1:1: file: is a named pipe, not a regular file",
        f"open.yaml:1:1: file: {OPEN} open.yaml)",
        "socket.yaml:1:1: file: is a socket, not a regular file",
        f"sparse.yaml:1:1: file: is larger than {MAX_CONFIG_BYTES} bytes",
    ]
    for name in ("fifo.yaml", "device.yaml", "directory.yaml/../fifo.yaml"):
        assert "not a regular file" in diagnostics(Path(name))[0]
    assert config.tree_hash(Path()) == config.tree_hash(Path())


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\0b", "1:2: yaml: holds a NUL byte: this is not a text file"),
        (b"# fine\n# \xff\xfe", "2:3: yaml: this is not UTF-8 text"),
        (b"# \x1b[31m", "1:3: yaml: holds the control character U+001B"),
        ("webhooks: {}".encode("utf-16"), "1:1: yaml: this is not UTF-8 text"),
    ],
)
def test_binary_files_are_refused(content: bytes, expected: str, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    assert diagnostics(tmp_path / "x.yaml") == [f"{tmp_path}/x.yaml:{expected}"]


def test_a_byte_order_mark_is_harmless(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(HOOK, encoding="utf-8-sig")
    assert not diagnostics(tmp_path / "x.yaml")


def test_secret_files_are_read_with_the_same_care(tmp_path: Path) -> None:
    lines = ["webhooks:"]
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "open").write_text("x")
    (tmp_path / "open").chmod(0o666)
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "bytes").write_bytes(b"\xff")
    (tmp_path / "long").write_bytes(b"x" * (files.MAX_SOURCE_BYTES + 1))
    lines += [f"  {name}: {{url: {{file: {name}}}}}" for name in ("fifo", "open", "empty", "bytes", "long")]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    assert [line.partition(": webhooks.")[2] for line in diagnostics(tmp_path / "x.yaml")] == [
        "fifo.url.file: the file fifo is a named pipe, not a regular file",
        f"open.url.file: the file open {OPEN} {tmp_path}/open)",
        "empty.url: file empty is empty",
        "bytes.url.file: the file bytes is not UTF-8 text",
        "long.url.file: the file long is larger than 1048576 bytes",
    ]


def test_an_environment_variable_that_is_not_text_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("webhooks:\n  a: {url: {env: ODD}}\n")
    assert (
        "the environment variable ODD is not UTF-8 text" in diagnostics(tmp_path / "x.yaml", ODD="\udcff")[0]
    )


def test_certificates_are_proven(tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    first, second = authority.issue("first"), authority.issue("second")
    encrypted(first, b"passphrase")
    uses = {
        "mixed": "{cert: first.pem, key: second.key}",
        "locked": "{cert: first.pem, key: encrypted.key}",
        "nokey": "{cert: first.pem}",
        "good": f"{{ca: ca.pem, cert: {first.cert}, key: {first.key}}}",
    }
    assert second.key.exists()
    lines = [f"  {name}: {{url: https://h.example/, tls: {use}}}" for name, use in uses.items()]
    (tmp_path / "x.yaml").write_text("webhooks:\n" + "\n".join(lines))
    assert [line.partition(": webhooks.")[2] for line in diagnostics(tmp_path / "x.yaml")] == [
        "mixed.tls.cert: does not belong to the key",
        "locked.tls.cert: needs a key without a passphrase; hookd has nobody to ask for it",
        "nokey.tls.cert: cannot be loaded: a certificate and its key in PEM form are needed",
    ]


def test_insecurity_is_warned_of_and_stops_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Authority(tmp_path)
    Path("x.yaml").write_text(
        "webhooks:\n"
        "  a:\n"
        "    url: https://h.example/\n"
        "    allow_insecure_certificates: true\n"
        "    tls: {ca: ca.pem}\n"
    )
    loaded = config.load(Path("x.yaml"), env={})
    assert loaded.config is not None
    assert loaded.config.webhooks["a"].tls.insecure
    assert list(loaded.config.warnings) == [str(diagnostic) for diagnostic in loaded.diagnostics]
    assert [str(diagnostic) for diagnostic in loaded.diagnostics] == [
        (
            "x.yaml:4:34: warning: webhooks.a.allow_insecure_certificates: the receiver's certificate is not "
            "checked; anybody on the way can read and change what is sent"
        ),
        "x.yaml:5:15: warning: webhooks.a.tls.ca: has no effect while allow_insecure_certificates is true",
    ]


def test_plain_secrets_in_a_git_work_tree_are_warned_of(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    path = tmp_path / "conf" / "x.yaml"
    path.write_text(
        "daemon:\n  listen: [{http: '127.0.0.1:1', tokens: [t0]}]\n"
        "webhooks:\n"
        "  a:\n    url: https://h.example/plain\n"
        "    auth: {type: bearer, token: t1}\n"
        "    signing: {secrets: [t2, {env: T}]}\n"
        "    headers: {X-Api-Token: t3, X-Route: t4}\n"
        "  b:\n    url: https://h.example/plain\n"
        '    headers: "Authorization: t5"\n'
    )
    assert not diagnostics(path, T="t")
    subprocess.run(["git", "init", "--quiet", str(tmp_path)], check=True)
    loaded = config.load(path, env={"T": "t"})
    assert loaded.config is not None
    assert {diagnostic.severity for diagnostic in loaded.diagnostics} == {Severity.WARNING}
    assert [diagnostic.where for diagnostic in loaded.diagnostics] == [
        "daemon.listen[0].tokens[0]",
        "webhooks.a.auth.token",
        "webhooks.a.signing.secrets[0]",
        "webhooks.a.headers.X-Api-Token",
        "webhooks.b.headers",
    ]


def test_extensions_are_ignored_and_hold_anchors(tmp_path: Path) -> None:
    text = """
x-defaults: &defaults {timeout: 20, headers: {X-Team: ops}}
x-note: [anything, {url: 7}]
webhooks:
  a: {<<: *defaults, url: https://h.example/a}
"""
    (tmp_path / "x.yaml").write_text(text)
    found = config.load(tmp_path / "x.yaml", env={})
    assert found.diagnostics == ()
    assert found.config is not None
    assert found.config.webhooks["a"].timeout_s == 20
    (tmp_path / "x.yaml").write_text("webhooks: {}\nxdefaults: {}\nX-Y: 1\n")
    found = config.load(tmp_path / "x.yaml", env={})
    assert [(one.line, one.message.partition(" (")[0]) for one in found.diagnostics] == [
        (2, "unknown key"),
        (3, "unknown key"),
    ]


def test_the_hash_follows_names_and_content(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HOOK)
    (tmp_path / "b.yaml").write_text(TASK)
    first = config.tree_hash(tmp_path)
    loaded = config.load(tmp_path, env={})
    assert loaded.config is not None
    assert loaded.config.hash == loaded.hash == first
    assert len(first) == 12
    (tmp_path / "notes.txt").write_text("ignored")
    os.utime(tmp_path / "a.yaml", (0, 0))
    assert config.tree_hash(tmp_path) == first
    (tmp_path / "b.yaml").rename(tmp_path / "c.yaml")
    assert config.tree_hash(tmp_path) != first
    (tmp_path / "c.yaml").rename(tmp_path / "b.yaml")
    assert config.tree_hash(tmp_path) == first
    (tmp_path / "b.yaml").write_text(TASK + "#")
    assert config.tree_hash(tmp_path) != first


def test_the_same_content_elsewhere_has_the_same_hash(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.yaml").write_text(HOOK)
    assert config.tree_hash(tmp_path / "one") == config.tree_hash(tmp_path / "two")


def test_the_hash_of_what_is_broken_or_gone_changes_when_it_is_mended(tmp_path: Path) -> None:
    missing = tmp_path / "x.yaml"
    loaded = config.load(missing, env={})
    assert loaded.config is None
    assert loaded.hash == config.tree_hash(missing)
    missing.write_text("a: [")
    broken = config.load(missing, env={})
    assert broken.hash == config.tree_hash(missing) != loaded.hash


def test_a_renewed_secret_changes_the_hash(tmp_path: Path) -> None:
    (tmp_path / "url").write_text("https://h.example/1")
    (tmp_path / "x.yaml").write_text("webhooks:\n  a: {url: {file: url}}\n")
    loaded = config.load(tmp_path / "x.yaml", env={})
    assert loaded.config is not None
    assert loaded.sources == loaded.config.sources == (str(tmp_path / "url"),)
    assert config.tree_hash(tmp_path / "x.yaml", loaded.sources) == loaded.config.hash
    (tmp_path / "new").write_text("https://h.example/2")
    (tmp_path / "new").replace(tmp_path / "url")
    assert config.tree_hash(tmp_path / "x.yaml", loaded.sources) != loaded.config.hash


def test_what_to_watch_for_a_file_and_for_a_tree(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "sub" / ".hidden").mkdir(parents=True)
    (tmp_path / "x.yaml").touch()
    assert config.watch_dirs(tmp_path / "x.yaml") == (tmp_path,)
    assert config.watch_dirs(tmp_path) == (tmp_path, tmp_path / "sub")
    monkeypatch.chdir(tmp_path)
    assert config.watch_dirs(Path("x.yaml")) == (tmp_path,)
    assert config.watch_dirs(Path("not-yet.yaml")) == (tmp_path,)


def test_watching_sees_the_links_that_may_be_swapped(tmp_path: Path) -> None:
    """A mounted ConfigMap: x.yaml -> ..data/x.yaml, ..data -> ..2026_01; and a release behind `current`."""
    mount = tmp_path / "mount"
    (mount / "..2026_01").mkdir(parents=True)
    (mount / "..2026_01" / "x.yaml").touch()
    (mount / "..data").symlink_to("..2026_01")
    (mount / "x.yaml").symlink_to("..data/x.yaml")
    assert config.watch_dirs(mount / "x.yaml") == (mount, mount / "..2026_01")
    (tmp_path / "current").symlink_to(mount)
    assert config.watch_dirs(tmp_path / "current" / "x.yaml") == (
        tmp_path,
        tmp_path / "current",
        mount,
        mount / "..2026_01",
    )


def test_a_loop_of_links_ends(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("b.yaml")
    (tmp_path / "b.yaml").symlink_to("a.yaml")
    assert config.watch_dirs(tmp_path / "a.yaml") == (tmp_path,)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "daemon:\n  listen:\n    - http: 127.0.0.1:1\n    - unix: run/a.sock\nwebhooks: [broken\n",
            "run/a.sock",
        ),
        (HOOK + "daemon:\n\n  # x\n  listen:\n  - unix: /run/a.sock\n", "/run/a.sock"),
        ("{daemon: {listen: [{unix: a.sock}]}}", "a.sock"),
        (HOOK, None),
        ("daemon:\n  listen: a.sock\n", None),
        ("daemon: [1]\n", None),
        ("daemon:\n  listen: [{unix: 5}, 6]\n", None),
        ("daemon: " + "[" * 200_000, None),
        ("a: [", None),
        ("", None),
    ],
)
def test_the_first_unix_socket_is_found_without_a_load(
    content: str, expected: str | None, tmp_path: Path
) -> None:
    (tmp_path / "x.yaml").write_text(content)
    wanted = None if expected is None else str(tmp_path / expected)
    assert config.first_unix_socket(tmp_path / "x.yaml") == wanted
    assert config.first_unix_socket(tmp_path) == wanted


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("daemon:\n  store: x\n  spool: a/../b\n", "b"),
        ("daemon: {spool: /a, listen: []}\n", "/a"),
        ("daemon: {spool: [a]}\n", None),
        ("daemon: 5\n", None),
        ("tasks: {spool: a}\n", None),
    ],
)
def test_the_spool_is_found_without_a_load(content: str, expected: str | None, tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text(content)
    wanted = None if expected is None else str(tmp_path / expected)
    assert config.spool_directory(tmp_path / "x.yaml") == wanted


def test_looking_for_a_socket_where_there_is_no_config(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo.yaml")
    assert config.first_unix_socket(tmp_path) is None
    assert config.first_unix_socket(tmp_path / "none") is None


def deep_directory(tree: Path) -> None:
    """Directories so deep that no path leads to the last ones."""
    at = os.open(tree, os.O_RDONLY | os.O_DIRECTORY)
    for _ in range(600):
        os.mkdir("directory", dir_fd=at)
        below = os.open("directory", os.O_RDONLY | os.O_DIRECTORY, dir_fd=at)
        os.close(at)
        at = below
    os.close(at)


def test_a_directory_too_deep_to_look_into_is_refused_and_raises_nothing(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(HOOK)
    deep_directory(tmp_path)
    loaded = config.load(tmp_path, env={})
    assert [f.message for f in loaded.diagnostics] == ["holds what cannot be read: file name too long"]
    assert config.tree_hash(tmp_path) == loaded.hash
    assert config.watch_dirs(tmp_path)


def test_files_that_are_too_large_together_are_not_read(tmp_path: Path) -> None:
    for number in range(6):
        with (tmp_path / f"{number}.yaml").open("wb") as file:
            file.truncate((11 << 20) + number)
    loaded = config.load(tmp_path, env={})
    assert [str(f) for f in loaded.diagnostics] == [
        f"{tmp_path}/5.yaml:1:1: file: is the largest of files of 66 MiB together; 64 MiB are allowed"
    ]
    assert config.tree_hash(tmp_path) == loaded.hash


def test_too_many_files_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MAX_FILES", 3)
    (tmp_path / "many").mkdir()
    for number in range(4):
        (tmp_path / "many" / f"{number}.yaml").write_text(HOOK)
    [diagnostic] = config.load(tmp_path, env={}).diagnostics
    assert diagnostic.path == str(tmp_path / "many")
    assert "more than 3 YAML files" in diagnostic.message


def test_a_secret_that_changes_once_it_was_read_changes_the_hash(tmp_path: Path) -> None:
    """It must not look as if the load had read what stands there afterwards."""
    secret = tmp_path / "url"
    secret.write_text("https://h.example/1")
    (tmp_path / "x.yaml").write_text("webhooks:\n  a: {url: {file: url}}\ntasks:\n  t: {webhook: a}\n")
    notes = 0

    def note(_shown: str) -> None:
        nonlocal notes
        notes += 1
        if notes == 5:  # the webhooks are built, the tasks are next
            (tmp_path / "new").write_text("https://h.example/2")
            (tmp_path / "new").replace(secret)

    loaded = loader.load(tmp_path / "x.yaml", env={}, note=note)
    assert loaded.config is not None
    read = loaded.config.webhooks["a"].url.value
    same = config.tree_hash(tmp_path / "x.yaml", loaded.sources) == loaded.hash
    assert (read, same) == ("https://h.example/1", False)


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_who_must_be_let_in_is_told(tmp_path: Path) -> None:
    path = tmp_path / "conf" / "hookd.yaml"
    path.parent.mkdir()
    path.write_text("webhooks: {}\n")
    barred = [
        "setpriv",
        "--bounding-set=-dac_override,-dac_read_search",
        sys.executable,
        "-P",
        "-m",
        "hookd",
        "check",
    ]
    for place, mode, told in (
        (path, 0o600, "let the user root read it (it belongs to 54321:54321, its mode is 0600)"),
        (path.parent, 0o700, "let the user root into its directory"),
    ):
        os.chown(place, 54321, 54321)
        place.chmod(mode)
        ran = subprocess.run([*barred, str(path)], capture_output=True, text=True, check=False)
        assert (ran.returncode, ran.stdout) == (
            1,
            f"{path}:1:1: file: cannot be read: permission denied; {told}\n",
        )
