"""Who may speak: Host, Origin and token, before anything else is looked at (spec 12, 14)."""

import socket

import pytest

from hookd.domain.definitions import HttpListen, Secret, TokenDef, UnixListen
from tests.service.api.conftest import Serving
from tests.service.api.served import post

TOKENS = (TokenDef("1", Secret("one")), TokenDef("2", Secret("zwei-ü")))


def _raw(*fields: str) -> bytes:
    head = "\r\n".join(["POST /nothing HTTP/1.1", "Content-Length: 2", *fields])
    return head.encode() + b"\r\n\r\n{}"


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (["Host: 127.0.0.1"], 404),
        (["Host: 127.0.0.1:{port}"], 404),
        (["Host: localhost:{port}"], 404),
        (["Host: LocalHost"], 404),
        (["Host: hookd.example"], 404),
        (["Host: hookd.example:443"], 404),
        (["Host: Hookd.Example"], 404),
        (["Host: evil.example"], 421),
        (["Host: localhost.evil.example"], 421),
        (["Host: evil.hookd.example"], 421),
        (["Host: 127.0.0.2"], 421),
        (["Host: localhost:x"], 421),
        (["Host:"], 421),
        ([], 400),
        (["Host: localhost", "Host: localhost"], 400),
        (["Host: localhost:{port}", "Origin: http://localhost:{port}"], 404),
        (["Host: hookd.example", "Origin: https://Hookd.example"], 404),
        (["Host: localhost:{port}", "Origin: http://localhost:3000"], 403),
        (["Host: localhost", "Origin: https://hookd.example"], 403),
        (["Host: localhost:{port}", "Origin: https://localhost:{port}"], 403),
        (["Host: 127.0.0.1:{port}", "Origin: https://127.0.0.1:{port}"], 403),
        (["Host: localhost", "Origin: https://evil.example"], 403),
        (["Host: localhost", "Origin: http://localhost.evil.example"], 403),
        (["Host: localhost", "Origin: http://localhost", "Origin: http://evil.example"], 403),
        (["Host: localhost", "Origin: null"], 403),
        (["Host: localhost", "Origin: http://[bad"], 403),
        (["Host: localhost", "Origin: file://localhost"], 403),
        (["Host: localhost", "Origin:"], 403),
    ],
)
async def test_hosts_and_origins(serving: Serving, fields: list[str], wanted: int) -> None:
    server = await serving(HttpListen("127.0.0.1", 0, allowed_hosts=("hookd.example",)))
    client = await server.connect()
    raw = _raw(*(field.format(port=server.port) for field in fields))
    assert (await client.ask(raw)).status == wanted


@pytest.mark.parametrize(
    ("fields", "wanted"),
    [
        (["Authorization: Bearer one"], 404),
        (["Authorization: bearer   one"], 404),
        (["Authorization: Bearer zwei-ü"], 404),
        (["Authorization: Bearer three"], 401),
        (["Authorization: Bearer on"], 401),
        (["Authorization: Bearer"], 401),
        (["Authorization: Basic one"], 401),
        (["Authorization: one"], 401),
        (["Authorization: Bearer one", "Authorization: Bearer one"], 401),
        (["authorization: Bearer one"], 404),
        ([], 401),
    ],
)
async def test_tokens(serving: Serving, fields: list[str], wanted: int) -> None:
    server = await serving(HttpListen("127.0.0.1", 0, tokens=TOKENS))
    client = await server.connect()
    answered = await client.ask(_raw("Host: localhost", *fields))
    assert answered.status == wanted
    assert ("www-authenticate" in answered.headers) == (wanted == 401)


async def test_a_foreign_host_learns_nothing_of_tokens(serving: Serving) -> None:
    server = await serving(HttpListen("127.0.0.1", 0, tokens=TOKENS))
    client = await server.connect()
    assert (await client.ask(_raw("Host: evil.example"))).status == 421


def _has_ipv6() -> bool:
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as sock:
            sock.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not _has_ipv6(), reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize(
    ("host", "wanted"),
    [("[::1]", 404), ("[::1]:{port}", 404), ("localhost", 404), ("[::2]", 421), ("[::1", 421)],
)
async def test_ipv6(serving: Serving, host: str, wanted: int) -> None:
    server = await serving(HttpListen("::1", 0))
    client = await server.connect()
    assert (await client.ask(_raw(f"Host: {host.format(port=server.port)}"))).status == wanted


async def test_any_address_answers_to_the_one_that_was_reached(serving: Serving) -> None:
    server = await serving(HttpListen("0.0.0.0", 0, tokens=TOKENS))
    client = await server.connect()
    good = _raw(f"Host: 127.0.0.1:{server.port}", "Authorization: Bearer one")
    assert (await client.ask(good)).status == 404
    assert (await client.ask(good.replace(b"127.0.0.1", b"127.0.0.9"))).status == 421


async def test_on_a_unix_socket_the_host_means_nothing(serving: Serving, tmp_path: object) -> None:
    server = await serving(UnixListen(f"{tmp_path}/u.sock"))
    client = await server.connect()
    assert (await client.ask(post(b"{}").replace(b"localhost", b"any.where"))).status == 200
    assert (await client.ask(post(b"{}", "/body", "Origin: https://evil.example"))).status == 403


@pytest.mark.parametrize(
    ("target", "host", "wanted"),
    [("localhost", "localhost", 404), ("evil.example", "localhost", 421), ("localhost", "evil.example", 421)],
)
async def test_the_absolute_form_is_no_other_way_in(
    serving: Serving, target: str, host: str, wanted: int
) -> None:
    server = await serving(HttpListen("127.0.0.1", 0))
    client = await server.connect()
    raw = _raw(f"Host: {host}").replace(b"/nothing", f"http://{target}/nothing".encode())
    assert (await client.ask(raw)).status == wanted


@pytest.mark.parametrize(("host", "wanted"), [("localhost", 404), ("evil.example", 421)])
async def test_the_asterisk_form_names_no_host(serving: Serving, host: str, wanted: int) -> None:
    server = await serving(HttpListen("127.0.0.1", 0))
    client = await server.connect()
    raw = _raw(f"Host: {host}").replace(b"POST /nothing", b"OPTIONS *")
    assert (await client.ask(raw)).status == wanted
