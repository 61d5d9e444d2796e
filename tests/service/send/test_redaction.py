"""A receiver that echoes secrets does not get them into what is stored."""

import base64
import html
import json
import random
import string
import time
from collections.abc import Callable
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hookd.delivery.http.redaction import EXCERPT_BYTES, Redactor
from hookd.domain.definitions import Secret, SecretFormat, Signing, WebhookDef
from tests.kit.receiver import Exchange, Receiver, response
from tests.service.send.attempts import Attempts

BASIC = base64.b64encode("user:p/ss wörd".encode()).decode()


def masked(body: str, **fields: object) -> str:
    defaults: dict[str, object] = {"url": Secret("http://h.example/")}
    definition = WebhookDef("w", **(defaults | fields))  # type: ignore[arg-type]
    return Redactor(definition).excerpt(body.encode(), whole=True).decode()


async def test_an_echo_of_everything_shows_nothing(send: Attempts) -> None:
    async def echo(exchange: Exchange) -> None:
        await exchange.send(response(400, body=exchange.request.head))

    async with Receiver(echo) as receiver:
        outcome = await send(
            Secret(receiver.to("/hooks/T0ABCDEFG/xyz?key=s3cr3t"), "env URL"),
            headers=(
                ("X-Team", Secret("team-secret", "file /run/team")),
                ("X-Plain", Secret("plain-text")),
                ("X-Api-Key", Secret("api-secret")),
                ("Authorization", Secret("Bearer bearer-secret")),
            ),
            signing=Signing((Secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),)),
        )
    text = outcome.response.decode()
    for secret in ("T0ABCDEFG", "s3cr3t", "team-secret", "api-secret", "bearer-secret"):
        assert secret not in text
    assert "POST *** HTTP/1.1" in text
    assert "X-Plain: plain-text" in text


AUTH = (("Authorization", Secret('Bearer tok/en+ä"<>&', "env TOKEN")),)
TOKEN = AUTH[0][1].value.removeprefix("Bearer ")


@pytest.mark.parametrize(
    "echo",
    [
        TOKEN,
        json.dumps(TOKEN)[1:-1],
        json.dumps(TOKEN)[1:-1].replace("/", "\\/"),
        json.dumps(TOKEN, ensure_ascii=False)[1:-1],
        quote(TOKEN),
        quote(TOKEN, safe=""),
        html.escape(TOKEN),
    ],
)
def test_other_spellings_are_masked_too(echo: str) -> None:
    assert masked(f"<{echo}> <Bearer {echo}>", headers=AUTH) in {"<***> <***>", "<***> <Bearer ***>"}


@pytest.mark.parametrize("echo", [BASIC, f"Basic {BASIC}", "user:p/ss wörd", "p/ss wörd", "p/ss%20w%C3%B6rd"])
def test_basic_credentials_are_masked_in_every_part(echo: str) -> None:
    assert masked(f"({echo})", headers=(("Authorization", Secret(f"Basic {BASIC}")),)) == "(***)"


def test_a_user_name_without_a_password_is_the_key() -> None:
    header = ("Authorization", Secret("Basic " + base64.b64encode(b"sk_l1ve:").decode()))
    assert masked("(sk_l1ve)", headers=(header,)) == "(***)"


def test_credentials_that_are_not_basic_after_all() -> None:
    assert masked("(abcde)", headers=(("Authorization", Secret("Basic abcde")),)) == "(***)"


@pytest.mark.parametrize("echo", ["key=api-secret", "api-secret"])
def test_a_prefix_does_not_protect_a_key(echo: str) -> None:
    assert masked(f"({echo})", headers=(("X-Key", Secret("key=api-secret")),)) == "(***)"


@pytest.mark.parametrize(
    "echo",
    [
        "https://h.example/hooks/a%20long%20token?b=value",
        "/hooks/a%20long%20token?b=value",
        "/hooks/a%20long%20token",
        "a%20long%20token",
        "a long token",
        "b=value",
        "value",
    ],
)
def test_a_secret_url_is_masked_whole_and_in_its_parts(echo: str) -> None:
    url = Secret("https://h.example/hooks/a%20long%20token?b=value", "credential url")
    assert masked(f"({echo})", url=url) == "(***)"


@pytest.mark.parametrize(
    ("url", "echo"),
    [
        (
            Secret("https://h.example/hooks/inventory?team=blue"),
            "/hooks/inventory?team=blue",
        ),  # words, no tokens
        (Secret("https://h.example/", "env URL"), "h.example / hooks"),
        (Secret("https://h.example/hooks/x", "env URL"), "hooks"),
    ],
)
def test_what_is_not_secret_stays(url: Secret, echo: str) -> None:
    assert masked(f"({echo})", url=url) == f"({echo})"


@pytest.mark.parametrize(
    "url", ["https://h.example/hooks/T0KEN0123456789abcdef", "https://h.example/?key=T0KEN0123456789abcdef"]
)
def test_what_looks_like_a_token_in_a_plain_url_is_masked(url: str) -> None:
    assert masked("(T0KEN0123456789abcdef)", url=Secret(url)) == "(***)"


def test_both_spellings_of_a_signing_secret() -> None:
    signing = Signing((Secret("whsec_MfKQ9r8GKYqr"), Secret("other one")))
    assert masked("(whsec_MfKQ9r8GKYqr MfKQ9r8GKYqr other one)", signing=signing) == "(*** *** ***)"


@pytest.mark.parametrize(
    "echo",
    [
        "v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ",
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ==",
        "C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ==",
        "C2FVsBQIhrscChlQIMV-b5sSYspob7oDAQ",
        "0b6155b0140886bb1c0a195020c57e6f9b1262ca686fba0301",
    ],
)
def test_a_signing_key_is_masked_as_it_is_written_and_in_other_forms(echo: str) -> None:
    written = "v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ"
    for signing in (
        Signing((Secret(written),)),
        Signing((Secret(written),), secret_format=SecretFormat.BASE64),
    ):
        told = masked(f"({echo})", signing=signing)
        assert "C2FVsBQIhrsc" not in told
        assert "0b6155" not in told
        assert "***" in told


def test_very_short_values_are_left_alone() -> None:
    assert masked("a flag", headers=(("X-Flag", Secret("a", "env FLAG")),)) == "a flag"


def test_an_excerpt_never_ends_within_a_secret() -> None:
    token = "secret-" * 10
    redactor = Redactor(
        WebhookDef("w", Secret("http://h.example/"), headers=(("Authorization", Secret(token)),))
    )
    for before in range(EXCERPT_BYTES - 80, EXCERPT_BYTES + 10):
        body = b"." * before + token.encode() * 3
        shown = redactor.excerpt(body[: redactor.window], whole=False)
        assert len(shown) <= EXCERPT_BYTES
        assert b"secr" not in shown


@pytest.mark.parametrize(("whole", "shown"), [(False, "it is ***"), (True, "it is s3cre")])
def test_a_secret_cut_off_with_the_answer(*, whole: bool, shown: str) -> None:
    redactor = Redactor(
        WebhookDef("w", Secret("http://h.example/"), headers=(("X-Token", Secret("s3cret")),))
    )
    assert redactor.excerpt(b"it is s3cre", whole=whole).decode() == shown


def test_a_mask_shows_nothing_of_itself() -> None:
    redactor = Redactor(
        WebhookDef("w", Secret("http://h.example/"), headers=(("X-Token", Secret("s3cret")),))
    )
    assert "s3cret" not in repr(redactor)
    assert redactor.redact("it said s3cret\udcff") == "it said ***?"


@pytest.mark.parametrize("echo", [str.upper, str.lower, str.swapcase])
def test_no_case_hides_a_secret(echo: Callable[[str], str]) -> None:
    redactor = Redactor(
        WebhookDef("w", Secret("http://h.example/"), headers=(("X-Token", Secret("S3cretValue")),))
    )
    assert redactor.excerpt(echo("got S3cretValue.").encode(), whole=True).lower() == b"got ***."
    assert redactor.excerpt(echo("got S3cretVal").encode(), whole=False).lower() == b"got ***"


# Every form in which a secret may come back, whatever it looks like.

KEPT = "credential key"
ESCAPES: dict[str, Callable[[str], str]] = {
    "as it is": str,
    "JSON": lambda text: json.dumps(text)[1:-1],
    "JSON of JSON": lambda text: json.dumps(json.dumps(text)[1:-1])[1:-1],
    "JSON of Unicode": lambda text: json.dumps(text, ensure_ascii=False)[1:-1],
    "JSON with slashes": lambda text: json.dumps(text)[1:-1].replace("/", "\\/"),
    "every character in JSON": lambda text: json.dumps("".join(map(_u_escape, text)))[1:-1].replace(
        "\\\\", "\\"
    ),
    "percent": quote,
    "percent, of everything": lambda text: "".join(f"%{byte:02X}" for byte in text.encode()),
    "percent, in lower case": lambda text: "".join(f"%{byte:02x}" for byte in text.encode()),
    "percent twice": lambda text: quote(quote(text, safe=""), safe=""),
    "a form": quote_plus,
    "HTML": html.escape,
    "decimal entities": lambda text: "".join(f"&#{ord(char)};" for char in text),
    "hexadecimal entities": lambda text: "".join(f"&#x{ord(char):x};" for char in text),
    "HTML within JSON": lambda text: json.dumps("".join(f"&#{ord(char)};" for char in text))[1:-1],
    "Python's bytes": lambda text: repr(text.encode())[2:-1],
    "hex": lambda text: text.encode().hex(),
    "HEX": lambda text: text.encode().hex().upper(),
    "base64": lambda text: base64.b64encode(text.encode()).decode(),
    "base64 without padding": lambda text: base64.b64encode(text.encode()).decode().rstrip("="),
    "base64 for URLs": lambda text: base64.urlsafe_b64encode(text.encode()).decode(),
    "base64, 1 byte on": lambda text: base64.b64encode(f"x{text}yz".encode()).decode(),
    "base64, 2 bytes on": lambda text: base64.urlsafe_b64encode(f"xx{text}y".encode()).decode(),
    "base64 of JSON": lambda text: base64.b64encode(json.dumps({"key": text}).encode()).decode(),
    "base64 of a form": lambda text: base64.b64encode(f"key={quote(text, safe='')}&a=b".encode()).decode(),
    "base64 within a URL": lambda text: quote(base64.b64encode(text.encode()).decode(), safe=""),
}
SECRETS = (
    "sk_l1ve_0123456789abcdefghijk",
    "p/ss+wörd & \"<more>\" 'x'",
    "a%41b\\u0041c&amp;d-e=f:g",
    "漢字漢字漢字漢字漢字漢字",
)


def _u_escape(char: str) -> str:
    units = char.encode("utf-16-be")
    return "".join(f"\\u{units[at : at + 2].hex()}" for at in range(0, len(units), 2))


@pytest.mark.parametrize("name", ESCAPES)
@pytest.mark.parametrize("secret", SECRETS)
def test_no_form_hides_a_secret(name: str, secret: str) -> None:
    webhook = WebhookDef("w", Secret("http://h.example/"), secrets={"KEY": Secret(secret, KEPT)})
    holds_escapes = secret == SECRETS[2]  # then 8 characters of it are fewer that mean something
    for length in (len(secret), len(secret) - 1, *(() if holds_escapes else (8,))):
        echo = ESCAPES[name](secret[:length])
        told = Redactor(webhook).excerpt(f"before <{echo}> behind".encode(), whole=True).decode()
        inner = told.removeprefix("before <").removesuffix("> behind")
        if "base64" in name:  # what else was encoded stays, and bits of a byte at either end
            assert inner.count("***") == 1
            assert len(inner) <= 24
        else:
            assert inner == "***"


TEXTS = st.characters(exclude_categories=("Cc", "Cs"))  # the only ones that a configuration takes in a secret


@given(
    st.text(TEXTS, min_size=8, max_size=40),
    st.sampled_from(sorted(ESCAPES)),
    st.binary(max_size=20),
    st.binary(max_size=20),
)
def test_whatever_stands_around_it(secret: str, name: str, before: bytes, behind: bytes) -> None:
    redactor = Redactor(WebhookDef("w", Secret("http://h.example/"), secrets={"KEY": Secret(secret, KEPT)}))
    told = redactor.excerpt(before + b"<" + ESCAPES[name](secret).encode() + b">" + behind, whole=True)
    assert b"***" in told


@pytest.mark.parametrize("prefix", ["Key", "Token token-", "ApiKey-v1.", "GenieKey ", "x/", "Splunk\t"])
def test_no_prefix_of_an_api_key_hides_it(prefix: str) -> None:
    key = "0123456789abcdefghij"
    for reference in ("auth", "env KEY"):
        webhook = WebhookDef(
            "w",
            Secret("http://h.example/"),
            headers=(("X-Key", Secret(prefix + key, reference)),),
            auth={
                "type": "apikey",
                "header": "X-Key",
                "prefix": Secret(prefix, "auth"),
                "key": Secret(key, reference),
            },
        )
        told = Redactor(webhook).redact(f"the key {key} is unknown, {key[:8]}… too, {prefix}{key} as well")
        assert "01234" not in told


def test_what_a_basic_credential_is_made_of() -> None:
    pair = base64.b64encode(b"deploy-bot:pass:w0rd-x").decode()
    webhook = WebhookDef(
        "w",
        Secret("http://h.example/"),
        headers=(("Authorization", Secret(f"Basic {pair}", "env PASSWORD")),),
        auth={
            "type": "basic",
            "username": Secret("deploy-bot", "env USER_NAME"),
            "password": Secret("pass:w0rd-x", "env PASSWORD"),
        },
    )
    redactor = Redactor(webhook)
    assert (
        redactor.redact(f"({pair.rstrip('=')}) (Basic {pair}) (Basic {pair.rstrip('=')})")
        == "(***) (***) (***)"
    )
    assert redactor.redact("(deploy-bot) (pass:w0rd-x) (pass:w0r)") == "(***) (***) (***)"
    assert redactor.redact(f"({pair[:12]})") == "(***)"


@pytest.mark.parametrize(
    "cut", ["%73%33cr%65t-k%65", "s3cret\\u002d\\u006", "s3cr&#101;t&#4", "s3cret", "s3cr"]
)
def test_a_secret_that_is_cut_off_within_an_escape(cut: str) -> None:
    redactor = Redactor(
        WebhookDef("w", Secret("http://h.example/"), headers=(("X-Token", Secret("s3cret-key-0123")),))
    )
    assert redactor.excerpt(f"it is {cut}".encode(), whole=False) == b"it is ***"


def test_a_long_answer_costs_little() -> None:
    """Several secrets, 64 KiB of text or of escapes: far less than the 50 ms that the loop may be held."""
    dice = random.Random(4)
    tokens = ["".join(dice.choices(string.ascii_letters, k=43)) for _ in range(8)]
    redactor = Redactor(
        WebhookDef(
            "w",
            Secret("https://h.example/services/T0ABCDEFGH/B0ABCDEFGH?token=0123456789abcdef", "env URL"),
            headers=tuple(
                (f"X-Token-{number}", Secret(token, "env T")) for number, token in enumerate(tokens)
            ),
            signing=Signing((Secret("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ"),)),
        )
    )
    for unit in ("plain words of an answer ", "%41\\u0041&amp;", f"{tokens[0][:9]} ", tokens[1]):
        body = (unit * 65536)[:65536].encode()
        began = time.process_time()
        for _ in range(10):
            redactor.excerpt(body[: redactor.window], whole=False)
        assert (time.process_time() - began) / 10 < 0.02
