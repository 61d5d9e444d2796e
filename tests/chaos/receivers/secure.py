"""Receivers that fail in or through TLS: a handshake that hangs or breaks, certificates, TLS met with plain text."""

import asyncio
import ssl
from contextlib import AsyncExitStack
from typing import Any

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.faults import RESET, TEN_GIB
from tests.chaos.receivers.stage import PLACE, TIMEOUT_S, Wanted, WebhookStage, judge, webhook
from tests.chaos.receivers.statuses import CLOSED, LATE, NOT_HTTP
from tests.kit.receiver import Receiver, Script, Serve, Server, answer, endless, hang, raw, reset
from tests.kit.tls import Authority, Pair, self_signed, server_context

HOST = "127.0.0.1"
LATE_HANDSHAKE = f"timed out after {TIMEOUT_S} s in the TLS handshake"
BROKEN_HANDSHAKE = rf"{PLACE} closed the connection during the TLS handshake"


def _certificate(words: str) -> Wanted:
    return Wanted("tls", None, rf"the certificate of {PLACE} was refused: {words}")


def _tls(words: str) -> Wanted:
    return Wanted("tls", None, rf"TLS with {PLACE} failed: {words}")


async def _hang(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(-1)


async def _close(reader: asyncio.StreamReader, _writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)


async def _reset(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(1)
    writer.transport.abort()


async def _half_a_hello(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"\x16\x03\x03\x00\x7a\x02\x00\x00\x76\x03\x03" + bytes(32))
    await reader.read(-1)


async def _plain_400(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
    await reader.read(-1)


async def _alert(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(b"\x15\x03\x03\x00\x02\x02\x0a")
    writer.write_eof()
    await reader.read(-1)


async def _garbage(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    writer.write(bytes(range(128, 256)))
    await reader.read(-1)


async def _drip(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    await reader.read(65536)
    for byte in b"\x16\x03\x03\x40\x00\x02" + bytes(60):
        writer.write(bytes([byte]))
        await asyncio.sleep(1.0)


DOORS: dict[str, tuple[Serve, Wanted]] = {
    "handshake-hangs": (_hang, Wanted("timeout", None, LATE_HANDSHAKE, prompt=False)),
    "handshake-drips": (_drip, Wanted("timeout", None, LATE_HANDSHAKE, prompt=False)),
    "half-a-hello": (_half_a_hello, Wanted("timeout", None, LATE_HANDSHAKE, prompt=False)),
    "handshake-closed": (_close, Wanted("tls", None, BROKEN_HANDSHAKE)),
    "handshake-reset": (_reset, Wanted("tls", None, BROKEN_HANDSHAKE)),
    "tls-to-a-plain-port": (_plain_400, _tls("wrong version number")),
    "handshake-garbage": (_garbage, _tls("wrong version number")),
}


def _certificates(authority: Authority, directory: Any) -> dict[str, tuple[Pair, bool, Wanted]]:
    """Pairs, whether the webhook names the authority, and what must follow."""
    good = authority.issue("good", HOST)
    return {
        "good": (good, True, Wanted()),
        "expired": (authority.issue("expired", HOST, valid_days=-1), True, _certificate("certificate has expired")),
        "self-signed": (self_signed(directory, HOST), True, _certificate("self-signed certificate")),
        "wrong-name": (
            authority.issue("wrong", "other.example"), True, _certificate("IP address mismatch, certificate .+"),
        ),
        "unknown-authority": (good, False, _certificate("unable to get local issuer certificate")),
    }  # fmt: skip


SECURE: dict[str, tuple[Script, Wanted]] = {
    "hang-behind-tls": (hang(), Wanted("timeout", None, LATE, prompt=False)),
    "reset-behind-tls": (reset(), Wanted("disconnected", None, rf"{RESET}|{CLOSED}")),
    "garbage-behind-tls": (raw(b"SSH-2.0-x\r\n"), Wanted("protocol", None, NOT_HTTP)),
    "10-GiB-behind-tls": (
        endless(f"HTTP/1.1 200 OK\r\nContent-Length: {TEN_GIB}\r\n\r\n".encode(), b"x" * 65_536), Wanted(),
    ),
    "drip-behind-tls": (
        endless(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\n", b"x", pause_s=1.0), Wanted(prompt=False),
    ),
}  # fmt: skip


async def prove(options: Options, found: Findings) -> None:
    """Every fault at once, each at its own webhook."""
    directory = options.place("secure")
    authority = Authority(directory)
    trusting = {"ca": str(authority.ca)}
    hooks: dict[str, dict[str, Any]] = {}
    wanted: dict[str, Wanted] = {}
    async with AsyncExitStack() as open_:

        async def listen(name: str, script: Script, context: ssl.SSLContext | None) -> int:
            receiver = await open_.enter_async_context(Receiver(script, tls=context))
            return receiver.port

        for name, (serve, expected) in DOORS.items():
            door = await open_.enter_async_context(Server(serve))
            hooks[name] = webhook(f"https://{HOST}:{door.port}/", tls=trusting)
            wanted[name] = expected
        certificates = _certificates(authority, directory)
        for name, (pair, trusts, expected) in certificates.items():
            port = await listen(name, answer(200), server_context(pair))
            hooks[name] = webhook(f"https://{HOST}:{port}/", **({"tls": trusting} if trusts else {}))
            wanted[name] = expected
        good = certificates["good"][0]
        for name, (script, expected) in SECURE.items():
            port = await listen(name, script, server_context(good))
            hooks[name] = webhook(f"https://{HOST}:{port}/", tls=trusting)
            wanted[name] = expected
        port = await listen("plain", answer(200), server_context(good))
        hooks["plain-to-a-tls-port"] = webhook(f"http://{HOST}:{port}/")
        wanted["plain-to-a-tls-port"] = Wanted("disconnected", None, CLOSED)
        door = await open_.enter_async_context(Server(_alert))
        hooks["plain-to-a-tls-port-with-alert"] = webhook(f"http://{HOST}:{door.port}/")
        wanted["plain-to-a-tls-port-with-alert"] = Wanted("protocol", None, NOT_HTTP)
        port = await listen("silent", answer(200), None)
        hooks["tls-to-a-silent-port"] = webhook(f"https://{HOST}:{port}/", tls=trusting)
        wanted["tls-to-a-silent-port"] = wanted["handshake-hangs"]
        stage = await open_.enter_async_context(WebhookStage(options.place("secure-daemon"), hooks))
        before = await stage.baseline()
        records = await stage.outcomes(hooks)
        after = await stage.daemon.rested(before)
    judge(found, "secure", wanted, records)
    found.expect(after <= before, f"secure: {after} descriptors afterwards, {before} before")
    found.figures["secure"] = f"{len(records)} faults in and behind TLS judged"
    found.figures["secure_descriptors"] = f"{before} before, {after} after"
