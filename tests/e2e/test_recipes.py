"""The recipes, as they stand there, with the real programs where Debian has them and they run here."""

import asyncio
import json
import os
import stat
import sys
from collections.abc import AsyncIterator, Mapping
from operator import itemgetter
from pathlib import Path
from typing import Any

import pytest

from tests.docs import pages
from tests.e2e.conftest import DAEMON, Running
from tests.e2e.test_neighbours import debian_webhook
from tests.kit.daemon import DaemonProcess
from tests.kit.receiver import Receiver
from tests.kit.tools import found, needs
from tests.kit.waiting import until

NASTY = 'a "quoted" \\ line\nwith \x00\x1b[2J, <!channel>, @everyone, ${data.code} and 漢'
WARNING = Path("/usr/share/smartmontools/smartd_warning.sh")


class Site:
    """A machine with the files of docs/recipes.md: a daemon on `recipes.yaml`, scripts that call this hookd."""

    def __init__(self, directory: Path, receiver: Receiver) -> None:
        self.directory, self.receiver = directory, receiver
        self.daemon = DaemonProcess(
            directory,
            env={"SLACK_URL": f"{receiver.url}/slack", "DISCORD_URL": f"{receiver.url}/discord"},
        )
        self.env = {
            **os.environ,
            "HOOKD_SOCKET": str(self.daemon.socket),
            "HOOKD_SPOOL": str(directory / "spool"),
        }
        self.hookd = self.script(
            "hookd",
            f'#!/bin/sh\nPYTHONPATH="{Path.cwd()}" exec "{sys.executable}" -m hookd "$@"\n',
        )

    def script(self, name: str, text: str) -> Path:
        path = self.directory / name
        path.write_text(text)
        path.chmod(stat.S_IRWXU)
        return path

    def written(self, name: str, **replaced: str) -> str:
        """A file of docs/recipes.md, with the places of this machine for those it names."""
        text = pages.files("docs/recipes.md")[name]
        places = {"/opt/hookd/bin/hookd": str(self.directory / "hookd"), "/usr/bin/python3": sys.executable}
        for there, here in {**places, **replaced}.items():
            text = text.replace(there, here)
        return text

    def recipe(self, name: str) -> Path:
        """A script of docs/recipes.md."""
        return self.script(name, self.written(name))

    async def run(self, *words: str | Path, env: Mapping[str, str] | None = None) -> tuple[int, str]:
        process = await asyncio.create_subprocess_exec(
            *map(str, words), env={**self.env, **(env or {})}, cwd=self.directory,
            stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
        )  # fmt: skip
        out, _ = await process.communicate()
        assert process.returncode is not None
        return process.returncode, out.decode(errors="replace")

    async def event(self) -> dict[str, Any]:
        """The one event that was posted."""
        [event] = (await self.daemon.get_when("/v1/events", itemgetter("events"), within_s=30))["events"]
        return dict(await self.daemon.get(f"/v1/events/{event['id']}"))

    async def bodies(self, target: str, count: int = 1) -> list[Any]:
        await self.receiver.until(lambda: len(self.receiver.at(target)) >= count)
        return [json.loads(each.body) for each in self.receiver.at(target)]


@pytest.fixture
async def site(tmp_path: Path, receiver: Receiver) -> AsyncIterator[Site]:
    spool = "daemon: {spool: spool, "
    (tmp_path / "spool").mkdir()
    (tmp_path / "hookd.yaml").write_text(
        DAEMON.replace("daemon: {", spool) + pages.files("docs/recipes.md")["recipes.yaml"]
    )
    made = Site(tmp_path, receiver)
    async with made.daemon:
        yield made


def assert_slack_takes(body: Any) -> None:
    """The bounds of Slack's `chat.postMessage` and its section block."""
    assert body.keys() == {"text", "blocks"}
    assert 1 <= len(body["text"]) <= 40_000
    assert 1 <= len(body["blocks"]) <= 50
    for block in body["blocks"]:
        assert block.keys() == {"type", "text"}
        assert block["type"] == "section"
        assert block["text"].keys() == {"type", "text"}
        assert block["text"]["type"] == "plain_text", "in mrkdwn data could call people"
        assert 1 <= len(block["text"]["text"]) <= 3000


def assert_discord_takes(body: Any) -> None:
    """The bounds of Discord's "Execute Webhook"."""
    assert body.keys() == {"content", "allowed_mentions"}
    assert 1 <= len(body["content"]) <= 2000
    assert body["allowed_mentions"] == {"parse": []}, "else data could call people"


def test_each_recipe_is_short() -> None:
    assert {
        name: len(text.splitlines())
        for name, text in pages.files("docs/recipes.md").items()
        if text.count("\n") > 20
    } == {}


async def test_a_command_that_works_is_silent(site: Site) -> None:
    tell = site.recipe("tell-hookd")
    assert await site.run(tell, "backup", "sh", "-c", "echo fine") == (0, "")
    assert (await site.daemon.get("/v1/events"))["events"] == []


@pytest.mark.parametrize("printed", [NASTY.replace("\0", ""), "x" * 100_000, "😀" * 2000, "", "\udc80\udcff"])
async def test_a_commands_failure_reaches_slack_and_discord(site: Site, printed: str) -> None:
    tell = site.recipe("tell-hookd")
    command = ("sh", "-c", f"cat '{site.directory / 'printed'}'; exit 3")
    (site.directory / "printed").write_bytes(printed.encode(errors="surrogateescape"))
    assert await site.run(tell, "backup", *command) == (3, "")
    event = await site.event()
    shown = printed.encode(errors="surrogateescape").decode(errors="replace")[-900:]
    assert (event["type"], event["event"], event["object"]["name"]) == ("job", "failed", "backup")
    assert event["data"] == {"code": 3, "summary": shown}
    [slack], [discord] = await site.bodies("/slack"), await site.bodies("/discord")
    assert_slack_takes(slack)
    assert_discord_takes(discord)
    assert len(discord["content"].encode("utf-16-le")) // 2 <= 2000, (
        "also where pairs of surrogates count twice"
    )
    assert slack["blocks"][0]["text"]["text"] == f"job failed: backup\n{shown}"
    assert discord["content"] == f"**job failed: backup**\n{shown}"


async def test_a_command_that_a_signal_ends(site: Site) -> None:
    tell = site.recipe("tell-hookd")
    assert await site.run(tell, "backup", "sh", "-c", "kill -9 $$") == (137, "")
    assert (await site.event())["data"] == {"code": -9, "summary": ""}


@pytest.mark.parametrize("command", ["/no/such/command", "/etc/passwd"])
async def test_a_command_that_cannot_be_run(site: Site, command: str) -> None:
    tell = site.recipe("tell-hookd")
    assert await site.run(tell, "-x 'backup'", command) == (127, "")
    event = await site.event()
    assert event["object"]["name"] == "-x 'backup'"
    assert command in event["data"]["summary"]


@pytest.mark.parametrize(
    ("recipe", "words", "code"),
    [
        ("tell-hookd", ["backup", "sh", "-c", "exit 7"], 7),
        ("smartd-hookd", [], 0),
        ("mdadm-hookd", ["Fail", "/dev/md/x", '/dev/a"b'], 0),
    ],
)
async def test_while_hookd_is_down_the_event_waits(
    site: Site, recipe: str, words: list[str], code: int
) -> None:
    await site.daemon.stop()
    seen = {"SMARTD_FAILTYPE": "EmailTest", "SMARTD_MESSAGE": "TEST", "SMARTD_DEVICE": "/dev/sda"}
    assert (await site.run(site.recipe(recipe), *words, env=seen))[0] == code
    await site.daemon.start()
    await site.event()
    assert len(await site.bodies("/slack")) == 1


@needs("cron", "unshare", package="cron util-linux")
async def test_cron(site: Site) -> None:
    """Debian's cron, in a mount namespace of its own; `@reboot` stands for the hour."""
    cron = found("cron")
    site.recipe("tell-hookd")
    backup = site.script("backup", '#!/bin/sh\necho "no room, $1"; exit 1\n')
    places = {
        "/usr/local/bin/tell-hookd": str(site.directory / "tell-hookd"),
        "/usr/local/bin/backup": str(backup),
    }
    line = site.written("cron", **places)
    assert line.startswith("0 3 * * * root ")
    tables = site.directory / "cron.d"
    tables.mkdir()
    (tables / "backup").write_text(
        f"HOOKD_SOCKET={site.daemon.socket}\n{line.replace('0 3 * * *', '@reboot')}"
    )
    alone = (
        "mount -t tmpfs tmpfs /run && mount -t tmpfs tmpfs /var/spool && mkdir -p /var/spool/cron/crontabs /etc/cron.d"
        f" && mount --bind '{tables}' /etc/cron.d"
        f" && if [ -e /etc/crontab ]; then mount --bind /dev/null /etc/crontab; fi && exec '{cron}' -f"
    )
    if (await site.run("unshare", "--mount", "true"))[0]:
        pytest.skip("no mount namespace can be made here")
    process = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "--propagation", "private", "sh", "-c", alone,
        stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL,
    )  # fmt: skip
    try:
        event = await site.event()
    finally:
        process.kill()
        await process.wait()
    assert (event["type"], event["event"], event["object"]["name"]) == ("job", "failed", "backup")
    assert event["data"] == {"code": 1, "summary": "no room, --all\n"}


@needs("systemd-analyze", package="systemd")
async def test_systemd(site: Site) -> None:
    """The drop-in is one that systemd takes; what it runs is what it says, filled in as systemd does."""
    analyze = found("systemd-analyze")
    units = site.directory / "units"
    (units / "backup.service.d").mkdir(parents=True)
    (units / "backup.service").write_text("[Service]\nType=oneshot\nExecStart=/bin/false\n")
    text = site.written("ended.conf")
    (units / "backup.service.d" / "ended.conf").write_text(text)
    _, out = await site.run(
        analyze, "verify", "--man=no", units / "backup.service", env={"SYSTEMD_UNIT_PATH": f"{units}:"}
    )
    assert "ended.conf" not in out
    filled = text.partition("ExecStopPost=-")[2].replace("%N", "backup")
    for name, value in (("SERVICE_RESULT", "exit-code"), ("EXIT_CODE", "exited"), ("EXIT_STATUS", "1")):
        assert f"${{{name}}}" in filled
        filled = filled.replace(f"${{{name}}}", value)
    assert (await site.run("sh", "-c", filled))[0] == 0
    event = await site.event()
    assert (event["type"], event["event"], event["object"]["name"]) == ("job", "ended", "backup")
    assert event["data"] == {"result": "exit-code", "summary": "exited 1"}
    assert len(await site.bodies("/slack")) == 1
    for good in ("success", "exec-condition"):
        assert (await site.run("sh", "-c", filled.replace("exit-code", good)))[0] == 0
        assert len((await site.daemon.get("/v1/deliveries"))["deliveries"]) == 1, "neither is told"


@needs(str(WARNING), package="smartmontools")
async def test_smartd(site: Site) -> None:
    """smartd needs a disk; what it runs for `-M exec` is Debian's smartd_warning.sh, which runs the recipe."""
    seen = {
        "SMARTD_MAILER": str(site.recipe("smartd-hookd")),
        "SMARTD_ADDRESS": "",
        "SMARTD_MESSAGE": 'Device: /dev/sda [SAT], 8 "Currently unreadable" (pending) sectors',
        "SMARTD_FAILTYPE": "CurrentPendingSector",
        "SMARTD_TFIRST": "Wed Nov 25 17:00:00 2026 UTC",
        "SMARTD_TFIRSTEPOCH": "1795626000",
        "SMARTD_PREVCNT": "0",
        "SMARTD_NEXTDAYS": "1",
        "SMARTD_DEVICEINFO": "WDC WD40EFRX-68N32N0, S/N:WD-1, WWN:5-0014ee-1, FW:82.00A82, 4.00 TB",
        "SMARTD_DEVICE": "/dev/sda",
        "SMARTD_DEVICESTRING": "/dev/sda [SAT]",
        "SMARTD_DEVICETYPE": "sat",
    }
    assert await site.run(WARNING, env=seen) == (0, ""), "smartd complains of a script that prints anything"
    event = await site.event()
    assert (event["type"], event["event"], event["object"]["name"]) == ("disk", "warning", "/dev/sda")
    about = {"failure": "SMARTD_FAILTYPE", "summary": "SMARTD_MESSAGE", "about": "SMARTD_DEVICEINFO"}
    assert event["data"] == {key: seen[name] for key, name in about.items()}
    assert_slack_takes((await site.bodies("/slack"))[0])


@needs("mdadm")
async def test_mdadm(site: Site) -> None:
    """mdadm's monitor, told to watch an array that is not there."""
    mdadm = found("mdadm")
    if os.geteuid():
        pytest.skip("only root may run mdadm")
    (site.directory / "mdadm.conf").write_text(f"PROGRAM {site.recipe('mdadm-hookd')}\n")
    code, out = await site.run(
        mdadm, "--monitor", "--oneshot", "--config", site.directory / "mdadm.conf", "/dev/md4711"
    )
    assert code == 0, out
    event = await site.event()
    assert (event["type"], event["event"], event["object"]["name"]) == ("raid", "changed", "/dev/md4711")
    assert event["data"] == {"what": "DeviceDisappeared", "summary": "DeviceDisappeared", "alarm": True}
    assert_slack_takes((await site.bodies("/slack"))[0])


async def test_mdadm_names_a_component(site: Site) -> None:
    script = site.recipe("mdadm-hookd")
    assert await site.run(script, "Fail", "/dev/md0", '/dev/s"b1') == (0, "")
    assert (await site.event())["data"] == {"what": "Fail", "summary": 'Fail /dev/s"b1', "alarm": True}


async def test_what_is_no_alarm_of_mdadm_is_not_told(site: Site) -> None:
    script = site.recipe("mdadm-hookd")
    assert await site.run(script, "RebuildFinished", "/dev/md0") == (0, "")
    assert (await site.event())["data"]["alarm"] is False
    assert (await site.daemon.get("/v1/deliveries"))["deliveries"] == []


@needs("webhook")
@pytest.mark.parametrize(
    ("sent", "message", "argument"),
    [
        ("application/json", "{text: '${NAME}'}", "web-01; $(id)"),
        ("application/json", "{other: '${NAME}'}", ""),
        ("text/plain", "'${NAME}'", ""),
    ],
)
async def test_debian_webhook_runs_a_command(
    running: Running, tmp_path: Path, sent: str, message: str, argument: str
) -> None:
    """With an empty argument where the message holds no `text`, as the recipe says."""
    command = tmp_path / "on-message"
    command.write_text(f'#!/bin/sh\nprintf "%s|%s" "$#" "$1" > "{tmp_path}/told"\n')
    command.chmod(stat.S_IRWXU)
    async with debian_webhook(tmp_path, "s3cret", str(command)) as url:
        keys = f"retries: 0, signing: {{style: github, secret: s3cret}}, headers: {{Content-Type: {sent}}}"
        daemon = await running(
            f"webhooks:\n  w: {{url: '{url}', {keys}}}\n"
            f"tasks:\n  t: {{webhook: w, message: {message}, triggers: [{{type: vm, event: 'on'}}]}}\n"
        )
        await daemon.post({"type": "vm", "event": "on", "object": "web-01; $(id)"})
        await until(lambda: (tmp_path / "told").exists() and (tmp_path / "told").read_text())
    assert (tmp_path / "told").read_text() == f"1|{argument}"
