"""`hookd init`: what it writes, that it writes over nothing, and that the git hook of the docs refuses a bad config."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from hookd import config
from hookd.cli.commands.init import FILES
from hookd.cli.main import main
from hookd.config.yaml.tree import parse
from hookd.domain.definitions import Config
from tests.docs import pages

TOP = Path(__file__).parents[2]


@pytest.fixture
def started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    """A directory that `hookd init` made, which is the current one."""
    monkeypatch.delenv("HOOKD_CONFIG", raising=False)
    assert main(["init", str(tmp_path / "new" / "hooks")]) == 0
    monkeypatch.chdir(tmp_path / "new" / "hooks")
    capsys.readouterr()
    return tmp_path / "new" / "hooks"


def loaded(path: Path) -> Config:
    found = config.load(path, env={})
    assert found.config is not None
    return found.config


def test_what_it_writes_passes_check_and_test(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sorted(path.name for path in started.iterdir()) == sorted(FILES)
    assert main(["check", "--strict"]) == 0
    assert capsys.readouterr().out == "ok: 1 webhook, 2 tasks, 1 event, 1 schedule\n"
    assert main(["test"]) == 0
    assert capsys.readouterr().out == "3 passed, 0 failed\n"


def test_it_says_what_to_do_next(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["init", "x"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote x/hookd.yaml\nwrote x/hookd.test.yaml\nnext:\n  cd x\n  hookd check")
    assert main(["init", "."]) == 0
    out = capsys.readouterr().out
    assert out.startswith("wrote hookd.yaml\nwrote hookd.test.yaml\nnext:\n  hookd check")


@pytest.mark.parametrize("umask", [0o000, 0o077])
def test_whatever_the_umask_hookd_reads_it(
    umask: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = os.umask(umask)
    try:
        assert main(["init", str(tmp_path / "x")]) == 0
    finally:
        os.umask(before)
    assert main(["check", "--strict", str(tmp_path / "x")]) == 0
    assert main(["test", str(tmp_path / "x")]) == 0


@pytest.mark.parametrize("name", FILES)
@pytest.mark.parametrize("kind", ["file", "link", "directory"])
def test_where_one_is_there_neither_is_written(
    name: str,
    kind: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    place = Path(name)
    if kind == "file":
        place.write_text("mine\n")
    elif kind == "link":
        place.symlink_to("nowhere")
    else:
        place.mkdir()
    assert main(["init", "."]) == 1
    assert capsys.readouterr().err == (
        f"hookd: {name} is there already; nothing was written\n"
        "name another directory, or move the old file out of the way\n"
    )
    assert [path.name for path in Path().iterdir()] == [name]
    assert kind != "file" or place.read_text() == "mine\n"


def test_both_are_named(started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "."]) == 1
    assert (
        "hookd: hookd.yaml and hookd.test.yaml are there already; nothing was written\n"
        in capsys.readouterr().err
    )


def test_a_file_that_appears_meanwhile_is_left_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("hookd.test.yaml").write_text("mine\n")
    with monkeypatch.context() as blind:
        blind.setattr(os.path, "lexists", lambda _path: False)
        assert main(["init", "."]) == 1
    assert "hookd: hookd.test.yaml is there already; nothing was written\n" in capsys.readouterr().err
    assert [path.name for path in Path().iterdir()] == ["hookd.test.yaml"]
    assert Path("hookd.test.yaml").read_text() == "mine\n"


def test_a_place_that_cannot_be_written_to_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("file").touch()
    assert main(["init", "file"]) == 1
    assert capsys.readouterr().err == "hookd: file is not a directory; nothing was written\n"
    assert main(["init", "file/x"]) == 1
    assert capsys.readouterr().err == "hookd: file/x: Not a directory\nnothing was written\n"


def test_the_starter_and_the_example_do_not_drift_apart(started: Path) -> None:
    example = loaded(TOP / "config.example.yaml")
    starter = loaded(started / "hookd.yaml")
    shared = 0
    for section in ("webhooks", "tasks", "events", "schedules"):
        for name, definition in getattr(starter, section).items():
            other = getattr(example, section).get(name)
            assert other is None or other == definition
            shared += other is not None
    assert shared == 4
    assert starter.types is not None
    assert example.types is not None
    assert set(starter.types.items()) <= set(example.types.items())


def test_an_editor_finds_nothing_wrong_and_the_first_lines_name_the_schemas(started: Path) -> None:
    for name, tests in (("hookd.yaml", False), ("hookd.test.yaml", True)):
        text = (started / name).read_text()
        schema = f"hookd.{'test.' if tests else ''}schema.json"
        assert text.startswith(f"# yaml-language-server: $schema=./{schema}\n")
        assert f"{schema}`" in text  # how to write it
        root = parse(text.encode()).root
        assert root is not None
        Draft202012Validator(json.loads(config.schema_text(tests=tests))).validate(root.plain())


@pytest.mark.parametrize("page", ["README.md", "docs/testing-a-config.md"])
def test_the_case_of_the_docs_is_one(page: str, started: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in FILES:
        Path(name).write_text(pages.files(page)[name])
    assert main(["test"]) == 0
    assert capsys.readouterr().out == "1 passed, 0 failed\n"


class Repository:
    """A git repository with the hook of docs/testing-a-config.md, in the current directory."""

    def __init__(self, commands: Path) -> None:
        commands.mkdir()
        (commands / "hookd").write_text(f'#!/bin/sh\nexec {sys.executable} -m hookd "$@"\n')
        (commands / "hookd").chmod(0o755)
        self.env = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("GIT_", "HOOKD_"))},
            "PATH": f"{commands}:{os.environ['PATH']}",
            "PYTHONPATH": str(TOP),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_SYSTEM": os.devnull,
        }
        self.git("init", "--quiet")
        hook = Path(".git/hooks/pre-commit")
        hook.parent.mkdir(exist_ok=True)
        hook.write_text(pages.files("docs/testing-a-config.md")["pre-commit"])
        hook.chmod(0o755)

    def git(self, *words: str) -> subprocess.CompletedProcess[str]:
        identity = ("-c", "user.name=n", "-c", "user.email=n@example")
        return subprocess.run(
            ["git", *identity, *words], env=self.env, capture_output=True, text=True, timeout=60, check=False
        )

    def commit(self) -> tuple[bool, str]:
        """Commit everything; whether that was let through, and what was said."""
        assert self.git("add", "--all").returncode == 0
        done = self.git("commit", "--quiet", "--message", "x")
        return done.returncode == 0, done.stdout + done.stderr


@pytest.mark.skipif(shutil.which("git") is None, reason="needs git")
def test_the_git_hook_of_the_docs_lets_good_ones_through_and_refuses_bad_ones(
    started: Path, tmp_path: Path
) -> None:
    repository = Repository(tmp_path / "bin")
    text = Path("hookd.yaml").read_text()
    secret = text.replace("url: http://127.0.0.1:9099/slack", "url: {env: SLACK_URL_OF_ANOTHER_MACHINE}")
    tests = Path("hookd.test.yaml").read_text()

    passed, said = repository.commit()
    assert passed, said
    assert "3 passed, 0 failed" in said

    Path("hookd.yaml").write_text(text.replace("timeout: 15", "timeuot: 15"))
    passed, said = repository.commit()
    assert not passed
    assert 'webhooks.ops-slack.timeuot: unknown key; did you mean "timeout"?' in said

    Path("hookd.yaml").write_text(text.replace("tag: production", "tag: prod"))
    passed, said = repository.commit()
    assert not passed
    assert (
        'events.production-sync-failed: asks for the tag "prod", the event has the tags "production"' in said
    )

    auth = "timeout: 15\n    auth: {type: bearer, token: s3cret}"
    Path("hookd.yaml").write_text(text.replace("timeout: 15", auth))
    passed, said = repository.commit()
    assert not passed
    assert "a plain secret in a git work tree" in said
    assert "s3cret" not in said

    Path("hookd.yaml").write_text(secret)
    Path("hookd.test.yaml").write_text(
        tests.replace("url: http://127.0.0.1:9099/slack", "url: env:SLACK_URL_OF_ANOTHER_MACHINE")
    )
    passed, said = repository.commit()
    assert passed, said

    Path("hookd.yaml").write_text("unknown: 1\n")  # in the work tree only
    assert repository.git("commit", "--quiet", "--allow-empty", "--message", "x").returncode == 0
    assert not list(Path(".git").glob("hookd.*"))
