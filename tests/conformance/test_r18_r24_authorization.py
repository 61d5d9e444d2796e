"""R18 to R24: the four authorization types, as they stand on the wire, and nowhere else."""

import json
from base64 import b64encode
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import quote

import pytest
import pytest_asyncio

from tests.kit.receiver import Received, response
from tests.kit.stage import Stage


def basic(pair: str) -> bytes:
    return b"Authorization: Basic " + b64encode(pair.encode())


SENT = {
    "bearer": ("{type: bearer, token: t0ken-abc.DEF_~+/==}", b"Authorization: Bearer t0ken-abc.DEF_~+/=="),
    "bearer env": ("{type: bearer, token: {env: R19_TOKEN}}", b"Authorization: Bearer from-env"),
    "bearer file": ("{type: bearer, token: {file: token.txt}}", b"Authorization: Bearer from-file"),
    "bearer credential": ("{type: bearer, token: {credential: token}}", b"Authorization: Bearer from-credential"),
    "bearer with its word": ("{type: bearer, token: Bearer full-token}", b"Authorization: Bearer full-token"),
    "bearer with its word twice": ("{type: bearer, token: Bearer Bearer tw}", b"Authorization: Bearer tw"),
    "bearer in small": ("{type: bearer, token: bearer full-token}", b"Authorization: Bearer full-token"),
    "bearer with its word, env": ("{type: bearer, token: {env: R21_TOKEN}}", b"Authorization: Bearer full-from-env"),
    "bearer like the word": ("{type: bearer, token: BearerOfNews}", b"Authorization: Bearer BearerOfNews"),
    "apikey": ("{type: apikey, key: 'raw key: 1,2 \"3\"'}", b'X-API-Key: raw key: 1,2 "3"'),
    "apikey full": ("{type: apikey, key: Bearer k3y}", b"X-API-Key: Bearer k3y"),
    "apikey header": ("{type: apikey, key: k3y, header: x-Auth-TOKEN}", b"x-Auth-TOKEN: k3y"),
    "apikey prefix": ("{type: apikey, key: k3y, prefix: 'Token token='}", b"X-API-Key: Token token=k3y"),
    "apikey both": ("{type: apikey, key: k3y, header: Authorization, prefix: 'Token '}", b"Authorization: Token k3y"),
    "apikey env": ("{type: apikey, key: {env: R22_KEY}}", b"X-API-Key: from-env"),
    "apikey file": ("{type: apikey, key: {file: sub/key.txt}}", b"X-API-Key: from-file"),
    "apikey credential": ("{type: apikey, key: {credential: key}}", b"X-API-Key: from-credential"),
    "basic": ("{type: basic, username: admin, password: pa55word}", basic("admin:pa55word")),
    "basic utf-8": ("{type: basic, username: jürgen, password: 'pä:ß €'}", basic("jürgen:pä:ß €")),
    "basic long": (f"{{type: basic, username: {'u' * 90}, password: {'p' * 90}}}", basic(f"{'u' * 90}:{'p' * 90}")),
    "basic env": ("{type: basic, username: admin, password: {env: R23_PASSWORD}}", basic("admin:from-env")),
    "basic file": ("{type: basic, username: admin, password: {file: password.txt}}", basic("admin:from-file")),
    "basic credential": ("{type: basic, username: admin, password: {credential: pw}}", basic("admin:from-credential")),
}  # fmt: skip
"""What stands in `auth:`, and the one line that must go out."""

NOTHING = {"none": "auth: {type: none}", "left out": "description: no auth at all"}

ENV = {
    "R19_TOKEN": "from-env",
    "R21_TOKEN": "Bearer full-from-env",
    "R22_KEY": "from-env",
    "R23_PASSWORD": "from-env",
}
FILES = {"token.txt": "from-file\n", "sub/key.txt": "from-file\r\n", "password.txt": "from-file"}
CREDENTIALS = {"token": "from-credential\n", "key": "from-credential\n", "pw": "from-credential"}


def config() -> str:
    webhooks = {**{key: f"auth: {auth}" for key, (auth, _) in SENT.items()}, **NOTHING}
    return "".join(
        (
            "webhooks:\n",
            *(f'  "{key}": {{url: "RECEIVER/{quote(key)}", {rest}}}\n' for key, rest in webhooks.items()),
            "tasks:\n",
            *(f'  "{key}": {{webhook: "{key}"}}\n' for key in webhooks),
            "events:\n",
            *(f'  "{key}": {{type: auth, event: "{key}", task: "{key}"}}\n' for key in webhooks),
        )
    )


def lay_out(directory: Path) -> dict[str, str]:
    """Write what the references refer to; the environment that goes with it."""
    for folder, contents in (("", FILES), ("credentials", CREDENTIALS)):
        for name, text in contents.items():
            path = directory / folder / name
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(text.encode())
    return {**ENV, "CREDENTIALS_DIRECTORY": str(directory / "credentials")}


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def shared(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    async with Stage(tmp_path_factory.mktemp("authorization")) as stage:
        stage.env |= lay_out(stage.directory)
        stage.write(config())
        await stage.start()
        yield stage


async def sent(stage: Stage, key: str) -> Received:
    _, receipt = await stage.daemon.post({"type": "auth", "event": key})
    [record] = await stage.settled(receipt)
    assert record["state"] == "delivered"
    return await stage.arrived(f"/{quote(key)}")


async def shows_one_line(stage: Stage, key: str) -> None:
    request = await sent(stage, key)
    line = SENT[key][1]
    assert request.lines_of(line.split(b":")[0].decode()) == [line]
    carriers = {
        name for name in request.names if name.lower() in {"authorization", "x-api-key", "x-auth-token"}
    }
    assert carriers == {line.split(b":")[0].decode()}


def rows(start: str) -> list[str]:
    return [key for key in SENT if key.split()[0] == start]


async def test_r18_the_types_are_these_four(stage: Stage) -> None:
    good = (
        "{type: bearer, token: t}", "{type: apikey, key: k}", "{type: basic, username: u, password: p}", "{type: none}",
    )  # fmt: skip
    webhooks = "".join(
        f"  w{number}: {{url: RECEIVER/x, auth: {auth}}}\n" for number, auth in enumerate(good)
    )
    assert await stage.findings(f"webhooks:\n{webhooks}") == []


async def test_r18_any_other_type_is_refused_and_the_four_are_named(stage: Stage) -> None:
    wrong = ("digest", "Bearer", "api_key", "API Key", "oauth2", "hmac", '""', "null", "true")
    webhooks = "".join(
        f"  w{number}: {{url: RECEIVER/x, auth: {{type: {type_}}}}}\n" for number, type_ in enumerate(wrong)
    )
    found = await stage.findings(f"webhooks:\n{webhooks}")
    assert [one["where"] for one in found] == [
        f"webhooks.w{number}.auth.type" for number in range(len(wrong))
    ]
    for one in found:
        assert one["severity"] == "error"
        assert "none, bearer, apikey, basic" in one["message"]
    assert 'did you mean "bearer"?' in found[1]["message"]


INCOMPLETE = {
    "bearer without token": ("{type: bearer}", "token"),
    "bearer with an empty token": ('{type: bearer, token: ""}', "empty"),
    "bearer with a key": ("{type: bearer, token: t, key: k}", "unknown key"),
    "apikey without key": ("{type: apikey}", "key"),
    "apikey with a bad header": ("{type: apikey, key: k, header: 'X Y'}", "header"),
    "apikey in Host": ("{type: apikey, key: k, header: Host}", "Host"),
    "apikey in Content-Type": ("{type: apikey, key: k, header: content-type}", "Content-Type"),
    "basic without password": ("{type: basic, username: u}", "password"),
    "basic without username": ("{type: basic, password: p}", "username"),
    "basic with one field": ("{type: basic, password: 'u:p'}", "username"),
    "no type": ("{token: t}", "type"),
    "only a word": ("none", "mapping"),
    "none with a token": ("{type: none, token: t}", "unknown key"),
    "a line break": ('{type: bearer, token: "t-5ecret\\r\\nX-Evil: 1"}', "line break"),
    "a variable that is not set": ("{type: bearer, token: {env: R18_NOT_SET}}", "R18_NOT_SET"),
    "a file that is not there": ("{type: apikey, key: {file: nowhere.txt}}", "nowhere.txt"),
    "a credential outside systemd": ("{type: apikey, key: {credential: nothing}}", "nothing"),
}


async def test_r18_each_type_has_its_own_fields(stage: Stage) -> None:
    webhooks = "".join(
        f'  "{key}": {{url: RECEIVER/x, auth: {auth}}}\n' for key, (auth, _) in INCOMPLETE.items()
    )
    found = await stage.findings(f"webhooks:\n{webhooks}")
    for number, (key, (_, word)) in enumerate(INCOMPLETE.items()):
        told = [one for one in found if one["line"] == number + 2]
        assert told, key
        assert all(one["severity"] == "error" and key in one["where"] for one in told)
        assert any(word in one["message"] for one in told), told
    assert "t-5ecret" not in json.dumps(found)


@pytest.mark.parametrize("key", [key for key in SENT if {"env", "file", "credential"} & set(key.split())])
async def test_r19_the_header_is_made_of_type_and_value_wherever_the_value_is_kept(
    shared: Stage, key: str
) -> None:
    await shows_one_line(shared, key)


async def test_r20_hookd_adds_the_word_bearer(shared: Stage) -> None:
    await shows_one_line(shared, "bearer")


@pytest.mark.parametrize("key", ["bearer with its word", "bearer with its word twice", "bearer in small"])
async def test_r21_a_token_given_with_the_word_is_sent_with_one(shared: Stage, key: str) -> None:
    await shows_one_line(shared, key)


async def test_r21_a_token_that_only_begins_like_the_word_is_left_alone(shared: Stage) -> None:
    await shows_one_line(shared, "bearer like the word")


async def test_r21_the_word_is_warned_of(shared: Stage) -> None:
    ran = await shared.hookd("check", "hookd.yaml")
    warned = [line for line in ran.out.splitlines() if "warning:" in line]
    keys = (
        "bearer with its word",
        "bearer with its word twice",
        "bearer in small",
        "bearer with its word, env",
    )
    places = [f'webhooks."{key}".auth.token' for key in keys]
    assert [place for place in places if sum(place in line for line in warned) == 1] == places
    assert all('begins with "Bearer "' in line for line in warned)
    assert len(warned) == 4
    assert ran.code == 0
    assert "token" not in "".join(warned).replace(".token", ""), "what is warned of is not repeated"
    shown = (await shared.hookd("status")).out
    assert sum(place in shown for place in places) == 3
    assert "and 1 more: `hookd check` lists them" in shown


@pytest.mark.parametrize("key", ["apikey", "apikey full", "apikey header", "apikey prefix", "apikey both"])
async def test_r22_a_key_is_sent_raw(shared: Stage, key: str) -> None:
    await shows_one_line(shared, key)


@pytest.mark.parametrize("key", ["basic", "basic utf-8", "basic long"])
async def test_r23_user_name_and_password_are_encoded(shared: Stage, key: str) -> None:
    await shows_one_line(shared, key)


async def test_r23_a_colon_in_the_user_name_is_refused(stage: Stage) -> None:
    [found] = await stage.findings(
        "webhooks: {w: {url: RECEIVER/x, auth: {type: basic, username: 'ad:min', password: pa55word}}}\n"
    )
    assert (found["where"], found["severity"]) == ("webhooks.w.auth.username", "error")
    assert "colon" in found["message"]
    assert "pa55word" not in found["message"]


@pytest.mark.parametrize("key", NOTHING)
async def test_r24_none_sends_no_authorization(shared: Stage, key: str) -> None:
    request = await sent(shared, key)
    assert [name.lower() for name in request.names] == [
        "host", "user-agent", "content-type", "webhook-id", "webhook-timestamp", "content-length",
    ]  # fmt: skip


CANARIES = {
    name: f'{name}-cAnary/5ecret+"'
    for name in ("bearer-plain", "bearer-env", "key-plain", "key-file", "password-plain", "password-cred")
}
SECRET_CONFIG = f"""
webhooks:
  bearer-plain: {{url: RECEIVER/1, auth: {{type: bearer, token: '{CANARIES["bearer-plain"]}'}}, backoff: [20ms]}}
  bearer-env: {{url: RECEIVER/2, auth: {{type: bearer, token: {{env: CANARY}}}}, backoff: [20ms], retries: 1}}
  key-plain: {{url: RECEIVER/3, auth: {{type: apikey, key: '{CANARIES["key-plain"]}', prefix: K=}}, backoff: [20ms]}}
  key-file: {{url: RECEIVER/4, auth: {{type: apikey, key: {{file: key.txt}}}}, backoff: [20ms]}}
  password-plain:
    url: RECEIVER/5
    auth: {{type: basic, username: admin, password: '{CANARIES["password-plain"]}'}}
    backoff: [20ms]
  password-cred:
    url: RECEIVER/6
    auth: {{type: basic, username: admin, password: {{credential: pw}}}}
    backoff: [20ms]
tasks:
  all1: {{webhook: bearer-plain}}
  all2: {{webhook: bearer-env}}
  all3: {{webhook: key-plain}}
  all4: {{webhook: key-file}}
  all5: {{webhook: password-plain}}
  all6: {{webhook: password-cred}}
events:
  all: {{type: secret, event: used, task: [all1, all2, all3, all4, all5, all6]}}
"""
PATHS = ("/v1/config", "/v1/status", "/v1/webhooks", "/v1/deliveries", "/v1/events", "/metrics", "/readyz")


async def everything_told(stage: Stage) -> dict[str, str]:
    """All that the daemon and the commands say, by where it is said; each delivery has been tried and shown."""
    receipt = await stage.emit("secret", "used")
    records = await stage.settled(receipt)
    assert sorted({record["state"] for record in records}) == ["dead", "delivered"]
    told = {"records": json.dumps(records, ensure_ascii=False)}
    for words in (
        ("status",), ("status", "--json"), ("deliveries",), ("deliveries", "--json"), ("check", "hookd.yaml"),
        ("emit", "secret", "used"), ("trigger", "all1"), ("reload",),
        *(("show", record["id"]) for record in records), *(("show", record["id"], "--json") for record in records),
    ):  # fmt: skip
        ran = await stage.hookd(*words)
        assert ran.code == 0, ran.err
        told[" ".join(words)] = ran.out + ran.err
    for path in PATHS:
        answer = await stage.daemon.get(path)
        told[path] = answer.decode() if isinstance(answer, bytes) else json.dumps(answer, ensure_ascii=False)
    (stage.directory / "key.txt").write_text('key-cAnary/5ecret+"bad\x01\n')
    refused = await stage.hookd("reload")
    assert refused.code == 1
    told["reload, refused"] = refused.out + refused.err
    return told


async def test_r18_no_credential_is_told_anywhere(stage: Stage) -> None:
    async def echo(request: Received) -> bytes:
        """Repeat what came, in several spellings, and fail the first two times (and one webhook for good)."""
        values = [value for _, value in request.headers]
        spellings = [*values, *map(quote, values), *map(json.dumps, values)]
        failed = request.target == "/2" or len(stage.receiver.at(request.target)) < 2
        return response(500 if failed else 200, body="\n".join(spellings).encode())

    (stage.directory / "key.txt").write_text(CANARIES["key-file"])
    (stage.directory / "pw").write_text(CANARIES["password-cred"])
    stage.env |= {"CANARY": CANARIES["bearer-env"], "CREDENTIALS_DIRECTORY": str(stage.directory)}
    stage.receiver.reply = echo
    stage.write(SECRET_CONFIG)
    await stage.start()
    told = await everything_told(stage)
    sent_lines = {
        line for n in range(1, 7) for request in stage.receiver.at(f"/{n}") for line in request.lines
    }
    assert {
        f"Authorization: Bearer {CANARIES['bearer-plain']}".encode(),
        f"Authorization: Bearer {CANARIES['bearer-env']}".encode(),
        f"X-API-Key: K={CANARIES['key-plain']}".encode(),
        f"X-API-Key: {CANARIES['key-file']}".encode(),
        basic(f"admin:{CANARIES['password-plain']}"),
        basic(f"admin:{CANARIES['password-cred']}"),
    } <= sent_lines, "they were used"
    await stage.stop()
    told["log"] = stage.daemon.log.read_text()
    for path in stage.directory.glob("h.db*"):
        told[path.name] = path.read_bytes().decode("latin-1")
    assert "attempt.failed" in told["log"]
    assert "config.rejected" in told["log"]
    assert "***" in told["records"], "what the receiver echoed was kept, masked"
    pairs = [f"admin:{CANARIES[name]}" for name in ("password-plain", "password-cred")]
    encoded = [b64encode(pair.encode()).decode() for pair in pairs]
    for needle in ("cAnary", *encoded):
        assert [place for place, text in told.items() if needle in text] == [], needle
