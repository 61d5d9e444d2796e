"""Names that do not resolve, hosts that cannot be reached, and hookd's own lacks."""

import asyncio
import errno
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp.client_reqrep import ConnectionKey

from hookd.delivery.http.failures import NeverCalled, Phase, explain, is_local_lack
from hookd.delivery.http.resolver import ThreadResolver
from hookd.domain.definitions import Secret, Tls
from hookd.domain.deliveries import Reason
from tests.kit.receiver import Receiver
from tests.kit.waiting import until
from tests.service.send.attempts import Attempts, webhook

Infos = list[tuple[Any, ...]]


class Names:
    """Stands in for the system's resolver: `*.dead` answers when the test ends, others are loopback."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.end = threading.Event()

    def getaddrinfo(self, host: str, port: int, **_: Any) -> Infos:
        self.asked.append(host)
        if host.endswith(".dead"):
            self.end.wait(10)
        if host.endswith(".unknown"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


@pytest.fixture
def names(monkeypatch: pytest.MonkeyPatch) -> Iterator[Names]:
    made = Names()
    monkeypatch.setattr(socket, "getaddrinfo", made.getaddrinfo)
    yield made
    made.end.set()
    for thread in threading.enumerate():
        if thread.name.startswith("lookup"):
            thread.join(5)


@pytest.mark.parametrize(
    ("error", "told"),
    [(MemoryError(), OSError), (AttributeError("unforeseen"), RuntimeError), (SystemExit(1), RuntimeError)],
)
async def test_whatever_ends_the_thread_of_a_lookup_ends_the_lookup(
    monkeypatch: pytest.MonkeyPatch, error: BaseException, told: type[Exception]
) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> Infos:
        raise error

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    resolver = ThreadResolver()
    for _ in range(2):  # nor is the name taken to be looked up from then on
        with pytest.raises(told):
            await asyncio.wait_for(resolver.resolve("odd.example", 80), 5)
        assert not resolver.looks_up("odd.example")


async def test_a_dozen_dead_names_do_not_delay_a_healthy_one(send: Attempts, names: Names) -> None:
    async with Receiver() as receiver:
        dead = [
            asyncio.create_task(send(f"http://{n}.dead/", name=f"dead {n}", timeout_s=0.4)) for n in range(12)
        ]
        await until(lambda: len(names.asked) == 12)
        outcome = await send(receiver.to(host="healthy"))
        assert (outcome.reason, outcome.duration_s < 0.3) == (Reason.OK, True)
        assert not any(task.done() for task in dead)
        for outcome in await asyncio.gather(*dead):
            assert outcome.reason is Reason.TIMEOUT
            assert outcome.error == "timed out after 0.4 s while looking up the name"


async def test_an_unknown_name(send: Attempts, names: Names) -> None:
    outcome = await send("http://host.unknown:81/path")
    assert outcome.reason is Reason.DNS
    assert outcome.error == "the name host.unknown does not resolve: Name or service not known"


async def test_a_resolved_name_is_kept_for_a_while(send: Attempts, names: Names) -> None:
    async with Receiver() as receiver:
        await asyncio.gather(*(send(receiver.to(host="healthy")) for _ in range(5)))
        assert names.asked == ["healthy"]


async def test_all_who_ask_for_a_name_share_one_lookup(names: Names) -> None:
    resolver = ThreadResolver()
    first, second = (asyncio.create_task(resolver.resolve("name.dead", 80)) for _ in range(2))
    await until(lambda: bool(names.asked))
    assert resolver.looks_up("name.dead")
    first.cancel()
    with pytest.raises(asyncio.CancelledError):
        await first
    names.end.set()
    assert [entry["host"] for entry in await second] == ["127.0.0.1"]
    assert names.asked == ["name.dead"]
    assert not resolver.looks_up("name.dead")


async def test_a_failure_nobody_waits_for_is_silent(names: Names) -> None:
    resolver = ThreadResolver()
    lookup = asyncio.create_task(resolver.resolve("nobody.unknown", 80))
    await asyncio.sleep(0)
    lookup.cancel()
    await until(lambda: not resolver.looks_up("nobody.unknown"))


async def test_lookups_are_bounded(names: Names) -> None:
    resolver = ThreadResolver(lookups=1)
    waiting = asyncio.create_task(resolver.resolve("first.dead", 80))
    await asyncio.sleep(0)
    with pytest.raises(OSError, match="1 names are being looked up already") as caught:
        await resolver.resolve("second", 80)
    assert is_local_lack(caught.value)
    names.end.set()
    await waiting


async def test_a_thread_that_cannot_start_is_our_own_lack(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    with pytest.raises(OSError, match="no thread") as caught:
        await ThreadResolver().resolve("name", 80)
    assert is_local_lack(caught.value)


async def test_a_name_that_cannot_be_one(send: Attempts) -> None:
    outcome = await send(f"http://{'a' * 64}.example/")
    assert outcome.reason is Reason.DNS


async def test_a_link_local_address_keeps_its_interface(monkeypatch: pytest.MonkeyPatch) -> None:
    infos = [(socket.AF_INET6, socket.SOCK_STREAM, 6, "", ("fe80::1", 80, 0, 1))]
    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: infos)
    (found,) = await ThreadResolver().resolve("neighbour", 80)
    assert found["host"] == f"fe80::1%{socket.if_indextoname(1)}"


async def test_the_systems_resolver(send: Attempts) -> None:
    found = await ThreadResolver().resolve("localhost", 80)
    assert "127.0.0.1" in [entry["host"] for entry in found]


async def test_refused(send: Attempts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = await send(f"http://127.0.0.1:{port}/")
    assert outcome.reason is Reason.CONNECT
    assert outcome.error == f"cannot connect to 127.0.0.1:{port}: Connection refused"
    outcome = await send(f"http://localhost:{port}/")
    assert outcome.reason is Reason.CONNECT


@pytest.mark.parametrize("host", ["127.1", "2130706433", "a..b:99999", "[::1"])
async def test_hosts_that_cannot_be_called(send: Attempts, host: str) -> None:
    outcome = await send(f"http://{host}/path?secret")
    assert outcome.reason is Reason.CONNECT
    assert "not a host that can be called" in outcome.error
    assert "secret" not in outcome.error


@contextmanager
def no_descriptors() -> Iterator[None]:
    """Let this process open nothing more."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    held = socket.socket()
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        held.close()


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "no-such-name.invalid"])
async def test_without_descriptors_the_receiver_is_not_to_blame(send: Attempts, host: str) -> None:
    with no_descriptors():
        outcome = await send(f"http://{host}:9/")
    assert outcome.reason is Reason.LOCAL
    assert outcome.error == "hookd itself lacks resources: Too many open files"


async def test_without_descriptors_a_ca_bundle_cannot_be_read(send: Attempts, tmp_path: Path) -> None:
    path = tmp_path / "ca.pem"
    path.touch()
    with no_descriptors():
        outcome = await send("https://127.0.0.1:9/", tls=Tls(ca=str(path)))
    assert outcome.reason is Reason.LOCAL


@pytest.mark.parametrize(
    ("exc", "local"),
    [
        (OSError(errno.EMFILE, "x"), True),
        (OSError(errno.ENFILE, "x"), True),
        (OSError(errno.ENOMEM, "x"), True),
        (OSError(errno.EADDRNOTAVAIL, "x"), True),
        (OSError(errno.ECONNREFUSED, "x"), False),
        (OSError("Multiple exceptions: [Errno 24] x, [Errno 99] y"), True),
        (OSError("Multiple exceptions: [Errno 99] x, [Errno 111] y"), False),
        (OSError("without a number"), False),
        (socket.gaierror(errno.EMFILE, "not the system's number"), False),
    ],
)
def test_what_is_our_own_lack(exc: OSError, *, local: bool) -> None:
    assert is_local_lack(exc) is local


@pytest.mark.parametrize(
    ("exc", "sentence"),
    [
        (
            OSError("Multiple exceptions: [Errno 111] Connect call failed ('::1', 9), [Errno 101] x"),
            "cannot connect to [::1]:9: Connection refused; Network is unreachable",
        ),
        (
            OSError(f"Multiple exceptions: [Errno 111] x, {NeverCalled.TEXT}"),
            "cannot connect to [::1]:9: Connection refused; another of its addresses was not called: "
            + NeverCalled.TEXT,
        ),
        (
            ConnectionRefusedError(111, "Connect call failed ('::1', 9)"),
            "cannot connect to [::1]:9: Connection refused",
        ),
    ],
)
def test_what_could_not_be_connected_in_words_of_the_system(exc: OSError, sentence: str) -> None:
    key = ConnectionKey(
        "::1", 9, is_ssl=False, ssl=True, proxy=None, proxy_auth=None, proxy_headers_hash=None
    )
    error = aiohttp.ClientConnectorError(key, exc)
    failure = explain(error, host="::1", port=9, phase=Phase.CONNECTING, timeout_s=3)
    assert (failure.reason, failure.message) == (Reason.CONNECT, sentence)


@pytest.mark.parametrize(
    "exc",
    [
        RuntimeError("unable to perform operation on <TCPTransport closed=True 0x7f>; the handler is closed"),
        aiohttp.ClientConnectionResetError("Cannot write to closing transport"),
    ],
)
def test_a_closed_connection_in_words_of_our_own(exc: Exception) -> None:
    failure = explain(exc, host="h", port=9, phase=Phase.WAITING, timeout_s=3)
    assert failure.message == "the connection to h:9 broke before an answer: it was closed"


async def test_an_error_never_shows_the_url(send: Attempts) -> None:
    secret = Secret("http://127.0.0.1:9/s3cret/path?t0ken=1", "env URL")
    outcome = await send.to(webhook(secret))
    assert outcome.reason is Reason.CONNECT
    assert "s3cret" not in outcome.error
    assert "t0ken" not in outcome.error


NEVER = "which hookd never calls"


@pytest.mark.parametrize(
    "host",
    [
        "169.254.169.254",
        "0xA9FEA9FE",
        "[::ffff:169.254.169.254]",
        "[64:ff9b::a9fe:a9fe]",
        "[fe80::1]",
        "[fe80::1%25lo]",
        "[fd00:ec2::254]",
        "100.100.100.200",
        "168.63.129.16",
        "192.0.0.192",
    ],
)
async def test_link_local_and_metadata_addresses_are_never_called(send: Attempts, host: str) -> None:
    outcome = await send(f"http://{host}/latest/meta-data", timeout_s=3.0)
    assert outcome.reason is Reason.FORBIDDEN, outcome.error
    assert NEVER in outcome.error


async def test_nor_when_a_name_resolves_to_them(send: Attempts, monkeypatch: pytest.MonkeyPatch) -> None:
    found = ["169.254.169.254"]

    def getaddrinfo(_host: str, port: int, **_: Any) -> Infos:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in found]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    assert (await send("http://metadata.example/")).reason is Reason.FORBIDDEN
    found.append("169.254.1.1")
    assert (await send("http://more.example/", name="more")).reason is Reason.FORBIDDEN
    async with Receiver() as receiver:
        found.append("127.0.0.1")
        assert (await send(f"http://both.example:{receiver.port}/", name="both")).reason is Reason.OK


@pytest.mark.parametrize("host", ["2852039166", "0251.0376.0251.0376", "169.254.43518", "169.254.169.0376"])
async def test_old_spellings_of_an_address_are_no_hosts(send: Attempts, host: str) -> None:
    outcome = await send(f"http://{host}/")
    assert (outcome.reason, outcome.error) == (
        Reason.CONNECT,
        "the URL's host is not a host that can be called",
    )
