"""What hostile answers cost: memory for each attempt under way, bytes that are read at all, descriptors afterwards.

All slots meet the same fault at the same moment, each at its own webhook. Between two faults each delivers once, which
also shows that nothing of the fault is left.
"""

import asyncio
import gzip
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers import faults
from tests.chaos.receivers.stage import MARGIN_S, TIMEOUT_S, WebhookStage, webhook
from tests.kit.procfs import forget_peak, status_of, threads
from tests.kit.receiver import Exchange, Receiver, Script, answer, endless, raw, response
from tests.kit.tls import Authority, server_context

SLOT_KIB = 2048
"""How much an attempt under way may cost, whatever its receiver does."""

READ_BYTES = 512 * 1024
"""How much of an answer may leave the kernel: 64 KiB of head and of body, and what the last read brought along."""


@dataclass
class Together:
    """A script for all slots: once as many requests have come as there are slots, each answer begins."""

    slots: int
    script: Script = field(default_factory=answer)
    _come: int = 0
    _all: asyncio.Event = field(default_factory=asyncio.Event)

    def prepare(self, script: Script) -> None:
        self.script, self._come, self._all = script, 0, asyncio.Event()

    async def __call__(self, exchange: Exchange) -> None:
        self._come += 1
        if self._come >= self.slots:
            self._all.set()
        script = self.script
        await self._all.wait()
        await script(exchange)


def _heavy() -> Mapping[str, Script]:
    """What comes before a head is whole, and what comes behind one."""
    before = faults.in_head()
    behind = faults.in_body(status=200)
    bomb = gzip.compress(bytes(300_000_000))
    names = (
        "giant-line",
        "giant-name",
        "million-headers",
        "endless-headers",
        "endless-interim",
        "head-drips",
        "hang",
    )
    bodies = (
        "10-GiB", "10-GiB-chunk", "endless-until-closed", "endless-chunks", "endless-tiny-chunks",
        "endless-chunk-extension", "endless-trailers", "body-drips", "two-answers",
    )  # fmt: skip
    return {
        **{name: before[name][0] for name in names},
        **{name: behind[f"200-{name}"][0] for name in bodies},
        "gzip-bomb": raw(response(200, "Content-Encoding: gzip", body=bomb)),
        "largest-head-and-body": endless(
            faults.OK + b"X: " + b"y" * 8000 + b"\r\n" + b"Content-Length: 1000000\r\n\r\n", b"x" * 60_000
        ),
        "one-byte-chunks-then-silence": raw(faults.OK + faults.CHUNKED + b"1\r\nx\r\n" * 60_000),
        "64-KiB-then-silence": raw(faults.OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 65_535),
        "64-KiB-then-drip": endless(
            faults.OK + b"Content-Length: 1000000\r\n\r\n" + b"x" * 65_000, b"x", pause_s=1.0
        ),
    }


SHORT = ("giant-line", "million-headers", "10-GiB", "endless-tiny-chunks", "gzip-bomb")


async def _weigh(
    stage: WebhookStage, together: Together, faults_: Mapping[str, Script], found: Findings, *, part: str
) -> dict[str, float]:
    """MiB for each slot, by fault."""
    slots = [f"s{number}" for number in range(together.slots)]
    pid = stage.daemon.pid
    costs: dict[str, float] = {}
    reads: dict[str, int] = {}
    for name, script in faults_.items():
        together.prepare(answer())
        _expect_all_delivered(found, f"{part}, before {name}", await stage.outcomes(slots))
        together.prepare(script)
        forget_peak(pid)
        rss, read = int(status_of(pid, "VmRSS")), _bytes_read(pid)
        records = await stage.outcomes(slots)
        cost_kib = max(0, int(status_of(pid, "VmHWM")) - rss) / len(slots)
        read_bytes = (_bytes_read(pid) - read) / len(slots)
        costs[name] = round(cost_kib / 1024, 2)
        found.expect(cost_kib <= SLOT_KIB, f"{part}, {name}: {cost_kib:.0f} KiB for each slot")
        found.expect(read_bytes <= READ_BYTES, f"{part}, {name}: {read_bytes:.0f} bytes read for each slot")
        reads[name] = round(read_bytes / 1024)
        ended = [record["attempts"][-1]["duration_s"] for record in records.values() if record["attempts"]]
        found.expect(len(ended) == len(slots), f"{part}, {name}: {len(ended)} of {len(slots)} ended")
        late = [each for each in ended if each > TIMEOUT_S + MARGIN_S]
        found.expect(
            not late, f"{part}, {name}: {len(late)} of {len(slots)} ended late, the last after {max(ended)} s"
        )
    found.figures[f"{part}_kib_read_a_slot"] = reads
    return costs


def _expect_all_delivered(found: Findings, part: str, records: Mapping[str, dict[str, object]]) -> None:
    failed = [name for name, record in records.items() if record["state"] != "delivered"]
    found.expect(not failed, f"{part}: {len(failed)} of {len(records)} plain messages were not delivered")


def _bytes_read(pid: int) -> int:
    """What a process has read from files and streams (proc(5), io): on uvloop its TCP sockets among them."""
    for line in Path(f"/proc/{pid}/io").read_text().splitlines():
        if line.startswith("rchar:"):
            return int(line.split()[1])
    raise AssertionError


async def _on(options: Options, found: Findings, *, part: str, tls: ssl.SSLContext | None, ca: str) -> None:
    slots = 50
    together = Together(slots)
    heavy = _heavy()
    chosen = {name: heavy[name] for name in SHORT} if options.short else heavy
    async with Receiver(together, tls=tls) as receiver:
        fields = {"tls": {"ca": ca}} if tls else {}
        hooks = {f"s{number}": webhook(receiver.to(), **fields) for number in range(slots)}
        async with WebhookStage(options.place(part), hooks) as stage:
            before = await stage.baseline()
            _expect_all_delivered(found, f"{part}, at first", await stage.outcomes(hooks))
            first_kib = int(status_of(stage.daemon.pid, "VmRSS"))
            costs = await _weigh(stage, together, chosen, found, part=part)
            rested_kib = int(status_of(stage.daemon.pid, "VmRSS"))
            after = await stage.daemon.rested(before)
            left = len(threads(stage.daemon.pid))
    found.expect(after <= before, f"{part}: {after} descriptors afterwards, {before} before")
    found.figures[f"{part}_mib_a_slot"] = costs
    found.figures[f"{part}_worst_mib_a_slot"] = (
        f"{max(costs.values())} over {slots} slots, {len(costs)} faults"
    )
    found.figures[f"{part}_rss_mib"] = (
        f"{first_kib / 1024:.1f} before the first fault, {rested_kib / 1024:.1f} after all"
    )
    found.figures[f"{part}_descriptors"] = f"{before} before, {after} after; {left} threads"


async def prove(options: Options, found: Findings) -> None:
    """Plain first, then behind TLS, where each connection has buffers more."""
    directory = options.place("weight-tls")
    authority = Authority(directory)
    context = server_context(authority.issue("good", "127.0.0.1"))
    await _on(options, found, part="weight", tls=None, ca="")
    await _on(options, found, part="weight-behind-tls", tls=context, ca=str(authority.ca))
