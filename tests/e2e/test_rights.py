"""Who may what, by real users, tokens and sockets of the kernel: every route of the API's description (spec 12)."""

import asyncio
import json
import os
import subprocess
from collections.abc import AsyncIterator, Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory

import aiohttp
import pytest

from hookd.api.openapi import document
from hookd.api.rights import RIGHTS
from hookd.domain.principals import Right
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

pytestmark = pytest.mark.process

STRANGER, MEMBER = 61001, 61002
GROUP = 61900
CONFIG = """
daemon:
  listen:
    - unix: h.sock
      mode: "0666"
      peers:
        - {{user: {stranger}, may: [metrics]}}
        - {{group: {group}, may: [emit]}}
    - unix: open.sock
      mode: "0666"
    - http: 127.0.0.1:{bare}
    - http: 127.0.0.1:{local}
      peers: [{{user: {stranger}, may: [read]}}]
    - http: 127.0.0.1:{guarded}
      tokens:
        - everything
        - {{name: emitter, token: emit-token, may: [emit]}}
        - {{name: reader, token: read-token, may: [read]}}
        - {{name: operator, token: operate-token, may: [operate]}}
        - {{name: scraper, token: metrics-token, may: [metrics]}}
  store: h.db
  spool: spool
webhooks: {{w: {{url: "http://127.0.0.1:9/", enabled: false}}}}
tasks: {{t: {{webhook: w, triggers: [{{type: t, event: e}}]}}}}
"""
EVENT = '{"type": "t", "event": "e"}'

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")


async def as_user(command: list[str], uid: int | None, gid: int) -> str:
    """What a command prints that another user runs, whose only supplementary group is `gid`."""
    found = await asyncio.to_thread(
        subprocess.run, command, user=uid, group=uid, extra_groups=None if uid is None else [gid],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return found.stdout


class Stage:
    """The daemon, and the doors it has."""

    def __init__(self, daemon: DaemonProcess, ports: Mapping[str, int]) -> None:
        self.daemon = daemon
        self.ports = ports

    async def ask(
        self,
        where: str,
        method: str,
        path: str,
        *,
        body: str = "",
        uid: int | None = None,
        gid: int = GROUP + 9,
    ) -> tuple[int, str]:
        """One request by a process of another user, whose only supplementary group is `gid`."""
        door = (
            ["--unix-socket", where, "http://localhost"]
            if where.startswith("/")
            else [f"http://127.0.0.1:{where}"]
        )
        door[-1] += path
        found = await as_user(
            ["curl", "-sS", "-X", method, "-w", "\n%{http_code}", "-H", "Content-Type: application/json",
             *(["-d", body] if body else []), *door],
            uid, gid,
        )  # fmt: skip
        answer, _, status = found.rpartition("\n")
        return int(status), answer

    def unix(self, name: str = "h.sock") -> str:
        return str(self.daemon.directory / name)


@pytest.fixture
def place() -> Iterator[Path]:
    """A directory that others may enter, which pytest's own are not."""
    with TemporaryDirectory(prefix="hookd-rights-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


@pytest.fixture
async def stage(place: Path) -> AsyncIterator[Stage]:
    ports = {name: free_port() for name in ("bare", "local", "guarded")}
    (place / "hookd.yaml").write_text(CONFIG.format(stranger=STRANGER, group=GROUP, **ports))
    async with DaemonProcess(place) as daemon:
        yield Stage(daemon, ports)


def concrete(path: str) -> str:
    return path.replace("{id}", "none").replace("webhooks/{name}", "webhooks/w").replace("{name}", "t")


@pytest.mark.parametrize("right", Right)
async def test_a_token_may_what_it_may_and_nothing_else(stage: Stage, right: Right) -> None:
    described = {
        (method.upper(), path)
        for path, methods in document()["paths"].items()
        for method in methods
        if method in ("get", "post")
    }
    assert described == RIGHTS.keys()
    headers = {"Authorization": f"Bearer {right}-token"}
    async with aiohttp.ClientSession(
        f"http://127.0.0.1:{stage.ports['guarded']}", headers=headers
    ) as session:
        for method, path in sorted(described):
            async with session.request(method, concrete(path)) as response:
                needed = RIGHTS[method, path]
                refused = bool(needed) and right not in needed
                assert (response.status == 403) == refused, (method, path, await response.text())
                assert response.headers["Cache-Control"] == "no-store"
                assert response.headers["X-Content-Type-Options"] == "nosniff"
        async with session.get("/v1/status", headers={"Authorization": "Bearer everything"}) as response:
            assert response.status == 200
        async with session.get("/v1/status", headers={"Authorization": "Bearer nothing"}) as response:
            assert response.status == 401


async def test_without_tokens_tcp_takes_events_in_and_shows_health_and_metrics(stage: Stage) -> None:
    open_routes = {("POST", "/v1/events"), ("GET", "/healthz"), ("GET", "/readyz"), ("GET", "/metrics")}
    async with aiohttp.ClientSession(f"http://127.0.0.1:{stage.ports['bare']}") as session:
        for method, path in RIGHTS:
            async with session.request(method, concrete(path)) as response:
                assert (response.status != 403) == ((method, path) in open_routes), (method, path)
        async with session.post("/v1/events", json=json.loads(EVENT)) as response:
            assert response.status == 202
        async with session.get("/v1/status") as response:
            refusal = await response.json()
    assert refusal["detail"] == (
        "this needs the right `read`, and anyone has the rights `emit` and `metrics` on"
        f" 127.0.0.1:{stage.ports['bare']};"
        " without `tokens` a TCP listener takes events in and shows health and metrics, and nothing else:"
        " ask on the Unix socket, or add `tokens` (or `peers`) to its entry in daemon.listen"
    )


@as_root
async def test_on_a_unix_socket_the_kernel_says_who_asks(stage: Stage) -> None:
    where = stage.unix()
    assert (await stage.ask(where, "GET", "/v1/status"))[0] == 200, "root, who is hookd's own user here"
    assert (await stage.ask(where, "GET", "/metrics", uid=STRANGER))[0] == 200
    assert (await stage.ask(where, "POST", "/v1/events", body=EVENT, uid=STRANGER))[0] == 403
    assert (await stage.ask(where, "POST", "/v1/events", body=EVENT, uid=MEMBER, gid=GROUP))[0] == 202
    assert (await stage.ask(where, "POST", "/v1/events", body=EVENT, uid=MEMBER))[0] == 403
    assert (await stage.ask(where, "GET", "/healthz", uid=MEMBER))[0] == 200
    status, answer = await stage.ask(where, "POST", "/v1/webhooks/w/pause", uid=STRANGER)
    assert status == 403
    assert json.loads(answer)["detail"] == (
        f"this needs the right `operate`, and uid {STRANGER} has the right `metrics` on unix:{where};"
        " root and hookd's own user may all; for others, its entry in daemon.listen needs"
        f" `peers: [{{user: {STRANGER}, may: [operate]}}]`"
    )


@as_root
async def test_a_socket_of_a_developer_lets_in_whom_its_mode_lets_in(stage: Stage) -> None:
    assert (await stage.ask(stage.unix("open.sock"), "GET", "/v1/status", uid=STRANGER))[0] == 200


@as_root
async def test_on_loopback_the_owner_of_the_connection_is_looked_up(stage: Stage) -> None:
    where = str(stage.ports["local"])
    assert (await stage.ask(where, "GET", "/v1/status", uid=STRANGER))[0] == 200
    assert (await stage.ask(where, "POST", "/v1/events", body=EVENT, uid=STRANGER))[0] == 403
    assert (await stage.ask(where, "GET", "/v1/status", uid=MEMBER))[0] == 403
    assert (await stage.ask(where, "POST", "/v1/reload"))[0] == 200, "root may all"


async def test_the_log_says_who_changed_something(stage: Stage) -> None:
    await stage.daemon.request("POST", "/v1/webhooks/w/pause")
    guarded = f"http://127.0.0.1:{stage.ports['guarded']}"
    async with aiohttp.ClientSession(guarded, headers={"Authorization": "Bearer operate-token"}) as session:
        for path in ("/v1/webhooks/w/resume", "/v1/webhooks/w/send", "/v1/tasks/t/trigger", "/v1/reload"):
            async with session.post(path) as response:
                assert response.status in (200, 202)
    who = {line["event"]: line["principal"] for line in stage.daemon.logged() if "principal" in line}
    assert who == {
        "webhook.paused": f"uid {os.geteuid()}",
        "webhook.unpaused": "token operator",
        "webhook.sent": "token operator",
        "task.triggered": "token operator",
        "config.reload_asked": "token operator",
    }
