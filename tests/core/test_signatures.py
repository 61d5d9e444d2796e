"""Signatures: made as an independent verifier expects them, checked as a receiver would."""

import base64
import hashlib
import hmac
import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st
from standardwebhooks.webhooks import Webhook, WebhookVerificationError

from hookd.domain.definitions import Secret, SecretFormat, Signing, SigningStyle
from hookd.domain.signatures import SignatureCheck, Verification, signature_headers, signing_key, verify

ENCODED = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
OTHER = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
NOW = 1_700_000_000
BODY = b'{"text": "Webhook"}'


def standard(*secrets: str) -> Signing:
    return Signing(tuple(Secret(secret) for secret in secrets))


def signed(signing: Signing, *, body: bytes = BODY, timestamp: int = NOW) -> dict[str, str]:
    made = signature_headers(signing, delivery_id="dlv_1", timestamp=timestamp, body=body)
    return {"webhook-id": "dlv_1", "webhook-timestamp": str(timestamp), **dict(made)}


def test_the_example_of_the_specification() -> None:
    # The test vector of the Standard Webhooks libraries.
    made = signature_headers(
        standard(ENCODED),
        delivery_id="msg_p5jXN8AQM9LWM0D4loKWxJek",
        timestamp=1614265330,
        body=b'{"test": 2432232314}',
    )
    assert made == [("webhook-signature", "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=")]


@pytest.mark.parametrize("secret", [ENCODED, OTHER])
def test_an_independent_verifier_accepts_each_of_several_secrets(secret: str) -> None:
    now = int(datetime.now(UTC).timestamp())  # its own clock judges, and `NOW` is as old as the run
    headers = signed(standard(ENCODED, OTHER), timestamp=now)
    assert Webhook(secret).verify(BODY, headers) == json.loads(BODY)


def test_an_independent_verifier_refuses_a_changed_body() -> None:
    headers = signed(standard(ENCODED), timestamp=int(datetime.now(UTC).timestamp()))
    with pytest.raises(WebhookVerificationError, match="signature"):
        Webhook(ENCODED).verify(b'{"text": "Other"}', headers)


def test_any_other_text_is_a_raw_utf_8_key() -> None:
    headers = signed(standard("geheim-ü"))
    content = f"dlv_1.{NOW}.".encode() + BODY
    digest = hmac.new("geheim-ü".encode(), content, hashlib.sha256).digest()
    assert headers["webhook-signature"] == "v1," + base64.b64encode(digest).decode()


@pytest.mark.parametrize(
    "secret",
    [
        "v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ==",  # as consoles show it
        "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ",
        "v1,whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ",
    ],
)
def test_an_independent_verifier_takes_what_a_console_s_secret_signs(secret: str) -> None:
    headers = signed(standard(secret), timestamp=int(datetime.now(UTC).timestamp()))
    verifier = Webhook("whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oDAQ==")
    assert verifier.verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize(
    "secret", ["MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "v1,MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", ENCODED]
)
def test_base64_without_its_prefix_is_the_key_that_libraries_decode(secret: str) -> None:
    signing = Signing((Secret(secret),), secret_format=SecretFormat.BASE64)
    headers = signed(signing, timestamp=int(datetime.now(UTC).timestamp()))
    assert Webhook("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw").verify(BODY, headers) == json.loads(BODY)


@pytest.mark.parametrize("secret", [ENCODED, f"v1,{ENCODED}", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"])
def test_text_is_the_key_as_it_stands(secret: str) -> None:
    assert signing_key(secret, SecretFormat.TEXT) == secret.encode()


def test_a_text_that_merely_looks_encoded_keeps_its_bytes() -> None:
    assert signing_key("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw") == b"MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_url_safe_base64_is_named() -> None:
    for secret in ("whsec_C2FVsBQIhrscChlQIMV-b5sSYspob7oD", "v1,whsec_C2FV_BQIhrscChlQIMVb5sSYspob7oDAQ=="):
        with pytest.raises(ValueError, match="URL-safe; write"):
            signing_key(secret)


def test_github_uses_the_first_secret_as_it_stands() -> None:
    signing = Signing((Secret(ENCODED), Secret(OTHER)), SigningStyle.GITHUB)
    made = signature_headers(signing, delivery_id="dlv_1", timestamp=NOW, body=BODY)
    digest = hmac.new(ENCODED.encode(), BODY, hashlib.sha256).hexdigest()
    assert made == [("X-Hub-Signature-256", f"sha256={digest}")]


@pytest.mark.parametrize("secret", ["whsec_", "whsec_***", "whsec_abcde", "whsec_ü"])
def test_a_whsec_secret_that_is_not_base64_is_refused_without_naming_it(secret: str) -> None:
    with pytest.raises(ValueError, match="whsec_") as caught:
        signing_key(secret)
    assert secret == "whsec_" or secret not in str(caught.value)


@given(st.binary(max_size=200), st.sampled_from([ENCODED, "plain", OTHER]), st.sampled_from(SigningStyle))
def test_what_is_signed_verifies(body: bytes, secret: str, style: SigningStyle) -> None:
    headers = signed(Signing((Secret(secret),), style), body=body)
    expected = Verification(SignatureCheck.VALID, style)
    assert verify(headers, body, ["wrong", secret], now=NOW) == expected
    assert verify(headers, body, [f"v1,{secret}"], now=NOW).verdict is (
        SignatureCheck.VALID
        if secret != "plain" and style is SigningStyle.STANDARD
        else SignatureCheck.INVALID
    )
    assert verify(headers, body + b"x", [secret], now=NOW).verdict is SignatureCheck.INVALID


STANDARD = signed(standard(ENCODED))
GITHUB = dict(
    signature_headers(Signing((Secret("s"),), SigningStyle.GITHUB), delivery_id="x", timestamp=NOW, body=BODY)
)


@pytest.mark.parametrize(
    ("headers", "later_s", "verdict", "reason"),
    [
        (STANDARD, 300, SignatureCheck.VALID, ""),
        (STANDARD, -300, SignatureCheck.VALID, ""),
        ({name.upper(): value for name, value in STANDARD.items()}, 0, SignatureCheck.VALID, ""),
        (
            STANDARD | {"webhook-signature": f"v2,x {STANDARD['webhook-signature']}"},
            0,
            SignatureCheck.VALID,
            "",
        ),
        (STANDARD, 301, SignatureCheck.INVALID, "more than 300 seconds"),
        (STANDARD, -301, SignatureCheck.INVALID, "more than 300 seconds"),
        (STANDARD | {"webhook-timestamp": "soon"}, 0, SignatureCheck.INVALID, "not a number"),
        (STANDARD | {"webhook-timestamp": "9" * 5000}, 0, SignatureCheck.INVALID, "not a number"),
        (STANDARD | {"webhook-timestamp": ""}, 0, SignatureCheck.INVALID, "webhook-timestamp is missing"),
        (STANDARD | {"webhook-id": ""}, 0, SignatureCheck.INVALID, "webhook-id is missing"),
        (STANDARD | {"webhook-id": "other"}, 0, SignatureCheck.INVALID, "no signature matches"),
        (STANDARD | {"webhook-signature": ""}, 0, SignatureCheck.INVALID, "no signature matches"),
        (STANDARD | {"webhook-signature": "v1,ü"}, 0, SignatureCheck.INVALID, "no signature matches"),
        (GITHUB, 0, SignatureCheck.VALID, ""),
        (
            {"x-hub-signature-256": GITHUB["X-Hub-Signature-256"].upper()},
            0,
            SignatureCheck.INVALID,
            "sha256=",
        ),
        ({"x-hub-signature-256": "sha256=00"}, 0, SignatureCheck.INVALID, "matches no secret"),
        ({"x-hub-signature-256": "sha1=00"}, 0, SignatureCheck.INVALID, "does not begin with sha256="),
        ({"content-type": "text/plain"}, 0, SignatureCheck.ABSENT, "no signature"),
    ],
)
def test_verdicts(headers: dict[str, str], later_s: int, verdict: SignatureCheck, reason: str) -> None:
    found = verify(headers, BODY, ["s", ENCODED], now=NOW + later_s)
    assert found.verdict is verdict
    assert reason in found.reason
    assert bool(found.reason) is (verdict is not SignatureCheck.VALID)
