"""What the lines of docs/operations.md install: user, group, directories, units (spec 11)."""

import re

from hookd.domain.blocked_addresses import NEVER_CALLED_4, NEVER_CALLED_6
from tests.systemd.machine import PREFIX, REPOSITORY, Machine
from tests.systemd.service import Service


def test_running_after_the_last_line(machine: Machine) -> None:
    for unit in ("hookd.service", "hookd.socket"):
        assert machine.systemctl("is-active", unit).stdout == "active\n"
        assert machine.systemctl("is-enabled", unit).stdout == "enabled\n"
    assert machine.run("/usr/local/bin/hookd", "status").returncode == 0


def test_user_group_and_spool(machine: Machine) -> None:
    name, _, uid, gid, _, home, shell = machine.run("getent", "passwd", "hookd").stdout.strip().split(":")
    assert (name, home, shell) == ("hookd", "/var/lib/hookd", "/usr/sbin/nologin")
    assert 0 < int(uid) < 1000
    assert machine.run("getent", "group", "hookd").stdout.strip().split(":")[2:] == [gid, ""]
    assert machine.run("getent", "group", "hookd-emit").stdout.strip().split(":")[3] == "hookd"
    assert stat(machine, "/var/spool/hookd") == "hookd:hookd-emit 3730 directory"
    assert stat(machine, "/var/spool/hookd/rejected") == "hookd:hookd 750 directory"


def test_nobody_else_could_change_what_is_read(machine: Machine) -> None:
    check = f"{PREFIX}/bin/hookd check /etc/hookd"
    for user in ("root", "hookd"):
        run = machine.run("setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups", "sh", "-c", check)
        assert run.stdout.splitlines()[-1].startswith("ok: ")
        assert ": file: " not in run.stdout


def test_the_sockets_and_the_state(service: Service) -> None:
    service.start()
    machine = service.machine
    assert stat(machine, "/run/hookd") == "hookd:hookd 755 directory"
    assert stat(machine, "/run/hookd/hookd.sock") == "hookd:hookd-emit 660 socket"
    assert stat(machine, "/var/lib/hookd") == "hookd:hookd 700 directory"
    assert stat(machine, "/var/lib/hookd/hookd.db") == "hookd:hookd 600 regular file"


def stat(machine: Machine, path: str) -> str:
    return machine.run("stat", "-c", "%U:%G %a %F", path).stdout.strip()


def test_the_units_are_sound(machine: Machine) -> None:
    units = [
        f"/etc/systemd/system/{unit}" for unit in ("hookd.service", "hookd.socket", "hookd-emit@.service")
    ]
    checked = machine.run("systemd-analyze", "verify", "--man=no", *units)
    assert "hookd" not in checked.stdout + checked.stderr


def test_exposure(machine: Machine) -> None:
    for unit in ("hookd.service", "hookd-emit@.service"):
        path = str(REPOSITORY / "systemd" / unit)
        shown = machine.run(
            "systemd-analyze", "security", "--offline=true", f"/etc/systemd/system/{unit}"
        ).stdout
        [figure] = re.findall(r"Overall exposure level for .*: ([0-9.]+)", shown)
        assert float(figure) <= 1.5, path


def test_what_is_never_called_is_denied_as_well(machine: Machine) -> None:
    """As systemd reads it; the kernel of a container may have no firewall for it."""
    shown = machine.show("hookd.service", "IPAddressDeny", "IPAddressAllow")
    assert set(shown["IPAddressDeny"].split()) == {str(each) for each in (*NEVER_CALLED_4, *NEVER_CALLED_6)}
    assert shown["IPAddressAllow"] == ""


def test_the_program_is_not_the_services_to_change(machine: Machine) -> None:
    assert stat(machine, f"{PREFIX}/bin/hookd") == "root:root 755 regular file"
