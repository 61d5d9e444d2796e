"""A stage: one `hookd run`, one receiver that keeps every byte, one directory.

Must never: import anything of `hookd`.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from tests.kit.commands import Ended, hookd
from tests.kit.daemon import DaemonProcess, Notifications
from tests.kit.receiver import Received, Receiver

DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db, log: {format: json, level: debug}}\n"


@dataclass
class Stage:
    """One daemon, one receiver, one directory.

        async with Stage(directory) as stage:          # the receiver listens, no daemon yet
            stage.write("webhooks: {w: {url: RECEIVER/one}}  …")
            await stage.start()                        # a real `hookd run`, returns when it says READY
            receipt = await stage.emit("vm", "on", object="web-01", tags=["production"])
            request = await stage.arrived("/one")      # the raw request: .method .target .head .lines .body .header()
            [record] = await stage.settled(receipt)    # the deliveries' records, once delivered or dead
            ran = await stage.hookd("status")          # any command; Ended(code, out, err)

    In a configuration `RECEIVER` stands for the receiver's address (`http://127.0.0.1:PORT`).

    Attributes:
        directory: holds `hookd.yaml` (unless a test writes others), the socket, the store and `daemon.log`.
        receiver: what the webhooks call; answers 200, unless a test changes `receiver.reply`.
        daemon: the process, once started; `daemon.request`, `daemon.get` and `daemon.post` speak to its API.
        env: environment variables of the daemon and of every command.
    """

    directory: Path
    receiver: Receiver = field(default_factory=Receiver)
    env: dict[str, str] = field(default_factory=dict)
    _daemon: DaemonProcess | None = None

    @property
    def daemon(self) -> DaemonProcess:
        assert self._daemon is not None, "not started"
        return self._daemon

    @property
    def log(self) -> list[dict[str, Any]]:
        """The facts the daemon has logged so far (warnings about the configuration are plain lines, left out)."""
        return self.daemon.logged()

    async def __aenter__(self) -> Self:
        await self.receiver.__aenter__()
        return self

    async def __aexit__(self, *exc: object) -> None:
        if self._daemon is not None:
            await self._daemon.close()
        await self.receiver.__aexit__(*exc)

    def write(self, config: str, *, daemon: str = DAEMON, file: str = "hookd.yaml", **places: str) -> Path:
        """Write a configuration file.

        Args:
            config: YAML; `RECEIVER`, and each name in `places`, is replaced by the address it stands for.
            daemon: stands before it; empty for a file without a `daemon:` section.
            file: its name in the directory.
            places: further words to replace, such as `SECURE="https://127.0.0.1:4711"`.
        """
        text = daemon + config
        for word, address in {"RECEIVER": self.receiver.url, **places}.items():
            text = text.replace(word, address)
        path = self.directory / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    async def start(self, config: str = "hookd.yaml") -> None:
        """Start the daemon (after `stop` or `kill`: again, on the same store).

        Args:
            config: the file or directory of its configuration; the socket must be `h.sock` in `self.directory`.
        """
        if self._daemon is None:
            self._daemon = DaemonProcess(self.directory, config=self.directory / config, env=self.env)
        else:  # what an earlier run said (READY after a reload, too) must not be taken for this one's
            self._daemon.notifications.close()
            self._daemon.notifications = Notifications(self._daemon.notifications.path)
        await self._daemon.start()

    async def stop(self) -> None:
        """End the daemon as the service manager does; it must end well."""
        assert await self.daemon.stop() == 0

    async def kill(self) -> None:
        """End the daemon as a power cut does."""
        await self.daemon.kill()

    async def hookd(self, *words: str, stdin: bytes = b"") -> Ended:
        """Run a `hookd` command in the directory, pointed at the daemon's socket."""
        env = {"HOOKD_SOCKET": str(self.directory / "h.sock"), **self.env}
        return await hookd(*words, cwd=self.directory, env=env, stdin=stdin)

    async def emit(
        self,
        type_: str,
        event: str,
        *,
        object: str | None = None,  # noqa: A002 - the field's own name
        object_id: str | None = None,
        tags: Iterable[str] = (),
        data: Any = None,
        id: str | None = None,  # noqa: A002 - the field's own name
    ) -> dict[str, Any]:
        """Post an event with `hookd emit`, which must succeed; the receipt (spec 2)."""
        given = {"--object": object, "--object-id": object_id, "--id": id}
        words = [word for option, value in given.items() if value is not None for word in (option, value)]
        words += [word for tag in tags for word in ("--tag", tag)]
        words += [] if data is None else ["--data", json.dumps(data)]
        return await self._receipt("emit", type_, event, *words)

    async def trigger(self, task: str, *words: str) -> dict[str, Any]:
        """Run a task with `hookd trigger`, which must succeed; the receipt."""
        return await self._receipt("trigger", task, *words)

    async def _receipt(self, *words: str) -> dict[str, Any]:
        ran = await self.hookd(*words, "--json")
        assert ran.code == 0, ran.err
        receipt: dict[str, Any] = json.loads(ran.out)
        return receipt

    async def arrived(self, target: str) -> Received:
        """The one request that came to a target (path and query); waits for it."""
        [request] = await self.arrivals(target, 1)
        return request

    async def arrivals(self, target: str, count: int, *, within_s: float = 30.0) -> list[Received]:
        """All requests to a target once there are at least `count`."""
        await self.receiver.until(lambda: len(self.receiver.at(target)) >= count, within_s=within_s)
        return self.receiver.at(target)

    async def settled(self, receipt: Mapping[str, Any], *, within_s: float = 15.0) -> list[dict[str, Any]]:
        """The records (`GET /v1/deliveries/ID`) of a receipt's deliveries, once each is delivered or dead.

        After it nothing more can come for this receipt: what has arrived is all.
        """
        return [
            await self.daemon.delivery_when(made["id"], "delivered", "dead", within_s=within_s)
            for made in receipt["deliveries"]
        ]

    async def findings(self, config: str, **places: str) -> list[dict[str, Any]]:
        """What `hookd check` finds in a configuration: `{path, line, column, where, severity, message}` each."""
        path = self.write(config, daemon="", file="checked/hookd.yaml", **places)
        ran = await self.hookd("check", "--format", "json", str(path))
        assert ran.code in {0, 1}, ran.err
        found: list[dict[str, Any]] = json.loads(ran.out)
        return found
