"""TLS servers that a test of refusals needs: they say why they refuse, or speak versions long given up.

Used by the TLS tests of this folder.
"""

import socket
import ssl
import struct
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from threading import Thread
from typing import Self


class PlainServer:
    """A server of blocking sockets, in threads: it ends refused handshakes as OpenSSL does, with an alert.

    asyncio's drops that alert, which is what a sender has to tell why it was refused.
    """

    def __init__(self, serve: Callable[[socket.socket], None]) -> None:
        self._serve = serve
        self._threads: list[Thread] = []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._accepting = Thread(target=self._accept)

    def __enter__(self) -> Self:
        self._accepting.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._accepting.join()
        self._listener.close()
        for thread in self._threads:
            thread.join()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                connection.settimeout(10)
                thread = Thread(target=self._guarded, args=(connection,))
                self._threads.append(thread)
                thread.start()

    def _guarded(self, connection: socket.socket) -> None:
        with connection, suppress(OSError):
            self._serve(connection)


@dataclass
class Strict:
    """Serves one request for each connection whose handshake ends well.

    Attributes:
        heads: the first lines of the requests.
        subjects: whose certificate each client showed.
    """

    context: ssl.SSLContext
    heads: list[bytes] = field(default_factory=list)
    subjects: list[object] = field(default_factory=list)

    def __call__(self, connection: socket.socket) -> None:
        with self.context.wrap_socket(connection, server_side=True, do_handshake_on_connect=False) as secure:
            try:
                secure.do_handshake()
            except OSError:
                secure.shutdown(socket.SHUT_WR)
                while secure.recv(4096):  # closing with bytes unread would reset, and the alert be lost
                    pass
                return
            received = b""
            while b"\r\n\r\n" not in received:
                received += secure.recv(65536) or b"\r\n\r\n"
            self.heads.append(received.split(b"\r\n")[0])
            self.subjects.append((secure.getpeercert() or {}).get("subject"))
            secure.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


@dataclass
class HelloOfTls10:
    """Answers a ClientHello by hand with a ServerHello of TLS 1.0, for a machine whose OpenSSL would not.

    Attributes:
        offered: the versions each client offered.
        answers: what each client said to the ServerHello.
    """

    offered: list[list[int]] = field(default_factory=list)
    answers: list[bytes] = field(default_factory=list)

    def __call__(self, connection: socket.socket) -> None:
        head = connection.recv(5, socket.MSG_WAITALL)
        hello = connection.recv(int.from_bytes(head[3:5]), socket.MSG_WAITALL)
        versions, ciphers = _client_hello(hello)
        self.offered.append(versions)
        body = struct.pack("!H", 0x0301) + bytes(32) + b"\0" + ciphers[-2:] + b"\0"
        message = b"\x02" + len(body).to_bytes(3) + body
        connection.sendall(b"\x16\x03\x01" + len(message).to_bytes(2) + message)
        self.answers.append(connection.recv(7, socket.MSG_WAITALL))


def _client_hello(hello: bytes) -> tuple[list[int], bytes]:
    """The supported versions and the cipher suites of a ClientHello (RFC 8446, 4.1.2 and 4.2.1)."""
    at = 4 + 2 + 32
    at += 1 + hello[at]
    size = int.from_bytes(hello[at : at + 2])
    ciphers = hello[at + 2 : at + 2 + size]
    at += 2 + size
    at += 1 + hello[at]
    at += 2
    while at < len(hello):
        kind, size = struct.unpack_from("!HH", hello, at)
        if kind == 43:
            listed = hello[at + 5 : at + 4 + size]
            return [int.from_bytes(listed[i : i + 2]) for i in range(0, len(listed), 2)], ciphers
        at += 4 + size
    return [int.from_bytes(hello[4:6])], ciphers


@contextmanager
def old_versions() -> Iterator[None]:
    """Python warns of TLS 1.0 and 1.1; here they are meant."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def only(context: ssl.SSLContext, version: ssl.TLSVersion) -> ssl.SSLContext:
    with old_versions():
        if version < ssl.TLSVersion.TLSv1_2:
            context.set_ciphers("ALL:@SECLEVEL=0")
        context.minimum_version = ssl.TLSVersion.TLSv1
        context.maximum_version = version
        context.minimum_version = version
    return context
