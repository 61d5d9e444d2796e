"""What is kept of answers: at most 4 KiB, without secrets, and nothing that drives a terminal (spec 5, 12, 14)."""

import base64
import html
import json
from pathlib import Path
from urllib.parse import quote

from tests.chaos.proof import Findings, Options
from tests.chaos.receivers.stage import Record, WebhookStage, receiver_of, webhook
from tests.kit.commands import hookd
from tests.kit.receiver import Exchange, Script, answer, raw, response

KEPT = 4096

TOKEN = 'tok-"/&+ü%-4711-canary'
KEY = "key-canary-0815-abcdef"
PASSWORD = "pass word-canary-33"
SIGNING = "whsec_" + base64.b64encode(b"signing-canary-0123456789").decode()
IN_URL = "url-canary-token-77-123456"
SECRETS = (TOKEN, KEY, PASSWORD, SIGNING, IN_URL)

WILD = (
    b'\x1b[2J\x1b]0;owned\x07\x00\x7f\x9b31m\r\n\x0b\x85\xe2\x80\xae\xe2\x80\xa8{"event": "forged"}\n\xff\xfe'
)


async def _echo(exchange: Exchange) -> None:
    """Send the request's own head back, once as it is and once in every spelling of its secrets."""
    spellings = [
        spelling
        for secret in SECRETS
        for spelling in (
            secret, json.dumps(secret), json.dumps(secret, ensure_ascii=False), quote(secret, safe=""),
            html.escape(secret),
        )
    ]  # fmt: skip
    echoed = exchange.request.head + b"\n" + "\n".join(spellings).encode()
    await exchange.send(response(200, body=echoed))


async def _echo_at_the_edge(exchange: Exchange) -> None:
    """Put a secret across the end of what is kept."""
    await exchange.send(response(500, body=b"x" * (KEPT - 10) + KEY.encode() + b"y" * 100))


async def _echo_cut_off(exchange: Exchange) -> None:
    """Begin a secret, and close in its middle."""
    half = KEY[: len(KEY) // 2].encode()
    await exchange.send(b"HTTP/1.1 500 No\r\nContent-Length: 1000\r\n\r\nit was " + half)
    exchange.close()


def _scripts() -> dict[str, Script]:
    return {
        "bearer": _echo,
        "apikey": _echo,
        "basic": _echo,
        "edge": _echo_at_the_edge,
        "cut": _echo_cut_off,
        "wild-body": answer(500, body=WILD),
        "wild-phrase": raw(b"HTTP/1.1 500 " + WILD.replace(b"\r\n", b"").replace(b"\n", b"") + b"\r\n\r\n"),
        "wild-line": raw(b"\x1b[2J\x1b[31mHTTP/9.9 \x07\r\n\r\n", then_close=True),
        "wild-header": raw(b"HTTP/1.1 500 No\r\nX-\x1b[31m: \x07\r\nContent-Length: 0\r\n\r\n"),
        "large": answer(200, body=b"z" * 60_000),
        "large-wide": answer(200, body="ü".encode() * 30_000),
    }


def _hooks(url: str) -> dict[str, dict[str, object]]:
    signing = {"secret": {"env": "SIGNING"}}
    auths: dict[str, dict[str, object]] = {
        "bearer": {"type": "bearer", "token": {"env": "TOKEN"}},
        "apikey": {"type": "apikey", "key": {"env": "KEY"}},
        "basic": {"type": "basic", "username": "u", "password": {"env": "PASSWORD"}},
    }
    everything = {
        "headers": {"X-One": {"env": "TOKEN"}, "X-Two": {"env": "KEY"}, "X-Three": {"env": "PASSWORD"}}
    }
    hooks: dict[str, dict[str, object]] = {}
    for name in _scripts():
        target = f"{url}/{name}?k={IN_URL}"
        hooks[name] = webhook(target, signing=signing, auth=auths.get(name, auths["apikey"]), **everything)
    return hooks


def _leaks(text: str) -> list[str]:
    """Which secrets stand in a text, in any of the spellings that were echoed."""
    inner = SIGNING.removeprefix("whsec_")
    pair = base64.b64encode(f"u:{PASSWORD}".encode()).decode()
    forms = {
        form
        for secret in (*SECRETS, inner, pair)
        for form in (secret, json.dumps(secret)[1:-1], quote(secret, safe=""), html.escape(secret))
    }
    return sorted(form for form in forms if form in text)


def _wild(text: str, *, allowed: str) -> str:
    """The first character of a text that could drive a terminal."""
    return next((char for char in text if not char.isprintable() and char not in allowed), "")


async def _shown(stage: WebhookStage, delivery_id: str) -> str:
    """What `hookd show` prints."""
    ended = await hookd("show", delivery_id, "--socket", stage.daemon.socket)
    return ended.out + ended.err


def _too_much(record: Record) -> int:
    """Bytes kept beyond 4 KiB; a replaced byte counts as the one it stands for."""
    kept = len(record["attempts"][-1]["response"].replace("\ufffd", "?").encode())
    return max(0, kept - KEPT)


async def prove(options: Options, found: Findings) -> None:
    """Every answer to its own webhook; then look into records, listings, log and store."""
    directory = options.place("answers")
    environment = {"TOKEN": TOKEN, "KEY": KEY, "PASSWORD": PASSWORD, "SIGNING": SIGNING}
    # The target is followed by a query, which `by_target` is not to know.
    scripts = {f"{name}?k={IN_URL}": script for name, script in _scripts().items()}
    async with receiver_of(scripts) as receiver:
        stage = WebhookStage(directory, _hooks(f"http://127.0.0.1:{receiver.port}"), env=environment)
        async with stage:
            records = await stage.outcomes(_scripts())
            shown = {
                name: await _shown(stage, record["id"])
                for name, record in records.items()
                if not options.short or name.startswith(("wild", "edge"))
            }
    for name, record in records.items():
        found.expect(record["attempts"], f"answers, {name}: no attempt is recorded")
        found.expect(
            not _too_much(record), f"answers, {name}: {_too_much(record)} bytes more than 4 KiB are kept"
        )
        text = json.dumps(record, ensure_ascii=False)
        found.expect(not _leaks(text), f"answers, {name}: the record shows {_leaks(text)}")
        found.expect(
            not _wild(record["last_error"], allowed=""), f"answers, {name}: {record['last_error']!r}"
        )
    half = KEY[: len(KEY) // 2]
    for name in ("edge", "cut"):
        kept = records[name]["attempts"][-1]["response"]
        found.expect(
            half[:8] not in kept, f"answers, {name}: the beginning of a secret is kept, {kept[-40:]!r}"
        )
    for name, text in shown.items():
        found.expect(
            not _wild(text, allowed="\n"), f"answers, {name}: `show` prints {_wild(text, allowed=chr(10))!r}"
        )
        found.expect(not _leaks(text), f"answers, {name}: `show` prints {_leaks(text)}")
    _look_into_files(directory, found)
    found.figures["answers"] = (
        f"{len(records)} answers kept, {len(shown)} shown; log and store searched for {len(SECRETS)} secrets"
    )


def _look_into_files(directory: Path, found: Findings) -> None:
    log = (directory / "daemon.log").read_text(errors="surrogateescape")
    found.expect(not _leaks(log), f"answers: the log shows {_leaks(log)}")
    found.expect(not _wild(log, allowed="\n"), f"answers: the log holds {_wild(log, allowed=chr(10))!r}")
    forged = [
        line for line in log.splitlines() if line.startswith("{") and json.loads(line)["event"] == "forged"
    ]
    found.expect(not forged, f"answers: {len(forged)} forged lines in the log")
    for path in directory.glob("h.db*"):
        held = path.read_bytes().decode("utf-8", "surrogateescape")
        found.expect(not _leaks(held), f"answers: {path.name} holds {_leaks(held)}")
