"""Sockets that systemd passes: what they stand in for, and a restart that refuses and resets nobody (spec 11)."""

import asyncio
import json
import os
import signal
import socket
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from hookd.domain.definitions import HttpListen, UnixListen
from hookd.domain.errors import SocketsUnfit
from hookd.server.activation import PassedSocket, adopt, listen_targets
from hookd.server.systemd import PassedDescriptor, passed_descriptors, passed_to_another
from tests.kit.activation import Activated, Posters, post_once, tcp_socket, unix_socket
from tests.kit.procfs import open_files
from tests.kit.receiver import Receiver, held
from tests.kit.tls import Authority
from tests.kit.waiting import until

EVENT = b'{"type": "vm", "event": "up"}'


@pytest.fixture
def sockets(tmp_path: Path) -> Iterator[tuple[socket.socket, socket.socket]]:
    with unix_socket(tmp_path / "h.sock") as unix, tcp_socket() as tcp:
        yield unix, tcp


@pytest.fixture
async def activated(tmp_path: Path, sockets: tuple[socket.socket, socket.socket]) -> AsyncIterator[Activated]:
    daemon = Activated(tmp_path)
    daemon.passed = sockets
    yield daemon
    await daemon.close()


def write(daemon: Activated, url: str = "http://127.0.0.1:9/", *, listen: str = "") -> None:
    port = daemon.passed[-1].getsockname()[1]
    listen = listen or f"[{{unix: h.sock}}, {{http: 127.0.0.1:{port}}}]"
    daemon.config.write_text(
        f"daemon: {{listen: {listen}, store: h.db, shutdown_grace: 5s, log: {{format: json}}}}\n"
        f"webhooks: {{w: {{url: {url}, timeout: 60}}}}\n"
        "tasks: {t: {webhook: w}}\n"
        "events: {e: {type: vm, event: up, task: t}}\n"
    )


async def test_a_restart_refuses_and_resets_nobody(activated: Activated, receiver: Receiver) -> None:
    write(activated, receiver.url)
    await activated.start()
    unix, tcp = (sock.getsockname() for sock in activated.passed)
    async with Posters(unix, tcp) as posters:
        for _ in range(3):
            await posters.wait_for(100)
            assert await activated.stop() == 0
            await activated.start()
        await posters.wait_for(100)
    assert set(posters.outcomes) == {"202"}
    arrived = await receiver.wait_for(len(posters.acknowledged), within_s=60)
    assert len({each.id for each in arrived}) == len(posters.acknowledged)


async def test_the_socket_file_stays(activated: Activated) -> None:
    write(activated)
    await activated.start()
    before = activated.socket.stat().st_ino
    await activated.stop()
    assert activated.socket.stat().st_ino == before


async def test_who_connects_while_it_is_away_waits(activated: Activated) -> None:
    write(activated)
    await activated.start()
    await activated.stop()
    where = [sock.getsockname() for sock in activated.passed]
    waiting = [asyncio.create_task(asyncio.to_thread(post_once, each, EVENT)) for each in where]
    await activated.start()
    assert [answer[0] for answer in await asyncio.gather(*waiting)] == [202, 202]


async def test_events_are_taken_in_while_attempts_get_their_grace(
    activated: Activated, receiver: Receiver
) -> None:
    release = asyncio.Event()

    receiver.reply = held(release)
    write(activated, receiver.url)
    await activated.start()
    await activated.post(json.loads(EVENT))
    await receiver.wait_for(1)
    stopping = asyncio.create_task(activated.stop())
    await activated.notifications.wait_for("STOPPING")
    answered, _ = await asyncio.to_thread(post_once, activated.passed[1].getsockname(), EVENT)
    assert answered == 202
    assert not stopping.done()
    release.set()
    assert await stopping == 0


class Client:
    """One connection, spoken by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    async def ask(self, head: bytes = b"") -> bytes:
        """Ask and return the answer's head."""
        self.writer.write(head or b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        return await self.answer()

    async def answer(self) -> bytes:
        head = await self.reader.readuntil(b"\r\n\r\n")
        length = int(head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0])
        await self.reader.readexactly(length)
        return head


async def test_who_was_accepted_is_still_heard(activated: Activated) -> None:
    write(activated)
    await activated.start()
    path = str(activated.socket)
    half, idle, silent = [Client(*await asyncio.open_unix_connection(path)) for _ in range(3)]
    whole = (
        b"POST /v1/events HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    )
    half.writer.write((whole % len(EVENT))[:30])
    assert b"Connection" not in await idle.ask()
    activated.signal(signal.SIGTERM)
    await activated.notifications.wait_for("STOPPING")
    half.writer.write((whole % len(EVENT))[30:] + EVENT)
    answer = await half.answer()
    assert answer.startswith(b"HTTP/1.1 202 ")
    assert b"Connection: close" in answer
    assert b"Connection: close" in await silent.ask()
    assert await idle.reader.read() == b""
    assert await activated.ended() == 0
    for client in (half, idle, silent):
        client.writer.close()


async def test_a_handshake_under_way_is_finished(activated: Activated) -> None:
    authority = Authority(activated.directory)
    pair = authority.issue("localhost", "localhost")
    port = activated.passed[1].getsockname()[1]
    write(
        activated,
        listen=f"[{{unix: h.sock}}, {{http: 127.0.0.1:{port}, tls: {{cert: {pair.cert}, key: {pair.key}}}}}]",
    )
    context = ssl.create_default_context(cafile=str(authority.ca))
    await activated.start()
    begun = Client(*await asyncio.open_connection("127.0.0.1", port))
    whole = Client(*await asyncio.open_connection("localhost", port, ssl=context, family=socket.AF_INET))
    await whole.ask()
    activated.signal(signal.SIGTERM)
    await _gives_back(activated, activated.passed[1])
    await begun.writer.start_tls(context, server_hostname="localhost")
    answer = await begun.ask()
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert b"Connection: close" in answer
    assert await activated.ended() == 0
    for client in (begun, whole):
        client.writer.close()


async def _gives_back(daemon: Activated, sock: socket.socket) -> None:
    """Return once the daemon has closed its end of a passed socket."""
    link = f"socket:[{os.fstat(sock.fileno()).st_ino}]"
    await until(lambda: link not in open_files(daemon.pid))


async def test_a_unix_socket_without_an_entry_is_served(activated: Activated) -> None:
    port = activated.passed[1].getsockname()[1]
    write(activated, listen=f"[{{unix: own.sock}}, {{http: 127.0.0.1:{port}}}]")
    await activated.start()
    for path in (activated.socket, activated.directory / "own.sock"):
        answered, _ = await asyncio.to_thread(post_once, str(path), EVENT)
        assert answered == 202
    [ready] = activated.logged("daemon.ready")
    assert ready["listen"] == [
        f"unix:{activated.directory}/own.sock",
        f"http://127.0.0.1:{port}",
        f"unix:{activated.directory}/h.sock",
    ]
    await activated.stop()
    assert activated.socket.exists()
    assert not (activated.directory / "own.sock").exists()


async def test_a_tcp_socket_without_an_entry(activated: Activated) -> None:
    write(activated, listen="[{unix: h.sock}, {http: 127.0.0.1:1, tokens: [a-token-of-some-length]}]")
    await activated.launch()
    assert await activated.ended() == 78
    shown = f"127.0.0.1:{activated.passed[1].getsockname()[1]}"
    assert activated.log.read_text() == (
        f"hookd: systemd passes the TCP socket {shown} (hookd.socket), which daemon.listen does not have"
        f' (its http entries: 127.0.0.1:1): add "- http: {shown}" there, or take ListenStream={shown}'
        " out of the socket unit\n"
    )


async def test_sockets_for_another_process(activated: Activated) -> None:
    write(activated, listen="[{unix: own.sock}]")
    activated.listen_pid = "1"
    await activated.start()
    assert not await _answers(activated.socket)
    [ignored] = activated.logged("listener.ignored")
    assert ignored["pid"] == "1"


async def test_sockets_that_systemd_holds_but_did_not_pass(activated: Activated) -> None:
    remedy = "; if it is systemd for hookd.socket, start hookd by `systemctl start hookd`"
    port = activated.passed[1].getsockname()[1]
    activated.listen_pid = "1"
    for listen, why in (
        ("{unix: h.sock}", f"{activated.socket}: another process is listening there"),
        (f"{{http: 127.0.0.1:{port}}}", f"127.0.0.1:{port}: Address already in use"),
    ):
        write(activated, listen=f"[{listen}]")
        await activated.launch()
        assert await activated.ended() == 1
        assert activated.log.read_text().splitlines()[-1] == f"hookd: cannot listen on {why}{remedy}"


async def _answers(path: Path) -> bool:
    """Whether a second post, which nothing keeps from being served, finds the first one unanswered."""
    first = asyncio.create_task(asyncio.to_thread(post_once, str(path), EVENT, timeout_s=3))
    await asyncio.to_thread(post_once, str(path.with_name("own.sock")), EVENT)
    answered = first.done()
    with pytest.raises(TimeoutError):
        await first
    return answered


def test_passed_to_this_process_alone() -> None:
    pid = str(os.getpid())
    env = {"LISTEN_PID": pid, "LISTEN_FDS": "2", "LISTEN_FDNAMES": "a:b"}
    assert passed_descriptors(env) == (PassedDescriptor(3, "a"), PassedDescriptor(4, "b"))
    assert passed_descriptors({**env, "LISTEN_FDNAMES": "a"})[1].name == "unknown"
    assert passed_descriptors({**env, "LISTEN_FDS": "x"}) == ()
    assert passed_descriptors({**env, "LISTEN_PID": "1"}) == passed_descriptors({}) == ()
    assert passed_to_another({**env, "LISTEN_PID": "1"}) == "1"
    assert passed_to_another(env) is None
    assert passed_to_another({}) is None


REMEDY = ": a socket unit needs ListenStream= and Accept=no"


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        ("file", "is not a socket (Socket operation on non-socket)"),
        ("datagram", "is not a listening Unix or TCP socket"),
        ("connected", "is not a listening Unix or TCP socket"),
    ],
)
def test_what_cannot_be_listened_on(kind: str, why: str) -> None:
    with ExitStack() as stack:
        if kind == "file":
            fd = os.dup(stack.enter_context(tempfile.TemporaryFile()).fileno())
        elif kind == "datagram":
            fd = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM).detach()
        else:
            ours, theirs = socket.socketpair()
            stack.enter_context(ours)
            fd = theirs.detach()
        with pytest.raises(SocketsUnfit) as caught:
            adopt([PassedDescriptor(fd, "x.socket")])
        assert str(caught.value) == f"descriptor {fd} (x.socket), passed by systemd, {why}{REMEDY}"
        if kind == "file":
            os.close(fd)


@pytest.mark.parametrize(
    ("passed", "entry"), [("127.0.0.1", "127.0.0.1"), ("127.0.0.1", "localhost"), ("::1", "::1")]
)
def test_the_entry_of_a_tcp_socket(passed: str, entry: str) -> None:
    with tcp_socket(passed) as sock:
        listen = HttpListen(entry, sock.getsockname()[1])
        assert listen_targets([listen], [PassedSocket(sock, "x")])[0].passed is not None
        other = HttpListen("127.0.0.2", listen.port)
        with pytest.raises(SocketsUnfit, match=r"which daemon\.listen does not have"):
            listen_targets([other, UnixListen("/run/x")], [PassedSocket(sock, "x")])


def test_the_entry_of_a_unix_socket(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    with unix_socket(tmp_path / "h.sock") as sock:
        entry = UnixListen(str(tmp_path / "link" / "h.sock"))
        [place] = listen_targets([entry], [PassedSocket(sock, "x")])
        assert place.listen is entry
        assert place.passed is not None
    with socket.socket(socket.AF_UNIX) as sock:
        sock.bind(f"\0hookd-{os.getpid()}")
        [place] = listen_targets([], [PassedSocket(sock, "x")])
        assert place.listen == UnixListen(f"@hookd-{os.getpid()}")
