"""`hookd receive`: the process, met by a real client."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from hookd.cli.main import main
from hookd.domain import signatures
from hookd.domain.definitions import Secret, Signing, SigningStyle

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


class Receiving:
    """A running `hookd receive`; reading its output waits for it."""

    def __init__(self, process: subprocess.Popen[str], url: str) -> None:
        self.process = process
        self.url = url

    def line(self) -> str:
        assert self.process.stdout
        return self.process.stdout.readline().rstrip("\n")

    def block(self) -> list[str]:
        """The lines of one request, up to the empty one."""
        return list(iter(self.line, ""))

    def rest(self) -> tuple[str, str]:
        out, err = self.process.communicate(timeout=10)
        return out, err


@contextmanager
def receiving(*words: str, **environment: str) -> Iterator[Receiving]:
    command = [sys.executable, "-m", "hookd", "receive", "--listen", "127.0.0.1:0", *words]
    with subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "error", **environment},
    ) as process:
        assert process.stdout
        assert process.stderr
        told = (process.stderr if "--json" in words else process.stdout).readline()
        assert told.startswith("listening on http://127.0.0.1:")
        try:
            yield Receiving(process, told.split()[-1])
        finally:
            process.kill()


def post(url: str, body: bytes = b"{}", **headers: str) -> tuple[int, bytes, dict[str, str]]:
    request = urllib.request.Request(
        url, body, {name.replace("_", "-"): value for name, value in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, answer.read(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read(), dict(error.headers)


def signed(body: bytes, style: SigningStyle, secret: str, *, at: float) -> dict[str, str]:
    """The headers of a signed delivery."""
    signing = Signing((Secret(secret),), style)
    made = signatures.signature_headers(signing, delivery_id="d1", timestamp=int(at), body=body)
    return {"webhook-id": "d1", "webhook-timestamp": str(int(at)), **dict(made)}


def test_a_request_is_printed_with_what_is_ours_at_the_margin() -> None:
    with receiving("--count", "1") as receiver:
        status, content, _ = post(
            f"{receiver.url}/a%0Ab?c=%1b", b'{"text": "\xc3\xbc\xe2\x80\xae"}', X_One="\x80signature: valid"
        )
        assert (status, content) == (200, b"ok\n")
        first, *rest = receiver.block()
        assert first.split()[1:] == ["POST", "/a%0Ab?c=%1b"]
        assert "T" in first.split()[0]
        assert r"  X-One: \x80signature: valid" in rest
        assert rest[-3:] == ["  | {", r'  |   "text": "ü\u202e"', "  | }"]
        assert all(line.startswith("  ") for line in rest)
        assert receiver.rest() == ("", "")
        assert receiver.process.returncode == 0


def test_a_body_that_is_not_text_and_none_at_all() -> None:
    with receiving("--count", "2") as receiver:
        post(receiver.url, b"\x1b[2J\xff\r\nsignature: valid")
        assert receiver.block()[-2:] == [r"  | \x1b[2J\xff\r", "  | signature: valid"]
        post(receiver.url, b"")
        assert receiver.block()[-1] == "  (no body)"


def test_statuses_take_turns_and_headers_and_text_are_sent() -> None:
    with receiving(
        "--status", "503,204,200", "--header", "Retry-After: 3", "--response", "busy", "--count", "4"
    ) as receiver:
        answers = [post(receiver.url) for _ in range(4)]
        assert [status for status, _, _ in answers] == [503, 204, 200, 503]
        assert [content for _, content, _ in answers] == [b"busy", b"", b"busy", b"busy"]
        assert answers[0][2]["Retry-After"] == "3"
        receiver.rest()
        assert receiver.process.returncode == 0


@pytest.mark.parametrize(
    ("style", "secret", "age_s", "verdict"),
    [
        (SigningStyle.STANDARD, SECRET, 0, "valid (standard)"),
        (SigningStyle.GITHUB, "second", 0, "valid (github)"),
        (SigningStyle.STANDARD, "wrong", 0, "invalid (standard, no signature matches a secret)"),
        (SigningStyle.GITHUB, "wrong", 0, "invalid (github, the signature matches no secret)"),
        (SigningStyle.STANDARD, SECRET, 3600, "invalid (standard, webhook-timestamp is more than"),
        (None, "", 0, "absent (the request carries no signature)"),
    ],
)
def test_signatures_are_checked(style: SigningStyle | None, secret: str, age_s: float, verdict: str) -> None:
    with receiving("--secret", SECRET, "--secret-env", "SECOND", "--count", "1", SECOND="second") as receiver:
        at = time.time() - age_s
        headers = signed(b"{}", style, secret, at=at) if style else {}
        assert post(receiver.url, b"{}", **headers)[0] == 200
        assert receiver.block()[1].startswith(f"signature: {verdict}")


@pytest.mark.parametrize(("secret_format", "verdict"), [("base64", "valid"), ("auto", "invalid")])
def test_secrets_are_read_in_the_format_that_is_given(secret_format: str, verdict: str) -> None:
    bare = SECRET.removeprefix("whsec_")
    with receiving("--secret", bare, "--secret-format", secret_format, "--count", "1") as receiver:
        post(receiver.url, b"{}", **signed(b"{}", SigningStyle.STANDARD, f"v1,{SECRET}", at=time.time()))
        assert receiver.block()[1].startswith(f"signature: {verdict} (standard")


def test_json_prints_a_line_for_each_request() -> None:
    with receiving("--json", "--count", "2", "--secret", SECRET) as receiver:
        headers = signed(b'"\x7f\xc2\x9b"', SigningStyle.STANDARD, SECRET, at=time.time())
        post(f"{receiver.url}/x", b'"\x7f\xc2\x9b"', **headers)
        post(receiver.url, b"\xff")
        lines = [receiver.line(), receiver.line()]
        assert all(line.isascii() and line.isprintable() for line in lines)
        first, second = map(json.loads, lines)
        assert (first["method"], first["path"], first["body"]) == ("POST", "/x", '"\x7f\x9b"')
        assert ["Webhook-Id", "d1"] in first["headers"]
        assert first["signature"] == {"verdict": "valid", "style": "standard", "reason": ""}
        assert second["body_base64"] == "/w=="
        assert second["signature"]["verdict"] == "absent"


def test_a_delayed_answer_still_goes_out_when_the_count_is_reached() -> None:
    with receiving("--delay", "300ms", "--count", "1") as receiver:
        began = time.monotonic()
        assert post(receiver.url)[0] == 200
        assert time.monotonic() - began >= 0.3
        receiver.rest()
        assert receiver.process.returncode == 0


def test_reset_resets_the_connection() -> None:
    with receiving("--reset", "--count", "1") as receiver:
        with pytest.raises(ConnectionResetError):
            post(receiver.url)
        assert receiver.block()
        assert receiver.rest() == ("", "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_hang_takes_requests_and_never_answers_until_it_is_stopped(number: signal.Signals) -> None:
    with receiving("--hang") as receiver:
        host, port = receiver.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"POST /hang HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n")
            assert "/hang" in receiver.block()[0]
            client.settimeout(0.2)
            with pytest.raises(TimeoutError):
                client.recv(1)
            receiver.process.send_signal(number)
            assert receiver.rest() == ("", "")
            assert receiver.process.returncode == 0


def test_a_reader_of_the_output_that_goes_away_ends_it_quietly() -> None:
    with receiving() as receiver:
        assert receiver.process.stdout
        receiver.process.stdout.close()
        assert post(receiver.url)[0] == 200
        assert receiver.process.stderr
        assert receiver.process.stderr.read() == ""
        assert receiver.process.wait(10) == 141


def test_headers_may_be_repeated_and_replace_the_servers_own() -> None:
    words = ["--header", "X-A: b", "--header", "x-a: c", "--header", "Content-Type: text/css", "--count", "1"]
    with receiving(*words) as receiver, urllib.request.urlopen(receiver.url, b"{}") as answer:
        assert answer.headers.get_all("X-A") == ["b", "c"]
        assert answer.headers.get_all("Content-Type") == ["text/css"]


def test_what_is_no_request_is_told_in_a_line() -> None:
    with receiving("--count", "1") as receiver:
        host, port = receiver.url.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-E: \x1b[31m\r\n\r\n")
            assert client.recv(12) == b"HTTP/1.0 400"
        assert post(receiver.url)[0] == 200
        receiver.block()
        _, err = receiver.rest()
    assert err.startswith("hookd: Error handling request from 127.0.0.1: ")
    assert err.count("\n") == 1


def test_an_address_in_use_fails() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "hookd", "receive", "--listen", f"127.0.0.1:{port}"]
        ran = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (ran.returncode, ran.stdout) == (1, "")
    assert ran.stderr.startswith(f"hookd: cannot listen on 127.0.0.1:{port}: Address already in use")
    assert "in use" in ran.stderr


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--secret-env", "NOWHERE"], "NOWHERE is not set"),
        (["--secret", "whsec_***"], "must be standard base64"),
        (["--secret", ""], "a secret cannot be used: it is empty"),
    ],
)
def test_a_secret_that_cannot_be_used_is_wrong_usage(
    words: list[str], told: str, capsys: pytest.CaptureFixture[Any]
) -> None:
    assert main(["receive", *words]) == 2
    said = capsys.readouterr().err
    assert told in said
    assert "***" not in said
