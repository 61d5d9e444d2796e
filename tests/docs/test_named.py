"""Blocks that show what a machine, a repository or an installation prints: each held to what makes it here."""

import ast
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import yaml
from standardwebhooks import Webhook

from hookd.cli.main import main
from hookd.cli.output.generation_words import generation_words
from tests.docs import pages
from tests.kit.fake_daemon import Canned, serving

PACKAGE = pages.TOP / "hookd"
LEVELS = {"debug", "info", "warning", "error"}


@pytest.mark.process
def test_the_demo_is_one_line_and_works() -> None:
    steps = pages.named("demo").strip().split(" && ")
    assert steps[:2] == ["python3 -m venv .venv", ".venv/bin/pip install -q ."]
    words = steps[2].split()
    assert words[0] == ".venv/bin/hookd"
    ran = subprocess.run(
        [sys.executable, "-m", "hookd", *words[1:]], capture_output=True, text=True, timeout=60, check=True
    )
    assert "What to do next" in ran.stdout


def test_the_tests_are_one_line_and_ci_runs_them() -> None:
    steps = pages.named("tests").strip().split(" && ")
    assert steps[:2] == ["python3 -m venv .venv", ".venv/bin/pip install -q -e '.[test]'"]
    assert steps[2].removeprefix(".venv/bin/") in pages.text_of(".ci/run")


def test_the_generation_in_force() -> None:
    given = {"number": 4, "hash": "3a7bd3e2360a", "commit": "8c1bdf85e4af" + "0" * 28, "dirty": True}
    assert pages.named("generation") == f"config      /etc/hookd, {generation_words(given)}\n"


def test_a_difference(
    short_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def field(name: str, old: Any, new: Any) -> dict[str, Any]:
        return {"field": name, "old": old, "new": new}

    commit = "8c1bdf85e4af" + "0" * 28
    url = field("url", {"secret": "env SLACK_URL"}, {"secret": "file slack-url"})
    changed = [url, field("timeout", "15s", "20s")]
    answer = {
        "valid": True,
        "differs": True,
        "in_force": {"number": 4, "hash": "3a7bd3e2360a", "commit": commit, "dirty": False},
        "on_disk": {"hash": "dcd135dd309d", "commit": commit, "dirty": True},
        "findings": [],
        "changes": [
            {"section": "webhooks", "name": "pager", "change": "added", "fields": [], "waiting": 0},
            {
                "section": "webhooks",
                "name": "ops-slack",
                "change": "changed",
                "fields": changed,
                "waiting": 3,
            },
        ],
        "restart_needed": [],
    }
    command, _, shown = pages.named("diff").partition("\n")
    with serving(short_path / "d.sock") as daemon:
        daemon.answers["POST /v1/config/diff"] = Canned(200, answer)
        monkeypatch.setenv("HOOKD_SOCKET", daemon.socket)
        assert main(command.removeprefix("$ hookd ").split()) == 0
    assert capsys.readouterr().out == shown


def test_a_signature_is_verified() -> None:
    body = '{"a": 1}'
    headers = _signed(body)
    exec(pages.named("verify"), {"body": body, "headers": headers})
    with pytest.raises(Exception, match="No matching signature found"):
        exec(pages.named("verify"), {"body": body + " ", "headers": headers})


@pytest.mark.parametrize("body", ["disk full", ""])
def test_a_body_that_is_not_json_is_not_taken_though_its_signature_is_right(body: str) -> None:
    with pytest.raises(json.JSONDecodeError):
        exec(pages.named("verify"), {"body": body, "headers": _signed(body)})


def _signed(body: str) -> dict[str, str]:
    """Headers for the secret of docs/delivery.md."""
    secret = re.findall(r"whsec_[^\"\s]+", pages.named("verify"))[0]
    now = datetime.now(UTC)
    return {
        "webhook-id": "dlv_1",
        "webhook-timestamp": str(int(now.timestamp())),
        "webhook-signature": Webhook(secret).sign("dlv_1", now, body),
    }


def test_the_steps_of_a_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for name, text in pages.files("docs/testing-a-config.md").items():
        if name != "wrong.test.yaml":  # it shows how a test fails
            Path(name).write_text(text)
    uses, install, *steps = yaml.safe_load(pages.named("workflow"))
    assert uses["uses"].startswith("actions/checkout@")
    assert install["run"].startswith("pip install ")
    for step in steps:
        program, *words = step["run"].split()
        assert program == "hookd"
        assert main(words) == 0, capsys.readouterr().out


def test_every_room_is_described() -> None:
    table = pages.section("docs/design.md", "Where do I find what?")
    rooms = {f"hookd/{path.name}/" for path in PACKAGE.iterdir() if (path / "__init__.py").exists()}
    assert set(re.findall(r"^\| `(hookd/[a-z]+/)`", table, re.MULTILINE)) == rooms


def test_the_path_of_an_event_leads_through_rooms() -> None:
    rooms = set(re.findall(r"\b(server|sources|api|intake|rules|store|delivery)\b", pages.named("path")))
    assert len(rooms) == 7
    assert all((PACKAGE / room).is_dir() for room in rooms)


def test_every_line_of_the_log_is_described() -> None:
    table = pages.section("docs/operations.md", "What does it log?")
    rows = "\n".join(row.split("|")[1] for row in re.findall(r"^\| `.*$", table, re.MULTILINE))
    assert set(re.findall(r"`([a-z_]+\.[a-z_]+)`", rows)) == _logged()


def _logged() -> set[str]:
    """The names of everything that the program logs."""
    names = set()
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            match node:
                case ast.Call(
                    func=ast.Attribute(attr=name) | ast.Name(id=name),
                    args=[ast.Constant(value=str(fact)), *_],
                ):
                    if name in {*LEVELS, "say", "tell", "write", "log"} and re.fullmatch(
                        r"[a-z_]+\.[a-z_]+", fact
                    ):
                        names.add(fact)
    return names
