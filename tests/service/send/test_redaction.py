"""A receiver that echoes secrets does not get them into what is stored."""

import base64
import html
import json
from collections.abc import Callable
from urllib.parse import quote

import pytest

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
