"""Who may write files beside a configuration, and an author whose rules cost as much as rules can.

Files that others could have changed are refused with their place and the command that fixes it; a stranger's rules are
never in force. A rule that would take long is not evaluated, and holds up nobody.
"""

import asyncio
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.attack.beside import beside
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess

STRANGER = 61001
HOOK = "webhooks: {w: {url: http://127.0.0.1:9/, enabled: false}}\n"
STOLEN = "webhooks: {stolen: {url: http://127.0.0.1:9/}}\n"
RULES = 1000
WHERES = (
    "data.a.exists(x, data.b.exists(y, x == y))",
    "data.a.all(x, data.text.contains(x))",
    "data.a.exists(x, data.text.matches('(a|b)*' + 'c'))",
    "data.a.map(x, data.b.filter(y, y == x)).size() > 0",
)
DATA = {
    "a": [f"word{number}" for number in range(20_000)],
    "b": [f"other{number}" for number in range(20_000)],
    "text": "x" * 200_000,
}


def _open_directory(tree: Path) -> None:
    tree.chmod(0o777)


def _sticky_directory(tree: Path) -> None:
    tree.chmod(0o1777)


def _open_directory_below(tree: Path) -> None:
    (tree / "conf.d").mkdir()
    (tree / "conf.d").chmod(0o777)


def _open_file(tree: Path) -> None:
    (tree / "hookd.yaml").chmod(0o666)


def _link_to_an_open_file(tree: Path) -> None:
    outside = tree.parent / "outside.yaml"
    outside.write_text(STOLEN)
    outside.chmod(0o666)
    (tree / "more.yaml").symlink_to(outside)


def _secret_that_others_replace(tree: Path) -> None:
    folder = tree.parent / "secrets"
    folder.mkdir()
    (folder / "url").write_text("http://127.0.0.1:9/")
    folder.chmod(0o777)
    (tree / "hookd.yaml").write_text(f"webhooks: {{w: {{url: {{file: {folder}/url}}}}}}\n")


SPOILT: dict[str, Callable[[Path], None]] = {
    "a directory to which everybody adds files": _open_directory,
    "the same with the sticky bit": _sticky_directory,
    "a directory below it": _open_directory_below,
    "a file that everybody changes": _open_file,
    "a link to such a file": _link_to_an_open_file,
    "a secret's directory that everybody changes": _secret_that_others_replace,
}


async def prove(options: Options) -> Findings:
    """Spoil a configuration in each way, before a start and while it is in force; then rules that cost much."""
    found, place = Findings(), options.place("authors")
    options.directory.chmod(0o755)
    refused = 0
    for number, (name, spoil) in enumerate(SPOILT.items()):
        tree = place / str(number) / "tree"
        tree.mkdir(parents=True)
        (tree / "hookd.yaml").write_text(HOOK)
        spoil(tree)
        code, said = await _check(tree)
        good = code == 1 and "fix: " in said
        refused += good
        found.expect(good, f"{name}: check ended with {code}: {said[:200]}")
    found.figures["files that others could have changed"] = {
        "tried": len(SPOILT),
        "refused with the way out": refused,
    }
    found.figures["a stranger's file in a running daemon's directory"] = await _dropped(place, found)
    found.figures["rules that cost much"] = await _costly(place, found, options)
    return found


async def _check(tree: Path) -> tuple[int, str]:
    command = [sys.executable, "-m", "hookd", "check", "-c", str(tree)]
    ended = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
    return ended.returncode, ended.stdout + ended.stderr


async def _dropped(place: Path, found: Findings) -> dict[str, Any]:
    """The directory is opened to everybody while hookd runs, and another user adds a webhook."""
    if os.geteuid() != 0:
        return {"left out": "only root can be another user"}
    home, tree = place / "running", place / "running" / "tree"
    tree.mkdir(parents=True)
    (tree / "hookd.yaml").write_text(
        f"daemon: {{listen: [{{unix: {home}/h.sock}}], store: {home}/h.db}}\n{HOOK}"
    )
    async with DaemonProcess(home, config=tree) as daemon:
        for folder in (place, home):
            folder.chmod(0o755)
        tree.chmod(0o777)
        add = f"echo '{STOLEN.strip()}' > {tree}/stolen.yaml"
        await asyncio.to_thread(subprocess.run, ["sh", "-c", add], user=STRANGER, group=STRANGER, check=True)
        status, _ = await daemon.request("POST", "/v1/reload")
        names = list((await daemon.get("/v1/names"))["webhooks"])
    found.expect(status == 422, f"a reload with a stranger's file was answered {status}")
    found.expect(names == ["w"], f"a stranger's webhooks are in force: {names}")
    return {"tried": 1, "got through": int(names != ["w"])}


async def _costly(place: Path, found: Findings, options: Options) -> dict[str, Any]:
    home = place / "costly"
    home.mkdir()
    events = "".join(
        f"  e{number}: {{type: t, event: e, task: t, where: {json.dumps(WHERES[number % len(WHERES)])}}}\n"
        for number in range(RULES)
    )
    text = (
        "daemon: {listen: [{unix: h.sock}], store: h.db}\n"
        + HOOK
        + "tasks: {t: {webhook: w}}\nevents:\n"
        + events
    )
    (home / "hookd.yaml").write_text(text)
    posts = options.scale(short=3, long=20)
    async with DaemonProcess(home) as daemon, beside(daemon) as cost:
        answers = [(await daemon.post({"type": "t", "event": "e", "data": DATA}))[0] for _ in range(posts)]
    cost.judge("rules that cost much", found)
    found.expect(set(answers) <= {202}, f"posts to costly rules were answered {answers}")
    return {"rules": RULES, "events": posts, **cost.shown()}
