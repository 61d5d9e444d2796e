"""The stage of the receivers' proof: one daemon with a webhook for each case, and what its records say.

A case of its own webhook has its own lane, so that no case's hold or breaker reaches another. Called by: every module
of this package.
"""

import asyncio
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from tests.chaos.proof import Findings
from tests.kit.daemon import DaemonProcess
from tests.kit.procfs import open_files
from tests.kit.receiver import Exchange, Receiver, Script
from tests.kit.waiting import comes_true, until

TIMEOUT_S = 3
"""The shortest time that a webhook may have (spec 1)."""

MARGIN_S = 1.0
"""An attempt is over so soon after its time, on a machine that does other things too."""

PLACE = r"[\w.-]+:\d+"
"""A receiver's address in an error's text."""

Record = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """How a delivery must end.

    Attributes:
        reason: of its last attempt; a pattern, where the kernel's timing decides between two.
        status: of its last attempt.
        error: a pattern that the attempt's error matches as a whole.
        prompt: it is over without waiting for its time.
        attempts: how many there are.
    """

    reason: str = "ok"
    status: int | None = 200
    error: str = ""
    prompt: bool = True
    attempts: int = 1

    @property
    def state(self) -> str:
        return "delivered" if self.reason == "ok" else "dead"

    def faults(self, record: Record) -> Iterable[str]:
        """What is wrong with the record of a delivery."""
        attempts = record["attempts"]
        last = attempts[-1] if attempts else {}
        found = (record["state"], last.get("reason"), last.get("status"), len(attempts))
        wanted = (self.state, self.reason, self.status, self.attempts)
        if not re.fullmatch(self.reason, str(found[1])) or found != (wanted[0], found[1], *wanted[2:]):
            yield f"(state, reason, status, attempts) are {found}, not {wanted}; error {last.get('error')!r}"
            return
        if not re.fullmatch(self.error, last["error"]):
            yield f"its error is {last['error']!r}, not {self.error!r}"
        for attempt in attempts:
            yield from self._untimely(attempt["duration_s"])
        if self.state == "dead" and not record["detail"]:
            yield "it is dead without a word"

    def _untimely(self, duration_s: float) -> Iterable[str]:
        if self.prompt and duration_s >= TIMEOUT_S:
            yield f"it took {duration_s:.2f} s, which its receiver gave no cause for"
        if duration_s > TIMEOUT_S + MARGIN_S:
            yield f"it took {duration_s:.2f} s of {TIMEOUT_S} s"


def webhook(url: str, **fields: Any) -> dict[str, Any]:
    """A webhook of the configuration: no retries, and the shortest time, unless told."""
    return {"url": url, "timeout": TIMEOUT_S, "retries": 0, "backoff": ["10ms"], **fields}


class WebhookStage:
    """One hookd with these webhooks, and no more."""

    def __init__(
        self,
        directory: Path,
        webhooks: Mapping[str, Mapping[str, Any]],
        *,
        wrap: Sequence[str] = (),
        env: Mapping[str, str] | None = None,
    ) -> None:
        config = {
            "daemon": {
                "listen": [{"unix": "h.sock"}],
                "store": "h.db",
                "log": {"level": "info", "format": "json"},
            },
            "webhooks": webhooks,
        }
        (directory / "hookd.yaml").write_text(json.dumps(config))
        self.daemon = DaemonProcess(directory, wrap=wrap, env=env)
        self._posting = asyncio.Semaphore(32)

    async def __aenter__(self) -> Self:
        await self.daemon.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.daemon.close()

    async def send(self, name: str, message: Any = None) -> str:
        """Have one message sent; returns the delivery's id."""
        body = {} if message is None else {"message": message}
        async with self._posting:
            status, receipt = await self.daemon.request("POST", f"/v1/webhooks/{name}/send", body=body)
        assert status == 202, receipt
        made: str = receipt["deliveries"][0]["id"]
        return made

    async def send_to(self, names: Iterable[str]) -> dict[str, str]:
        """Have one message sent to each webhook; returns the deliveries' ids by webhook."""
        chosen = list(names)
        return dict(zip(chosen, await asyncio.gather(*map(self.send, chosen)), strict=True))

    async def record(self, delivery_id: str) -> Record:
        """A delivery as it is now."""
        async with self._posting:
            found: Record = await self.daemon.get(f"/v1/deliveries/{delivery_id}")
        return found

    async def record_when(
        self, delivery_id: str, enough: Callable[[Record], object], *, within_s: float = 30.0
    ) -> Record:
        """A delivery once it satisfies a condition; as it is at the end of the time, if it never does."""

        async def look() -> object:
            return enough(await self.record(delivery_id))

        await comes_true(look, within_s=within_s, every_s=0.05)
        return await self.record(delivery_id)

    async def outcomes(self, names: Iterable[str]) -> dict[str, Record]:
        """Send one message to each webhook; the records of the deliveries once all have ended."""
        ids = await self.send_to(names)
        await self.daemon.settled()
        return dict(zip(ids, await asyncio.gather(*map(self.record, ids.values())), strict=True))

    async def baseline(self) -> int:
        """How many descriptors the daemon has open before it has called anybody."""
        await self.daemon.get(
            "/healthz"
        )  # with the first connection the event loop opens a descriptor for itself
        await self.daemon._close_session()
        pid = self.daemon.pid  # it says READY before it watches its files
        await until(lambda: any("inotify" in each for each in open_files(pid)))
        await asyncio.sleep(0.2)
        return len(open_files(pid))


def judge(found: Findings, part: str, wanted: Mapping[str, Wanted], records: Mapping[str, Record]) -> None:
    """Note every case that did not end as it must."""
    for name, record in records.items():
        for fault in wanted[name].faults(record):
            found.violations.append(f"{part}, {name}: {fault}")


def by_target(scripts: Mapping[str, Script]) -> Script:
    """A script that plays the one of the request's target, which is `/` and its name."""

    async def script(exchange: Exchange) -> None:
        await scripts[exchange.request.target.removeprefix("/")](exchange)

    return script


def receiver_of(scripts: Mapping[str, Script], **fields: Any) -> Receiver:
    """A receiver with a script for each target."""
    return Receiver(by_target(scripts), **fields)
