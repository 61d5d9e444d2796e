"""Slow, silent and unreading clients, and connections that find no descriptor: none costs anybody else anything.

Called by: the proof.
"""

import asyncio
import subprocess
import time
from contextlib import AsyncExitStack, suppress

from tests.chaos.intake.client import Client
from tests.chaos.intake.scene import EVENT, Scene, get, judge_log, post, quantile, scene
from tests.chaos.proof import Findings, Options
from tests.kit.procfs import cpu_s, forget_peak, memory_mib, open_files

HEAD_S = 10.0
"""How long a head may take (spec 14); a sweep looks once a second."""


async def slow_clients(options: Options, findings: Findings) -> None:
    """500 clients that are silent, or send a byte a second of a head or a body, beside one that is as usual."""
    count = 500
    async with scene(options.place("slow")) as stage, AsyncExitStack() as stack:
        before = len(open_files(stage.daemon.pid))
        calm = await _answers_s(stage, options.scale(short=150, long=600))
        slow = [await stack.enter_async_context(await stage.client(number)) for number in range(count)]
        dripping = [asyncio.create_task(_drip(client, number)) for number, client in enumerate(slow)]
        await asyncio.sleep(1)
        beside = await _answers_s(stage, options.scale(short=150, long=600))
        crowd = await _newcomers_are_served(stage, stack)
        heads = [task for number, task in enumerate(dripping) if number % 3 != 2]
        _, late = await asyncio.wait(heads, timeout=HEAD_S + 5)
        for task in dripping:
            task.cancel()
        await asyncio.gather(*dripping, return_exceptions=True)
        await stack.aclose()
        left = await stage.daemon.rested(before + 10)
        ratio = quantile(beside, 0.99) / max(quantile(calm, 0.99), 0.05)
        findings.expect(ratio < 5, f"slow clients: p99 beside them is {ratio:.1f} times that without")
        findings.expect(
            not late, f"slow clients: {len(late)} of {len(heads)} slow heads were not cut in time"
        )
        findings.expect(
            crowd == 20, f"slow clients: of 20 newcomers past 1,000 slow ones {crowd} were served"
        )
        findings.expect(left <= before + 10, f"slow clients: {left} descriptors, {before} before")
        findings.figures["slow_clients"] = {
            "clients": count,
            "p99_without_ms": round(quantile(calm, 0.99) * 1000, 2),
            "p99_beside_ms": round(quantile(beside, 0.99) * 1000, 2),
            "slow_heads_cut": f"{len(heads) - len(late)} of {len(heads)}",
            "newcomers_served_past_1000": f"{crowd} of 20",
        }
        judge_log(stage, findings, "slow clients")


async def _answers_s(stage: Scene, count: int) -> list[float]:
    """Seconds from a post to its answer, on a new connection each, as `hookd emit` does."""
    took = []
    for number in range(count):
        began_at = time.monotonic()
        async with await stage.client(number) as client:
            answered = await client.ask(post(EVENT))
        assert answered.status == 202, answered
        took.append(time.monotonic() - began_at)
    return took


async def _drip(client: Client, number: int) -> None:
    """Be slow until the daemon has enough: silent, in the head, or in the body."""
    raw = post({**EVENT, "data": {"text": "x" * 200}})
    cut = raw.index(b"\r\n\r\n") + 4
    sent = (b"", raw[:1], raw[: cut + 1])[number % 3]
    reading = asyncio.create_task(_until_closed(client))
    with suppress(OSError):
        await client.send(sent)
        for byte in raw[len(sent) :] if number % 3 else b"":
            await asyncio.sleep(1)
            if reading.done():
                break
            await client.send(bytes([byte]))
    await reading


async def _until_closed(client: Client) -> None:
    loop = asyncio.get_running_loop()
    with suppress(OSError):
        while await loop.sock_recv(client.sock, 65536):
            pass


async def _newcomers_are_served(stage: Scene, stack: AsyncExitStack) -> int:
    """Fill one listener up with silent clients, let them become slow, and ask on new connections."""
    silent = [await stack.enter_async_context(await stage.client(0)) for _ in range(1000)]
    assert len(silent) == 1000
    await asyncio.sleep(1)
    served = 0
    for _ in range(20):
        async with await stage.client(0) as client:
            served += (await client.ask(post(EVENT))).status == 202
    return served


async def pipelining(options: Options, findings: Findings) -> None:
    """10,000 requests on one connection whose client does not read; then it does, and all come in order."""
    requests = options.scale(short=2_000, long=10_000)
    async with scene(options.place("pipelining")) as stage:
        calm = await _answers_s(stage, 50)
        forget_peak(stage.daemon.pid)
        rss = memory_mib(stage.daemon.pid)
        async with await stage.client(0) as client:
            raw = b"".join(get(f"/v1/events/{number:05}") for number in range(requests))
            sending = asyncio.create_task(_send_all(client, raw))
            await asyncio.sleep(0.5)
            beside = await _answers_s(stage, 50)
            peak = memory_mib(stage.daemon.pid, "VmHWM")
            got = [await client.answer() for _ in range(requests)]
            await sending
        in_order = all(
            each.status == 404 and f"'{number:05}'".encode() in each.body for number, each in enumerate(got)
        )
        ratio = quantile(beside, 0.9) / max(quantile(calm, 0.9), 0.05)
        findings.expect(in_order, "pipelining: an answer is missing, or not in order")
        findings.expect(peak - rss < 30, f"pipelining: memory rose from {rss} to {peak} MiB")
        findings.expect(ratio < 5, f"pipelining: p90 beside it is {ratio:.1f} times that without")
        findings.figures["pipelining"] = {"requests": requests, "rss_mib": rss, "peak_rss_mib": peak}
        judge_log(stage, findings, "pipelining")


async def _send_all(client: Client, raw: bytes) -> None:
    await asyncio.get_running_loop().sock_sendall(client.sock, raw)


async def descriptors(options: Options, findings: Findings) -> None:
    """No descriptor is left: no spinning, no flood in the log, nothing blamed on the receiver, recovery by itself."""
    watched_s = options.scale(short=3, long=20)
    async with scene(options.place("descriptors")) as stage, AsyncExitStack() as stack:
        known = await stack.enter_async_context(await stage.client(0))
        assert (await known.ask(get("/healthz"))).status == 200
        _limit(
            stage, len(open_files(stage.daemon.pid)) - 6
        )  # fewer than are open: not even a reserve can be opened again
        lines, used_s = len(stage.daemon.logged()), cpu_s(stage.daemon.pid)
        ids = [f"d{number}" for number in range(200)]
        posted = [(await known.ask(post({**EVENT, "id": each}))).status for each in ids]
        waiting = [await stack.enter_async_context(await stage.client(number)) for number in range(100)]
        for _ in range(watched_s * 4):
            await asyncio.sleep(0.25)
            posted.append((await known.ask(get("/healthz"))).status)
        share = (cpu_s(stage.daemon.pid) - used_s) / watched_s
        said = len(stage.daemon.logged()) - lines
        existing = await known.ask(post({**EVENT, "id": "last"}))
        _limit(stage, 4096)
        missing = await stage.until_delivered([*ids, "last"], within_s=30)
        answered = [(await client.ask(get("/healthz"))).status for client in waiting[:20]]
        blamed = [
            each
            for each in (await stage.daemon.get("/v1/deliveries?limit=500"))["deliveries"]
            if each["failures"]
        ]
        findings.expect(share < 0.5, f"descriptors: the daemon used {share:.0%} of a core while it had none")
        findings.expect(said < 60 * watched_s, f"descriptors: {said} lines in the log in {watched_s} s")
        findings.expect(
            {200, 202} == {*posted, existing.status}, "descriptors: a connection that was there lost"
        )
        findings.expect(not missing, f"descriptors: {len(missing)} of 201 were not delivered afterwards")
        findings.expect(
            not blamed, f"descriptors: {len(blamed)} deliveries hold it against the receiver: {blamed[:1]}"
        )
        findings.expect({200} == set(answered), f"descriptors: those who waited were answered {answered}")
        findings.figures["descriptors"] = {
            "watched_s": watched_s,
            "cpu_share_of_a_core": round(share, 3),
            "log_lines": said,
            "delivered_afterwards": f"{201 - len(missing)} of 201",
            "failures_counted": len(blamed),
        }
        judge_log(stage, findings, "descriptors")


def _limit(stage: Scene, descriptors: int) -> None:
    command = ["prlimit", f"--nofile={descriptors}:", "--pid", str(stage.daemon.pid)]
    subprocess.run(command, check=True)
