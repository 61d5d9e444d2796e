"""hookd.service in a machine: configured, started, asked."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

from tests.kit.activation import Posters, post_once
from tests.systemd.machine import PREFIX, Machine, eventually

CONFIG_PATH = "/etc/hookd/hookd.yaml"
SOCKET = "/run/hookd/hookd.sock"
TCP = ("127.0.0.1", 8420)
STORE = "/var/lib/hookd/hookd.db"
DROP_INS = "/etc/systemd/system/hookd.service.d"
STRICT = "SystemCallErrorNumber=kill"
"""A denied system call is a death, so that no denial hides."""

CONFIG = """\
webhooks: {w: {url: "http://127.0.0.1:9/", retries: 0}}
tasks: {t: {webhook: w, message: {n: "${ID}"}}}
events: {e: {type: vm, event: up, task: t}}
"""


@dataclass(frozen=True)
class Service:
    """The service of one machine."""

    machine: Machine

    def reset(self) -> None:
        """Stop it, and take its state, its drop-ins and its spool away."""
        self.machine.systemctl("stop", "hookd.socket", "hookd.service", check=False)
        self.machine.systemctl("reset-failed", check=False)
        self.machine.run("sh", "-c", f"rm -rf {DROP_INS} /var/lib/hookd /etc/hookd/*")
        self.machine.run("find", "/var/spool/hookd", "-type", "f", "-delete")
        self.machine.systemctl("daemon-reload")
        self.configure(CONFIG)

    def configure(self, text: str) -> None:
        self.machine.write(CONFIG_PATH, text)

    def drop_in(self, text: str) -> None:
        """Add to the unit's [Service] section."""
        self.machine.write(f"{DROP_INS}/test.conf", f"[Service]\n{text}\n")
        self.machine.systemctl("daemon-reload")

    def start(self) -> None:
        self.machine.systemctl("start", "hookd.service")

    def show(self, *names: str) -> dict[str, str]:
        return self.machine.show("hookd.service", *names)

    @property
    def pid(self) -> int:
        """Its process id, inside the machine."""
        return int(self.show("MainPID")["MainPID"])

    def hookd(self, *arguments: str, check: bool = True) -> str:
        """What a hookd command prints, asked by root."""
        return self.machine.run(f"{PREFIX}/bin/hookd", *arguments, check=check).stdout

    def status(self) -> Any:
        return json.loads(self.hookd("status", "--json"))

    def deliveries(self) -> Any:
        return json.loads(self.hookd("deliveries", "--json"))

    async def post(self, event: Any) -> int:
        """Post an event on the Unix socket; the answer's status."""
        path = str(self.machine.path(SOCKET))
        status, _ = await asyncio.to_thread(post_once, path, json.dumps(event).encode())
        return status

    async def active(self, state: str = "active", *, within_s: float = 20) -> None:
        await eventually(lambda: self.show("ActiveState")["ActiveState"] == state, within_s=within_s)

    def log(self, name: str) -> list[dict[str, Any]]:
        """Its log lines of this name, of all its starts."""
        lines = (line for line in self.machine.journal("hookd.service").splitlines() if line.startswith("{"))
        return [line for line in map(json.loads, lines) if line["event"] == name]


class MachinePosters(Posters):
    """Posters whose connections begin in a machine's network."""

    machine: Machine

    def enter(self) -> None:
        self.machine.enter_network()
