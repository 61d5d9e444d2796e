"""Real TLS: what is refused, what each setting changes, and that settings never mix."""

import asyncio
import socket
import ssl
import warnings
from contextlib import AsyncExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from hookd.domain.definitions import Secret, Tls, WebhookDef
from hookd.domain.deliveries import Reason
from tests.kit.receiver import Receiver, answer
from tests.kit.tls import Authority, Pair, encrypted, issued_by, self_signed, server_context
from tests.kit.tls_servers import PlainServer, Strict
from tests.service.send.attempts import Attempts, webhook

HOST = "127.0.0.1"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("tls")


@pytest.fixture(scope="module")
def authority(folder: Path) -> Authority:
    return Authority(folder)


@pytest.fixture(scope="module")
def good(authority: Authority) -> Pair:
    return authority.issue("good", HOST, "localhost")


@pytest.fixture(scope="module")
def trusting(authority: Authority) -> Tls:
    return Tls(ca=str(authority.ca))


async def test_the_right_authority_is_trusted(send: Attempts, good: Pair, trusting: Tls) -> None:
    async with Receiver(tls=server_context(good)) as receiver:
        outcome = await send(receiver.to(), tls=trusting)
        assert (outcome.reason, outcome.insecure) == (Reason.OK, False)
        outcome = await send(receiver.to(host="localhost"), tls=trusting)
        assert outcome.reason is Reason.OK


async def test_answers_of_any_size_that_come_together_are_not_mixed_up(
    send: Attempts, good: Pair, trusting: Tls
) -> None:
    sizes = (0, 1, 3000, 16_385, 65_536, 65_537, 100_000)
    definition = webhook("https://unused.example", tls=trusting)
    async with AsyncExitStack() as open_receivers:
        receivers = [
            await open_receivers.enter_async_context(
                Receiver(answer(200, body=f"{size};".encode() * (size // 6 + 1)), tls=server_context(good))
            )
            for size in sizes
        ]
        for _ in range(2):
            outcomes = await asyncio.gather(
                *(
                    send.to(replace(definition, name=receiver.to(), url=Secret(receiver.to())))
                    for receiver in receivers
                    for _ in range(5)
                )
            )
            expected = [(f"{size};".encode() * (size // 6 + 1))[:4096] for size in sizes for _ in range(5)]
            assert [outcome.response for outcome in outcomes] == expected
            assert {outcome.reason for outcome in outcomes} == {Reason.OK}


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("unknown authority", "unable to get local issuer certificate"),
        ("self-signed", "self-signed certificate"),
        ("wrong host", "IP address mismatch, certificate is not valid for '127.0.0.1'"),
        ("expired", "certificate has expired"),
    ],
)
async def test_certificates_that_are_refused_unless_insecure(
    *,
    send: Attempts,
    authority: Authority,
    good: Pair,
    trusting: Tls,
    folder: Path,
    case: str,
    words: str,
) -> None:
    pair, tls = {
        "unknown authority": (good, Tls()),
        "self-signed": (self_signed(folder, HOST), trusting),
        "wrong host": (authority.issue("wrong", "other.example"), trusting),
        "expired": (authority.issue("expired", HOST, valid_days=-1), trusting),
    }[case]
    async with Receiver(tls=server_context(pair)) as receiver:
        refused = await send(receiver.to(), tls=tls)
        assert not receiver.requests
        accepted = await send(receiver.to(), tls=Tls(insecure=True))
        assert len(receiver.requests) == 1
    assert (refused.reason, refused.insecure) == (Reason.TLS, False)
    assert refused.error.startswith(f"the certificate of {HOST}:{receiver.port} was refused: {words}")
    assert (accepted.reason, accepted.insecure) == (Reason.OK, True)


async def test_a_self_signed_certificate_can_be_its_own_authority(send: Attempts, folder: Path) -> None:
    pair = self_signed(folder, HOST)
    async with Receiver(tls=server_context(pair)) as receiver:
        assert (await send(receiver.to(), tls=Tls(ca=str(pair.cert)))).reason is Reason.OK


@pytest.mark.parametrize("ca", [None, False])
async def test_a_certificate_of_an_authority_alone_trusts_exactly_itself(
    send: Attempts, authority: Authority, folder: Path, *, ca: bool | None
) -> None:
    leaf = authority.issue(f"leaf-{ca}", HOST, ca=ca)
    trusting_it = Tls(ca=str(leaf.cert))
    others = (
        authority.issue("sibling", HOST),
        issued_by(leaf, "vouched", HOST),
        issued_by(self_signed(folder, HOST), "stranger", HOST),
    )
    async with Receiver(tls=server_context(leaf)) as receiver:
        assert (await send(receiver.to(), tls=trusting_it)).reason is Reason.OK
        assert (
            await send(receiver.to(host="localhost"), tls=trusting_it)
        ).reason is Reason.TLS  # not its name
    for other in others:
        async with Receiver(tls=server_context(other)) as receiver:
            refused = await send(receiver.to(), tls=trusting_it)
            assert refused.reason is Reason.TLS, other
            assert not receiver.requests


async def test_a_self_signed_certificate_vouches_for_no_other(send: Attempts, folder: Path) -> None:
    pair = self_signed(folder, HOST)
    async with Receiver(tls=server_context(issued_by(pair, "vouched-2", HOST))) as receiver:
        assert (await send(receiver.to(), tls=Tls(ca=str(pair.cert)))).reason is Reason.TLS


async def test_an_intermediate_authority_alone_is_one(send: Attempts, authority: Authority) -> None:
    between = authority.issue("between", ca=True)
    async with Receiver(tls=server_context(issued_by(between, "below", HOST))) as receiver:
        assert (await send(receiver.to(), tls=Tls(ca=str(between.cert)))).reason is Reason.OK


async def test_insecure_says_so_on_https_alone_and_also_of_failures(send: Attempts) -> None:
    async with Receiver() as receiver:
        assert not (await send(receiver.to(), tls=Tls(insecure=True))).insecure
        refused = await send(f"https://127.0.0.1:{receiver.port}/", tls=Tls(insecure=True), timeout_s=0.2)
    assert (refused.reason is not Reason.OK, refused.insecure) == (True, True)


async def test_settings_never_share_a_connection(send: Attempts, good: Pair, trusting: Tls) -> None:
    async with Receiver(tls=server_context(good)) as receiver:
        trusted = webhook(receiver.to(), tls=trusting)
        insecure = replace(trusted, name="insecure", tls=Tls(insecure=True))
        renewed = replace(trusted, name="renewed", tls=replace(trusting, digest="renewed"))
        like_trusted = replace(trusted, name="alike", tls=replace(trusting))
        for definition, connections in [
            (trusted, 1),
            (insecure, 2),
            (renewed, 3),
            (like_trusted, 3),
            (trusted, 3),
        ]:
            assert (await send.to(definition)).reason is Reason.OK
            assert receiver.connections == connections


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_a_client_certificate_is_shown_where_it_is_demanded(
    send: Attempts, authority: Authority, good: Pair, trusting: Tls, newest: ssl.TLSVersion
) -> None:
    context = server_context(good, clients=authority.ca)
    context.maximum_version = newest
    client = authority.issue("client")
    both = authority.issue("both")
    both.cert.write_bytes(both.cert.read_bytes() + both.key.read_bytes())
    with PlainServer(Strict(context)) as server:
        without = await send(f"https://127.0.0.1:{server.port}/", tls=trusting)
    assert without.reason is Reason.TLS
    assert "certificate required" in without.error or "handshake failure" in without.error
    async with Receiver(tls=context) as receiver:
        for tls in (
            replace(trusting, cert=str(client.cert), key=str(client.key)),
            replace(trusting, cert=str(both.cert)),
        ):
            assert (await send(receiver.to(), tls=tls)).reason is Reason.OK


@pytest.mark.parametrize("version", ["TLSv1", "TLSv1_1"])
@pytest.mark.parametrize("insecure", [False, True])
async def test_tls_before_1_2_is_refused(
    send: Attempts, good: Pair, trusting: Tls, version: str, *, insecure: bool
) -> None:
    context = server_context(good)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
        context.minimum_version = context.maximum_version = ssl.TLSVersion[version]
    with PlainServer(Strict(context)) as server:
        outcome = await send(f"https://127.0.0.1:{server.port}/", tls=replace(trusting, insecure=insecure))
    assert outcome.reason is Reason.TLS
    assert "protocol version" in outcome.error


async def test_a_handshake_that_is_cut_off(send: Attempts) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        attempt = asyncio.create_task(send(f"https://127.0.0.1:{server.getsockname()[1]}/"))
        connection, _ = await asyncio.to_thread(server.accept)
        connection.close()
        outcome = await attempt
    assert outcome.reason is Reason.TLS
    assert outcome.error.endswith("closed the connection during the TLS handshake")


async def test_tls_spoken_to_a_plain_server_and_the_other_way_round(send: Attempts, good: Pair) -> None:
    async with Receiver() as plain, Receiver(tls=server_context(good)) as secure:
        outcome = await send(f"https://127.0.0.1:{plain.port}/", timeout_s=0.2)
        assert outcome.reason in {Reason.TLS, Reason.TIMEOUT}
        outcome = await send(f"http://127.0.0.1:{secure.port}/")
        assert outcome.reason in {Reason.DISCONNECTED, Reason.PROTOCOL}


async def test_a_server_that_hangs_in_the_handshake_times_out(send: Attempts) -> None:
    async with Receiver() as receiver:
        outcome = await send(f"https://127.0.0.1:{receiver.port}/", timeout_s=1.0)
        await receiver.quiet()
    assert outcome.error == "timed out after 1 s in the TLS handshake"


async def test_a_server_that_does_not_take_the_connection_times_out_before_any_handshake(
    send: Attempts,
) -> None:
    with socket.socket() as listener, socket.socket() as first, socket.socket() as second:
        listener.bind((HOST, 0))
        listener.listen(0)
        for filler in (first, second):
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        outcome = await send(f"https://{HOST}:{listener.getsockname()[1]}/", timeout_s=1.0)
    assert outcome.error == "timed out after 1 s while connecting"


def no_file(folder: Path, _: Pair) -> tuple[Tls, str]:
    path = str(folder / "missing.pem")
    return Tls(ca=path), f"the CA bundle {path} cannot be read: No such file or directory"


def no_pem(folder: Path, _: Pair) -> tuple[Tls, str]:
    path = folder / "no.pem"
    path.write_text("nothing")
    return Tls(ca=str(path)), f"the CA bundle {path} cannot be used: no certificate or crl found"


def no_key(_: Path, pair: Pair) -> tuple[Tls, str]:
    return Tls(insecure=True, cert=str(pair.cert)), f"the client certificate {pair.cert} cannot be used: "


def key_under_password(_: Path, pair: Pair) -> tuple[Tls, str]:
    locked = encrypted(pair, b"secret")
    return (
        Tls(cert=str(locked.cert), key=str(locked.key)),
        f"the client certificate {locked.cert} cannot be used: its key is encrypted",
    )


@pytest.mark.parametrize("case", [no_file, no_pem, no_key, key_under_password])
async def test_files_that_cannot_be_used(send: Attempts, good: Pair, folder: Path, case: object) -> None:
    assert callable(case)
    tls, sentence = case(folder, good)
    outcome = await send("https://127.0.0.1:9/", tls=tls)
    assert (outcome.reason, outcome.insecure) == (Reason.TLS, tls.insecure)
    assert outcome.error.startswith(sentence)


async def test_a_file_that_returns_heals_the_webhook(
    send: Attempts, authority: Authority, good: Pair, tmp_path: Path
) -> None:
    late = tmp_path / "late.pem"
    async with Receiver(tls=server_context(good)) as receiver:
        definition = webhook(receiver.to(), tls=Tls(ca=str(late)))
        assert (await send.to(definition)).reason is Reason.TLS
        late.write_bytes(authority.ca.read_bytes())
        assert (await send.to(definition)).reason is Reason.OK


async def test_prepare_builds_ahead_and_forgets(
    send: Attempts, authority: Authority, good: Pair, tmp_path: Path
) -> None:
    ca = tmp_path / "ca.pem"
    ca.write_bytes(authority.ca.read_bytes())
    async with Receiver(tls=server_context(good)) as receiver:
        prepared = webhook(receiver.to(), tls=Tls(ca=str(ca)))
        broken = WebhookDef("broken", prepared.url, tls=Tls(ca=str(tmp_path / "missing")))
        send.sender.prepare([prepared, broken])
        ca.unlink()
        assert (await send.to(prepared)).reason is Reason.OK
        send.sender.prepare([prepared])
        assert (await send.to(prepared)).reason is Reason.OK
        send.sender.prepare([])
        assert (await send.to(prepared)).reason is Reason.TLS
