"""The example of every command, as `--help` and docs/commands.md show it, run on a session."""

import re
from pathlib import Path

import pytest

from hookd.cli.main import COMMANDS, parser_of
from hookd.cli.manual.command_reference import command_entries
from tests.docs.pages import Block
from tests.docs.session import Session

ELSEWHERE = {"run", "demo", "tail", "receive"}
"""They do not end by themselves, or are shown by tests of their own: `test_sessions`, `test_named`."""

CONFIG = """\
webhooks: {ops-slack: {url: http://127.0.0.1:9/}}
tasks: {t: {webhook: ops-slack}}
events: {powered-on: {type: virtual_machine, event: powered_on, task: t}}
"""
CHECKOUTS = """\
git() { command git -C daemon -c user.name=t -c user.email=t@example.org "$@"; }
git init -q && git add hookd.yaml && git commit -qm c && git update-ref refs/remotes/origin/main HEAD
mkdir -p srv/checkout/hookd && cp daemon/hookd.yaml srv/checkout/hookd
"""
TESTS = "cases: [{name: none, event: {type: a, event: b}, expect: []}]\n"
ID = re.compile(r"\bdlv_[0-9a-f]{32}\b")


@pytest.mark.process
async def test_every_example_works(short_path: Path) -> None:
    async with Session(short_path, daemon=True) as session:
        (short_path / "etc" / "hookd").mkdir(parents=True)
        (short_path / "usr/local/share/man/man1").mkdir(parents=True)
        for name in ("hookd.yaml", "etc/hookd/hookd.yaml"):
            session.file(name, CONFIG)
        for name in ("hookd.test.yaml", "alerts.test.yaml"):
            session.file(name, TESTS)
        event = '{"type": "virtual_machine", "event": "powered_on"}\n'
        session.file("event.json", event)
        session.file("events.ndjson", event * 3)
        session.file("bin/notify-admin", "#!/bin/sh\n").chmod(0o755)
        await session.play(_sh("hookd pause ops-slack\nhookd trigger sync-failed"))
        await session.play(_sh(CHECKOUTS))
        for entry in command_entries(COMMANDS, parser_of):
            if entry.name not in ELSEWHERE:
                for example in entry.examples:
                    await session.play(_sh(await _with_an_id(session, example)))


def _sh(text: str) -> Block:
    return Block(f"`{text}`", 0, "sh", {}, text)


async def _with_an_id(session: Session, example: str) -> str:
    """An example with the id of a delivery that waits here, in place of the one that it shows."""
    if not ID.search(example):
        return example
    await session.play(_sh("hookd deliveries --state pending --json"))
    return ID.sub(ID.findall(session.printed)[0], example)
