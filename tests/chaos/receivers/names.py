"""Names that never resolve: each attempt ends in time, and no other name waits for them (spec 5).

The daemon runs in a mount namespace of its own, whose `/etc/resolv.conf` names a server of this proof: it answers for
`*.healthy`, denies `*.unknown`, and never answers for `*.dead`. That takes root; without it this part says that it was
skipped.
"""

import asyncio
import os
import shutil
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Self

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.stage import TIMEOUT_S, Record, Wanted, WebhookStage, judge, webhook
from tests.kit.procfs import threads
from tests.kit.receiver import Receiver, answer
from tests.kit.waiting import comes_true

DEAD = 50
HEALTHY_S = 1.0
"""A healthy name's deliveries arrive within this, however many names are dead beside it."""

LATE = f"timed out after {TIMEOUT_S} s while looking up the name"
ADDRESS = "127.0.0.153"


class NameServer(asyncio.DatagramProtocol):
    """Answers A questions for `*.healthy` with 127.0.0.1, and says nothing for `*.dead`.

    Attributes:
        asked: names that were asked for, in order.
    """

    def __init__(self) -> None:
        self.asked: list[str] = []

    async def open(self) -> Self:
        """Listen; raises OSError where the port is not ours to take."""
        self._transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: self, local_addr=(ADDRESS, 53)
        )
        return self

    def close(self) -> None:
        self._transport.close()

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        name, question = _question(data)
        self.asked.append(name)
        if name.endswith(".dead"):
            return
        is_a = question[-4:-2] == b"\x00\x01"
        unknown = name.endswith(".unknown")
        found = is_a and not unknown
        head = data[:2] + (b"\x81\x83" if unknown else b"\x81\x80")
        counts = b"\x00\x01" + (b"\x00\x01" if found else b"\x00\x00") + bytes(4)
        record = b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x00\x00\x04\x7f\x00\x00\x01" if found else b""
        self._transport.sendto(head + counts + question + record, addr)


def _question(data: bytes) -> tuple[str, bytes]:
    at, labels = 12, []
    while size := data[at]:
        labels.append(data[at + 1 : at + 1 + size].decode())
        at += 1 + size
    return ".".join(labels).lower(), data[12 : at + 5]


def _wrap(resolv: Path) -> Sequence[str]:
    """A command that runs the daemon with another resolv.conf."""
    script = f'mount --bind "{resolv}" /etc/resolv.conf && exec "$@"'
    return ("unshare", "--mount", "--fork", "--kill-child", "sh", "-c", script, "sh")


async def _possible(server: NameServer) -> str:
    """Open the server; why it cannot be, or nothing."""
    if os.geteuid() != 0 or shutil.which("unshare") is None:
        return "it takes root and unshare(1) to give the daemon a resolv.conf of its own"
    try:
        await server.open()
    except OSError as exc:
        return f"no name server can listen on {ADDRESS}:53: {os.strerror(exc.errno or 0)}"
    probe = await asyncio.create_subprocess_exec(
        "unshare", "--mount", "true", stderr=asyncio.subprocess.DEVNULL
    )
    if await probe.wait():
        server.close()
        return "unshare(1) may not make a mount namespace here"
    return ""


def _wanted() -> dict[str, Wanted]:
    # Who asks for a name that is being looked up already learns of its end, which may come before his own.
    ended = r"the name \S+ does not resolve: Temporary failure in name resolution"
    late = Wanted("timeout|dns", None, f"{LATE}|{ended}", prompt=False)
    dead = {f"d{number}": late for number in range(DEAD)}
    unknown = Wanted("dns", None, r"the name no\.unknown does not resolve: Name or service not known")
    return {**dead, "unknown": unknown}


async def _took_s(stage: WebhookStage, name: str) -> float:
    """Seconds from posting until recorded as delivered."""
    began = time.monotonic()
    made = await stage.send(name)
    record = await stage.record_when(made, _ended, within_s=10)
    return time.monotonic() - began if record["state"] == "delivered" else float("inf")


def _ended(record: Record) -> bool:
    return record["state"] in {"delivered", "dead"}


async def _healthy(stage: WebhookStage, dead: asyncio.Task[dict[str, Record]]) -> list[tuple[float, float]]:
    """For names that are well, and beside each for a bare address, what a delivery took: the machine may be slow."""
    took: list[tuple[float, float]] = []
    while not dead.done():
        name_s, address_s = await asyncio.gather(
            _took_s(stage, f"h{len(took) % 5}"), _took_s(stage, "address")
        )
        took.append((name_s, address_s))
        await asyncio.sleep(0.02)
    return took


async def _with_dead_names(options: Options, found: Findings, server: NameServer) -> None:
    resolv = options.place("names-resolv") / "resolv.conf"
    resolv.write_text(f"nameserver {ADDRESS}\n")
    wanted = _wanted()
    async with Receiver(answer(200)) as receiver:
        hooks = {f"d{number}": webhook(f"http://host{number}.dead/") for number in range(DEAD)}
        hooks["unknown"] = webhook("http://no.unknown/")
        bad = tuple(hooks)
        hooks["address"] = webhook(receiver.to())
        hooks |= {
            f"h{number}": webhook(f"http://host{number}.healthy:{receiver.port}/") for number in range(5)
        }
        stage = WebhookStage(options.place("names"), hooks, wrap=_wrap(resolv))
        async with stage:
            before, at_first = await stage.baseline(), len(threads(stage.daemon.pid))
            rounds = options.scale(short=1, long=5)
            took: list[tuple[float, float]] = []
            for _ in range(rounds):
                dead = asyncio.create_task(_outcomes(stage, bad))
                took += await _healthy(stage, dead)
                judge(found, "names", wanted, await dead)
            most = len(threads(stage.daemon.pid))
            left = await _threads_when(stage, at_most=at_first + 8)
            after = await stage.daemon.rested(before)
    slow = [name_s for name_s, address_s in took if name_s >= max(HEALTHY_S, 2 * address_s)]
    found.expect(
        took and not slow,
        f"names: {len(slow)} of {len(took)} deliveries to healthy names took {max(slow, default=0):.2f} s",
    )
    found.expect(len(set(server.asked)) > DEAD, "names: the daemon did not ask our server")
    found.expect(after <= before, f"names: {after} descriptors afterwards, {before} before")
    found.expect(left <= at_first + 8, f"names: {left} threads afterwards, {at_first} before")
    ordered, beside = (sorted(each) for each in zip(*took, strict=True))
    found.figures["names"] = (
        f"{DEAD} dead names, {rounds} rounds; {len(took)} deliveries to 5 healthy names beside them: "
        f"median {ordered[len(ordered) // 2] * 1000:.0f} ms, slowest {ordered[-1] * 1000:.0f} ms; "
        f"to an address: median {beside[len(beside) // 2] * 1000:.0f} ms, slowest {beside[-1] * 1000:.0f} ms"
    )
    found.figures["names_descriptors"] = (
        f"{before} before, {after} after; threads {at_first}, {most} and {left}"
    )


async def _outcomes(stage: WebhookStage, names: Sequence[str]) -> dict[str, Record]:
    """Like `Stage.outcomes`, while other deliveries come and go."""
    ids = await stage.send_to(names)
    records = await asyncio.gather(*(stage.record_when(each, _ended) for each in ids.values()))
    return dict(zip(ids, records, strict=True))


async def _threads_when(stage: WebhookStage, *, at_most: int) -> int:
    """Threads once the C library has given up, which takes it ten seconds."""
    await comes_true(lambda: len(threads(stage.daemon.pid)) <= at_most, within_s=30)
    return len(threads(stage.daemon.pid))


async def prove(options: Options, found: Findings) -> None:
    """Fifty dead names at once, and healthy ones beside them."""
    server = NameServer()
    if why := await _possible(server):
        found.figures["names"] = f"SKIPPED: {why}"
        print(f"receivers: names SKIPPED: {why}", file=sys.stderr, flush=True)
        return
    try:
        await _with_dead_names(options, found, server)
    finally:
        with suppress(OSError):
            server.close()
