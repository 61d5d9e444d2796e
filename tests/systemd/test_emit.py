"""A failed unit is reported through hookd-emit@, also while hookd is down (spec 11)."""

import json
from collections.abc import AsyncIterator, Iterator

import pytest

from tests.docs import pages
from tests.kit.receiver import Receiver
from tests.systemd.machine import SOURCE, eventually
from tests.systemd.service import STRICT, Service

CONFIG = """\
webhooks: {{w: {{url: "{url}"}}}}
tasks:
  t:
    webhook: w
    message: {{unit: "${{NAME}}", data: ["${{data.result}}", "${{data.exit_code}}", "${{data.exit_status}}"]}}
events: {{e: {{type: systemd.unit, event: failed, task: t}}}}
"""
UNIT = pages.named("on-failure") + "[Service]\nExecStart={}\n"


def crash(service: Service, command: str, name: str = "crashing.service") -> None:
    """Run a unit that fails."""
    service.machine.write(f"/run/systemd/system/{name}", UNIT.format(command))
    service.machine.systemctl("daemon-reload")
    service.machine.systemctl("start", name)


@pytest.fixture
def strict(service: Service) -> Iterator[None]:
    """Every system call that the unit's sandbox denies is a death."""
    drop_ins = "/etc/systemd/system/hookd-emit@.service.d"
    service.machine.write(f"{drop_ins}/strict.conf", f"[Service]\n{STRICT}\n")
    service.machine.systemctl("daemon-reload")
    yield
    service.machine.run("rm", "-r", drop_ins)


@pytest.mark.usefixtures("strict")
async def test_a_crash_arrives(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.format(url=receiver.url))
    service.start()
    crash(service, "/bin/sh -c 'exit 3'")
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body) == {"unit": "crashing.service", "data": ["exit-code", "exited", "3"]}


async def test_a_signal_and_a_name_that_is_escaped(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.format(url=receiver.url))
    service.start()
    name = r"a\x2db@c\x20d.service"
    crash(service, "/bin/sh -c 'kill -KILL $$$$'", name)
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body) == {"unit": name, "data": ["signal", "killed", "KILL"]}


async def test_a_unit_that_was_not_started_for_its_dependency(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.format(url=receiver.url))
    service.start()
    service.machine.write(
        "/run/systemd/system/broken.service", "[Service]\nType=oneshot\nExecStart=/bin/false\n"
    )
    needs = UNIT.replace("[Service]", "Requires=broken.service\nAfter=broken.service\n[Service]")
    service.machine.write("/run/systemd/system/needs.service", needs.format("/bin/true"))
    service.machine.systemctl("daemon-reload")
    service.machine.systemctl("start", "needs.service", check=False)
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body) == {"unit": "needs.service", "data": ["dependency", "", ""]}


class Watched:
    """A service with the drop-in of docs/operations.md; its `Restart=` starts it after failures."""

    name = "backup.service"

    def __init__(self, service: Service, receiver: Receiver) -> None:
        self.service, self.machine, self.receiver = service, service.machine, receiver

    def install(self, keys: str, unit: str = "") -> None:
        text = f"[Unit]\n{unit}\n[Service]\n{keys}\n"
        self.machine.write(f"/run/systemd/system/{self.name}", text)
        for line in pages.named("each-failure").splitlines():
            self.machine.run(*line.split()[1:], cwd=str(SOURCE))

    def start(self) -> None:
        self.machine.systemctl("start", self.name, check=False)

    async def ended(self) -> None:
        def rests() -> bool:
            shown = self.machine.show(self.name, "ActiveState", "SubState", "Job")
            return shown["ActiveState"] in ("failed", "inactive") and shown["SubState"] != "auto-restart"

        await eventually(rests)

    async def told(self, *wanted: list[str]) -> None:
        """Wait for what is told of it, in order, and that nothing else is."""
        await self.receiver.wait_for(len(wanted))
        self.service.hookd("emit", "systemd.unit", "failed", "--object=last")
        found = [json.loads(each.body) for each in await self.receiver.wait_for(len(wanted) + 1)]
        assert [each["data"] for each in found if each["unit"] == self.name] == list(wanted)
        assert len(found) == len(wanted) + 1


@pytest.fixture
async def watched(service: Service, receiver: Receiver) -> AsyncIterator[Watched]:
    service.configure(CONFIG.format(url=receiver.url))
    service.start()
    made = Watched(service, receiver)
    yield made
    service.machine.systemctl("stop", made.name, check=False)
    service.machine.run("rm", "-r", f"/etc/systemd/system/{made.name}.d")
    service.machine.systemctl("daemon-reload")


TWICE = "ExecStart=/bin/sh -c 'echo x >> /run/starts; test $(wc -l < /run/starts) -ge 3 || exit 4'"
"""Fails twice, then ends well."""


async def test_on_failure_alone_misses_what_is_restarted(service: Service, receiver: Receiver) -> None:
    """Which is why there is a drop-in: systemd starts `OnFailure=` when it gives up."""
    service.configure(CONFIG.format(url=receiver.url))
    service.start()
    service.machine.run("rm", "-f", "/run/starts")
    text = UNIT.format("")[:-1].replace("ExecStart=", f"Restart=on-failure\nRestartSec=100ms\n{TWICE}\n")
    service.machine.write("/run/systemd/system/restarting.service", text)
    service.machine.systemctl("daemon-reload")
    service.machine.systemctl("start", "restarting.service")
    await eventually(lambda: service.machine.run("cat", "/run/starts", check=False).stdout.count("x") == 3)
    service.hookd("emit", "systemd.unit", "failed", "--object=last")
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body)["unit"] == "last"


async def test_each_failure_of_a_restarted_service(watched: Watched) -> None:
    """Whatever user and sandbox it has, and though systemd 252 starts `OnSuccess=` at each restart too; its good end
    is none.
    """
    watched.machine.run("rm", "-rf", "/run/starts", "/run/succeeded")
    marker = "[Service]\nType=oneshot\nExecStart=/bin/touch /run/succeeded\n"
    watched.machine.write("/run/systemd/system/succeeded.service", marker)
    watched.machine.run("sh", "-c", "install -m 0666 /dev/null /run/starts")
    sandbox = (
        "User=nobody\nGroup=nogroup\nProtectSystem=strict\nReadWritePaths=/run/starts\nPrivateNetwork=yes"
    )
    watched.install(
        f"Restart=on-failure\nRestartSec=100ms\n{sandbox}\n{TWICE}", "OnSuccess=succeeded.service"
    )
    watched.start()
    await eventually(lambda: watched.machine.path("/run/starts").read_text() == "x\n" * 3)
    await eventually(lambda: watched.machine.path("/run/succeeded").exists())
    await watched.ended()
    await watched.told(*[["exit-code", "exited", "4"]] * 2)


async def test_where_on_failure_and_on_success_name_one_template(watched: Watched) -> None:
    """systemd then tells that template nothing of the end; the drop-in knows it all the same."""
    watched.machine.write(
        "/run/systemd/system/note@.service", "[Service]\nType=oneshot\nExecStart=/bin/true\n"
    )
    both = "OnFailure=note@%n.service\nOnSuccess=note@%n.service"
    watched.install("Type=oneshot\nExecStart=/bin/sh -c 'kill -SEGV $$$$'\nLimitCORE=0", both)
    watched.start()
    await watched.ended()
    await watched.told(["signal", "killed", "SEGV"])


@pytest.mark.parametrize(
    ("keys", "wanted"),
    [
        ("ExecStartPre=/bin/sh -c 'exit 5'\nExecStart=/bin/true", [["exit-code", "", ""]]),
        ("ExecStart=/no/such/program", [["exit-code", "exited", "203"]]),
        ("Type=notify\nTimeoutStartSec=1\nExecStart=/bin/sleep 60", [["timeout", "killed", "TERM"]]),
        ("Type=oneshot\nExecCondition=/bin/false\nExecStart=/bin/false", []),
        ("Type=oneshot\nExecCondition=/bin/sh -c 'exit 255'\nExecStart=/bin/true", [["exit-code", "", ""]]),
        ("Type=oneshot\nExecStart=/bin/true", []),
    ],
)
async def test_starts_that_fail_and_that_are_skipped(
    watched: Watched, keys: str, wanted: list[list[str]]
) -> None:
    watched.install(keys)
    watched.start()
    await watched.ended()
    await watched.told(*wanted)


async def test_a_failure_while_hookd_is_down_is_spooled(watched: Watched) -> None:
    watched.machine.systemctl("stop", "hookd.socket", "hookd.service")
    watched.install("ExecStart=/bin/sh -c 'exit 6'")
    watched.start()
    await watched.ended()
    watched.service.start()
    await watched.told(["exit-code", "exited", "6"])


@pytest.mark.usefixtures("strict")
async def test_a_crash_while_hookd_is_down(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.format(url=receiver.url))
    crash(service, "/bin/false")

    def spooled() -> str:
        return service.machine.run(
            "sh", "-c", "stat -c '%U:%G %a' /var/spool/hookd/*.json", check=False
        ).stdout

    assert await eventually(spooled) == "hookd:hookd-emit 600\n"
    assert service.machine.show("hookd-emit@crashing.service.service", "Result") == {"Result": "success"}
    service.start()
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body)["unit"] == "crashing.service"
    await eventually(lambda: spooled() == "")


@pytest.mark.parametrize("umask", ["0022", "0077"])
async def test_a_member_of_the_group_spools(service: Service, receiver: Receiver, umask: str) -> None:
    """Its file is taken in; nobody else can read or remove it."""
    service.configure(CONFIG.format(url=receiver.url))
    emit = "/opt/hookd/bin/hookd emit systemd.unit failed --object x --data '{}' --spool"
    member = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=hookd-emit", "sh", "-c"]
    service.machine.run(*member, f"umask {umask}; {emit}")
    other = ["setpriv", "--reuid=games", "--regid=games", "--groups=hookd-emit", "sh", "-c"]
    assert "Permission denied" in service.machine.run(*other, "ls /var/spool/hookd", check=False).stderr
    (name,) = (path.name for path in service.machine.path("/var/spool/hookd").glob("*.json"))
    refused = service.machine.run(*other, f"rm -f /var/spool/hookd/{name}", check=False)
    assert "Operation not permitted" in refused.stderr
    known = f"cat /var/spool/hookd/{name}"
    assert "Permission denied" in service.machine.run(*other, known, check=False).stderr
    assert service.machine.run(*member, known).returncode == 0
    stranger = ["setpriv", "--reuid=games", "--regid=games", "--clear-groups", "ls", "/var/spool/hookd"]
    assert service.machine.run(*stranger, check=False).returncode != 0
    service.start()
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body)["unit"] == "x"


async def test_a_member_keeps_nothing_of_the_spool_for_itself(service: Service, receiver: Receiver) -> None:
    """Neither by a lock on it, nor by making `rejected/` first; what was refused is read by hookd alone."""
    service.configure(CONFIG.format(url=receiver.url))
    spool = "/var/spool/hookd"
    service.machine.run("rm", "-r", f"{spool}/rejected")
    member = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=hookd-emit"]
    service.machine.run(*member, "mkdir", "-m", "777", f"{spool}/rejected")
    service.machine.run(*member, "mkdir", f"{spool}/x.json")
    service.machine.run(*member, "sh", "-c", f"echo '[' > {spool}/bad.json")
    service.start()
    path = f"{spool}/rejected/bad.json"
    await eventually(lambda: service.machine.run("test", "-e", path, check=False).returncode == 0)
    owners = service.machine.run("stat", "-c", "%U %a", f"{spool}/rejected", f"{spool}/rejected.foreign")
    assert owners.stdout == "hookd 2700\nnobody 2777\n"
    spooled = service.status()["spool"]
    assert (spooled["skipped"], spooled["error"]) == (["rejected.foreign", "x.json"], None)
    for command in (
        f"flock -n {spool} true",
        f"flock -n {spool}/rejected true",
        f"cat {path}",
        f"rm {path}",
        f"mv {spool}/rejected {spool}/mine",
    ):
        assert service.machine.run(*member, "sh", "-c", command, check=False).returncode != 0
    service.machine.run(
        "sh", "-c", f"rm -r {spool}/* && systemd-tmpfiles --create /etc/tmpfiles.d/hookd.conf"
    )
