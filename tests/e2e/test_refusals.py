"""Bad input gets the contract's clear error, changes nothing and loses nothing (spec 2, 12)."""

import asyncio
import json
import socket
import struct
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from tests.e2e.conftest import Running
from tests.kit.daemon import DaemonProcess
from tests.kit.ports import free_port

GOOD = {"type": "vm", "event": "on"}
JSON = {"Content-Type": "application/json"}

BODIES: list[tuple[str, bytes, int]] = [
    ("empty", b"", 400),
    ("not json", b"{", 400),
    ("nan", b'{"type":"a","event":"b","data":{"x":NaN}}', 400),
    ("infinite", b'{"type":"a","event":"b","data":{"x":1e999}}', 400),
    ("byte-order mark", b"\xef\xbb\xbf" + json.dumps(GOOD).encode(), 400),
    ("invalid utf-8", b'{"type":"\xff","event":"b"}', 400),
    ("utf-16", json.dumps(GOOD).encode("utf-16"), 400),
    ("lone surrogate", b'{"type":"a","event":"b","data":{"x":"\\ud800"}}', 400),
    ("duplicate key", b'{"type":"a","type":"a","event":"b"}', 400),
    ("too deep", b'{"type":"a","event":"b","data":' + b'{"x":' * 101 + b"1" + b"}" * 102, 400),
    ("far too deep", b"[" * 200_000, 400),
    ("a huge number", b'{"type":"a","event":"b","data":{"x":' + b"9" * 5000 + b"}}", 400),
    ("a string", b'"x"', 422),
    ("an empty batch", b"[]", 422),
    ("no type", b'{"event":"b"}', 422),
    ("unknown field", b'{"type":"a","event":"b","tpye":1}', 422),
    ("reserved type", b'{"type":"hookd.delivery","event":"dead"}', 422),
    ("bad time", b'{"type":"a","event":"b","time":"yesterday"}', 422),
    ("long id", json.dumps({**GOOD, "id": "x" * 257}).encode(), 422),
    ("control in id", json.dumps({**GOOD, "id": "a\nb"}).encode(), 422),
    ("data is a list", b'{"type":"a","event":"b","data":[]}', 422),
]


@pytest.fixture
def daemon_section(tmp_path: Path) -> tuple[str, int]:
    port = free_port()
    return (
        f"daemon: {{listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{port}'}}], store: h.db}}\n",
        port,
    )


@pytest.mark.promise
async def test_bodies(running: Running) -> None:
    daemon = await running("")
    for what, body, wanted in BODIES:
        answered, problem = await daemon.request("POST", "/v1/events", body=body, headers=JSON)
        assert answered == wanted, what
        assert problem["status"] == wanted, what
        assert problem["detail"], what
    assert (await daemon.get("/v1/events"))["events"] == []
    assert (await daemon.post(GOOD))[0] == 202


async def test_a_batch_that_is_sent_again_with_its_key_is_a_duplicate(running: Running) -> None:
    daemon = await running("")
    lines = b"\n".join([json.dumps(GOOD).encode(), b"", json.dumps(GOOD).encode()])
    for key, kind, body, ids in [
        ("a", "application/json", [GOOD], ["a"]),
        ("b", "application/json", [GOOD, {**GOOD, "id": "own"}, GOOD], ["b.0", "own", "b.2"]),
        ("c", "application/x-ndjson", lines, ["c.0", "c.1"]),
    ]:
        for wanted in (202, 200):
            headers = {"Content-Type": kind, "Idempotency-Key": key}
            status, answer = await daemon.request("POST", "/v1/events", body=body, headers=headers)
            assert (status, [event["id"] for event in answer["events"]]) == (wanted, ids)
    long = {**JSON, "Idempotency-Key": "x" * 255}
    status, problem = await daemon.request("POST", "/v1/events", body=[GOOD, GOOD], headers=long)
    assert (status, [fault["pointer"] for fault in problem["errors"]]) == (422, ["/0/id", "/1/id"])


async def test_headers(running: Running) -> None:
    daemon = await running("")
    for headers, wanted in (
        ({"Content-Type": "text/plain"}, 415),
        ({"Content-Type": ""}, 415),
        ({"Content-Type": "application/x-www-form-urlencoded"}, 415),
        ({"Content-Type": "application/json; charset=latin-1"}, 415),
        ({"Content-Type": "application/json; charset=UTF-8"}, 202),
        ({**JSON, "Content-Encoding": "gzip"}, 415),
        ({**JSON, "Origin": "https://evil.example"}, 403),
        ({**JSON, "Origin": "null"}, 403),
        ({**JSON, "Expect": "200-ok"}, 417),
    ):
        code, _ = await daemon.request("POST", "/v1/events", body=GOOD, headers=headers)
        assert code == wanted, headers


async def test_paths_and_methods(running: Running) -> None:
    daemon = await running("")
    assert (await daemon.request("GET", "/nothing"))[0] == 404
    assert (await daemon.request("GET", "/v1/events/none"))[0] == 404
    assert (await daemon.request("DELETE", "/v1/events"))[0] == 405
    assert (await daemon.request("GET", "/v1/deliveries?state=sent"))[0] == 400
    assert (await daemon.request("GET", "/v1/deliveries?stat=dead"))[0] == 400
    assert (await daemon.request("GET", "/v1/deliveries?limit=0"))[0] == 400
    assert (await daemon.request("GET", "/v1/deliveries?cursor=%00"))[0] == 400


async def test_too_large_is_refused_before_it_is_read(running: Running) -> None:
    daemon = await running("")
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    writer.write(
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Content-Length: 99999999999\r\n\r\n"
    )
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()
    reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
    writer.write(
        b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b"Transfer-Encoding: chunked\r\n\r\n"
    )
    chunk = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
    for _ in range(17):
        writer.write(chunk)
    assert (await reader.readline()).startswith(b"HTTP/1.1 413")
    writer.close()


async def test_hosts_on_tcp(running: Running, daemon_section: tuple[str, int]) -> None:
    section, port = daemon_section
    await running("", daemon=section)
    for host, wanted in [
        (f"127.0.0.1:{port}", 202),
        (f"localhost:{port}", 202),
        ("localhost", 202),
        ("LOCALHOST", 202),
        ("evil.example", 421),
        (f"evil.example:{port}", 421),
        ("localhost.evil.example", 421),
        ("", 421),
        (None, 400),
    ]:
        assert await _post_with_host(port, host) == wanted, host


async def _post_with_host(port: int, host: str | None) -> int:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    body = json.dumps(GOOD).encode()
    lines = ["POST /v1/events HTTP/1.1", "Content-Type: application/json", f"Content-Length: {len(body)}"]
    if host is not None:
        lines.append(f"Host: {host}")
    writer.write("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
    line = await reader.readline()
    writer.close()
    return int(line.split()[1])


async def test_origins_on_tcp(running: Running, daemon_section: tuple[str, int]) -> None:
    section, port = daemon_section
    await running("", daemon=section)
    own = f"http://127.0.0.1:{port}"
    async with aiohttp.ClientSession() as session:
        for origin, wanted in [
            (own, 202),
            (f"http://127.0.0.1:{port + 1}", 403),
            ("http://localhost:3000", 403),
        ]:
            async with session.post(f"{own}/v1/events", json=GOOD, headers={"Origin": origin}) as response:
                assert response.status == wanted, origin


async def test_faults_of_a_batch_name_their_index(running: Running) -> None:
    daemon = await running("")
    assert (await daemon.post({**GOOD, "id": "one"}))[0] == 202
    answered, problem = await daemon.post([GOOD, {**GOOD, "id": "one", "data": {"x": 1}}])
    assert (answered, [e["pointer"] for e in problem["errors"]]) == (409, ["/1/id"])
    lines = json.dumps(GOOD).encode() + b"\n\n{bad\n"
    answered, problem = await daemon.request(
        "POST", "/v1/events", body=lines, headers={"Content-Type": "application/x-ndjson"}
    )
    assert (answered, [e["pointer"] for e in problem["errors"]]) == (400, ["/1"])
    assert "line 3" in problem["detail"]


async def test_tokens(running: Running, tmp_path: Path) -> None:
    port = free_port()
    await running(
        "", daemon=f"daemon: {{listen: [{{http: '127.0.0.1:{port}', tokens: [one, two]}}], store: h.db}}\n"
    )
    async with aiohttp.ClientSession() as session:
        for token, wanted in [("one", 202), ("two", 202), ("three", 401), ("", 401), (None, 401)]:
            headers = {} if token is None else {"Authorization": f"Bearer {token}"}
            async with session.post(
                f"http://127.0.0.1:{port}/v1/events", json=GOOD, headers=headers
            ) as response:
                assert response.status == wanted, token


async def test_garbage_is_answered_without_echo(running: Running) -> None:
    daemon = await running("")
    for raw in (
        b"\x16\x03\x01\x02\x00<script>\r\n\r\n",
        b"GET / HTTP/1.1\r\nbad header<script>\r\n\r\n",
        b"\x00" * 100 + b"\r\n\r\n",
    ):
        reader, writer = await asyncio.open_unix_connection(str(daemon.socket))
        writer.write(raw)
        answer = await reader.read()
        assert answer.split()[1] == b"400"
        assert b"script" not in answer
        writer.close()
    assert (await daemon.post(GOOD))[0] == 202


async def test_a_client_that_resets_costs_nothing(running: Running, daemon_section: tuple[str, int]) -> None:
    section, port = daemon_section
    daemon = await running("", daemon=section)
    for _ in range(50):
        sock = socket.create_connection(("127.0.0.1", port))
        sock.send(b"POST /v1/events HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n{")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    assert (await daemon.post(GOOD))[0] == 202


async def _fails(tmp_path: Path, text: str, prepare: Any = None) -> tuple[int, str]:
    (tmp_path / "hookd.yaml").write_text(text)
    if prepare is not None:
        prepare()
    daemon = DaemonProcess(tmp_path)
    try:
        await daemon.launch()
        return await daemon.ended(), daemon.log.read_text()
    finally:
        await daemon.close()


DAEMON = "daemon: {listen: [{unix: h.sock}], store: h.db}\n"


@pytest.mark.promise
async def test_invalid_config_at_start_is_78(tmp_path: Path) -> None:
    code, log = await _fails(tmp_path, "webhoks: {}\n")
    assert code == 78
    assert "did you mean" in log


async def test_no_database_is_74_and_left_alone(tmp_path: Path) -> None:
    code, log = await _fails(
        tmp_path, DAEMON, lambda: (tmp_path / "h.db").write_text("precious notes" * 1000)
    )
    assert code == 74
    assert "not a database" in log
    assert (tmp_path / "h.db").read_text() == "precious notes" * 1000


async def test_a_regular_file_at_the_socket_path_is_left_alone(tmp_path: Path) -> None:
    code, log = await _fails(tmp_path, DAEMON, lambda: (tmp_path / "h.sock").write_text("mine"))
    assert code == 1
    assert "not a socket" in log
    assert (tmp_path / "h.sock").read_text() == "mine"


async def test_a_second_daemon_names_the_first(tmp_path: Path) -> None:
    (tmp_path / "hookd.yaml").write_text(DAEMON)
    async with DaemonProcess(tmp_path) as first:
        other = tmp_path / "other"
        other.mkdir()
        code, log = await _fails(other, "daemon: {listen: [{unix: h.sock}], store: ../h.db}\n")
        assert code == 74
        assert str(first.pid) in log
        assert (await first.post(GOOD))[0] == 202


async def test_a_stale_socket_is_replaced_with_its_mode(tmp_path: Path) -> None:
    stale = socket.socket(socket.AF_UNIX)
    stale.bind(str(tmp_path / "h.sock"))
    stale.close()
    (tmp_path / "hookd.yaml").write_text("daemon: {listen: [{unix: h.sock, mode: '0600'}], store: h.db}\n")
    async with DaemonProcess(tmp_path) as daemon:
        assert (await daemon.post(GOOD))[0] == 202
        assert (tmp_path / "h.sock").stat().st_mode & 0o777 == 0o600
        assert await daemon.stop() == 0
        assert not (tmp_path / "h.sock").exists()
