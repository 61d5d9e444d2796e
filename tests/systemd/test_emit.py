"""A failed unit is reported through hookd-emit@, also while hookd is down (spec 11)."""

import json
from collections.abc import Iterator

import pytest

from tests.docs import pages
from tests.kit.receiver import Receiver
from tests.systemd.machine import eventually
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


@pytest.mark.usefixtures("strict")
async def test_a_crash_while_hookd_is_down(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.format(url=receiver.url))
    crash(service, "/bin/false")

    def spooled() -> str:
        return service.machine.run(
            "sh", "-c", "stat -c '%U:%G %a' /var/spool/hookd/*.json", check=False
        ).stdout

    assert await eventually(spooled) == "hookd:hookd 640\n"
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
    member = ["setpriv", "--reuid=nobody", "--regid=nogroup", "--groups=hookd", "sh", "-c"]
    service.machine.run(*member, f"umask {umask}; {emit}")
    other = ["setpriv", "--reuid=games", "--regid=games", "--groups=hookd", "sh", "-c"]
    refused = service.machine.run(*other, "rm -f /var/spool/hookd/*.json", check=False)
    assert "Operation not permitted" in refused.stderr
    stranger = ["setpriv", "--reuid=games", "--regid=games", "--clear-groups", "ls", "/var/spool/hookd"]
    assert service.machine.run(*stranger, check=False).returncode != 0
    service.start()
    [request] = await receiver.wait_for(1)
    assert json.loads(request.body)["unit"] == "x"
