"""`hookd diff`: how the daemon's comparison is shown, and the exit codes."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hookd.cli.main import main
from hookd.config import tree_hash
from tests.kit.fake_daemon import Canned, FakeDaemon, serving

IN_FORCE = {"number": 3, "hash": "0123456789ab", "commit": "c" * 40, "dirty": False}
ON_DISK = {"hash": "ba9876543210", "commit": "d" * 40, "dirty": True}
SAME = {"hash": "0123456789ab", "commit": None, "dirty": None}


@pytest.fixture
def daemon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeDaemon]:
    with serving(tmp_path / "d.sock") as stub:
        monkeypatch.setenv("HOOKD_SOCKET", stub.socket)
        yield stub


def comparison(*changes: dict[str, Any], **members: Any) -> dict[str, Any]:
    return {
        "valid": True,
        "differs": bool(changes),
        "in_force": IN_FORCE,
        "on_disk": ON_DISK,
        "findings": [],
        "changes": list(changes),
        "restart_needed": [],
        **members,
    }


def change(section: str, name: str, kind: str, *fields: tuple[str, Any, Any], **more: Any) -> dict[str, Any]:
    given = [{"field": field, "old": old, "new": new} for field, old, new in fields]
    return {"section": section, "name": name, "change": kind, "fields": given, **more}


def env(name: str) -> dict[str, str]:
    return {"secret": f"env {name}"}


CHANGES = (
    change("webhooks", "new", "added", waiting=2),
    change(
        "webhooks", "ops", "changed",
        ("url", env("A"), env("A")),
        ("headers.X-Key", {"secret": "plain"}, {"secret": "plain"}),
        ("auth.token", {"secret": "auth"}, env("B")),
        ("auth.key", None, {"secret": "auth"}),
        ("headers.X-B", {"secret": "plain"}, {"secret": "auth"}),
        ("headers.X-A", "a\x1b", ["a", "ü"]),
        ("timeout", "15s", "20s"),
        ("description", "", "d"),
        ("signing", {"style": "standard", "secrets": [env("S")]}, None),
        ("enabled", True, False),
        waiting=1,
    ),
    change("webhooks", "old\n", "removed", waiting=0),
    change("tasks", "t", "changed", ("message", "m" * 301, "x")),
    change("daemon", "daemon", "changed", ("store", "/a.db", "/b.db")),
)  # fmt: skip


def test_a_path_is_sent_with_the_hash_that_shows_that_we_read_it(
    daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "hookd.yaml").write_text("webhooks: {}\n")
    monkeypatch.chdir(tmp_path)
    daemon.answers["POST /v1/config/diff"] = Canned(200, comparison())
    for words in (["there"], ["-c", "there"], [str(tmp_path / "there")]):
        assert main(["diff", *words]) == 0
        sent = {"path": str(tmp_path / "there"), "hash": tree_hash(tmp_path / "there")}
        assert daemon.asked[-1].json == sent
        told = capsys.readouterr().out.splitlines()
        assert told[1] == f"compared  {tmp_path}/there, hash ba9876543210, commit dddddddddddd, dirty"
        assert told[2] == "nothing differs"


def test_a_commit_is_named(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    daemon.answers["POST /v1/config/diff"] = Canned(200, comparison())
    assert main(["diff", "--rev", "origin/main"]) == 0
    assert daemon.asked[0].json == {"rev": "origin/main"}
    assert "compared  origin/main, hash " in capsys.readouterr().out


def test_a_path_that_is_not_there_or_not_ours_to_read(
    daemon: FakeDaemon, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "open.yaml").write_text("{}")
    (tmp_path / "open.yaml").chmod(0o666)
    assert main(["diff", str(tmp_path / "none")]) == 1
    assert capsys.readouterr().err == f"hookd: {tmp_path}/none: no such config\n"
    assert main(["diff", str(tmp_path / "open.yaml")]) == 1
    assert "is world-writable" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["diff", str(tmp_path), "--rev", "x"])
    assert not daemon.asked


def test_everything_that_can_differ(daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]) -> None:
    answer = comparison(*CHANGES, restart_needed=["daemon.store"])
    daemon.answers["POST /v1/config/diff"] = Canned(200, answer)
    assert main(["diff"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "in force  number 3, hash 0123456789ab, commit cccccccccccc",
        "on disk   hash ba9876543210, commit dddddddddddd, dirty",
        "webhooks +1 ~1 -1",
        "  + new (2 wait)",
        "  ~ ops (1 waits)",
        "      url: changed (the value of env A)",
        "      headers.X-Key: changed",
        "      auth.token: changed (literal → env B)",
        "      auth.key: - → (hidden)",
        "      headers.X-B: changed",
        r'      headers.X-A: a\x1b → ["a", "ü"]',
        "      timeout: 15s → 20s",
        '      description: "" → d',
        '      signing: {"style": "standard", "secrets": ["(env S)"]} → -',
        "      enabled: true → false",
        r"  - old\n",
        "tasks +0 ~1 -0",
        "  ~ t",
        f"      message: {'m' * 299}… → x",
        "daemon +0 ~1 -0",
        "  ~ daemon",
        "      store: /a.db → /b.db",
        "restart needed for daemon.store: `systemctl restart hookd`",
    ]


@pytest.mark.parametrize(
    ("on_disk", "told"),
    [
        (SAME, ["on disk   hash 0123456789ab", "nothing differs"]),
        (
            ON_DISK,
            [
                "on disk   hash ba9876543210, commit dddddddddddd, dirty",
                "nothing differs but the files' text",
            ],
        ),
    ],
)
def test_no_difference(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str], on_disk: dict[str, Any], told: list[str]
) -> None:
    daemon.answers["POST /v1/config/diff"] = Canned(200, comparison(on_disk=on_disk))
    assert main(["diff", "--exit-code"]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "in force  number 3, hash 0123456789ab, commit cccccccccccc",
        *told,
    ]


def test_the_exit_code_tells_on_request(daemon: FakeDaemon) -> None:
    daemon.answers["POST /v1/config/diff"] = Canned(200, comparison(*CHANGES))
    assert main(["diff"]) == 0
    assert main(["diff", "--exit-code"]) == 1
    assert main(["diff", "--exit-code", "--json"]) == 1


def test_an_invalid_config_is_told_as_check_does(
    daemon: FakeDaemon, capsys: pytest.CaptureFixture[str]
) -> None:
    place = {"path": "/etc/hookd/a.yaml", "column": 5}
    diagnostics = [
        {**place, "line": 2, "where": "webhooks.a.url", "severity": "error", "message": "must be text\x1b"},
        {**place, "line": 3, "where": "tasks.t", "severity": "warning", "message": "never runs"},
    ]
    answer = comparison(valid=False, findings=diagnostics)
    daemon.answers["POST /v1/config/diff"] = Canned(200, answer)
    assert main(["diff"]) == 1
    assert capsys.readouterr().out.splitlines() == [
        r"/etc/hookd/a.yaml:2:5: webhooks.a.url: must be text\x1b",
        "/etc/hookd/a.yaml:3:5: warning: tasks.t: never runs",
    ]
    assert main(["diff", "--json"]) == 1
    assert json.loads(capsys.readouterr().out) == answer


def test_no_daemon(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["diff", "--socket", str(tmp_path / "none")]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("hookd: hookd is not reachable at ")
