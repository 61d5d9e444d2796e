"""What docs/operations.md says of a running installation, by its lines: backup, upgrade, secrets, spool, removal."""

from collections.abc import Iterator

import pytest

from tests.docs import pages
from tests.kit.receiver import Receiver
from tests.systemd.conftest import installing
from tests.systemd.machine import SOURCE, Machine, eventually
from tests.systemd.service import CONFIG, DROP_INS, STORE, Service

EVENT = {"type": "vm", "event": "up"}


def run(machine: Machine, block: str) -> None:
    """Run a block's lines as root, but those that fetch the program."""
    for line in block.splitlines():
        if "pip install" not in line:
            machine.run("sh", "-ec", line.replace("sudo ", ""), cwd=str(SOURCE))


async def test_a_backup_holds_the_history(service: Service) -> None:
    service.start()
    assert await service.post(EVENT) == 202
    service.machine.run("rm", "-rf", "/var/backups/hookd")
    run(service.machine, pages.named("backup"))
    await service.active()
    service.machine.systemctl("stop", "hookd.socket", "hookd.service")
    service.machine.run("rm", "-rf", "/var/lib/hookd")
    service.machine.run("cp", "-a", "/var/backups/hookd", "/var/lib/hookd")
    service.start()
    assert len(service.deliveries()) == 1
    assert service.machine.run("stat", "-c", "%U %a", STORE).stdout == "hookd 600\n"


async def test_an_upgrade_ends_in_a_running_service(service: Service) -> None:
    service.start()
    before = service.pid
    run(service.machine, pages.named("upgrade"))
    await service.active()
    assert service.pid != before


async def test_a_secret_by_drop_in(service: Service, receiver: Receiver) -> None:
    service.machine.write("/etc/hookd/secrets/slack-url", f"{receiver.url}/hook\n", mode=0o600)
    service.machine.write(f"{DROP_INS}/override.conf", pages.named("credential"))
    service.machine.systemctl("daemon-reload")
    service.configure(CONFIG.replace('"http://127.0.0.1:9/"', "{credential: slack-url}"))
    service.start()
    assert await service.post(EVENT) == 202
    [request] = await receiver.wait_for(1)
    assert request.target == "/hook"


async def test_a_spool_made_by_hand(service: Service) -> None:
    service.machine.run("rm", "-r", "/var/spool/hookd")
    run(service.machine, pages.named("spool"))
    shown = service.machine.run("stat", "-c", "%U:%G %a", "/var/spool/hookd").stdout
    assert shown == "hookd:hookd-emit 3730\n"
    service.start()
    service.machine.write("/var/spool/hookd/a.json", '{"type": "vm", "event": "up", "id": "a"}')
    await eventually(lambda: service.deliveries() or None)


@pytest.fixture
def installed_again(service: Service) -> Iterator[Machine]:
    """The machine; afterwards hookd is installed anew for the tests that follow."""
    program = service.machine.run("sh", "-c", "cp -a /opt/hookd /opt/kept && echo kept").stdout
    assert program == "kept\n"
    yield service.machine
    service.machine.run("mv", "/opt/kept", "/opt/hookd")
    for line in installing():
        service.machine.run("sh", "-ec", line, cwd=str(SOURCE))


def test_nothing_is_left_of_it(installed_again: Machine) -> None:
    machine = installed_again
    run(machine, pages.named("uninstall"))
    assert machine.run("getent", "passwd", "hookd", check=False).stdout == ""
    assert machine.run("getent", "group", "hookd", check=False).stdout == ""
    places = "/etc /opt/hookd /usr/local/bin /usr/local/share/man /var/lib /var/spool /run"
    left = machine.run(
        "sh", "-c", f"find {places} -xdev -name '*hookd*' -not -path '*/private/*'", check=False
    ).stdout
    assert left == ""
    assert "hookd" not in machine.run("systemctl", "list-unit-files", "hookd*", check=False).stdout
