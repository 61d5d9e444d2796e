"""A canary in every place for a secret, every way for an attempt and a reload to fail, and a search for them all.

Must never: count a place as searched that was empty. Called by: the package.
"""

import asyncio
import json
import random
import re
from base64 import b64encode
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

from tests.chaos.proof import Findings, Options
from tests.chaos.secrets.faulty import faulty
from tests.kit.ports import free_port
from tests.kit.receiver import Received
from tests.kit.stage import Stage

KINDS = ("bearer", "apikey", "basic", "header")
ECHOES = (
    "body", "json", "upper", "lower", "percent", "phrase", "headers", "redirect",
    "cut4k", "cut64k", "chunks", "garbage", "reset", "hang", "late",
    "base64", "base64-on", "unpadded", "hex", "escaped", "entities", "percent-all", "short",
)  # fmt: skip
SHORT = 10
"""Characters of a value that a receiver gives back which cuts them short."""
BEYOND = ("refused", "name", "tls")

ESCAPES = ("\\u{:04x}", "&#{};", "%{:02x}")

Refer = Callable[[str, str], str]
"""Keeps a value for a part of a webhook; the YAML that refers to it."""


@dataclass
class Cage:
    """Canaries by their place, and where they were looked for."""

    chance: random.Random
    birds: dict[str, str] = field(default_factory=dict)
    searched: int = 0
    found: list[str] = field(default_factory=list)

    def new(self, place: str) -> str:
        """A canary of its own for a place: letters of both cases and digits, so that no spelling changes it."""
        bird = "".join(self.chance.choices("abcdefghkmnpqrstuvwxyzABCDEFGHKMNPQRSTUVWXYZ23456789", k=24))
        self.birds[place] = bird
        return bird

    def search(self, name: str, text: bytes | str) -> None:
        """Look for the beginning of every canary, in any case, hexadecimal, escaped, and in base64 at any offset."""
        data = text.encode(errors="surrogateescape") if isinstance(text, str) else text
        self.searched += bool(data)
        lowered = data.lower()
        for place, bird in self.birds.items():
            raw = bird[:SHORT].encode()
            coded = (b64encode(b"x" * skip + raw)[4:12] for skip in range(3))
            plain = (raw, raw.hex().encode(), *(_escaped(raw.decode(), form).encode() for form in ESCAPES))
            if any(each.lower() in lowered for each in plain) or any(each in data for each in coded):
                self.found.append(f"the canary of {place} stands in {name}")


def _escaped(text: str, form: str) -> str:
    return "".join(form.format(ord(char)) for char in text)


async def canaries(directory: Path, findings: Findings, options: Options) -> dict[str, object]:
    """Run the scene; returns the figures."""
    cage = Cage(options.chance())
    env = {"CREDENTIALS_DIRECTORY": str(directory / "credentials"), "PYTHONFAULTHANDLER": "1"}
    async with Stage(directory / "stage", env=env) as stage:
        (directory / "credentials").mkdir()
        stage.directory.mkdir()
        kinds = ("bearer", "basic") if options.short else KINDS
        names = _write(stage, cage, directory / "credentials", kinds)
        stage.receiver.reply = _echo
        await stage.start()
        made = await _attempt_all(stage, names)
        await _searched_outside(stage, cage, made)
        await faulty(
            stage,
            cage,
            (directory / "stage" / "hookd.yaml").read_text(),
            short=options.short,
        )
        await _searched_files(stage, cage)
        await stage.daemon.kill()
        failures = sum(len(each) for each in made.values())
    for found in cage.found:
        findings.expect(False, found)
    findings.expect(failures, "no attempt failed")
    return {
        "canaries": len(cage.birds),
        "places_searched": cage.searched,
        "canaries_found": len(cage.found),
        "attempts_that_failed": failures,
    }


def _write(stage: Stage, cage: Cage, credentials: Path, kinds: Iterable[str]) -> list[str]:
    """The configuration: each kind of authorization with each way to fail; returns the webhooks' names."""
    webhooks, names = [], []
    addresses = {
        "refused": f"http://127.0.0.1:{free_port()}",
        "name": "http://nobody.invalid",
        "tls": stage.receiver.url.replace("http:", "https:"),
    }
    for number, (kind, way) in enumerate((kind, way) for kind in kinds for way in (*ECHOES, *BEYOND)):
        name = f"{kind}-{way}"
        path, query, header = (cage.new(f"{name} {part}") for part in ("path", "query", "header"))
        url = f"{addresses.get(way, stage.receiver.url)}/{way}/{path}?token={query}"
        signing = b64encode(cage.new(f"{name} signing").encode()).decode()
        refer = _keeper(stage, credentials, number)
        webhooks.append(
            f"  {name}:\n    url: {refer('URL', url)}\n    retries: 0\n    timeout: 3\n    method: POST\n"
            f"    auth: {_auth(kind, cage.new(f'{name} auth'), refer)}\n"
            f"    headers: {{X-Secret: {refer('HEADER', header)}}}\n"
            f"    signing: {{secret: {refer('SIGN', 'whsec_' + signing)}}}\n"
        )
        names.append(name)
    token = _keeper(stage, credentials, 0)("LISTEN", cage.new("listen token"))
    plain = cage.new("plain listen token")
    daemon = (
        f"daemon:\n  listen: [{{unix: h.sock}}, {{http: '127.0.0.1:{free_port()}', tokens: [{token}, {plain}]}}]\n"
        "  store: h.db\n  log: {level: debug, format: json}\n"
    )
    stage.write("webhooks:\n" + "".join(webhooks), daemon=daemon)
    return names


def _keeper(stage: Stage, credentials: Path, number: int) -> Refer:
    """How secrets of a webhook are kept: by turns in the environment, a file, a credential, and the text itself."""

    def refer(part: str, value: str) -> str:
        name = f"C_{part}_{number}"
        match number % 4:
            case 0:
                stage.env[name] = value
                return f"{{env: {name}}}"
            case 1:
                (stage.directory / name).write_text(value + "\n")
                return f"{{file: {name}}}"
            case 2:
                (credentials / name).write_text(value)
                return f"{{credential: {name}}}"
        return json.dumps(value)

    return refer


def _auth(kind: str, value: str, refer: Refer) -> str:
    match kind:
        case "bearer":
            return f"{{type: bearer, token: {refer('AUTH', value)}}}"
        case "apikey":
            return f"{{type: apikey, key: {refer('AUTH', value)}, prefix: 'Key-'}}"
        case "basic":
            return f"{{type: basic, username: hookd, password: {refer('AUTH', value)}}}"
    return "{type: none}"


async def _echo(request: Received) -> bytes:
    """The receiver: hand the whole request back, as its target asks."""
    way = request.target.split("/")[1]
    head = "\r\n".join([f"{request.method} {request.target}", *(f"{k}: {v}" for k, v in request.headers)])
    flat = head.replace("\r\n", " ")
    bodies = {
        "json": json.dumps({"target": request.target, "headers": dict(request.headers)}),
        "upper": head.upper(),
        "lower": head.lower(),
        "percent": quote(head),
        "base64": b64encode(head.encode()).decode(),
        "base64-on": b64encode(f"x{head}".encode()).decode(),
        "unpadded": " ".join(b64encode(value.encode()).decode().rstrip("=") for _, value in request.headers),
        "hex": head.encode().hex(),
        "escaped": _escaped(head, ESCAPES[0]),
        "entities": _escaped(head, ESCAPES[1]),
        "percent-all": _escaped(head, ESCAPES[2]),
        "short": _cut_short(head),
        "cut4k": "-" * (4096 - len(head) // 2) + head * 3,
        "cut64k": "-" * (65536 - len(head) // 2) + head * 3,
    }
    lines = "HTTP/1.1 400 X\r\n"
    match way:
        case "phrase":
            return f"HTTP/1.1 400 {flat}\r\nContent-Length: 0\r\n\r\n".encode()
        case "headers":
            lines += f"X-Echo: {flat}\r\nSet-Cookie: {flat}\r\n"
        case "redirect":
            lines = f"HTTP/1.1 302 {flat}\r\nLocation: {request.target}&{quote(flat)}\r\n"
        case "garbage":
            return f"{flat}\r\n\r\n".encode()
        case "reset":
            raise ConnectionResetError
        case "hang":
            await asyncio.sleep(5)
        case "late":
            return f"HTTP/1.1 400 X\r\nContent-Length: 99999\r\n\r\n{head}".encode()
        case "chunks":
            parts = "".join(f"{1:x}\r\n{char}\r\n" for char in flat)
            return f"HTTP/1.1 400 X\r\nTransfer-Encoding: chunked\r\n\r\n{parts}0\r\n\r\n".encode()
    body = bodies.get(way, head)
    return f"{lines}Content-Length: {len(body)}\r\n\r\n{body}".encode()


def _cut_short(head: str) -> str:
    """Every word and part of a word to its first characters only, as in `sk_live_01…`."""
    return re.sub(r"[A-Za-z0-9+=]+", lambda found: found[0][:SHORT], head)


async def _attempt_all(stage: Stage, names: list[str]) -> dict[str, list[dict[str, object]]]:
    made = {}
    for name in names:
        answered, receipt = await stage.daemon.request("POST", f"/v1/webhooks/{name}/send", body={})
        assert answered == 202, receipt
        made[name] = receipt["deliveries"]
    for deliveries in made.values():
        for each in deliveries:
            await stage.daemon.delivery_when(each["id"], "dead", within_s=30)
    return made


async def _searched_outside(stage: Stage, cage: Cage, made: dict[str, list[dict[str, object]]]) -> None:
    """Everything the daemon and the commands say."""
    paths = ["deliveries?limit=500", "events", "webhooks", "config", "status"]
    for path in (*(f"/v1/{each}" for each in paths), "/metrics", "/healthz", "/readyz", "/v1/none"):
        _, answer = await stage.daemon.request("GET", path)
        cage.search(path, answer if isinstance(answer, bytes) else json.dumps(answer))
    ids = [str(each["id"]) for deliveries in made.values() for each in deliveries]
    for one in ids:
        answer = json.dumps(await stage.daemon.get(f"/v1/deliveries/{one}"))
        cage.search(f"/v1/deliveries/{one}", answer)
    (stage.directory / "event.json").write_text('{"type": "a", "event": "b"}')
    commands = (
        "status", "status --json", "deliveries", "deliveries --json", f"show {ids[0]}", f"show {ids[0]} --json",
        "check", "check --format json", "schedules --json", "types", "trigger nothing", "send nothing",
        "emit a b --json", "explain event.json", f"retry {ids[0]}", "pause bearer-body", "resume bearer-body",
        "reload", "cancel nothing",
    )  # fmt: skip
    for start in range(0, len(commands), 4):
        together = commands[start : start + 4]
        for command, ran in zip(
            together, await asyncio.gather(*(stage.hookd(*each.split()) for each in together)), strict=True
        ):
            cage.search(f"hookd {command}", ran.out + ran.err)
    _, answer = await stage.daemon.request(
        "GET", "/v1/status", headers={"Authorization": "Bearer " + cage.birds["listen token"] + "x"}
    )
    cage.search("a request with a token", json.dumps(answer))


async def _searched_files(stage: Stage, cage: Cage) -> None:
    cage.search("/proc/PID/cmdline", _read(f"/proc/{stage.daemon.pid}/cmdline"))
    for suffix in ("", "-wal"):
        path = stage.directory / f"h.db{suffix}"
        if path.exists():
            cage.search(path.name, path.read_bytes())
    cage.search("the log", stage.daemon.log.read_bytes())


def _read(path: str) -> bytes:
    return Path(path).read_bytes()
