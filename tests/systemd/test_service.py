"""The shipped unit under a real systemd: start, reload, restart, watchdog, credentials, exit codes (spec 11)."""

import asyncio
import os
import shutil
import signal
from contextlib import suppress
from http.client import HTTPException
from pathlib import Path

import pytest

from tests.kit.activation import post_once
from tests.kit.procfs import processes
from tests.kit.receiver import Receiver
from tests.systemd.machine import eventually
from tests.systemd.service import CONFIG, SOCKET, STORE, TCP, MachinePosters, Service

EVENT = {"type": "vm", "event": "up"}


async def test_ready_when_intake_works(service: Service) -> None:
    service.start()
    shown = service.show("ActiveState", "SubState", "StatusText", "NRestarts", "Type", "WatchdogUSec")
    assert shown == {
        "Type": "notify",
        "WatchdogUSec": "30s",
        "ActiveState": "active",
        "SubState": "running",
        "StatusText": "serving 1 webhook, 1 task, 1 event, 0 schedules",
        "NRestarts": "0",
    }
    assert await service.post(EVENT) == 202
    assert service.machine.within(lambda: post_once(TCP, b'{"type": "vm", "event": "up"}'))[0] == 202


async def test_a_reload_by_systemctl(service: Service) -> None:
    service.start()
    pid = service.pid
    service.configure(CONFIG.replace("events: {", "events: {f: {type: vm, event: down, task: t}, "))
    service.machine.systemctl("reload", "hookd.service")
    assert service.status()["config"]["number"] == 2
    shown = service.show("ActiveState", "StatusText", "MainPID")
    assert shown == {
        "MainPID": str(pid),
        "ActiveState": "active",
        "StatusText": "serving 1 webhook, 1 task, 2 events, 0 schedules",
    }


async def test_a_reload_shows_as_reloading(service: Service) -> None:
    service.start()
    seen: set[str] = set()

    def watch() -> bool:
        seen.add(service.show("ActiveState")["ActiveState"])
        return seen >= {"reloading"} and len(service.log("config.reloaded")) > before

    before = len(service.log("config.reloaded"))
    service.configure(CONFIG.replace("n:", "m:"))
    service.machine.systemctl("kill", "--kill-whom=main", "-s", "HUP", "hookd.service")
    await eventually(watch)
    await service.active()


async def test_a_bad_configuration_leaves_it_active(service: Service) -> None:
    service.start()
    service.configure(CONFIG.replace("webhook: w", "webhook: x"))
    refused = service.machine.systemctl("reload", "hookd.service", check=False)
    assert refused.returncode == 1
    shown = service.show("ActiveState", "StatusText")
    assert shown["ActiveState"] == "active"
    assert shown["StatusText"].startswith("the configuration on disk is refused, the old one is in force: ")
    assert "hookd.yaml:2:22: tasks.t.webhook: " in shown["StatusText"]
    assert "tasks.t.webhook: " in service.machine.systemctl("status", "hookd.service").stdout
    assert await service.post(EVENT) == 202
    service.configure(CONFIG)
    service.machine.systemctl("reload", "hookd.service")
    assert service.show("StatusText")["StatusText"].startswith("serving ")


async def test_a_restart_under_load(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.replace("http://127.0.0.1:9/", receiver.url))
    service.start()
    posters = MachinePosters(str(service.machine.path(SOCKET)), TCP)
    posters.machine = service.machine
    async with posters:
        for _ in range(3):
            await posters.wait_for(200)
            await asyncio.to_thread(service.machine.systemctl, "restart", "hookd.service")
        await posters.wait_for(200)
    assert set(posters.outcomes) == {"202"}
    arrived = await receiver.wait_for(len(posters.acknowledged), within_s=60)
    assert len({each.id for each in arrived}) == len(posters.acknowledged)
    assert service.show("NRestarts")["NRestarts"] == "0"


async def test_a_connection_starts_it(service: Service) -> None:
    service.machine.systemctl("start", "hookd.socket")
    for _ in range(2):
        assert await service.post(EVENT) == 202
        assert service.show("ActiveState")["ActiveState"] == "active"
        service.machine.systemctl("stop", "hookd.service")


async def test_without_its_socket_unit(service: Service) -> None:
    unit = service.machine.path("/etc/systemd/system/hookd.socket")
    shipped = unit.read_text()
    unit.unlink()
    service.machine.systemctl("daemon-reload")
    try:
        service.start()
        assert "hookd.socket" in service.show("Wants")["Wants"].split()
        assert await service.post(EVENT) == 202
        service.machine.systemctl("reload", "hookd.service")
        service.machine.systemctl("stop", "hookd.service")
        assert not service.machine.path(SOCKET).exists()
    finally:
        unit.write_text(shipped)
        service.machine.systemctl("daemon-reload")


async def test_state_is_kept_over_a_restart(service: Service, receiver: Receiver) -> None:
    service.configure(CONFIG.replace("http://127.0.0.1:9/", receiver.url))
    service.start()
    assert await service.post({**EVENT, "id": "one"}) == 202
    await receiver.wait_for(1)
    service.machine.systemctl("restart", "hookd.service")
    assert await service.post({**EVENT, "id": "one"}) == 200
    [kept] = service.deliveries()
    assert kept["state"] == "delivered"


async def test_a_frozen_loop_is_restarted(service: Service) -> None:
    service.drop_in("WatchdogSec=2")
    service.start()
    pid = service.pid
    os.kill(_outside(service, pid), signal.SIGSTOP)
    await eventually(lambda: service.show("NRestarts")["NRestarts"] == "1")
    await service.active()
    assert service.pid != pid
    assert await service.post(EVENT) == 202


async def test_a_frozen_store_is_restarted(service: Service) -> None:
    """The loop lives on, and feeds nothing while the store does not answer."""
    if shutil.which("strace") is None:
        pytest.skip("strace, which makes the disk hang, is not installed")
    service.drop_in("WatchdogSec=2")
    service.start()
    pid = service.pid
    traced = processes(_outside(service, pid))
    tracer = await asyncio.create_subprocess_exec(
        "strace", "-f", "-o", os.devnull, "-e", "trace=fdatasync", "-e", "inject=fdatasync:delay_enter=90s",
        *(f"-p{each}" for each in traced), stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    assert tracer.stderr is not None
    for _ in traced:
        await tracer.stderr.readline()
    posting = asyncio.create_task(service.post(EVENT))
    try:
        await eventually(lambda: service.show("Result")["Result"] == "watchdog")
        tracer.kill()  # the kernel ends no process while a thread waits in a call
        await eventually(lambda: service.show("NRestarts")["NRestarts"] == "1")
    finally:
        with suppress(ProcessLookupError):
            tracer.kill()
        await tracer.communicate()
    await service.active()
    with suppress(OSError, HTTPException):
        await posting
    assert service.pid != pid


async def test_a_fed_watchdog_does_not_bite(service: Service) -> None:
    service.drop_in("WatchdogSec=1")
    service.start()
    fed = service.show("WatchdogTimestampMonotonic")
    times = {fed["WatchdogTimestampMonotonic"]}

    def fed_often() -> bool:
        times.add(service.show("WatchdogTimestampMonotonic")["WatchdogTimestampMonotonic"])
        return len(times) > 5

    await eventually(fed_often)
    assert service.show("NRestarts")["NRestarts"] == "0"


def _outside(service: Service, pid: int) -> int:
    """The process id, as seen from here, of one inside."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            lines = status.read_text().splitlines()
        except (FileNotFoundError, ProcessLookupError):
            continue
        pids = next((line.split()[1:] for line in lines if line.startswith("NSpid")), [])
        if len(pids) > 1 and pids[-1] == str(pid) and "Name:\thookd" in lines:
            return int(pids[0])
    raise AssertionError(f"no process {pid} inside")


async def test_credentials(service: Service, receiver: Receiver) -> None:
    service.machine.write("/etc/hookd/secrets/url", f"{receiver.url}/hook\n", mode=0o600)
    service.machine.write("/etc/hookd/secrets/token", "t0ken\n", mode=0o600)
    service.drop_in(
        "LoadCredential=url:/etc/hookd/secrets/url\nLoadCredential=token:/etc/hookd/secrets/token"
    )
    service.configure(
        CONFIG.replace('"http://127.0.0.1:9/"', "{credential: url}").replace(
            "retries: 0", "auth: {type: bearer, token: {credential: token}}"
        )
    )
    service.start()
    assert await service.post(EVENT) == 202
    [request] = await receiver.wait_for(1)
    assert request.target == "/hook"
    assert request.header("Authorization") == "Bearer t0ken"
    service.machine.systemctl("reload", "hookd.service")
    assert "t0ken" not in service.machine.journal("hookd.service")


async def test_a_missing_credential_file(service: Service) -> None:
    service.drop_in("LoadCredential=url:/etc/hookd/secrets/nowhere")
    refused = service.machine.systemctl("start", "hookd.service", check=False)
    assert refused.returncode == 1
    assert service.show("ExecMainStatus")["ExecMainStatus"] == "243"


@pytest.mark.parametrize(
    ("drop_in", "config", "code", "said"),
    [
        ("", CONFIG.replace("webhook: w", "webhook: x"), "78", "hookd.yaml:2:22: tasks.t.webhook: "),
        (
            "",
            CONFIG.replace('"http://127.0.0.1:9/"', "{credential: url}"),
            "78",
            (
                "the credential url cannot be read: systemd passes none ($CREDENTIALS_DIRECTORY is not set);"
                " add LoadCredential=url:PATH to the unit, and restart it"
            ),
        ),
        (
            "StateDirectory=",
            CONFIG,
            "74",
            (
                "hookd: /hookd.db.lock cannot be opened (Read-only file system): hookd needs to write in that"
                " directory; under systemd, StateDirectory=hookd in the unit gives it one,"
                " ReadWritePaths= opens another"
            ),
        ),
        (
            "",
            "daemon: {listen: [{unix: /run/hookd/hookd.sock}]}\n" + CONFIG,
            "78",
            (
                "hookd: systemd passes the TCP socket 127.0.0.1:8420 (hookd.socket), which daemon.listen does not"
                ' have (its http entries: none): add "- http: 127.0.0.1:8420" there, or take'
                " ListenStream=127.0.0.1:8420 out of the socket unit"
            ),
        ),
    ],
)
async def test_what_a_restart_would_not_mend(
    service: Service, drop_in: str, config: str, code: str, said: str
) -> None:
    if drop_in:
        service.drop_in(drop_in)
    service.configure(config)
    assert service.machine.systemctl("start", "hookd.service", check=False).returncode == 1
    shown = service.show("ActiveState", "ExecMainStatus", "NRestarts")
    assert shown == {"ActiveState": "failed", "ExecMainStatus": code, "NRestarts": "0"}
    assert said in service.machine.journal("hookd.service")


async def test_a_damaged_store_is_left(service: Service) -> None:
    service.start()
    service.machine.systemctl("stop", "hookd.service", "hookd.socket")
    service.machine.run("sh", "-c", f"head -c 40960 /dev/urandom > {STORE}")
    assert service.machine.systemctl("start", "hookd.service", check=False).returncode == 1
    assert service.show("ExecMainStatus", "NRestarts") == {"ExecMainStatus": "74", "NRestarts": "0"}
