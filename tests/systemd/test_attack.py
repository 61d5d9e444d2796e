"""What users of the machine get of an installed hookd: posting where they may, and nothing else (spec 12)."""

import json

import pytest

from hookd.api.rights import RIGHTS
from hookd.domain.principals import Right
from tests.systemd.machine import Machine
from tests.systemd.service import SOCKET, STORE, Service

STRANGER = ("--reuid=games", "--regid=games", "--clear-groups")
MEMBER = ("--reuid=nobody", "--regid=nogroup", "--groups=hookd-emit")
UNIX = ("--unix-socket", SOCKET, "http://localhost")
TCP = ("http://127.0.0.1:8420",)


def asked(machine: Machine, who: tuple[str, ...], where: tuple[str, ...], method: str, path: str) -> str:
    """The status of an answer as that user gets it; 000 without one."""
    concrete = path.replace("{id}", "none").replace("webhooks/{name}", "webhooks/w").replace("{name}", "t")
    *words, base = where
    command = ("curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method)
    return machine.run("setpriv", *who, *command, *words, f"{base}{concrete}", check=False).stdout


@pytest.mark.parametrize(
    ("who", "where", "may"),
    [
        (STRANGER, UNIX, None),
        (MEMBER, UNIX, {Right.EMIT}),
        (STRANGER, TCP, {Right.EMIT, Right.METRICS}),
        (MEMBER, TCP, {Right.EMIT, Right.METRICS}),
    ],
    ids=["stranger, socket", "member, socket", "stranger, TCP", "member, TCP"],
)
async def test_every_route(
    service: Service, who: tuple[str, ...], where: tuple[str, ...], may: set[Right] | None
) -> None:
    service.start()
    await service.active()
    wrong = {}
    for (method, path), needed in RIGHTS.items():
        status = asked(service.machine, who, where, method, path)
        refused = may is not None and bool(needed) and needed.isdisjoint(may)
        if (status == "000") != (may is None) or (status == "403") != refused:
            wrong[method, path] = status
    assert wrong == {}
    assert service.status()["webhooks"][0]["parked"] is None


async def test_files_memory_and_spool(service: Service) -> None:
    service.start()
    await service.active()
    machine = service.machine
    for who in (STRANGER, MEMBER):
        for command in (
            f"cat {STORE}",
            "ls /var/lib/hookd",
            f"cat /proc/{service.pid}/environ",
            f"cat /proc/{service.pid}/maps",
            "ls /var/spool/hookd",
            "ls /var/spool/hookd/rejected",
            "touch /var/spool/hookd/rejected/x",
            "rmdir /var/spool/hookd/rejected",
            "mv /var/spool/hookd/rejected /var/spool/hookd/other",
            "touch /etc/hookd/more.yaml",
            "rm /run/hookd/hookd.sock",
            "touch /run/hookd/x",
        ):
            assert machine.run("setpriv", *who, "sh", "-c", command, check=False).returncode != 0, (
                who,
                command,
            )


async def test_a_member_cannot_keep_hookd_from_its_spool(service: Service) -> None:
    service.start()
    await service.active()
    machine = service.machine
    odd = "cd /var/spool/hookd; mkdir a.json; ln -s /etc/shadow b.json; mkfifo c.json; touch .d.json; flock -w1 . true"
    machine.run("setpriv", *MEMBER, "sh", "-c", odd, check=False)
    event = json.dumps({"type": "vm", "event": "up", "id": "spooled"})
    good = f"cd /var/spool/hookd; umask 077; echo '{event}' > .e.part; chmod 640 .e.part; mv .e.part e.json"
    machine.run("setpriv", *MEMBER, "sh", "-c", good)
    for _ in range(100):
        if any(found["id"] == "spooled" for found in events(service)):
            break
        machine.run("sleep", "0.1")
    assert [found["id"] for found in events(service)] == ["spooled"]
    machine.run(
        "sh", "-c", "rm -rf /var/spool/hookd/a.json /var/spool/hookd/[bc].json /var/spool/hookd/.d.json"
    )


def events(service: Service) -> list[dict[str, object]]:
    """The kept events, asked by root."""
    answer = service.machine.run("curl", "-sS", "--unix-socket", SOCKET, "http://localhost/v1/events").stdout
    found: list[dict[str, object]] = json.loads(answer)["events"]
    return found
