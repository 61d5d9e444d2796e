"""Tokens and local users on every route of the API, by every kind of listener: who may not, is refused.

What each may is written down here once more, by hand, so that a wrong table of rights is found.
"""

import asyncio
import os
import subprocess
from collections.abc import Iterator
from typing import Any

from hookd.api.openapi import document
from tests.chaos.proof import Findings, Options
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

STRANGER, READER, MEMBER, GROUP = 61001, 61002, 61003, 61900
CONFIG = """
daemon:
  listen:
    - unix: peers.sock
      mode: "0666"
      peers: [{{user: {reader}, may: [read]}}, {{group: {group}, may: [emit]}}]
    - unix: h.sock
    - http: 127.0.0.1:{bare}
    - http: 127.0.0.1:{local}
      peers: [{{user: {reader}, may: [read]}}]
    - http: 127.0.0.1:{guarded}
      tokens: [{tokens}]
  store: h.db
webhooks: {{w: {{url: "http://127.0.0.1:9/", enabled: false}}}}
tasks: {{t: {{webhook: w}}}}
"""
RIGHTS = ("emit", "read", "operate", "metrics")
OPEN = {("get", "/healthz"), ("get", "/readyz")}


def needed(method: str, path: str) -> set[str]:
    """The rights of which one opens a route."""
    if (method, path) in OPEN:
        return set(RIGHTS) | {"none"}
    if path == "/metrics":
        return {"read", "metrics"}
    if (method, path) == ("post", "/v1/events"):
        return {"emit"}
    return {"read"} if method == "get" else {"operate"}


def routes() -> Iterator[tuple[str, str]]:
    """Every route of the description."""
    for path, methods in document()["paths"].items():
        yield from ((method, path) for method in methods if method in ("get", "post"))


async def prove(options: Options) -> Findings:
    """Everybody tries everything."""
    found, place = Findings(), options.place("rights")
    place.chmod(0o755)
    options.directory.chmod(0o755)
    ports = {name: free_port() for name in ("bare", "local", "guarded")}
    tokens = ", ".join(f"{{name: {right}, token: {right}-token, may: [{right}]}}" for right in RIGHTS)
    text = CONFIG.format(reader=READER, group=GROUP, tokens=tokens, **ports)
    (place / "hookd.yaml").write_text(text)
    async with DaemonProcess(place) as daemon:
        for who, asking in _everybody(str(place / "peers.sock"), ports).items():
            found.figures[who] = await _tries(who, asking, found)
        paused = (await daemon.get("/v1/status"))["webhooks"][0]["parked"] == "paused"
        found.expect(not paused, "somebody paused the webhook")
    return found


class _Asking:
    """How somebody asks: curl's words, as which user, and what they may."""

    def __init__(self, *words: str, may: set[str], uid: int | None = None, group: int = 0) -> None:
        self.words = words
        self.may = may
        self.uid = uid
        self.group = group


def _everybody(peers: str, ports: dict[str, int]) -> dict[str, _Asking]:
    urls = {name: f"http://127.0.0.1:{port}" for name, port in ports.items()}
    given = {
        f"token {right}": _Asking("-H", f"Authorization: Bearer {right}-token", urls["guarded"], may={right})
        for right in RIGHTS
    }
    given["nobody on plain TCP"] = _Asking(urls["bare"], may={"emit", "metrics"})
    if os.geteuid() == 0:
        unix = ("--unix-socket", peers, "http://localhost")
        given |= {
            "a stranger's uid": _Asking(*unix, may={"none"}, uid=STRANGER, group=STRANGER),
            "a reader's uid": _Asking(*unix, may={"read"}, uid=READER, group=READER),
            "a member of the group": _Asking(*unix, may={"emit"}, uid=MEMBER, group=GROUP),
            "a stranger's uid on TCP": _Asking(urls["local"], may={"none"}, uid=STRANGER, group=STRANGER),
            "a reader's uid on TCP": _Asking(urls["local"], may={"read"}, uid=READER, group=READER),
        }
    return given


async def _tries(who: str, asking: _Asking, found: Findings) -> dict[str, Any]:
    refused = let_in = wrong = 0
    for method, path in routes():
        allowed = bool(asking.may & needed(method, path))
        # Of a route that would change something, only whether it is refused is tried.
        if allowed and method == "post" and path != "/v1/events":
            continue
        status = await _status(asking, method, path)
        refused += status == 403
        let_in += status != 403
        if (status != 403) != allowed:
            wrong += 1
            found.expect(False, f"{who}: {method} {path} was answered {status}")
    return {"tried": refused + let_in, "refused": refused, "got through": wrong}


async def _status(asking: _Asking, method: str, path: str) -> int:
    concrete = path.replace("{id}", "none").replace("webhooks/{name}", "webhooks/w").replace("{name}", "t")
    *words, base = asking.words
    command = [
        "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}", "-X", method.upper(), *words, f"{base}{concrete}",
    ]  # fmt: skip
    ended = await asyncio.to_thread(
        subprocess.run, command, user=asking.uid, group=asking.uid,
        extra_groups=None if asking.uid is None else [asking.group],
        cwd="/", capture_output=True, text=True, check=True,
    )  # fmt: skip
    return int(ended.stdout)
