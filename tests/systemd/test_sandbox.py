"""The whole main job inside the shipped sandbox, where every denied system call is a death (spec 11)."""

import asyncio
import socket
import struct
from pathlib import Path
from typing import cast

import pytest

from tests.kit.activation import post_once
from tests.kit.receiver import Received, Receiver, response
from tests.kit.tls import Authority, server_context
from tests.systemd.machine import eventually
from tests.systemd.service import CONFIG, STRICT, TCP, Service

FULL = """\
daemon:
  listen:
    - unix: /run/hookd/hookd.sock
    - http: 127.0.0.1:8420
    - {{unix: /run/hookd/adm.sock, group: adm}}
webhooks:
  plain: {{url: "http://127.0.0.1:{port}/plain", retries: 3, backoff: [100ms]}}
  secure: {{url: "https://hooks.example:{tls_port}/secure", tls: {{ca: ca.pem}}, signing: {{secret: abc}}}}
tasks:
  one: {{webhook: plain, message: {{n: "${{ID}}"}}}}
  two: {{webhook: secure, message: {{n: "${{ID}}"}}}}
  tick: {{webhook: plain, message: {{tick: "${{ID}}"}}, triggers: [{{every: 1s}}]}}
events:
  e: {{type: vm, event: up, where: 'object.name.matches("^web-") && data.used >= 80', task: [one, two]}}
"""
EVENT = {"type": "vm", "event": "up", "object": "web-01", "data": {"used": 81}}


class NameServer(asyncio.DatagramProtocol):
    """Answers every question for an address with 127.0.0.1, and every other one with nothing."""

    asked = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: object) -> None:
        self.asked += 1
        end = data.index(b"\0", 12) + 5
        question = data[12:end]
        found = struct.unpack("!H", question[-4:-2])[0] == 1
        head = struct.pack("!HHHHHH", struct.unpack("!H", data[:2])[0], 0x8580, 1, int(found), 0, 0)
        record = b"\xc0\x0c" + struct.pack("!HHIH", 1, 1, 1, 4) + socket.inet_aton("127.0.0.1")
        self.transport.sendto(head + question + (record if found else b""), addr)  # type: ignore[arg-type]


async def test_the_main_job(service: Service, receiver: Receiver, tmp_path: Path) -> None:
    authority = Authority(tmp_path)
    context = server_context(authority.issue("hooks", "hooks.example"))
    loop = asyncio.get_running_loop()
    refused: set[bytes] = set()

    async def reply(request: Received) -> bytes:
        if request.body in refused or b"tick" in request.body:
            return response(200)
        refused.add(request.body)
        return response(500)

    receiver.reply = reply
    service.machine.write("/etc/hookd/ca.pem", authority.ca.read_text())
    service.drop_in(f"{STRICT}\nSupplementaryGroups=adm")
    with service.machine.bound() as sock, service.machine.bound(53, kind=socket.SOCK_DGRAM) as dns:
        transport, names = await loop.create_datagram_endpoint(NameServer, sock=dns)
        async with Receiver(sock=sock, tls=context) as secure:
            config = FULL.format(port=receiver.port, tls_port=secure.port)
            service.configure(config)
            await asyncio.to_thread(service.start)
            await _whole_job(service, receiver, secure)
            assert names.asked >= 1
        transport.close()
    shown = service.show("NRestarts", "ActiveState", "Result")
    assert shown == {"Result": "success", "ActiveState": "active", "NRestarts": "0"}
    service.machine.systemctl("restart", "hookd.service")
    assert service.show("Result")["Result"] == "success"


async def _whole_job(service: Service, receiver: Receiver, secure: Receiver) -> None:
    assert await service.post(EVENT) == 202
    body = b'{"type": "vm", "event": "up", "object": "web-02", "data": {"used": 99}}'
    adm = str(service.machine.path("/run/hookd/adm.sock"))
    assert service.machine.run("stat", "-c", "%G", "/run/hookd/adm.sock").stdout == "adm\n"
    for where in (TCP, adm):
        answered = await asyncio.to_thread(service.machine.within, lambda where=where: post_once(where, body))
        assert answered[0] == 202
    assert {each.target for each in await secure.wait_for(3)} == {"/secure"}
    retried = [each.body for each in await receiver.wait_for(7) if b"tick" not in each.body]
    assert any(b"tick" in each.body for each in await receiver.wait_for(len(retried) + 2))
    service.configure(service.machine.path("/etc/hookd/hookd.yaml").read_text().replace("^web-", "^db-"))
    await asyncio.to_thread(service.machine.systemctl, "reload", "hookd.service")
    answers = [
        await asyncio.to_thread(service.hookd, *command)
        for command in (["send", "plain"], ["trigger", "two"], ["status"], ["deliveries"], ["pause", "plain"])
    ]
    assert all(answers)
    await secure.wait_for(4)


async def test_what_git_needs(service: Service) -> None:
    """A generation's commit is asked of git, in the service's sandbox."""
    repository = (
        "cd /etc/hookd && git init -q && git add -A && git -c user.name=a -c user.email=a@b commit -qm a"
    )
    if service.machine.run("which", "git", check=False).returncode:
        pytest.skip("git is not installed")
    service.machine.run("sh", "-ec", repository)
    git = "/usr/bin/git -c safe.directory=* -C /etc/hookd"
    service.drop_in(f"{STRICT}\nExecStartPre={git} rev-parse HEAD\nExecStartPre={git} ls-tree -r HEAD")
    try:
        service.start()
        assert service.show("ActiveState")["ActiveState"] == "active"
    finally:
        service.machine.run("rm", "-rf", "/etc/hookd/.git")


async def test_others_of_its_user_cannot_look_into_its_memory(service: Service) -> None:
    """Also with the sandbox, in which nothing may be written and executed (MemoryDenyWriteExecute=)."""
    service.drop_in(STRICT)
    service.start()
    pid = service.pid
    shown = service.machine.run("stat", "-c", "%U", f"/proc/{pid}/mem", f"/proc/{pid}/environ").stdout
    assert shown == "root\nroot\n"
    other = ["setpriv", "--reuid=hookd", "--regid=hookd", "--clear-groups"]
    for name in ("environ", "maps", "mem"):
        refused = service.machine.run(*other, "head", "-c1", f"/proc/{pid}/{name}", check=False)
        assert "Permission denied" in refused.stderr
    limits = service.machine.run("cat", f"/proc/{pid}/limits").stdout
    assert [line.split()[4:6] for line in limits.splitlines() if line.startswith("Max core")] == [["0", "0"]]


async def test_a_denied_call_is_a_death(service: Service) -> None:
    """Else the two tests above would show nothing."""
    service.drop_in(f"{STRICT}\nExecStartPre=/usr/bin/python3 -c \"import os; os.chroot('/')\"")
    assert service.machine.systemctl("start", "hookd.service", check=False).returncode == 1
    assert "status=31/SYS" in service.machine.journal("hookd.service")


async def test_a_child_that_is_ended_for_memory(service: Service) -> None:
    """A reload fails by it; the service goes on, and says so (OOMPolicy=continue)."""
    service.start()
    pid = service.pid
    assert service.show("OOMPolicy")["OOMPolicy"] == "continue"
    many = "\n".join(f"  t{n}: {{webhook: w, message: {{n: {n}}}}}" for n in range(60_000))
    service.configure(
        CONFIG.replace("tasks: {t:", f"tasks:\n{many}\n  t:").replace('"${ID}"}}}', '"${ID}"}}')
    )
    reloading = asyncio.create_task(
        asyncio.to_thread(service.machine.systemctl, "reload", "hookd.service", check=False)
    )
    await eventually(lambda: _end_child(service, pid, "-f", "isolated_child"))
    refused = await reloading
    assert refused.returncode == 1
    shown = service.show("ActiveState", "MainPID", "StatusText")
    assert (shown["ActiveState"], shown["MainPID"]) == ("active", str(pid))
    assert "loading was ended by SIGKILL" in shown["StatusText"]


async def test_a_store_process_that_is_ended_for_memory(service: Service) -> None:
    """Another takes its place; the service goes on, and stops as ever."""
    service.configure(f"daemon: {{store_process: true}}\n{CONFIG}")
    service.start()
    pid = service.pid
    for _ in range(2):
        await eventually(lambda: _end_child(service, pid, "-x", "hookd-store"))
        while (status := await service.post(EVENT)) != 202:
            assert status == 503
            await asyncio.sleep(0.1)
    shown = service.show("ActiveState", "MainPID", "NRestarts")
    assert shown == {"ActiveState": "active", "MainPID": str(pid), "NRestarts": "0"}
    service.machine.systemctl("stop", "hookd.service")
    assert service.show("Result")["Result"] == "success"


def _end_child(service: Service, pid: int, *which: str) -> bool:
    """Do to a child what the kernel does when memory is out."""
    return service.machine.run("pkill", "-KILL", "-P", str(pid), *which, check=False).returncode == 0
